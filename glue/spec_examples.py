"""Examples of a table spec: records that belong into the table, held against what the spec says.

    example -> columns and types -> partition it lands in -> raised fields -> what was expected

For `data-hist tables check` and the tests, which pick up every example of every spec: a new table is a YAML file and
an example.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from glue.column_type import ColumnType, parse_type
from glue.envelope import check_record
from glue.partition_spec import PartitionSpec
from glue.raised_field import RaisedReader
from glue.spec_document import did_you_mean, shown
from glue.table_spec import SpecExample, TableSpec

_BOUNDS = {"tinyint": 2**7, "smallint": 2**15, "int": 2**31, "bigint": 2**63}


@dataclass(frozen=True)
class CheckedExample:
    """What an example is to its table; `problems` has a sentence for each thing that is wrong."""

    partition: str | None
    raised: Mapping[str, Any]
    problems: tuple[str, ...]


def check_example(spec: TableSpec, example: SpecExample) -> CheckedExample:
    """Holds one record against its table."""
    try:
        record = orjson.loads(example.line)
    except orjson.JSONDecodeError as error:
        return CheckedExample(None, {}, (f"the record is not JSON: {error}",))
    if not isinstance(record, Mapping):
        return CheckedExample(None, {}, ("the record is not a JSON object",))
    members = {name.lower(): value for name, value in record.items()}
    problems = [*_column_problems(spec, members)]
    if spec.record is not None:
        problems += check_record(members, spec.record)
    partition = _partition(spec, members, problems)
    payload = members.get(spec.payload_column)
    values = RaisedReader(spec.raised).values(payload if isinstance(payload, str) else None)
    raised = {field.name: value for field, value in zip(spec.raised, values, strict=True)}
    problems += _unexpected(example, partition, raised)
    return CheckedExample(partition, raised, tuple(dict.fromkeys(problems)))


def _column_problems(spec: TableSpec, record: Mapping[str, Any]) -> Iterator[str]:
    types = {column.name: parse_type(column.type) for column in spec.columns}
    for name, value in record.items():
        if name not in types:
            yield f"{name} is no column{did_you_mean(name, [*types])}"
        elif not fits(types[name], value):
            yield f"{name}: {shown(value)} is no {types[name].hive()}"
    for name in (spec.tenant_column, spec.time_column):
        if record.get(name) is None:
            yield f"{name} is missing"


def _partition(spec: TableSpec, record: Mapping[str, Any], problems: list[str]) -> str | None:
    created = record.get(spec.time_column)
    if not isinstance(created, int) or isinstance(created, bool):
        return None
    try:
        return PartitionSpec.from_milliseconds(created, scheme=spec.layout.scheme).path()
    except (ValueError, OverflowError) as error:
        problems.append(f"{spec.time_column}: {error}")
        return None


def _unexpected(example: SpecExample, partition: str | None, raised: Mapping[str, Any]) -> Iterator[str]:
    if example.partition is not None and example.partition.strip("/") != partition:
        yield f"lands in {partition}, not in {example.partition}"
    for name, expected in (example.raised or {}).items():
        if name not in raised:
            yield f"{name} is not raised{did_you_mean(name, [*raised])}"
        elif not _equals(raised[name], expected):
            yield f"{name} is {shown(plain(raised[name]))}, not {shown(expected)}"


def _equals(value: Any, expected: Any) -> bool:
    if isinstance(value, bool) is not isinstance(expected, bool):
        return False
    found = plain(value)
    return bool(found == expected or (found is not None and str(found) == str(expected)))


def plain(value: Any) -> Any:
    """A raised value as JSON has it."""
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return {key: plain(item) for key, item in value}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def fits(column_type: ColumnType, value: object) -> bool:
    """Whether a JSON value is of a column's type; null always is."""
    if value is None:
        return True
    name, items = column_type.name, column_type.items
    if name == "array":
        return isinstance(value, list) and all(fits(items[0], item) for item in value)
    if name == "map":
        return isinstance(value, Mapping) and all(fits(items[1], item) for item in value.values())
    if name == "struct":
        members = {key.lower(): item for key, item in value.items()} if isinstance(value, Mapping) else None
        return members is not None and all(
            fits(item, members.get(field)) for field, item in zip(column_type.fields, items, strict=True)
        )
    if name == "boolean":
        return isinstance(value, bool)
    if name in _BOUNDS:
        return isinstance(value, int) and not isinstance(value, bool) and -_BOUNDS[name] <= value < _BOUNDS[name]
    if name in ("float", "double", "decimal"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def shown_value(value: Any) -> str:
    """A raised value for people."""
    found = plain(value)
    return "NULL" if found is None else json.dumps(found, ensure_ascii=False)
