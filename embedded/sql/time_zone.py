"""Time zone names as Trino knows them (io.trino.spi.type.TimeZoneKey): regions, `+HH:MM`, and `UTC` for all its names.

A zone is held as its normal name, the one Trino prints. Whatever depends on a region's rules is computed by DuckDB
(ICU), see functions/datetime_value.py, so that all parts of a query use one set of rules.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

_UTC_NAMES = frozenset({"utc", "z", "ut", "uct", "gmt", "gmt0", "greenwich", "universal", "zulu"})
_OFFSET = re.compile(r"([+-])(\d{2}):(\d{2})")
_HOURS = re.compile(r"([+-])(\d{1,2})")
MAXIMUM_OFFSET_MINUTES = 14 * 60


@lru_cache(maxsize=1)
def _regions() -> dict[str, str]:
    """Lower-cased name -> name."""
    return {
        name.lower(): name
        for name in available_timezones()
        if name not in ("localtime", "Factory") and not name.startswith(("posix", "right"))
    }


@lru_cache(maxsize=4096)
def normal_zone(text: str) -> str | None:
    """The normal name of a zone, None when there is no such zone. Names are matched without regard to case."""
    name = text.lower()
    is_etc = name.startswith("etc/")
    rest = name.removeprefix("etc/")
    if rest in _UTC_NAMES:
        return "UTC"
    flipped = False
    if len(rest) > 3 and rest.startswith(("utc", "gmt")):
        flipped = is_etc and rest.startswith("gmt")
        rest = rest[3:]
    elif len(rest) > 2 and rest.startswith("ut"):
        rest = rest[2:]
    match = _OFFSET.fullmatch(rest)
    if match is not None:
        return offset_zone((int(match[2]) * 60 + int(match[3])) * (-1 if match[1] == "-" else 1), int(match[3]))
    match = _HOURS.fullmatch(rest)
    if match is not None:
        negative = (match[1] == "-") != flipped
        return offset_zone(int(match[2]) * (-60 if negative else 60))
    return _regions().get(name)


def offset_zone(minutes: int, minutes_of_hour: int = 0) -> str | None:
    """`+05:45` of an offset in minutes, `UTC` of 0, None beyond 14 hours."""
    if abs(minutes) > MAXIMUM_OFFSET_MINUTES or minutes_of_hour > 59:
        return None
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}"


def offset_minutes(zone: str) -> int | None:
    """The offset of a normal zone name that is one (UTC included), None of a region."""
    if zone == "UTC":
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return -minutes if match[1] == "-" else minutes


def falls_in_gap(zone: str, local_seconds: int) -> bool:
    """Whether clocks of a zone (a normal name) skip this local time, in seconds since 1970."""
    if offset_minutes(zone) is not None or not 0 <= local_seconds < 2**33:
        return False
    local = datetime(1970, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(seconds=local_seconds)
    return local.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(fold=local.fold) != local
