"""The syntax tree of a Trino query: expressions, relations, queries.

Nodes compare by content, not by position, so that `GROUP BY a + 1` finds `a+1` in the select list. `position` is the
offset of the node's first character in the SQL text (for error messages).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Node:
    position: int = field(compare=False)


class Expression(Node):
    __slots__ = ()


# ------------------------------------------------------------------------------------------------ literals


@dataclass(slots=True)
class NullLiteral(Expression):
    pass


@dataclass(slots=True)
class BooleanLiteral(Expression):
    value: bool


@dataclass(slots=True)
class StringLiteral(Expression):
    value: str


@dataclass(slots=True)
class BinaryLiteral(Expression):
    value: bytes


@dataclass(slots=True)
class IntegerLiteral(Expression):
    value: int


@dataclass(slots=True)
class DecimalLiteral(Expression):
    text: str


@dataclass(slots=True)
class DoubleLiteral(Expression):
    text: str


@dataclass(slots=True)
class TypedLiteral(Expression):
    """DATE '2020-01-01', DECIMAL '1.50', CHAR 'x': a type name and a text."""

    type_name: str
    value: str


@dataclass(slots=True)
class IntervalLiteral(Expression):
    value: str
    negative: bool
    unit: str
    to_unit: str | None


@dataclass(slots=True)
class Parameter(Expression):
    index: int


# ------------------------------------------------------------------------------------------------ names and calls


@dataclass(slots=True)
class Identifier(Expression):
    name: str
    quoted: bool = field(default=False, compare=False)


@dataclass(slots=True)
class Dereference(Expression):
    base: Expression
    name: Identifier


@dataclass(slots=True)
class AllFields(Expression):
    """`t.*` or `row_value.*` where an expression stands (the select list, count(t.*))."""

    base: Expression | None


@dataclass(slots=True)
class SortItem(Node):
    expression: Expression
    descending: bool
    nulls_first: bool | None


@dataclass(slots=True)
class FrameBound(Node):
    kind: str  # UNBOUNDED_PRECEDING PRECEDING CURRENT_ROW FOLLOWING UNBOUNDED_FOLLOWING
    offset: Expression | None


@dataclass(slots=True)
class Frame(Node):
    unit: str  # ROWS RANGE GROUPS
    start: FrameBound
    end: FrameBound | None


@dataclass(slots=True)
class Window(Node):
    existing: str | None
    partition_by: list[Expression]
    order_by: list[SortItem]
    frame: Frame | None
    pattern: WindowPattern | None = None


@dataclass(slots=True)
class WindowPattern(Node):
    """Row pattern recognition in a window; `pattern` as in MatchRecognize."""

    measures: list[tuple[Expression, str]]
    skip: tuple[str, str]
    seek: bool
    pattern: list[object]
    subsets: dict[str, list[str]]
    definitions: list[tuple[str, Expression]]


@dataclass(slots=True)
class Measure(Expression):
    """`measure OVER w`: a measure of the window's row pattern."""

    name: str
    window: Window | str


@dataclass(slots=True)
class Call(Expression):
    name: str  # as written, lower-cased unless quoted
    arguments: list[Expression]
    is_star: bool = False  # count(*)
    distinct: bool = False
    order_by: list[SortItem] = field(default_factory=list)
    filter: Expression | None = None
    window: Window | str | None = None
    ignore_nulls: bool | None = None
    processing_mode: str | None = None
    named_arguments: dict[str, object] | None = None  # JSON functions' clauses, listagg's overflow clause


@dataclass(slots=True)
class Lambda(Expression):
    parameters: list[str]
    body: Expression


@dataclass(slots=True)
class TypeName(Node):
    """A type as written in CAST; `text` is readable by types.parse_type."""

    text: str


@dataclass(slots=True)
class Cast(Expression):
    operand: Expression
    type: TypeName
    is_try: bool


# ------------------------------------------------------------------------------------------------ operators


@dataclass(slots=True)
class Binary(Expression):
    """Arithmetic and ||."""

    operator: str
    left: Expression
    right: Expression
    operator_position: int = field(default=0, compare=False)


@dataclass(slots=True)
class Negative(Expression):
    operand: Expression


@dataclass(slots=True)
class Positive(Expression):
    operand: Expression


@dataclass(slots=True)
class Comparison(Expression):
    operator: str  # = <> < <= > >=
    left: Expression
    right: Expression
    operator_position: int = field(default=0, compare=False)


@dataclass(slots=True)
class Distinct(Expression):
    """IS [NOT] DISTINCT FROM"""

    left: Expression
    right: Expression
    negated: bool


@dataclass(slots=True)
class Logical(Expression):
    operator: str  # AND OR
    terms: list[Expression]


@dataclass(slots=True)
class Not(Expression):
    operand: Expression


@dataclass(slots=True)
class IsNull(Expression):
    operand: Expression
    negated: bool


@dataclass(slots=True)
class Between(Expression):
    operand: Expression
    low: Expression
    high: Expression


@dataclass(slots=True)
class InList(Expression):
    operand: Expression
    items: list[Expression]


@dataclass(slots=True)
class InQuery(Expression):
    operand: Expression
    query: Query


@dataclass(slots=True)
class Like(Expression):
    operand: Expression
    pattern: Expression
    escape: Expression | None


@dataclass(slots=True)
class Quantified(Expression):
    operator: str
    quantifier: str  # ALL ANY
    operand: Expression
    query: Query


@dataclass(slots=True)
class Exists(Expression):
    query: Query


@dataclass(slots=True)
class ScalarQuery(Expression):
    query: Query


@dataclass(slots=True)
class Case(Expression):
    operand: Expression | None
    branches: list[tuple[Expression, Expression]]
    default: Expression | None


@dataclass(slots=True)
class RowConstructor(Expression):
    items: list[Expression]
    names: list[str | None] | None = None


@dataclass(slots=True)
class ArrayConstructor(Expression):
    items: list[Expression]


@dataclass(slots=True)
class Subscript(Expression):
    base: Expression
    index: Expression


@dataclass(slots=True)
class Extract(Expression):
    field: str
    operand: Expression


@dataclass(slots=True)
class AtTimeZone(Expression):
    operand: Expression
    zone: Expression


@dataclass(slots=True)
class CurrentTime(Expression):
    """current_date, current_timestamp(p), localtime ..., current_user, current_catalog, current_schema"""

    function: str
    precision: int | None


@dataclass(slots=True)
class Grouping(Expression):
    columns: list[Expression]


# ------------------------------------------------------------------------------------------------ relations


class RelationNode(Node):
    __slots__ = ()


@dataclass(slots=True)
class TableReference(RelationNode):
    parts: list[str]
    time_travel: bool = False


@dataclass(slots=True)
class SubqueryRelation(RelationNode):
    query: Query


@dataclass(slots=True)
class Lateral(RelationNode):
    query: Query


@dataclass(slots=True)
class Unnest(RelationNode):
    expressions: list[Expression]
    with_ordinality: bool


@dataclass(slots=True)
class TableFunction(RelationNode):
    name: str
    arguments: list[tuple[str | None, Expression]]


@dataclass(slots=True)
class Aliased(RelationNode):
    relation: RelationNode
    alias: str
    columns: list[str] | None


@dataclass(slots=True)
class Sampled(RelationNode):
    relation: RelationNode
    method: str
    percentage: Expression


@dataclass(slots=True)
class Join(RelationNode):
    kind: str  # CROSS IMPLICIT INNER LEFT RIGHT FULL
    left: RelationNode
    right: RelationNode
    on: Expression | None
    using: list[Identifier] | None
    natural: bool = False


@dataclass(slots=True)
class MatchRecognize(RelationNode):
    """Row pattern recognition. `pattern` is made of lists, as JSON would hold it:

    ["label", name], ["sequence", p...], ["choice", p...], ["repeat", p, least, most or None, greedy],
    ["permute", p...], ["exclude", p], ["empty"], ["start"], ["end"]
    """

    relation: RelationNode
    partition_by: list[Expression]
    order_by: list[SortItem]
    measures: list[tuple[Expression, str]]
    rows_per_match: str  # ONE ALL_SHOW_EMPTY ALL_OMIT_EMPTY ALL_WITH_UNMATCHED
    skip: tuple[str, str]  # (PAST_LAST_ROW | NEXT_ROW | FIRST | LAST, label)
    pattern: list[object]
    subsets: dict[str, list[str]]
    definitions: list[tuple[str, Expression]]


# ------------------------------------------------------------------------------------------------ queries


@dataclass(slots=True)
class SelectItem(Node):
    expression: Expression
    alias: str | None
    column_aliases: list[str] | None = None  # for `row.* AS (a, b)`


@dataclass(slots=True)
class GroupingElement(Node):
    kind: str  # SIMPLE ROLLUP CUBE SETS
    sets: list[list[Expression]]


@dataclass(slots=True)
class Select(Node):
    distinct: bool
    items: list[SelectItem]
    relation: RelationNode | None
    where: Expression | None
    group_by: list[GroupingElement] | None
    group_by_distinct: bool
    having: Expression | None
    windows: list[tuple[str, Window]]


@dataclass(slots=True)
class Values(Node):
    rows: list[Expression]


@dataclass(slots=True)
class TableQuery(Node):
    table: TableReference


@dataclass(slots=True)
class SetOperation(Node):
    kind: str  # UNION INTERSECT EXCEPT
    distinct: bool
    left: Body
    right: Body


@dataclass(slots=True)
class CommonTable(Node):
    name: str
    columns: list[str] | None
    query: Query


@dataclass(slots=True)
class Query(Node):
    common_tables: list[CommonTable]
    recursive: bool
    body: Body
    order_by: list[SortItem]
    offset: Expression | None
    limit: Expression | None
    with_ties: bool


Body = Select | Values | TableQuery | SetOperation | Query
