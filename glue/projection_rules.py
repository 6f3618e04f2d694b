"""Is a projected table what Athena can query? Each documented rule is one function.

Glue stores any property, so that a mistake shows only in queries: as an error in the good case, as no rows in the bad
one. A rule is handed the table and tells what is wrong, property by property. `error`: Athena refuses the query, or
finds nothing; `warning`: it works, and is seldom meant.

Source: Athena user guide, "Partition projection", "Supported types", "Setting up", "Considerations and limitations".
Rules that the guide does not state and that follow from Java's date patterns say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from glue.projection_values import (
    ENABLED,
    JAVA_LETTERS,
    PLACEHOLDER,
    TEMPLATE,
    TYPES,
    UNITS,
    ColumnProjection,
    column_projection,
    java_tokens,
    moment,
    precision,
    value_count,
)

Severity = Literal["error", "warning"]

MAXIMUM_SCAN_PARTITIONS = 1_000_000
SENSIBLE_ENUM_VALUES = 48  # the guide: "a few dozen or less"
_LONG = 2**63
_ALLOWED: Mapping[str, frozenset[str]] = {
    "enum": frozenset({"type", "values"}),
    "integer": frozenset({"type", "range", "interval", "digits"}),
    "date": frozenset({"type", "range", "format", "interval", "interval.unit"}),
    "injected": frozenset({"type"}),
}
_KNOWN = frozenset().union(*_ALLOWED.values())
_INTEGER_TYPES = frozenset({"int", "integer", "bigint", "smallint", "tinyint", "string"})
_DATE_TYPES = frozenset({"string", "date", "timestamp"})


@dataclass(frozen=True)
class ProjectedTable:
    """What the rules judge: parameters, partition keys with their Hive types, the table's location."""

    parameters: Mapping[str, str]
    keys: Mapping[str, str]
    location: str
    now: datetime

    @classmethod
    def from_glue(cls, table: Mapping[str, Any], now: datetime) -> ProjectedTable:
        """The table of a GetTable answer, or a TableInput."""
        keys = {key["Name"].lower(): str(key.get("Type", "string")).lower() for key in table.get("PartitionKeys", ())}
        location = str(table.get("StorageDescriptor", {}).get("Location", ""))
        return cls(dict(table.get("Parameters", {})), keys, location, now)

    def columns(self, *kinds: str) -> Iterator[ColumnProjection]:
        """The projections of the partition keys, of these types (all without one)."""
        for key in self.keys:
            projection = column_projection(self.parameters, key)
            if not kinds or projection.kind in kinds:
                yield projection


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the rule, the property (or column) it is about, a sentence, how bad it is."""

    rule: str
    property: str
    detail: str
    severity: Severity = "error"


Rule = Callable[[ProjectedTable], Iterator[Problem]]


def problems(table: ProjectedTable) -> list[Problem]:
    """All that is wrong with a table's projection, errors first. Nothing for a table that projects nothing."""
    if not any(name == TEMPLATE or name.startswith("projection.") for name in table.parameters):
        return []
    found = [problem for rule in RULES for problem in rule(table)]
    return sorted(found, key=lambda problem: problem.severity == "warning")


def partition_count(table: ProjectedTable) -> int | None:
    """How many partitions the properties project now; None where a column is injected or does not tell."""
    total = 1
    for projection in table.columns():
        count = value_count(projection, table.now)
        if count is None:
            return None
        total *= count
    return total


# The table


def enabled_is_a_switch(table: ProjectedTable) -> Iterator[Problem]:
    """`projection.enabled` is true or false; without it nothing is projected."""
    value = table.parameters.get(ENABLED)
    if value is None:
        yield _problem(enabled_is_a_switch, ENABLED, "is missing, so that Athena ignores all of them")
    elif value.strip().lower() not in ("true", "false"):
        yield _problem(enabled_is_a_switch, ENABLED, f"is {value!r}, neither true nor false")


def there_are_partition_keys(table: ProjectedTable) -> Iterator[Problem]:
    """Columns have to exist as partition keys before they are projected; Glue does not add them."""
    if not table.keys:
        yield _problem(there_are_partition_keys, ENABLED, "the table has no partition keys")


def names_are_known(table: ProjectedTable) -> Iterator[Problem]:
    """`projection.<column>.<property>` of a partition key, and a property that exists: Athena ignores any other."""
    for name in sorted(table.parameters):
        if not name.startswith("projection.") or name == ENABLED:
            continue
        column, _, rest = name.removeprefix("projection.").partition(".")
        if column not in table.keys:
            yield _problem(names_are_known, name, f"there is no partition key {column!r}")
        elif rest not in _KNOWN:
            yield _problem(
                names_are_known, name, f"there is no property {rest!r}; there are {', '.join(sorted(_KNOWN))}"
            )


def every_key_is_configured(table: ProjectedTable) -> Iterator[Problem]:
    """All partition keys have a type, or every query fails with HIVE_METASTORE_ERROR."""
    for projection in table.columns():
        if "type" not in projection.properties:
            detail = "is missing: Athena says that the table's 'partition columns are missing projection configuration'"
            yield _problem(every_key_is_configured, f"projection.{projection.column}.type", detail)


def types_are_known(table: ProjectedTable) -> Iterator[Problem]:
    """enum, integer, date or injected; case and white space around do not matter."""
    for projection in table.columns():
        if "type" in projection.properties and projection.kind not in TYPES:
            yield _of(types_are_known, projection, "type", f"is {projection.kind!r}; there are {', '.join(TYPES)}")


def properties_fit_the_type(table: ProjectedTable) -> Iterator[Problem]:
    """A property of another type is ignored: `values` of an integer, `format` of an enum."""
    for projection in table.columns(*TYPES):
        for name in sorted((projection.properties.keys() & _KNOWN) - _ALLOWED[projection.kind]):
            detail = f"means nothing for type {projection.kind}"
            yield _of(properties_fit_the_type, projection, name, detail, "warning")


# enum


def enum_has_values(table: ProjectedTable) -> Iterator[Problem]:
    """`values` is required; an empty one is no folder."""
    for projection in table.columns("enum"):
        values = projection.properties.get("values")
        if values is None:
            yield _of(enum_has_values, projection, "values", "is missing")
        elif "" in values.split(","):
            yield _of(enum_has_values, projection, "values", f"has an empty value: {values[:100]!r}")


def enum_values_are_exact(table: ProjectedTable) -> Iterator[Problem]:
    """White space is part of a value, so that 'a, b' projects the folder ' b'."""
    for projection in table.columns("enum"):
        values = projection.properties.get("values", "").split(",")
        spaced = [value for value in values if value != value.strip()]
        if spaced:
            detail = f"has white space, which is part of the value: {spaced[0]!r}"
            yield _of(enum_values_are_exact, projection, "values", detail, "warning")
        if len(set(values)) != len(values):
            yield _of(enum_values_are_exact, projection, "values", "names a value twice", "warning")


def enum_is_short(table: ProjectedTable) -> Iterator[Problem]:
    """A few dozen values at most: a table's metadata has room for 1 MB, compressed."""
    for projection in table.columns("enum"):
        count = len(projection.properties.get("values", "").split(","))
        if count > SENSIBLE_ENUM_VALUES:
            yield _of(enum_is_short, projection, "values", f"has {count} values; a few dozen are sensible", "warning")


# integer


def integer_range_is_a_pair(table: ProjectedTable) -> Iterator[Problem]:
    """`range` is required: two integers of 64 bits, the smaller first."""
    for projection in table.columns("integer"):
        ends = [_whole_number(end) for end in projection.range_ends]
        if not ends:
            yield _of(integer_range_is_a_pair, projection, "range", "is missing")
        elif len(ends) != 2 or None in ends:
            text = projection.properties["range"]
            yield _of(integer_range_is_a_pair, projection, "range", f"is {text!r}, not two whole numbers")
        elif any(end is not None and not -_LONG <= end < _LONG for end in ends):
            yield _of(integer_range_is_a_pair, projection, "range", "leaves the range of a 64-bit integer")
        elif ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
            yield _of(
                integer_range_is_a_pair, projection, "range", "ends before it begins, so that nothing is projected"
            )


def interval_is_positive(table: ProjectedTable) -> Iterator[Problem]:
    """`interval` is a positive whole number."""
    for projection in table.columns("integer", "date"):
        text = projection.properties.get("interval")
        if text is not None and (_whole_number(text) or 0) < 1:
            yield _of(interval_is_positive, projection, "interval", f"is {text!r}, not a positive whole number")


def digits_are_positive(table: ProjectedTable) -> Iterator[Problem]:
    """`digits` is a positive whole number."""
    for projection in table.columns("integer"):
        text = projection.properties.get("digits")
        if text is not None and (_whole_number(text) or 0) < 1:
            yield _of(digits_are_positive, projection, "digits", f"is {text!r}, not a positive whole number")


def digits_are_given_for_padded_folders(table: ProjectedTable) -> Iterator[Problem]:
    """Without `digits`, 7 projects the folder 7, not 07: leading zeros in `range` alone do not make them.

    (Follows from the guide's "the default is no static number of digits and no leading zeroes".)
    """
    for projection in table.columns("integer"):
        ends = [end.strip().lstrip("-") for end in projection.range_ends]
        if "digits" not in projection.properties and any(len(end) > 1 and end.startswith("0") for end in ends):
            detail = "is missing, so that values have no leading zeros, whatever the range shows"
            yield _of(digits_are_given_for_padded_folders, projection, "digits", detail, "warning")


# date


def date_format_is_javas(table: ProjectedTable) -> Iterator[Problem]:
    """`format` is required, a pattern of Java's DateTimeFormatter."""
    for projection in table.columns("date"):
        pattern = projection.properties.get("format")
        if pattern is None:
            yield _of(date_format_is_javas, projection, "format", "is missing")
            continue
        odd = sorted({token for token in java_tokens(pattern) if token[0] not in JAVA_LETTERS})
        if pattern.count("'") % 2:
            yield _of(date_format_is_javas, projection, "format", "has a quote that does not end")
        elif odd:
            detail = f"has {odd[0]!r}, which is no letter of a date pattern"
            yield _of(date_format_is_javas, projection, "format", detail)
        elif not precision(pattern):
            yield _of(date_format_is_javas, projection, "format", f"{pattern!r} tells no time")


def date_format_means_what_it_says(table: ProjectedTable) -> Iterator[Problem]:
    """Letters that look like others. (Java's meaning, not in the guide.)"""
    traps = {
        "Y": "Y is the year of the week; the year is y",
        "D": "D is the day of the year; the day of the month is d",
        "h": "h is the hour of half a day; the hour of the day is H",
    }
    for projection in table.columns("date"):
        tokens = java_tokens(projection.properties.get("format", ""))
        for letter, meaning in traps.items():
            if any(token[0] == letter for token in tokens):
                yield _of(date_format_means_what_it_says, projection, "format", meaning, "warning")
        if any(token[0] == "m" for token in tokens) and not any(token[0] in "HhKk" for token in tokens):
            detail = "m is the minute; the month is M"
            yield _of(date_format_means_what_it_says, projection, "format", detail, "warning")


def date_range_is_a_pair(table: ProjectedTable) -> Iterator[Problem]:
    """`range` is required: two dates of the format, or NOW with a shift such as NOW-3YEARS, the earlier first."""
    for projection in table.columns("date"):
        ends, pattern = projection.range_ends, projection.properties.get("format", "")
        if not ends:
            yield _of(date_range_is_a_pair, projection, "range", "is missing")
            continue
        if len(ends) != 2:
            text = projection.properties["range"]
            yield _of(date_range_is_a_pair, projection, "range", f"is {text!r}, not two dates")
            continue
        moments = []
        for end in ends:
            try:
                moments.append(moment(end, pattern, table.now))
            except (ValueError, OverflowError):
                hint = "; NOW is written in capitals, as in NOW-3YEARS" if "now" in end.lower() else ""
                detail = f"{end!r} is neither a date as {pattern!r} writes it nor relative to NOW{hint}"
                yield _of(date_range_is_a_pair, projection, "range", detail)
        known = [at for at in moments if at is not None]
        if len(known) == 2 and known[0] > known[1]:
            yield _of(date_range_is_a_pair, projection, "range", "ends before it begins, so that nothing is projected")


def date_interval_is_given(table: ProjectedTable) -> Iterator[Problem]:
    """`interval` and `interval.unit` are required, but for dates of single days or single months."""
    for projection in table.columns("date"):
        unit = precision(projection.properties.get("format", ""))
        if not unit or unit in ("DAYS", "MONTHS"):
            continue
        for name in ("interval", "interval.unit"):
            if name not in projection.properties:
                detail = f"is missing; only dates of single days or months do without, these tell {unit.lower()}"
                yield _of(date_interval_is_given, projection, name, detail)


def date_unit_is_known(table: ProjectedTable) -> Iterator[Problem]:
    """`interval.unit` is a word of Java's ChronoUnit from YEARS to MILLISECONDS, in any case."""
    for projection in table.columns("date"):
        text = projection.properties.get("interval.unit")
        if text is not None and text.strip().upper() not in UNITS:
            yield _of(date_unit_is_known, projection, "interval.unit", f"is {text!r}; there are {', '.join(UNITS)}")


def date_steps_reach_every_folder(table: ProjectedTable) -> Iterator[Problem]:
    """An interval shorter than what the format tells projects a folder several times. (Ours: Athena takes it.)"""
    order = ("YEARS", "MONTHS", "WEEKS", "DAYS", "HOURS", "MINUTES", "SECONDS", "MILLISECONDS")
    for projection in table.columns("date"):
        told = precision(projection.properties.get("format", ""))
        unit = projection.properties.get("interval.unit", "").strip().upper()
        if told in order and unit in order and order.index(unit) > order.index(told):
            detail = f"is {unit}, finer than the format, which tells {told.lower()}"
            yield _of(date_steps_reach_every_folder, projection, "interval.unit", detail, "warning")


# injected


def injected_is_text(table: ProjectedTable) -> Iterator[Problem]:
    """An injected column is a string."""
    for projection in table.columns("injected"):
        if _base(table.keys[projection.column]) not in ("string", "varchar", "char"):
            detail = f"the key is {table.keys[projection.column]}; only a string can be injected"
            yield _of(injected_is_text, projection, "type", detail)


def injected_needs_an_equality(table: ProjectedTable) -> Iterator[Problem]:
    """Each query has to name one value of an injected column, or it fails."""
    for projection in table.columns("injected"):
        detail = f"every query needs {projection.column} = '...' in its WHERE, or it fails"
        yield _of(injected_needs_an_equality, projection, "type", detail, "warning")


# Key types


def key_types_fit(table: ProjectedTable) -> Iterator[Problem]:
    """The key's own type has to hold what is projected. (The guide's examples; it gives no list.)"""
    for projection in table.columns("integer", "date", "enum"):
        key_type = _base(table.keys[projection.column])
        fits = {"integer": _INTEGER_TYPES, "date": _DATE_TYPES | _INTEGER_TYPES, "enum": _INTEGER_TYPES | _DATE_TYPES}
        if key_type not in fits[projection.kind] | {"varchar", "char"}:
            yield _of(key_types_fit, projection, "type", f"{projection.kind} into a key of type {key_type}")


# The location


def template_names_every_key(table: ProjectedTable) -> Iterator[Problem]:
    """`storage.location.template` has a placeholder for every key, and none for anything else."""
    template = table.parameters.get(TEMPLATE)
    if template is None:
        return
    named = set(PLACEHOLDER.findall(template))
    for key in table.keys:
        if key not in named:
            yield _problem(template_names_every_key, TEMPLATE, f"has no ${{{key}}}")
    for odd in sorted(named - set(table.keys)):
        yield _problem(template_names_every_key, TEMPLATE, f"has ${{{odd}}}, which is no partition key")


def template_is_a_folder(table: ProjectedTable) -> Iterator[Problem]:
    """The template is an s3:// location that ends in a slash, and each placeholder is followed by one slash."""
    template = table.parameters.get(TEMPLATE)
    if template is None:
        return
    if not template.startswith("s3://"):
        yield _problem(template_is_a_folder, TEMPLATE, f"is {template[:100]!r}, no s3:// location")
    if not template.endswith("/"):
        yield _problem(template_is_a_folder, TEMPLATE, "does not end in a slash")
    for match in PLACEHOLDER.finditer(template):
        after = template[match.end() : match.end() + 2]
        if after and (after[0] != "/" or after == "//"):
            detail = f"{match[0]} is not followed by one slash, as the guide asks for"
            yield _problem(template_is_a_folder, TEMPLATE, detail, "warning")


def template_lies_in_the_table(table: ProjectedTable) -> Iterator[Problem]:
    """A template elsewhere than the table's location is seldom meant. (Ours: Athena takes it.)"""
    template = table.parameters.get(TEMPLATE, "")
    if template and not template.startswith(table.location.rstrip("/") + "/"):
        detail = f"is not below the table's location {table.location}"
        yield _problem(template_lies_in_the_table, TEMPLATE, detail, "warning")


# How many


def not_too_many_partitions(table: ProjectedTable) -> Iterator[Problem]:
    """A query may scan 1,000,000 partitions: with more, each has to bound them in its WHERE."""
    count = partition_count(table)
    if count is not None and count > MAXIMUM_SCAN_PARTITIONS:
        detail = f"{count:,} partitions are projected, and a query may scan 1,000,000: each has to bound its time"
        yield _problem(not_too_many_partitions, ENABLED, detail, "warning")


RULES: tuple[Rule, ...] = (
    enabled_is_a_switch,
    there_are_partition_keys,
    names_are_known,
    every_key_is_configured,
    types_are_known,
    properties_fit_the_type,
    enum_has_values,
    enum_values_are_exact,
    enum_is_short,
    integer_range_is_a_pair,
    interval_is_positive,
    digits_are_positive,
    digits_are_given_for_padded_folders,
    date_format_is_javas,
    date_format_means_what_it_says,
    date_range_is_a_pair,
    date_interval_is_given,
    date_unit_is_known,
    date_steps_reach_every_folder,
    injected_is_text,
    injected_needs_an_equality,
    key_types_fit,
    template_names_every_key,
    template_is_a_folder,
    template_lies_in_the_table,
    not_too_many_partitions,
)


def _problem(rule: Rule, name: str, detail: str, severity: Severity = "error") -> Problem:
    return Problem(rule.__name__, name, detail, severity)


def _of(rule: Rule, projection: ColumnProjection, name: str, detail: str, severity: Severity = "error") -> Problem:
    return _problem(rule, f"projection.{projection.column}.{name}", detail, severity)


def _base(hive_type: str) -> str:
    return hive_type.partition("(")[0].strip().lower()


def _whole_number(text: str) -> int | None:
    stripped = text.strip()
    digits = stripped.removeprefix("-")
    return int(stripped) if digits.isascii() and digits.isdigit() and len(digits) < 40 else None
