"""Analysis of MATCH_RECOGNIZE: conditions and measures become SQL over one partition, for row_matcher to compute.

Inside, a column without navigation is the last row matched so far (`value`) or the last one with a label (`A.value`);
FIRST, LAST, PREV and NEXT move; aggregates take the rows of a label, up to the current row (RUNNING) or of the whole
match (FINAL). In the emitted SQL `p.c0` is the list of a column's values in the partition and `s` the state: start row,
labels so far, all labels, match number.
"""

# ruff: noqa: S608  (writing SQL is the job, user text enters as quoted literals)

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedded.sql import tree
from embedded.sql.comparison import sort_key
from embedded.sql.functions import registry
from embedded.sql.functions.registry import macro
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.row_matcher import match_rows, match_window_row
from embedded.sql.scope import Field, Level, Scope
from embedded.sql.typed import Typed
from embedded.sql.types import BIGINT, BOOLEAN, VARCHAR, TrinoType

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser

_NAVIGATION = frozenset(["first", "last", "prev", "next"])

#: The n-th from the front or back of the places that bear a label; NULL beyond.
macro("trino_row_first(places, n)", "places[n + 1]")
macro("trino_row_last(places, n)", "CASE WHEN len(places) > n THEN places[len(places) - n] END")
macro(
    "trino_row_places(labels, wanted)",
    "list_filter(range(1, len(labels) + 1), lambda q: list_contains(wanted, labels[q]))",
)
macro("trino_row_inside(k, first, last)", "CASE WHEN k BETWEEN first AND last THEN k END")


@dataclass(slots=True)
class PatternContext:
    """What names mean inside MEASURES and DEFINE."""

    fields: list[Field]
    labels: dict[str, list[str]]  # pattern variables and subsets -> the variables they stand for
    is_define: bool = False
    position: str = ""  # SQL of the row that columns are taken from, inside navigation and aggregates
    state: str = "s"  # the relation that holds the state; an aggregate's rows carry a copy
    label: str | None = None  # the label of the navigation or aggregate around
    columns: dict[str, int] = field(default_factory=dict)


def label_of(name: tree.Identifier) -> str:
    return name.name if name.quoted else name.name.upper()


class RowPatternAnalyser:
    """The part of the analyser that reads expressions inside a row pattern."""

    def __init__(self, analyser: Analyser, context: PatternContext) -> None:
        self.analyser = analyser
        self.context = context

    # ---------------------------------------------------------------------------------- positions

    def _labels_sql(self, mode: str | None) -> str:
        return f"{self.context.state}.{'all_labels' if mode == 'FINAL' else 'labels'}"

    def _places(self, label: str | None, mode: str | None) -> str:
        labels = self._labels_sql(mode)
        if label is None:
            return f"range(1, len({labels}) + 1)"
        wanted = ", ".join(text_literal(one) for one in self.context.labels[label])
        return f"trino_row_places({labels}, [{wanted}])"

    def _logical(self, function: str, label: str | None, offset: int, mode: str | None) -> str:
        return f"({self.context.state}.start - 1 + trino_row_{function}({self._places(label, mode)}, {offset}))"

    def _value_at(self, found: Field, position: str) -> Typed:
        return Typed(f"p.{found.sql}[{position}]", found.type)

    def _position(self, label: str | None) -> str:
        if self.context.position:
            return self.context.position
        return self._logical("last", label, 0, None)

    # ---------------------------------------------------------------------------------- names

    def column(self, node: tree.Identifier) -> Typed | None:
        found = [one for one in self.context.fields if one.key == node.name.lower()]
        if not found:
            return None
        if len(found) > 1:
            raise self.analyser.error("AMBIGUOUS_NAME", f"Column '{node.name}' is ambiguous", node)
        return self._value_at(found[0], self._position(self.context.label))

    def labelled_column(self, node: tree.Dereference) -> Typed | None:
        base = node.base
        if not isinstance(base, tree.Identifier) or label_of(base) not in self.context.labels:
            return None
        label = label_of(base)
        found = [one for one in self.context.fields if one.key == node.name.name.lower()]
        if not found:
            shown = f"{base.name}.{node.name.name}"
            raise self.analyser.error("COLUMN_NOT_FOUND", f"Column '{shown}' cannot be resolved", node)
        return self._value_at(found[0], self._position(label))

    # ---------------------------------------------------------------------------------- calls

    def call(self, node: tree.Call) -> Typed | None:
        """Pattern functions and aggregates; None for an ordinary call."""
        if node.name == "classifier":
            return self._classifier(node)
        if node.name == "match_number":
            return Typed(f"{self.context.state}.match_number", BIGINT)
        if node.name in _NAVIGATION:
            return self._navigation(node)
        if registry.function_kind(node.name) == "aggregate" and node.window is None:
            return self._aggregate(node)
        return None

    def _classifier(self, node: tree.Call) -> Typed:
        label = self.context.label
        if node.arguments:
            argument = node.arguments[0]
            if not isinstance(argument, tree.Identifier) or label_of(argument) not in self.context.labels:
                message = (
                    "CLASSIFIER pattern recognition function argument should be primary pattern variable or subset name"
                )
                raise self.analyser.error("TYPE_MISMATCH", message, node)
            label = label_of(argument)
        state = self.context.state
        place = f"({self._position(label)} - {state}.start + 1)"
        # labels behind the current row are known to measures only
        labels = f"{state}.labels" if self.context.is_define else f"{state}.all_labels"
        return Typed(f"{labels}[trino_row_inside({place}, 1, len({labels}))]", VARCHAR)

    def _navigation(self, node: tree.Call) -> Typed:
        """PREV/NEXT (physical) around FIRST/LAST (logical) around an expression."""
        if self.context.position:
            message = f"Cannot nest {node.name} pattern navigation function"
            raise self.analyser.error("NESTED_ROW_PATTERN_RECOGNITION", message, node)
        physical, logical = 0, ("last", 0)
        mode = node.processing_mode
        inner: tree.Expression = node
        if node.name in ("prev", "next"):
            steps = self._offset(node, 1)
            physical = -steps if node.name == "prev" else steps
            inner = node.arguments[0]
        if isinstance(inner, tree.Call) and inner.name in ("first", "last"):
            logical = (inner.name, self._offset(inner, 0))
            mode = inner.processing_mode or mode
            inner = inner.arguments[0]
        label = self._label_inside(inner)
        position = self._logical(logical[0], label, logical[1], mode)
        if physical:
            position = f"({position} + ({physical}))"
        self.context.position, self.context.label = f"trino_row_inside({position}, s.first_row, s.last_row)", label
        try:
            return self.analyser.expression(inner)
        finally:
            self.context.position, self.context.label = "", None

    def _offset(self, node: tree.Call, default: int) -> int:
        if len(node.arguments) == 1:
            return default
        offset = node.arguments[1] if len(node.arguments) == 2 else None
        if not isinstance(offset, tree.IntegerLiteral) or offset.value < 0:
            message = f"{node.name} pattern recognition function requires a number as the second argument"
            raise self.analyser.error("INVALID_NAVIGATION_NESTING", message, node)
        return offset.value

    def _label_inside(self, node: object) -> str | None:
        """The one label that columns inside bear. Raises TrinoError when they differ."""
        found = set(self._labels_inside(node))
        if len(found) > 1:
            assert isinstance(node, tree.Node)
            message = "Column references inside a pattern function must all be of one pattern variable"
            raise self.analyser.error("INVALID_ARGUMENTS", message, node)
        return next(iter(found), None)

    def _labels_inside(self, node: object) -> list[str | None]:
        if isinstance(node, tree.Dereference) and isinstance(node.base, tree.Identifier):
            label = label_of(node.base)
            return [label] if label in self.context.labels else [None]
        if isinstance(node, tree.AllFields):
            return [label_of(node.base)] if isinstance(node.base, tree.Identifier) else [None]
        if isinstance(node, tree.Call) and node.name == "classifier":
            return [label_of(node.arguments[0]) if node.arguments else None]  # type: ignore[arg-type]  # a label
        if isinstance(node, tree.Identifier):
            return [None] if any(one.key == node.name.lower() for one in self.context.fields) else []
        if isinstance(node, tree.Query):
            return []
        if isinstance(node, list | tuple):
            return [label for part in node for label in self._labels_inside(part)]
        if isinstance(node, tree.Node):
            return [
                label
                for cls in type(node).__mro__
                for slot in getattr(cls, "__slots__", ())
                if slot != "position"
                for label in self._labels_inside(getattr(node, slot))
            ]
        return []

    def _aggregate(self, node: tree.Call) -> Typed:
        if self.context.position:
            message = f"Cannot nest {node.name} aggregate function inside a pattern function"
            raise self.analyser.error("NESTED_AGGREGATION", message, node)
        label = self._label_inside([*node.arguments, *(item.expression for item in node.order_by)])
        everything = bool(node.arguments) and isinstance(node.arguments[0], tree.AllFields)
        plain = tree.Call(
            node.position,
            node.name,
            [] if everything else node.arguments,
            is_star=node.is_star or everything,
            distinct=node.distinct,
            order_by=node.order_by,
            filter=node.filter,
        )
        rows = f"list_transform({self._places(label, node.processing_mode)}, lambda q: s.start - 1 + q)"
        self.context.position, self.context.label, self.context.state = "k.k", label, "k"
        saved_level = self.analyser.level
        self.analyser.level = Level()
        try:
            found = self.analyser.aggregate(plain, "aggregate")
        finally:
            self.analyser.level = saved_level
            self.context.position, self.context.label, self.context.state = "", None, "s"
        copies = "s.start AS start, s.labels AS labels, s.all_labels AS all_labels, s.match_number AS match_number"
        return Typed(f"(SELECT {found.sql} FROM (SELECT unnest({rows}) AS k, {copies}) AS k)", found.type)


def match_recognize(analyser: Analyser, node: tree.MatchRecognize, around: Scope) -> tuple[str, list[Field]]:
    """SQL and fields of `relation MATCH_RECOGNIZE (...)`."""
    source_sql, fields = analyser.relation(node.relation, around)
    visible = [one for one in fields if not one.is_hidden]
    saved_level, saved_scope = analyser.level, analyser.scope
    analyser.level = Level(forbids_aggregates="MATCH_RECOGNIZE")
    analyser.scope = Scope(fields, around.parent, None)
    try:
        inner = [analyser.reference(one, tree.Identifier(node.position, one.name or "")) for one in visible]
        partition_keys = [analyser.expression(one) for one in node.partition_by]
        order = ", ".join(analyser.sort_item_sql(one) for one in node.order_by)
    finally:
        analyser.level, analyser.scope = saved_level, saved_scope
    labels = _labels(node.pattern, node.subsets)
    placed = [Field(one.name, one.type, f"c{index}", one.qualifier) for index, one in enumerate(visible)]
    definitions = _definitions(analyser, placed, labels, node.definitions)
    measures = [_compiled(analyser, placed, labels, one, is_define=False) for one, _ in node.measures]
    program = json.dumps(
        {
            "columns": [physical_type(one.type) for one in visible],
            "pattern": node.pattern,
            "conditions": {name: one.sql for name, one in definitions.items()},
            "measures": [one.sql for one in measures],
            "rows_per_match": node.rows_per_match,
            "skip": node.skip,
            "subsets": node.subsets,
            "functions": sorted(analyser.functions),
        }
    )
    return _relation(analyser, node, source_sql, visible, inner, partition_keys, order, measures, program)


def _relation(
    analyser: Analyser,
    node: tree.MatchRecognize,
    source_sql: str,
    visible: list[Field],
    inner: list[Typed],
    partition_keys: list[Typed],
    order: str,
    measures: list[Typed],
    program: str,
) -> tuple[str, list[Field]]:
    packed = ", ".join(f"c{index} := {value.sql}" for index, value in enumerate(inner))
    ordering = f" ORDER BY {order}" if order else ""
    keys = [sort_key(one.sql, one.type) for one in partition_keys]
    grouping = f" GROUP BY {', '.join(keys)}" if keys else ""
    kept = "".join(f", any_value({one.sql}) AS k{index}" for index, one in enumerate(partition_keys))
    grouped = f"SELECT list(struct_pack({packed}){ordering}) AS rows{kept} FROM {source_sql}{grouping}"
    # the physical forms travel as they are; the struct's field names are ours
    row_type = f"STRUCT({', '.join(f'c{index} {value.physical}' for index, value in enumerate(inner))})[]"
    result = ", ".join(["r INTEGER", *(f"m{index} {value.physical}" for index, value in enumerate(measures))])
    arguments = ("rows", text_literal(program))
    found = registry.physical_python_call(analyser, match_rows, arguments, (row_type, "VARCHAR"), f"STRUCT({result})[]")
    alias = analyser.alias()
    key_columns = "".join(f", k{index}" for index in range(len(partition_keys)))
    matched = f"SELECT unnest({found}) AS m, rows{key_columns} FROM ({grouped})"
    columns: list[tuple[str, str | None, TrinoType]] = []
    for index, (value, expression) in enumerate(zip(partition_keys, node.partition_by, strict=True)):
        name = expression.name if isinstance(expression, tree.Identifier) else None
        columns.append((f"k{index}", name, value.type))
    taken = {name.lower() for _, name, _ in columns if name is not None}
    measured = [
        (f"(m).m{i}", name, value.type)
        for i, (value, (_, name)) in enumerate(zip(measures, node.measures, strict=True))
    ]
    if node.rows_per_match == "ONE":
        columns.extend(measured)
    else:
        sorted_names = [
            item.expression.name.lower() for item in node.order_by if isinstance(item.expression, tree.Identifier)
        ]
        first = [one for name in sorted_names for one in enumerate(visible) if one[1].key == name]
        used = {index for index, _ in first}
        rest = [(index, one) for index, one in enumerate(visible) if index not in used]
        shown = [(index, one) for index, one in first if one.key not in taken]
        columns.extend((f"(rows[(m).r]).c{index}", one.name, one.type) for index, one in shown)
        columns.extend(measured)
        columns.extend((f"(rows[(m).r]).c{index}", one.name, one.type) for index, one in rest if one.key not in taken)
    selected = ", ".join(f"{sql} AS c{index}" for index, (sql, _, _) in enumerate(columns)) or "1 AS nothing"
    out = [Field(name, found, f"{alias}.c{index}") for index, (_, name, found) in enumerate(columns)]
    return f"(SELECT {selected} FROM ({matched})) AS {alias}", out


def _definitions(
    analyser: Analyser,
    fields: list[Field],
    labels: dict[str, list[str]],
    nodes: list[tuple[str, tree.Expression]],
) -> dict[str, Typed]:
    found = {name: _compiled(analyser, fields, labels, one, is_define=True) for name, one in nodes}
    for name, expression in nodes:
        if found[name].type != BOOLEAN and found[name].type.base != "unknown":
            message = f"Expression defining a label must be boolean (actual type: {found[name].type})"
            raise analyser.error("TYPE_MISMATCH", message, expression)
    return found


def window_measure(analyser: Analyser, window: tree.Window, node: tree.Measure) -> Typed:
    """SQL of `measure OVER w`: the rows of the partition go to the matcher, with the number of the current row."""
    pattern = window.pattern
    if pattern is None or node.name.lower() not in {name.lower() for _, name in pattern.measures}:
        raise analyser.error(
            "INVALID_WINDOW_MEASURE", f"Measure {node.name} is not defined in the corresponding window", node
        )
    source: Scope = analyser.scope
    while source.parent is not None and source.parent.level is analyser.level:
        source = source.parent
    visible = [one for one in source.fields if not one.is_hidden]
    labels = _labels(pattern.pattern, pattern.subsets)
    placed = [Field(one.name, one.type, f"c{index}", one.qualifier) for index, one in enumerate(visible)]
    definitions = _definitions(analyser, placed, labels, pattern.definitions)
    measures = [_compiled(analyser, placed, labels, one, is_define=False) for one, _ in pattern.measures]
    texts = " ".join([*(one.sql for one in measures), *(one.sql for one in definitions.values())])
    used = [index for index in range(len(visible)) if re.search(rf"\bp\.c{index}\b", texts)] or [0]
    inner = [
        analyser.reference(visible[index], tree.Identifier(node.position, visible[index].name or "")) for index in used
    ]
    program = json.dumps(
        {
            "columns": [value.physical for value in inner],
            "names": [f"c{index}" for index in used],
            "pattern": pattern.pattern,
            "conditions": {name: one.sql for name, one in definitions.items()},
            "measures": [one.sql for one in measures],
            "skip": pattern.skip,
            "seek": pattern.seek,
            "following": _frame_length(analyser, window.frame, node),
            "subsets": pattern.subsets,
            "functions": sorted(analyser.functions),
        }
    )
    order = tree.Window(window.position, None, window.partition_by, window.order_by, None)
    over = analyser.window_sql(order, tree.Call(node.position, node.name, []))
    packed = ", ".join(f"c{index} := {value.sql}" for index, value in zip(used, inner, strict=True))
    rows = f"list(struct_pack({packed})) OVER ({over} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)"
    row_type = f"STRUCT({', '.join(f'c{i} {value.physical}' for i, value in zip(used, inner, strict=True))})[]"
    result = ", ".join(f"m{index} {value.physical}" for index, value in enumerate(measures))
    found = registry.physical_python_call(
        analyser,
        match_window_row,
        (rows, f"row_number() OVER ({over})", text_literal(program)),
        (row_type, "BIGINT", "VARCHAR"),
        f"STRUCT({result})",
    )
    names = [name.lower() for _, name in pattern.measures]
    index = names.index(node.name.lower())
    return Typed(f"({found}).m{index}", measures[index].type)


def _frame_length(analyser: Analyser, frame: tree.Frame | None, node: tree.Measure) -> int | None:
    """How many rows behind the current one the frame holds; None for all."""
    if frame is None or frame.unit != "ROWS" or frame.start.kind != "CURRENT_ROW" or frame.end is None:
        message = "Pattern recognition requires a frame ROWS BETWEEN CURRENT ROW AND ..."
        raise analyser.error("INVALID_WINDOW_FRAME", message, node)
    if frame.end.kind == "UNBOUNDED_FOLLOWING":
        return None
    if frame.end.kind == "CURRENT_ROW":
        return 0
    if not isinstance(frame.end.offset, tree.IntegerLiteral):
        message = "A frame of row pattern recognition has to end at a literal number of rows"
        raise analyser.error("NOT_SUPPORTED", message, node)
    return frame.end.offset.value


def _labels(pattern: list[object], subsets: dict[str, list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}

    def visit(part: list[object]) -> None:
        if part[0] == "label":
            found.setdefault(str(part[1]), [str(part[1])])
        for inner in part[1:]:
            if isinstance(inner, list):
                visit(inner)

    visit(pattern)
    return {**found, **subsets}


def _compiled(
    analyser: Analyser, fields: list[Field], labels: dict[str, list[str]], node: tree.Expression, *, is_define: bool
) -> Typed:
    saved_level, saved_scope, saved_pattern = analyser.level, analyser.scope, analyser.row_pattern
    analyser.level = Level()
    analyser.scope = Scope([], None, analyser.level)
    analyser.row_pattern = RowPatternAnalyser(analyser, PatternContext(fields, labels, is_define))
    try:
        return analyser.expression(node)
    finally:
        analyser.level, analyser.scope, analyser.row_pattern = saved_level, saved_scope, saved_pattern
