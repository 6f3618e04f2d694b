"""Partition projection: partitions computed from a table's properties instead of kept in the catalogue.

Types enum, integer, date and injected. Source: Athena user guide, "Supported types for partition projection".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dateutil.relativedelta import relativedelta
from sqlglot import exp

from embedded.partition_predicate import conjuncts, equal_texts, partition_filter
from embedded.sql.errors import TrinoError
from embedded.sql.types import TrinoType

MAXIMUM_PARTITIONS = 1_000_000

_UNITS = {
    "YEAR": "years",
    "MONTH": "months",
    "WEEK": "weeks",
    "DAY": "days",
    "HOUR": "hours",
    "MINUTE": "minutes",
    "SECOND": "seconds",
}
_NOW = re.compile(
    r"\s*NOW\s*(?:([+-])\s*([0-9]+)\s*(YEAR|MONTH|WEEK|DAY|HOUR|MINUTE|SECOND)S?\s*)?", re.ASCII
)  # the guide's pattern: capitals only
_JAVA_LETTERS = {"y": "%Y", "M": "%m", "d": "%d", "H": "%H", "m": "%M", "s": "%S", "S": "%f"}


@dataclass(frozen=True)
class ProjectedPartition:
    """A partition as PartitionRow has it; it never differs from its table."""

    values: tuple[str, ...]
    location: str
    descriptor: None = None


def is_projected(parameters: Mapping[str, str]) -> bool:
    return parameters.get("projection.enabled", "").lower() == "true"


def projected_partitions(
    parameters: Mapping[str, str],
    keys: Mapping[str, TrinoType],
    location: str,
    predicate: exp.Expr | None,
    now: datetime,
) -> Iterator[ProjectedPartition]:
    """The partitions that the predicate allows. Raises TrinoError for properties that make no sense."""
    missing = [key for key in keys if f"projection.{key}.type" not in parameters]
    if missing:
        raise TrinoError(
            "HIVE_INVALID_METADATA",
            "The table is configured for partition projection, but the following partition columns are missing"
            f" projection configuration: [{', '.join(missing)}]",
        )
    candidates = []
    for key, key_type in keys.items():
        allows = _filter_of_one(predicate, key, key_type)
        values = [value for value in _values(parameters, key, predicate, now) if allows is None or allows((value,))]
        candidates.append(values)
    total = 1
    for values in candidates:
        total *= len(values)
    if total > MAXIMUM_PARTITIONS:
        raise TrinoError("HIVE_EXCEEDED_PARTITION_LIMIT", f"The query would project {total} partitions")
    allows_all = partition_filter(predicate, keys)
    template = parameters.get("storage.location.template")
    root = location if location.endswith("/") else f"{location}/"
    for combination in itertools.product(*candidates):
        if allows_all is None or allows_all(combination):
            yield ProjectedPartition(combination, _location(template, root, list(keys), combination))


def _filter_of_one(predicate: exp.Expr | None, key: str, key_type: TrinoType) -> Callable[[Sequence[str]], bool] | None:
    """The filter made of the conjuncts that speak of one key alone: keeps the product of all keys small."""
    if predicate is None:
        return None
    own = [
        conjunct
        for conjunct in conjuncts(predicate)
        if {column.name.lower() for column in conjunct.find_all(exp.Column)} == {key}
    ]
    if not own:
        return None
    return partition_filter(exp.and_(*own), {key: key_type})


def _location(template: str | None, root: str, keys: Sequence[str], values: Sequence[str]) -> str:
    if template is None:
        return root + "".join(f"{key}={value}/" for key, value in zip(keys, values, strict=True))
    known = dict(zip(keys, values, strict=True))
    return re.sub(r"\$\{(\w+)\}", lambda match: known.get(match.group(1).lower(), match.group()), template)


def _values(parameters: Mapping[str, str], key: str, predicate: exp.Expr | None, now: datetime) -> list[str]:
    prefix = f"projection.{key}."
    kind = parameters.get(f"{prefix}type", "").strip().lower()
    if kind == "enum":
        return _required(parameters, f"{prefix}values").split(",")  # white space is part of a value
    if kind == "integer":
        return _integers(parameters, prefix)
    if kind == "date":
        return _dates(parameters, prefix, now)
    if kind == "injected":
        texts = equal_texts(predicate, key)
        if texts is None:
            raise TrinoError(
                "CONSTRAINT_VIOLATION",
                f"For the injected projected partition column {key}, the WHERE clause must contain only static"
                " equality conditions, and at least one such condition must be present.",
            )
        return texts
    raise TrinoError("HIVE_INVALID_METADATA", f"Table property {prefix}type is missing or unknown: '{kind}'")


def _required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if value is None:
        raise TrinoError("HIVE_INVALID_METADATA", f"Table property {name} is missing")
    return value


def _integers(parameters: Mapping[str, str], prefix: str) -> list[str]:
    try:
        first, last = (int(part) for part in _required(parameters, f"{prefix}range").split(","))
        step = int(parameters.get(f"{prefix}interval", "1"))
        digits = int(parameters.get(f"{prefix}digits", "0"))
    except ValueError:
        raise TrinoError("HIVE_INVALID_METADATA", f"Table properties {prefix}* are not integers") from None
    if step < 1 or (last - first) // step > MAXIMUM_PARTITIONS:
        raise TrinoError("HIVE_INVALID_METADATA", f"Table property {prefix}range has too many values")
    return [str(number).zfill(digits) for number in range(first, last + 1, step)]


def _dates(parameters: Mapping[str, str], prefix: str, now: datetime) -> list[str]:
    pattern = _required(parameters, f"{prefix}format")
    form = _python_format(pattern)
    ends = _required(parameters, f"{prefix}range").split(",")
    if len(ends) != 2:
        raise TrinoError("HIVE_INVALID_METADATA", f"Table property {prefix}range is not a pair")
    first, last = (_instant(end, form, now) for end in ends)
    given = parameters.get(f"{prefix}interval.unit")
    finest = _finest_unit(pattern)
    if given is None and finest not in ("DAY", "MONTH"):
        raise TrinoError(
            "HIVE_INVALID_METADATA",
            f"Table property {prefix}interval.unit needs to be set for dates that are not single days or months",
        )
    unit = (finest if given is None else given).strip().upper().removesuffix("S")
    if unit not in _UNITS:
        raise TrinoError("HIVE_INVALID_METADATA", f"Table property {prefix}interval.unit is unknown: {unit}")
    try:
        count = int(parameters.get(f"{prefix}interval", "1"))
    except ValueError:
        count = 0
    if count < 1:
        raise TrinoError("HIVE_INVALID_METADATA", f"Table property {prefix}interval is no positive number")
    step = relativedelta(**{_UNITS[unit]: count})  # type: ignore[arg-type]  # the names are relativedelta's own
    found: list[str] = []
    at = first
    while at <= last + timedelta(0):
        text = at.strftime(form)
        if not found or found[-1] != text:
            found.append(text)
        if len(found) > MAXIMUM_PARTITIONS:
            raise TrinoError("HIVE_INVALID_METADATA", f"Table property {prefix}range has too many values")
        at += step
    return found


def _instant(text: str, form: str, now: datetime) -> datetime:
    """One end of the range, as exact as the format tells it (Trino: adjustBoundToDateFormat)."""
    match = _NOW.fullmatch(text)
    try:
        if match is not None:
            sign, count, unit = match.groups()
            moment = now.astimezone(UTC).replace(tzinfo=None)
            if sign is not None:
                shift = relativedelta(**{_UNITS[unit]: int(count)})  # type: ignore[arg-type]  # as above
                moment = moment + shift if sign == "+" else moment - shift
            text = moment.strftime(form)
        return datetime.strptime(text, form)  # noqa: DTZ007 - partition values have no zone
    except (ValueError, OverflowError):
        raise TrinoError("HIVE_INVALID_METADATA", f"'{text}' is no date of the projection's format") from None


def _finest_unit(pattern: str) -> str:
    plain = re.sub(r"'[^']*'", "", pattern)
    for letter, unit in (("s", "SECOND"), ("m", "MINUTE"), ("H", "HOUR"), ("d", "DAY"), ("M", "MONTH")):
        if letter in plain:
            return unit
    return "YEAR"


def _python_format(pattern: str) -> str:
    """A Java date pattern (letters y M d H m s, quoted text) for strftime."""
    parts = []
    for match in re.finditer(r"'([^']*)'|([A-Za-z])\2*|[^A-Za-z']+", pattern):
        if match.group(2) is not None:
            letter = _JAVA_LETTERS.get(match.group(2))
            if letter is None:
                raise TrinoError("HIVE_INVALID_METADATA", f"Date format '{pattern}' is not supported")
            parts.append("%y" if letter == "%Y" and len(match.group()) == 2 else letter)
        else:
            parts.append((match.group(1) if match.group(1) is not None else match.group()).replace("%", "%%"))
    return "".join(parts)
