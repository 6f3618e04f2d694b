"""How date-time values are taken apart and put together in DuckDB SQL, and the macros all date-time functions stand on.

`taken(value, body)` hands `body` a `Parts` (wall clock, instant, zone, picoseconds) of a value that is written once;
`built(type, ...)` is the way back to the physical form. Physical forms: embedded/sql/physical.py.

Macros (times in microseconds since 1970 unless they are TIMESTAMPs):

    trino_floor_div(a, b), trino_round_to(a, step)     Java's floorDiv; half up to a multiple, as Trino rounds times
    trino_zone_offset(t, z)                            the offset of zone z at the instant t (a TIMESTAMP in UTC)
    trino_zone_local(t, z)                             wall clock of an instant
    trino_zone_instant(l, z)                           instant of a wall clock: earlier in an overlap, shifted in a gap
    trino_zone_instant_near(l, z, t)                   the same by Joda's rule: keep the offset of t where that holds
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from embedded.sql.functions.registry import error_sql, macro
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.typed import Typed
from embedded.sql.types import TrinoType

PICOSECONDS_OF_DAY = 86_400 * 10**12
PICOSECONDS_OF_MINUTE = 60 * 10**12
MICROSECONDS_OF_DAY = 86_400 * 10**6

macro("trino_floor_mod(a, b)", "((a % b) + b) % b")
macro("trino_floor_div(a, b)", "(a - ((a % b) + b) % b) // b")
macro("trino_round_to(a, step)", "trino_floor_div(a + step // 2, step) * step")
macro("trino_moment(micros)", "make_timestamp(CAST(micros AS BIGINT))")
macro(
    "trino_zone_offset(t, z)",
    "CASE WHEN z = 'UTC' THEN CAST(0 AS BIGINT) "
    "WHEN z[1] IN ('+', '-') THEN -epoch_us(TRY_CAST('1970-01-01 00:00:00' || z AS TIMESTAMPTZ)) "
    "ELSE epoch_us(timezone(z, CAST(t AS TIMESTAMPTZ))) - epoch_us(t) END",
)
macro(
    "trino_zone_local(t, z)",
    "CASE WHEN z = 'UTC' THEN t WHEN z[1] IN ('+', '-') "
    "THEN make_timestamp(epoch_us(t) - epoch_us(TRY_CAST('1970-01-01 00:00:00' || z AS TIMESTAMPTZ))) "
    "ELSE timezone(z, CAST(t AS TIMESTAMPTZ)) END",
)
macro("trino_zone_back(l, shift)", "make_timestamp(epoch_us(l) - shift)")
macro("trino_region_offset(t, z)", "epoch_us(timezone(z, CAST(t AS TIMESTAMPTZ))) - epoch_us(t)")
# the bindings (one-element list_transform) keep arguments from being written, and bound, many times over
macro(
    "trino_region_instant(l, z)",
    "list_transform([{'l': l, 'z': z, "
    "'before': trino_region_offset(make_timestamp(epoch_us(l) - 86400000000), z), "
    "'after': trino_region_offset(make_timestamp(epoch_us(l) + 86400000000), z)}], lambda ri_: "
    "CASE WHEN ri_.before <> ri_.after "
    "AND trino_region_offset(trino_zone_back(ri_.l, ri_.before), ri_.z) <> ri_.before "
    "AND trino_region_offset(trino_zone_back(ri_.l, ri_.after), ri_.z) = ri_.after "
    "THEN trino_zone_back(ri_.l, ri_.after) ELSE trino_zone_back(ri_.l, ri_.before) END)[1]",
)
macro(
    "trino_zone_instant(l, z)",
    "CASE WHEN z = 'UTC' THEN l "
    "WHEN z[1] IN ('+', '-') THEN trino_zone_back(l, -epoch_us(TRY_CAST('1970-01-01 00:00:00' || z AS TIMESTAMPTZ))) "
    "ELSE trino_region_instant(l, z) END",
)
macro(
    "trino_joda_instant(l, z)",
    "list_transform(list_transform([{'l': l, 'z': z, 'one': trino_zone_offset(l, z)}], lambda ja_: "
    "{'l': ja_.l, 'z': ja_.z, 'one': ja_.one, "
    "'other': trino_zone_offset(trino_zone_back(ja_.l, ja_.one), ja_.z)}), lambda jb_: "
    "trino_zone_back(jb_.l, CASE WHEN jb_.one <> jb_.other AND jb_.one < 0 "
    "AND trino_zone_offset(trino_zone_back(jb_.l, jb_.other), jb_.z) <> jb_.other "
    "THEN jb_.one ELSE jb_.other END))[1]",
)
macro(
    "trino_zone_instant_near(l, z, t)",
    "CASE WHEN z = 'UTC' THEN l ELSE list_transform([{'l': l, 'z': z, 'o': trino_zone_offset(t, z)}], lambda near_: "
    "CASE WHEN trino_zone_offset(trino_zone_back(near_.l, near_.o), near_.z) = near_.o "
    "THEN trino_zone_back(near_.l, near_.o) ELSE trino_joda_instant(near_.l, near_.z) END)[1] END",
)
macro("trino_picos_of_day(t)", "trino_floor_mod(epoch_us(t), 86400000000) * 1000000")
macro("trino_day_picos(p)", "((p % 86400000000000000) + 86400000000000000) % 86400000000000000")


@dataclass(frozen=True, slots=True)
class Parts:
    """DuckDB SQL of the parts of one date-time value.

    instant: TIMESTAMP, UTC for values with zone, else the wall clock itself. picos: within the microsecond.
    zone: VARCHAR or None. For times: picos_of_day and offset in minutes.
    """

    type: TrinoType
    sql: str

    @property
    def is_zoned(self) -> bool:
        return self.type.base.endswith("with time zone")

    @property
    def is_fine(self) -> bool:
        """Whether the value has picoseconds beyond the microsecond."""
        return self.type.base.startswith("timestamp") and self.type.precision > 6

    @property
    def instant(self) -> str:
        base = self.type.base
        if base == "date":
            return f"CAST({self.sql} AS TIMESTAMP)"
        # the casts: DuckDB gives a field of a constant NULL no type
        return f"CAST(({self.sql}).t AS TIMESTAMP)" if self.is_zoned or self.is_fine else self.sql

    @property
    def zone(self) -> str:
        return f"CAST(({self.sql}).z AS VARCHAR)" if self.is_zoned else "'UTC'"

    @property
    def local(self) -> str:
        return f"trino_zone_local({self.instant}, {self.zone})" if self.is_zoned else self.instant

    @property
    def picos(self) -> str:
        return f"CAST(({self.sql}).p AS INTEGER)" if self.is_fine else "0"

    @property
    def picos_of_day(self) -> str:
        """Of a time: the wall clock in picoseconds."""
        return f"CAST(({self.sql}).p AS BIGINT)" if self.is_zoned else self.sql

    @property
    def offset(self) -> str:
        """Of a time with time zone: minutes."""
        return f"CAST(({self.sql}).o AS INTEGER)"


def taken(value: Typed, body: Callable[[Parts], str], name: str = "dt_") -> str:
    """`body` over the parts of a value; a long value is bound to `name` first, so that it is computed once."""
    if value.is_simple or len(value.sql) < 60:
        return body(Parts(value.type, f"({value.sql})" if not value.is_simple else value.sql))
    inside = body(Parts(value.type, name))
    return f"(list_transform([{value.sql}], lambda {name}: {inside})[1])"


def built(trino_type: TrinoType, instant: str, picos: str = "0", zone: str = "'UTC'") -> str:
    """The physical form of a timestamp (with time zone) from its parts; NULL when the instant is NULL."""
    is_fine = trino_type.precision > 6
    if trino_type.base == "timestamp" and not is_fine:
        return instant
    fields = [f"'t': {instant}"]
    if is_fine:
        fields.append(f"'p': CAST({picos} AS INTEGER)")
    if trino_type.base != "timestamp":
        fields.append(f"'z': {zone}")
    return f"{{{', '.join(fields)}}}"


def guarded(parts: Parts, sql: str) -> str:
    """`sql` (a struct of several parts) unless the value is NULL."""
    return f"CASE WHEN {parts.sql} IS NULL THEN NULL ELSE {sql} END"


def rounded(trino_type: TrinoType, micros: str, picos: str, zone: str = "'UTC'") -> str:
    """A timestamp of this type from microseconds and picoseconds within them (0 to 1000000), half up."""
    precision = trino_type.precision
    if precision <= 6:
        if precision < 6:
            micros = f"trino_round_to({micros}, {10 ** (6 - precision)})"
        elif picos != "0":
            micros = f"({micros} + CASE WHEN {picos} >= 500000 THEN 1 ELSE 0 END)"
        return built(trino_type, f"trino_moment({micros})", zone=zone)
    if picos == "0":
        return built(trino_type, f"trino_moment({micros})", "0", zone)
    step = 10 ** (12 - precision)
    fraction = f"trino_round_to({picos}, {step})" if step > 1 else picos
    return built(trino_type, f"trino_moment({micros} + ({fraction}) // 1000000)", f"(({fraction}) % 1000000)", zone)


def null_or_error(values: list[str], name: str, message: str, trino_type: TrinoType) -> str:
    """A failure at run time with a fixed message, NULL where an argument is NULL."""
    physical = physical_type(trino_type)
    failure = error_sql(name, text_literal(message), physical)
    condition = " OR ".join(f"({value}) IS NULL" for value in values)
    return f"(CASE WHEN {condition} THEN CAST(NULL AS {physical}) ELSE {failure} END)" if values else failure
