"""A partition is one ordered value: the folders between a topic and its objects, `dt=2026-11-22/hr=10/min=05`.

For everybody who must know which folder holds a moment, or which moments a folder holds: the layout reads it out of an
object's key, the registration sends its `values()` to the catalogue, pruning compares it, the ledger counts by it.

Parsing is strict. A value is what its format would have written (`dt=2017-13-45`, `hr=24` and `hr=7` are no
partitions), so whatever reached this class can be sent to a catalogue or written in SQL. Names and formats of the
folders are Secor's configuration (`partitioner.granularity.{date,hour,minute}.{prefix,format}`), held by a
`PartitionScheme`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache, total_ordering
from typing import Literal, get_args
from zoneinfo import ZoneInfo

Granularity = Literal["year", "month", "day", "hour", "minute"]

GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
_FINEST_DIRECTIVE: tuple[tuple[str, Granularity], ...] = (
    ("%M", "minute"), ("%H", "hour"), ("%d", "day"), ("%m", "month"), ("%Y", "year"),
)  # fmt: skip
_JAVA_TO_STRPTIME = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M"}
_JAVA_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_TWO_DIGITS = frozenset(f"{number:02d}" for number in range(60))
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What an object store, a URL, a shell and a JSON text can all carry in a value without quoting.
_ASCII_VALUE = re.compile(r"[0-9A-Za-z_.:+\-]+")


class InvalidPartition(ValueError):
    """A path or a list of values that no writer with this scheme could have produced; says which part and why."""


def strptime_pattern(java_pattern: str) -> str:
    """The `strptime` pattern that equals a Java SimpleDateFormat of Secor's configuration.

    `yyyy`, `MM`, `dd`, `HH`, `mm` and quoted text are known, since a folder name must sort and parse back.
    Raises ValueError for any other letter.
    """
    pieces: list[str] = []
    for match in _JAVA_TOKEN.finditer(java_pattern):
        quoted, token = match[1], match[0]
        if quoted is not None:
            pieces.append(quoted.replace("''", "'").replace("%", "%%") or "'")
        elif token[0].isalpha():
            if token not in _JAVA_TO_STRPTIME:
                raise ValueError(f"folder format {java_pattern!r}: {token!r} is not one of yyyy, MM, dd, HH, mm")
            pieces.append(_JAVA_TO_STRPTIME[token])
        else:
            pieces.append(token.replace("%", "%%"))
    return "".join(pieces)


@dataclass(frozen=True)
class FolderFormat:
    """One folder of the path: the catalogue's column (`dt`), the text before the value (`dt=`), the value's pattern."""

    key: str
    pattern: str
    prefix: str

    @property
    def granularity(self) -> Granularity:
        """The finest unit of time the value tells."""
        for directive, granularity in _FINEST_DIRECTIVE:
            if directive in self.pattern:
                return granularity
        raise ValueError(f"folder {self.prefix!r}: its format {self.pattern!r} tells no time")


@dataclass(frozen=True)
class PartitionScheme:
    """The folders of a topic from the coarsest to the finest, and the time zone (`secor.parser.timezone`) they tell
    time in.
    """

    folders: tuple[FolderFormat, ...]
    zone_name: str = "UTC"

    @classmethod
    def from_secor(
        cls,
        *,
        granularity: Granularity = "minute",
        date: tuple[str, str] = ("dt=", "yyyy-MM-dd"),
        hour: tuple[str, str] = ("hr=", "HH"),
        minute: tuple[str, str] = ("min=", "mm"),
        zone_name: str = "UTC",
    ) -> PartitionScheme:
        """The scheme of a Secor configuration: (prefix, Java format) of each granularity.

        A date format may itself hold several folders (`'yr='yyyy'/mo='MM`), and a prefix may be empty: then the folder
        carries a bare value, and its catalogue column is named after the unit of time it tells (`year`, `day`).

        Raises ValueError for folders that do not sort as their times do (`dd-MM-yyyy`): ranges of partitions are
        compared as text, here, in Glue and in Athena.
        """
        wanted = {"day": (date,), "hour": (date, hour), "minute": (date, hour, minute)}.get(granularity)
        if wanted is None:
            raise ValueError(f"Secor writes day, hour or minute folders, not {granularity}")
        folders: list[FolderFormat] = []
        for prefix, java_pattern in wanted:
            for segment in (prefix + strptime_pattern(java_pattern)).split("/"):
                head, separator, pattern = segment.rpartition("=")
                folder = FolderFormat(key=head, pattern=pattern, prefix=head + separator)
                folders.append(folder if head else FolderFormat(folder.granularity, pattern, ""))
        scheme = cls(tuple(folders), zone_name)
        _check_order(scheme)
        return scheme

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # it is part of the key of every cached path
        return hash((self.folders, self.zone_name))

    @cached_property
    def has_whole_dates(self) -> bool:
        """Whether one folder tells year, month and day, so that its own format checks the calendar."""
        return all(directive in self.folders[0].pattern for directive in ("%Y", "%m", "%d"))

    def keys(self) -> tuple[str, ...]:
        """The catalogue's partition columns, coarsest first."""
        return tuple(folder.key for folder in self.folders)

    def cut(self, granularity: Granularity) -> PartitionScheme:
        """This scheme without the folders that are finer than `granularity`."""
        limit = GRANULARITIES.index(granularity)
        kept = tuple(f for f in self.folders if GRANULARITIES.index(f.granularity) <= limit)
        return PartitionScheme(kept, self.zone_name)


def _check_order(scheme: PartitionScheme) -> None:
    """Year, month, day, hour, minute stand in this order and none is left out: then text sorts as time does."""
    told = re.findall("%[YmdHM]", "".join(folder.pattern for folder in scheme.folders))
    coarse_to_fine = [directive for directive, _ in reversed(_FINEST_DIRECTIVE)]
    if told != coarse_to_fine[: len(told)]:
        folders = "/".join(folder.prefix + folder.pattern for folder in scheme.folders)
        raise ValueError(f"folders {folders} do not sort by time: year, month, day, hour, minute, in this order")


MINUTE_SCHEME = PartitionScheme.from_secor()
HOUR_SCHEME = MINUTE_SCHEME.cut("hour")
DAY_SCHEME = MINUTE_SCHEME.cut("day")


@total_ordering
@dataclass(frozen=True)
class PartitionSpec:
    """One partition, as an ordered value.

    The path grammar, parsed and built by the two methods that stand side by side below:

        path    = folder *( "/" folder )            as many folders as the scheme has, or a leading part of them
        folder  = prefix value                      prefix is literal: "dt=", "hr=", "min="; may be empty
        value   = exactly what the folder's format writes for some moment: 2026-11-22, 10, 05

    `pairs` are (column, value) from coarse to fine. Specs sort by the time they start at, a coarse one before the finer
    ones inside it.
    """

    pairs: tuple[tuple[str, str], ...]
    scheme: PartitionScheme = field(default=MINUTE_SCHEME, compare=False, repr=False)

    @classmethod
    def parse(cls, path: str, scheme: PartitionScheme = MINUTE_SCHEME) -> PartitionSpec:
        """The partition of a folder path without its leading and trailing slash. Raises InvalidPartition."""
        return _parse_path(path, scheme)

    def path(self) -> str:
        """The folder path: `dt=2026-11-22/hr=10/min=05`."""
        return "/".join(f.prefix + value for f, (_, value) in zip(self.scheme.folders, self.pairs, strict=False))

    @classmethod
    def from_values(cls, values: Sequence[str], scheme: PartitionScheme = MINUTE_SCHEME) -> PartitionSpec:
        """The partition with these values, in the order of the catalogue's partition columns.

        Raises InvalidPartition.
        """
        if not 0 < len(values) <= len(scheme.folders):
            raise InvalidPartition(f"{len(values)} values for the {len(scheme.folders)} folders {scheme.keys()}")
        pairs = tuple((f.key, _checked(f, value)) for f, value in zip(scheme.folders, values, strict=False))
        spec = cls(pairs, scheme)
        if not scheme.has_whole_dates:
            spec.start()  # 31 February is caught here
        return spec

    @classmethod
    def from_datetime(
        cls, moment: datetime, granularity: Granularity = "minute", scheme: PartitionScheme = MINUTE_SCHEME
    ) -> PartitionSpec:
        """The partition that holds this moment (an aware datetime); `granularity` leaves finer folders away."""
        if moment.tzinfo is None:
            raise ValueError("a moment without a time zone has no partition")
        folders = (scheme if granularity == "minute" else scheme.cut(granularity)).folders
        local = moment.astimezone(_zone(scheme.zone_name))
        return cls(tuple((folder.key, _written(local, folder.pattern)) for folder in folders), scheme)

    @classmethod
    def from_milliseconds(
        cls, milliseconds: int, granularity: Granularity = "minute", scheme: PartitionScheme = MINUTE_SCHEME
    ) -> PartitionSpec:
        """The partition that holds this time in ms since 1970; raises OverflowError outside the years 1 to 9999."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
        return cls.from_datetime(moment, granularity, scheme)

    def values(self) -> tuple[str, ...]:
        """The values in the order of the catalogue's partition columns: what Glue calls `Values`."""
        return tuple(value for _, value in self.pairs)

    def keys(self) -> tuple[str, ...]:
        """The columns these values belong to."""
        return tuple(key for key, _ in self.pairs)

    @property
    def granularity(self) -> Granularity:
        """How long this partition is: the unit of its finest folder."""
        return self.scheme.folders[len(self.pairs) - 1].granularity

    def start(self) -> datetime:
        """The first moment inside, in UTC. Raises InvalidPartition when the values together are no date."""
        return self._local_start().astimezone(UTC)

    def end(self) -> datetime:
        """The first moment after, in UTC: [start, end).

        Where clocks go back, the folder of that hour lasts two hours.
        """
        following = _following(self._local_start().replace(tzinfo=None), self.granularity)
        if following is None:
            return datetime.max.replace(tzinfo=UTC)
        return following.replace(tzinfo=_zone(self.scheme.zone_name)).astimezone(UTC)

    def _local_start(self) -> datetime:
        values = self.values()
        if self.scheme is MINUTE_SCHEME or self.scheme == MINUTE_SCHEME:
            day = date.fromisoformat(values[0])
            hour, minute = (*(int(value) for value in values[1:]), 0, 0)[:2]
            return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
        patterns = [folder.pattern for folder in self.scheme.folders[: len(values)]]
        try:
            naive = datetime.strptime(" ".join(values), " ".join(patterns))  # noqa: DTZ007  the zone is the scheme's
        except ValueError as error:
            raise InvalidPartition(f"{'/'.join(values)!r} is not a date of the calendar") from error
        return naive.replace(tzinfo=_zone(self.scheme.zone_name))

    def __lt__(self, other: PartitionSpec) -> bool:
        return (self.start(), len(self.pairs)) < (other.start(), len(other.pairs))

    def __str__(self) -> str:
        return self.path()


@lru_cache(maxsize=65_536)  # the objects of a listing share their folders
def _parse_path(path: str, scheme: PartitionScheme) -> PartitionSpec:
    segments = path.split("/")
    if len(segments) > len(scheme.folders):
        raise InvalidPartition(f"{path!r} has {len(segments)} folders; at most {len(scheme.folders)} are known")
    values: list[str] = []
    for folder, segment in zip(scheme.folders, segments, strict=False):
        if not segment.startswith(folder.prefix):
            raise InvalidPartition(f"folder {segment!r} does not start with {folder.prefix!r}")
        values.append(segment[len(folder.prefix) :])
    return PartitionSpec.from_values(values, scheme)


def _checked(folder: FolderFormat, value: str) -> str:
    """The value, if the folder's format writes it for some moment."""
    if not _fits(folder.pattern, value):
        article = "an" if folder.granularity == "hour" else "a"
        raise InvalidPartition(
            f"{folder.prefix}{value!r} is not {article} {folder.granularity} in the format {folder.pattern}"
        )
    return value


@lru_cache(maxsize=8_192)  # days are few, hours and minutes fewer
def _fits(pattern: str, value: str) -> bool:
    if pattern == "%H" or pattern == "%M":
        return value in _TWO_DIGITS and (pattern == "%M" or value < "24")
    if pattern == "%Y-%m-%d":
        return _DATE.fullmatch(value) is not None and _is_date(value)
    return _is_written_by(value, pattern)


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_written_by(value: str, pattern: str) -> bool:
    """strptime is lenient about padding; writing the parsed moment again is not. 2000 is a leap year: 02-29 passes."""
    if not _ASCII_VALUE.fullmatch(value):
        return False
    anchored = pattern if "%Y" in pattern else f"%Y {pattern}"
    text = value if anchored is pattern else f"2000 {value}"
    try:
        moment = datetime.strptime(text, anchored)  # noqa: DTZ007  only compared with its own text
    except ValueError:
        return False
    return _written(moment, pattern) == value


def _written(moment: datetime, pattern: str) -> str:
    # strftime("%Y") does not pad the year 999 on every platform
    return moment.strftime(pattern.replace("%Y", f"{moment.year:04d}"))


def _following(naive: datetime, granularity: Granularity) -> datetime | None:
    """The start of the next unit; None after the last one the calendar has."""
    try:
        match granularity:
            case "year":
                return naive.replace(year=naive.year + 1)
            case "month":
                return (naive.replace(day=28) + timedelta(days=4)).replace(day=1)
            case "day":
                return naive + timedelta(days=1)
            case "hour":
                return naive + timedelta(hours=1)
            case _:
                return naive + timedelta(minutes=1)
    except (OverflowError, ValueError):
        return None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
