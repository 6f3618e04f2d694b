"""What a projected partition column stands for: its properties read once, and how many values they make.

Athena computes the partitions of a projected table from table properties `projection.<column>.*` instead of asking the
catalogue. `column_projection` reads those of one column; `value_count` says how many values it has at a moment. The
rules that judge the properties are `glue.projection_rules`. Source: Athena user guide, "Supported types for partition
projection".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dateutil.relativedelta import relativedelta

ENABLED = "projection.enabled"
TEMPLATE = "storage.location.template"
TYPES = ("enum", "integer", "date", "injected")
UNITS = ("YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS")
# The documented pattern, letter for letter.
NOW = re.compile(
    r"\s*NOW\s*(([\+\-])\s*([0-9]+)\s*(YEARS?|MONTHS?|WEEKS?|DAYS?|HOURS?|MINUTES?|SECONDS?)\s*)?", re.ASCII
)
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
# Letters of Java's DateTimeFormatter, and the ones among them that this module can compute with.
JAVA_LETTERS = frozenset("GuyDMLdQqYwWEecFaBhKkHmsSAnNVvzOXxZp")
_TO_STRPTIME = {"y": "%Y", "u": "%Y", "M": "%m", "d": "%d", "H": "%H", "m": "%M", "s": "%S"}
_JAVA_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_PRECISIONS = (
    ("SECONDS", "sSAnN"), ("MINUTES", "m"), ("HOURS", "HhKk"), ("DAYS", "dDeEcF"), ("WEEKS", "wW"), ("MONTHS", "ML"),
    ("YEARS", "yuY"),
)  # fmt: skip
_SECONDS = {"WEEKS": 604_800, "DAYS": 86_400, "HOURS": 3_600, "MINUTES": 60, "SECONDS": 1}


@dataclass(frozen=True)
class ColumnProjection:
    """The properties of one column, without their prefix: `type`, `range`, `interval.unit`, .."""

    column: str
    properties: Mapping[str, str]

    @property
    def kind(self) -> str:
        """The projection type; case and white space around it do not matter to Athena."""
        return self.properties.get("type", "").strip().lower()

    @property
    def range_ends(self) -> list[str]:
        """The parts of `range`; two where it is one."""
        return self.properties["range"].split(",") if "range" in self.properties else []


def column_projection(parameters: Mapping[str, str], column: str) -> ColumnProjection:
    """The projection of one column by the parameters of its table."""
    prefix = f"projection.{column}."
    named = {name[len(prefix) :]: value for name, value in parameters.items() if name.startswith(prefix)}
    return ColumnProjection(column, named)


def precision(java_pattern: str) -> str:
    """The finest unit that a date pattern tells, as a unit word (`DAYS`); "" when it tells none."""
    letters = {token[0] for token in java_tokens(java_pattern)}
    return next((unit for unit, telling in _PRECISIONS if letters & set(telling)), "")


def java_tokens(java_pattern: str) -> list[str]:
    """The letter groups of a date pattern: `yyyy`, `MM`; quoted text and separators left out."""
    return [match[0] for match in _JAVA_TOKEN.finditer(java_pattern) if match[2] is not None]


def moment(text: str, java_pattern: str, now: datetime) -> datetime | None:
    """The moment (UTC, without a zone) of one end of a date range, as exact as the pattern tells it; None for a pattern
    that cannot be computed with here.

    Raises ValueError for a text that the pattern does not write, OverflowError outside the years 1 to 9999.
    """
    pattern = _strptime(java_pattern)
    if pattern is None:
        return None
    match = NOW.fullmatch(text)
    if match is not None:
        at = now.astimezone(UTC).replace(tzinfo=None)
        if match[1] is not None:
            unit = match[4].removesuffix("S").lower() + "s"
            shift = relativedelta(**{unit: int(match[3])})  # type: ignore[arg-type]  # relativedelta's own names
            at = at + shift if match[2] == "+" else at - shift
        text = at.strftime(pattern)
    return datetime.strptime(text, pattern)  # noqa: DTZ007  partition values have no zone


def value_count(projection: ColumnProjection, now: datetime) -> int | None:
    """How many values a column has; None for `injected`, and where the properties do not tell."""
    try:
        match projection.kind:
            case "enum":
                return len(projection.properties["values"].split(","))
            case "integer":
                first, last = (int(end) for end in projection.range_ends)
                return max(0, (last - first) // int(projection.properties.get("interval", "1")) + 1)
            case "date":
                return _date_count(projection, now)
    except (KeyError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return None


def _date_count(projection: ColumnProjection, now: datetime) -> int | None:
    pattern = projection.properties["format"]
    first_text, last_text = projection.range_ends
    first, last = moment(first_text, pattern, now), moment(last_text, pattern, now)
    if first is None or last is None:
        return None
    unit = projection.properties.get("interval.unit", precision(pattern)).strip().upper()
    step = int(projection.properties.get("interval", "1"))
    if step < 1 or unit not in UNITS:
        return None
    if unit == "MILLISECONDS":
        return None
    if last < first:
        return 0
    if unit in ("YEARS", "MONTHS"):
        months = (last.year - first.year) * 12 + last.month - first.month
        return (months if unit == "MONTHS" else months // 12) // step + 1
    return int((last - first).total_seconds() // (_SECONDS[unit] * step)) + 1


def _strptime(java_pattern: str) -> str | None:
    """The strptime pattern of a date pattern; None where it has letters that Python cannot read."""
    pieces = []
    for match in _JAVA_TOKEN.finditer(java_pattern):
        if match[2] is None:
            text = match[0] if match[1] is None else match[1].replace("''", "'") or "'"
            pieces.append(text.replace("%", "%%"))
            continue
        directive = _TO_STRPTIME.get(match[2])
        if directive is None or (directive == "%Y" and len(match[0]) not in (1, 4)):
            return None
        pieces.append(directive)
    return "".join(pieces)
