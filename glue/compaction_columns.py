"""Lines of JSON become typed columns: what a query reads of them, and beside it the lines no query reads.

    lines -> quick parser -> are they plain? -> columns of Arrow arrays
                              | no: line by line, exactly

A portion of lines is plain when each is a JSON object without a name that stands twice and with the columns' own
spelling of names: nearly all of any lake. The proof that no name stands twice costs one look at the whole portion: what
the parser understood, written again, is what was read; where blanks or escapes differ, the names are counted.

A line that is malformed (`compaction_values`) is told with its number and reason and belongs to no column. A line whose
reading is uncertain raises UncertainLine: its object is not for this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import itemgetter
from typing import Any

import orjson
import pyarrow

from glue.column_type import ColumnType, InvalidColumnType, parse_type
from glue.compaction_values import Convert, Malformed, NeedsExact, Uncertain, arrow_type, converter
from glue.exact_json import Members, NotJson, TooDeep, read_exactly
from glue.raised_field import RaisedReader
from glue.single_names import has_single_names
from glue.table_spec import TableSpec

_WHOLE_NUMBERS = frozenset({"tinyint", "smallint", "int", "bigint"})
_NONE: type = type(None)
_TEXT_OR_NONE: frozenset[type] = frozenset({str, _NONE})
_QUICK_TYPES: Mapping[str, frozenset[type]] = {
    "string": _TEXT_OR_NONE,
    **dict.fromkeys(_WHOLE_NUMBERS, frozenset[type]({int, _NONE})),
    "boolean": frozenset({bool, _NONE}),
    "double": frozenset({float, _NONE}),
}
_MAP_OF_TEXTS = parse_type("map<string,string>")
_MAXIMUM_HARMLESS_NAMES = 10_000


@dataclass(frozen=True)
class MalformedLine:
    """A line that no query reads: its number in the object (from 1), why, and its bytes."""

    number: int
    reason: str
    line: bytes


class UncertainLine(Exception):
    """What a query reads of this line is not known for sure; `number` counts from 1."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.number = number


@dataclass(frozen=True)
class ReadPortion:
    """The rows of some lines as a table of the spec's data columns, and the malformed ones."""

    table: pyarrow.Table
    malformed: tuple[MalformedLine, ...]


@dataclass(frozen=True)
class _Column:
    name: str
    key: str
    type: ColumnType
    arrow: pyarrow.DataType
    convert: Convert


@dataclass
class _Portion:
    """Lines with what stands under the columns' keys, by the quick parser or exactly: a row at a position of each."""

    numbers: Sequence[int]
    lines: Sequence[bytes]
    values: list[Mapping[str, Any]]
    malformed: list[MalformedLine] = field(default_factory=list)

    def refuse(self, reasons: Mapping[int, str]) -> None:
        """Takes out the rows at these positions."""
        self.malformed += [MalformedLine(self.numbers[at], reason, self.lines[at]) for at, reason in reasons.items()]
        kept = [at for at in range(len(self.values)) if at not in reasons]
        self.numbers = [self.numbers[at] for at in kept]
        self.lines = [self.lines[at] for at in kept]
        self.values = [self.values[at] for at in kept]


class LineReader:
    """Reads lines of a table's raw objects. Not for several threads."""

    def __init__(self, spec: TableSpec) -> None:
        """Raises InvalidColumnType for a column that cannot be read here."""
        mapping = {
            name.removeprefix("mapping.").lower(): key
            for name, key in spec.serde_parameters.items()
            if name.startswith("mapping.")
        }
        self._columns = tuple(
            _Column(column.name, mapping.get(column.name, column.name), type_, arrow_type(type_), converter(type_))
            for column in spec.data_columns
            for type_ in (parse_type(column.type),)
        )
        self._keys = {column.key: column for column in self._columns}
        if len(self._columns) < 2 or len(self._keys) < len(self._columns):
            raise InvalidColumnType("a table of one column, or with a key for two columns, is not read here")
        self._ignores_case = spec.serde_parameters.get("case.insensitive", "true").lower() != "false"
        self._has_dots = spec.serde_parameters.get("dots.in.keys", "false").lower() == "true"
        self._lowered = {key.lower(): key for key in self._keys}
        self._dotted = {column.name: column.key for column in self._columns} if self._has_dots else {}
        self._harmless: set[str] = set()
        self._raised = RaisedReader(spec.raised)
        self._raised_names = [raised.name for raised in spec.raised]
        self._payload_column = spec.payload_column
        self.schema = pyarrow.schema([(column.name, column.arrow) for column in self._columns])

    def read(self, lines: Sequence[bytes], first_number: int) -> ReadPortion:
        """`first_number` is the number of the first line in its object. Raises UncertainLine."""
        portion = self._plain(lines, first_number)
        if portion is None:
            portion = self._line_by_line(lines, first_number)
        arrays = self._arrays(portion)
        malformed = sorted(portion.malformed, key=lambda found: found.number)
        return ReadPortion(self._with_raised(pyarrow.table(arrays, schema=self.schema)), tuple(malformed))

    # Lines to rows

    def _plain(self, lines: Sequence[bytes], first_number: int) -> _Portion | None:
        """The rows of lines that are all plain; None when one is not."""
        try:
            values = [orjson.loads(line) for line in lines]
        except orjson.JSONDecodeError:
            return None
        if not set(map(type, values)) <= {dict} or not self._has_own_names(values):
            return None
        if not has_single_names(b"[" + b",".join(lines) + b"]", values):
            return None
        return _Portion(range(first_number, first_number + len(lines)), lines, values)

    def _line_by_line(self, lines: Sequence[bytes], first_number: int) -> _Portion:
        numbered = [(number, line) for number, line in enumerate(lines, first_number) if line.strip()]
        portion = _Portion([number for number, _ in numbered], [line for _, line in numbered], [])
        refused: dict[int, str] = {}
        for at, (number, line) in enumerate(numbered):
            values: Mapping[str, Any] = {}
            try:
                values = self._values(line)
            except (NotJson, Malformed) as error:
                refused[at] = str(error)
            except (TooDeep, Uncertain) as error:
                raise UncertainLine(number, str(error)) from None
            portion.values.append(values)
        portion.refuse(refused)
        return portion

    def _values(self, line: bytes) -> Mapping[str, Any]:
        """What stands under the columns' keys. Raises NotJson, TooDeep, Malformed, Uncertain."""
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError:
            return self._exact_values(line)
        if (
            isinstance(values, dict)
            and self._has_own_names([values])
            and has_single_names(b"[" + line + b"]", [values])
        ):
            return values
        return self._exact_values(line)

    def _exact_values(self, line: bytes) -> Mapping[str, Any]:
        """The same, the line read exactly."""
        value = read_exactly(line)
        if not isinstance(value, Members):
            kind = "array" if isinstance(value, list) else "scalar"
            raise Malformed(f"a JSON {kind} where an object should be")
        values: dict[str, Any] = {}
        spellings: dict[str, str] = {}
        for name, item in value:
            key = self._key_of(name)
            if key is None:
                continue
            if key in values:
                if spellings[key] == name:
                    raise Malformed(f"the key {name[:60]!r} stands twice")
                raise Uncertain(f"the keys {spellings[key][:60]!r} and {name[:60]!r} for one column")
            values[key], spellings[key] = item, name
        return values

    def _key_of(self, name: str) -> str | None:
        """The column's key that this name is a spelling of."""
        if name in self._keys:
            return name
        lowered = name.lower()
        found = self._lowered.get(lowered) if self._ignores_case else None
        return found or self._dotted.get(lowered.replace(".", "_"))

    def _has_own_names(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Whether no name is another spelling of a column's key."""
        names: set[str] = set()
        for row in rows:
            names.update(row)
        for name in names - self._keys.keys() - self._harmless:
            if self._key_of(name) is not None:
                return False
            if len(self._harmless) < _MAXIMUM_HARMLESS_NAMES:
                self._harmless.add(name)
        return True

    # Rows to columns

    def _arrays(self, portion: _Portion) -> list[pyarrow.Array]:
        arrays = self._quick_arrays(portion.values)
        while arrays is None:
            columns, refused = self._converted(portion)
            if not refused:
                return [pyarrow.array(values, c.arrow) for c, values in zip(self._columns, columns, strict=True)]
            portion.refuse(refused)
        return arrays

    def _quick_arrays(self, rows: Sequence[Mapping[str, Any]]) -> list[pyarrow.Array] | None:
        """The columns of rows whose values are all of the declared types as they stand; None when one is not."""
        arrays = []
        for column, values in zip(self._columns, self._by_column(rows), strict=True):
            array = pyarrow.nulls(len(rows), column.arrow) if values is None else _quick_array(column, values)
            if array is None:
                return None
            arrays.append(array)
        return arrays

    def _by_column(self, rows: Sequence[Mapping[str, Any]]) -> list[Sequence[Any] | None]:
        """The values of each column; None for one that no row has."""
        names: set[str] = set().union(*rows)
        present = [column.key for column in self._columns if column.key in names]
        if len(present) > 1:
            try:
                whole = dict(zip(present, zip(*map(itemgetter(*present), rows), strict=True), strict=True))
                return [whole.get(column.key) for column in self._columns]
            except KeyError:  # rows need not have all columns
                pass
        values = {key: [row.get(key) for row in rows] for key in present}
        return [values.get(column.key) for column in self._columns]

    def _converted(self, portion: _Portion) -> tuple[list[list[Any]], dict[int, str]]:
        """The values of each column, one by one, and the rows that have none, by position, with the reason."""
        columns: list[list[Any]] = []
        refused: dict[int, str] = {}
        for column in self._columns:
            values: list[Any] = []
            for at in range(len(portion.values)):
                value = None
                try:
                    value = self._value(column, portion, at)
                except Malformed as error:
                    refused.setdefault(at, f"column {column.name}: {error}")
                except (NotJson, TooDeep, Uncertain) as error:
                    raise UncertainLine(portion.numbers[at], f"column {column.name}: {error}") from None
                values.append(value)
            columns.append(values)
        return columns, dict(sorted(refused.items()))

    def _value(self, column: _Column, portion: _Portion, at: int) -> Any:
        try:
            return column.convert(portion.values[at].get(column.key))
        except NeedsExact:
            portion.values[at] = self._exact_values(portion.lines[at])
            return column.convert(portion.values[at].get(column.key))

    def _with_raised(self, table: pyarrow.Table) -> pyarrow.Table:
        """Raised fields that the row itself has not under their name are read from the payload."""
        if not self._raised_names or not table.num_rows:
            return table
        found = self._raised.columns(table[self._payload_column].to_pylist())
        for name, values in zip(self._raised_names, found, strict=True):
            at = table.schema.get_field_index(name)
            field = table.schema.field(at)
            if table.column(at).null_count < table.num_rows:
                own = table.column(at).to_pylist()
                values = [mine if mine is not None else read for mine, read in zip(own, values, strict=True)]
            table = table.set_column(at, field, pyarrow.array(values, field.type))
        return table


def _quick_array(column: _Column, values: Sequence[Any]) -> pyarrow.Array | None:
    if column.type == _MAP_OF_TEXTS:
        return _quick_map(values)
    quick = _QUICK_TYPES.get(column.type.name)
    if quick is None or column.type.parameters or not set(map(type, values)) <= quick:
        return None
    try:
        return pyarrow.array(values, column.arrow)
    except (pyarrow.ArrowInvalid, OverflowError):  # a number that is too large for the type
        return None


def _quick_map(values: Sequence[Any]) -> pyarrow.Array | None:
    types = set(map(type, values))
    if not types <= {dict, type(None)}:
        return None
    mask = None
    if type(None) in types:
        mask = pyarrow.array([members is None for members in values], pyarrow.bool_())
        values = [members or {} for members in values]
    items = list(chain.from_iterable(map(dict.values, values)))
    if not set(map(type, items)) <= _TEXT_OR_NONE:
        return None
    return pyarrow.MapArray.from_arrays(
        pyarrow.array([0, *accumulate(map(len, values))], pyarrow.int32()),
        pyarrow.array(list(chain.from_iterable(values)), pyarrow.string()),
        pyarrow.array(items, pyarrow.string()),
        mask=mask,
    )


def split_lines(chunks: Iterator[bytes], *, maximum_line_bytes: int) -> Iterator[list[bytes]]:
    """Whole lines, in portions as large as the chunks. Raises ValueError for a line longer than that."""
    rest = b""
    for chunk in chunks:
        pieces = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = pieces.pop()
        if max(len(rest), *map(len, pieces)) > maximum_line_bytes if pieces else len(rest) > maximum_line_bytes:
            raise ValueError(f"a line longer than {maximum_line_bytes} bytes")
        if pieces:
            yield pieces
    if rest:
        yield [rest]
