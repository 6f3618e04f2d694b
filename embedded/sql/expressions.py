"""Analysis of expressions: a syntax node in, a typed piece of DuckDB SQL out, or Trino's error with its position."""

# ruff: noqa: S608  (writing SQL is the job, user text enters as quoted literals)

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from embedded.sql import literals, tree, types
from embedded.sql.arithmetic import arithmetic
from embedded.sql.coercion import coerce
from embedded.sql.comparison import (
    comparison,
    distinct_from,
    has_plain_comparison,
    has_plain_identity,
    identity_key,
    sort_key,
)
from embedded.sql.errors import TrinoError
from embedded.sql.functions import registry
from embedded.sql.functions.registry import Invocation, Match, Modifiers
from embedded.sql.physical import physical_type, text_literal
from embedded.sql.scope import PROTECTED, Field, Level, Output, Scope
from embedded.sql.tokens import Source
from embedded.sql.typed import Typed
from embedded.sql.types import (
    BOOLEAN,
    UNKNOWN,
    TrinoType,
    common_super_type,
    is_comparable,
    is_orderable,
    parse_type,
)

if TYPE_CHECKING:
    from embedded.sql.row_patterns import RowPatternAnalyser

#: What Athena adds to Trino's text, because Lake Formation may hide columns.
_NOT_AUTHORIZED = " or requester is not authorized to access requested resources"

#: Nested lambdas, and nested types shown: DuckDB binds the body of a lambda twice, which doubles with each level.
DEEPEST_NESTING = 10

#: Characters of DuckDB SQL for one expression: nested calls that use an argument twice grow exponentially.
_LONGEST_EXPRESSION = 4_000_000

_EXTRACT_FUNCTIONS = {
    "YEAR": "year",
    "QUARTER": "quarter",
    "MONTH": "month",
    "WEEK": "week",
    "DAY": "day",
    "DAY_OF_MONTH": "day",
    "DAY_OF_WEEK": "day_of_week",
    "DOW": "day_of_week",
    "DAY_OF_YEAR": "day_of_year",
    "DOY": "day_of_year",
    "YEAR_OF_WEEK": "year_of_week",
    "YOW": "year_of_week",
    "HOUR": "hour",
    "MINUTE": "minute",
    "SECOND": "second",
    "TIMEZONE_HOUR": "timezone_hour",
    "TIMEZONE_MINUTE": "timezone_minute",
}

_FRAME_BOUNDS = {
    "UNBOUNDED_PRECEDING": "UNBOUNDED PRECEDING",
    "CURRENT_ROW": "CURRENT ROW",
    "UNBOUNDED_FOLLOWING": "UNBOUNDED FOLLOWING",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """`now` of the whole query, as Trino fixes it at the start."""

    instant: datetime

    @property
    def micros(self) -> int:
        utc = self.instant.astimezone(UTC)
        whole = int(utc.replace(microsecond=0).timestamp())
        return whole * 1_000_000 + utc.microsecond


class ExpressionAnalyser:
    """Holds the state of one translation; `Analyser` (analysis.py) adds queries and relations."""

    def __init__(self, source: Source, *, now: datetime, database: str, parameters: Sequence[tree.Expression]) -> None:
        self.source = source
        self.moment = Moment(now)
        self.database = database
        self.parameters = parameters
        self.functions: set[str] = set()
        self.level = Level()
        self.scope: Scope = Scope([], None, self.level)
        self.lambdas: list[dict[str, Typed]] = []
        self.try_inputs: list[str] | None = None
        self.row_pattern: RowPatternAnalyser | None = None
        self.referenced: list[tuple[tree.Expression, Field]] = []

    # ---------------------------------------------------------------------------------- errors and coercion

    def error(self, name: str, message: str, node: tree.Node) -> TrinoError:
        return self.source.error(name, message, node.position)

    def error_at(self, name: str, message: str, position: int) -> TrinoError:
        return self.source.error(name, message, position)

    def coerce(self, value: Typed, target: TrinoType) -> Typed:
        return coerce(value, target)

    def common_type(
        self, values: Sequence[Typed], node: tree.Node, message: str = "All {kind} must be the same type: {types}"
    ) -> TrinoType:
        common = UNKNOWN
        for value in values:
            found = common_super_type(common, value.type)
            if found is None:
                text = message.replace("{one}", str(common)).replace("{other}", str(value.type))
                distinct: list[str] = []
                for other in values:
                    if str(other.type) not in distinct:
                        distinct.append(str(other.type))
                raise self.error("TYPE_MISMATCH", text.replace("{types}", f"[{', '.join(distinct)}]"), node)
            common = found
        return common

    def condition(self, node: tree.Expression, message: str) -> Typed:
        """A boolean expression; `message` has {type} for the actual type."""
        value = self.expression(node)
        if value.type.base == "unknown":
            return coerce(value, BOOLEAN)
        if value.type != BOOLEAN:
            raise self.error("TYPE_MISMATCH", message.replace("{type}", str(value.type)), node)
        return value

    # ---------------------------------------------------------------------------------- the dispatcher

    def expression(self, node: tree.Expression) -> Typed:
        level = self.level
        mark = len(level.ungrouped)
        method = _METHODS.get(type(node))
        if method is None:
            raise self.error("NOT_SUPPORTED", f"{type(node).__name__} is not supported here", node)
        try:
            found = method(self, node)
        except TrinoError as error:
            if error.line is None:
                raise self.source.error(error.name, error.message, node.position) from None
            raise
        if len(found.sql) > _LONGEST_EXPRESSION:
            raise self.error("COMPILER_ERROR", "Expression is too complex for the embedded engine", node)
        if len(level.ungrouped) > mark and found.sql in level.group_sql:
            del level.ungrouped[mark:]
        return found

    # ---------------------------------------------------------------------------------- literals

    def null(self, _node: tree.NullLiteral) -> Typed:
        return literals.null()

    def boolean(self, node: tree.BooleanLiteral) -> Typed:
        return literals.boolean(node.value)

    def string(self, node: tree.StringLiteral) -> Typed:
        return literals.string(node.value)

    def binary_literal(self, node: tree.BinaryLiteral) -> Typed:
        return literals.binary(node.value)

    def integer(self, node: tree.IntegerLiteral) -> Typed:
        return literals.integer(node.value)

    def decimal(self, node: tree.DecimalLiteral) -> Typed:
        return literals.decimal_literal(node.text)

    def double(self, node: tree.DoubleLiteral) -> Typed:
        return literals.double(node.text)

    def typed_literal(self, node: tree.TypedLiteral) -> Typed:
        found = literals.typed_literal(node.type_name, node.value)
        if found is None:
            try:
                parse_type(node.type_name)
            except TrinoError:
                raise self.error("TYPE_NOT_FOUND", f"Unknown type: {node.type_name}", node) from None
            raise self.error("INVALID_LITERAL", f"No literal form for type {node.type_name}", node)
        return found

    def interval(self, node: tree.IntervalLiteral) -> Typed:
        return literals.interval(node.value, node.negative, node.unit, node.to_unit)

    def parameter(self, node: tree.Parameter) -> Typed:
        if node.index >= len(self.parameters):
            raise self.error(
                "INVALID_PARAMETER_USAGE",
                f"Incorrect number of parameters: expected {node.index + 1} but found {len(self.parameters)}",
                node,
            )
        return self.expression(self.parameters[node.index])

    # ---------------------------------------------------------------------------------- names

    def identifier(self, node: tree.Identifier) -> Typed:
        if self.row_pattern is not None:
            column = self.row_pattern.column(node)
            if column is not None:
                return column
        found = self.lookup((), node.name, node)
        if found is None:
            raise self.missing_column(node.name, node)
        return found

    def missing_column(self, name: str, node: tree.Node) -> TrinoError:
        return self.error("COLUMN_NOT_FOUND", f"Column '{name}' cannot be resolved{_NOT_AUTHORIZED}", node)

    def dereference(self, node: tree.Dereference) -> Typed:
        if self.row_pattern is not None:
            column = self.row_pattern.labelled_column(node)
            if column is not None:
                return column
        parts = _name_parts(node)
        if parts is not None:
            found = self.lookup(tuple(part.lower() for part in parts[:-1]), parts[-1], node)
            if found is not None:
                return found
            if len(parts) >= 2 and not self._base_resolves(node.base):
                raise self.missing_column(".".join(parts), node)
        base = self.expression(node.base)
        if base.type.base != "row":
            raise self.error("TYPE_MISMATCH", f"Expression {_shown(node.base)} is not of type ROW", node.base)
        wanted = node.name.name.lower()
        matches = [i for i, name in enumerate(base.type.names) if name is not None and name.lower() == wanted]
        if not matches:
            raise self.missing_column(_shown(node), node)
        if len(matches) > 1:
            raise self.error("AMBIGUOUS_NAME", f"Ambiguous row field reference: {wanted}", node)
        return Typed(f"({base.sql}).f{matches[0]}", base.type.elements[matches[0]])

    def _base_resolves(self, base: tree.Expression) -> bool:
        parts = _name_parts(base)
        if parts is None:
            return True
        for end in range(len(parts), 0, -1):
            qualifier = tuple(part.lower() for part in parts[: end - 1])
            if self.lookup(qualifier, parts[end - 1], base, peek=True) is not None:
                return True
        return False

    def lookup(
        self, qualifier: tuple[str, ...], name: str, node: tree.Expression, *, peek: bool = False
    ) -> Typed | None:
        """A column or lambda parameter by name; None when there is none. Raises TrinoError AMBIGUOUS_NAME."""
        key = name.lower()
        if not qualifier:
            for parameters in reversed(self.lambdas):
                found = parameters.get(key)
                if found is not None:
                    return found
        scope: Scope | None = self.scope
        while scope is not None:
            matches = scope.candidates(key)
            if qualifier:
                matches = [field for field in matches if field.matches_qualifier(qualifier)]
            if len(matches) > 1:
                shown = ".".join((*qualifier, name))
                raise self.error("AMBIGUOUS_NAME", f"Column '{shown}' is ambiguous", node)
            if matches:
                field = matches[0]
                return Typed(field.sql, field.type) if peek else self.reference(field, node, name)
            scope = scope.parent
        return None

    def reference(self, field: Field, node: tree.Expression, shown: str | None = None) -> Typed:
        """The value of a field; notes that it is used, and that it stands outside an aggregate."""
        if field.scan is not None and field.name is not None and field.name not in field.scan.used:
            field.scan.used[field.name] = field.scan.columns[field.name]
        self.referenced.append((node, field))
        level = field.level
        if level is not None and field.sql not in level.group_sql:
            level.ungrouped.append((node, shown or field.name or ""))
        return Typed(field.sql, field.type)

    # ---------------------------------------------------------------------------------- operators

    def binary(self, node: tree.Binary) -> Typed:
        left, right = self.expression(node.left), self.expression(node.right)
        if node.operator == "||":
            return self.invoke("concat", [left, right], node)
        numeric = left.type.is_numeric or left.type.base == "unknown"
        if numeric and (right.type.is_numeric or right.type.base == "unknown") and left.type != right.type != UNKNOWN:
            return self._arithmetic(node, left, right)
        if left.type.is_numeric and (right.type.is_numeric or right.type.base == "unknown"):
            return self._arithmetic(node, left, right)
        return self.invoke(node.operator, [left, right], node)

    def _arithmetic(self, node: tree.Binary, left: Typed, right: Typed) -> Typed:
        try:
            return arithmetic(node.operator, left, right)
        except TrinoError as error:
            raise self.error_at(error.name, error.message, node.operator_position) from None

    def negative(self, node: tree.Negative) -> Typed:
        value = self.expression(node.operand)
        if value.type.is_numeric:
            if value.type.base == "decimal":
                return Typed(f"CAST(-{value.sql} AS {value.physical})", value.type)
            return Typed(f"(-{value.sql})", value.type)
        if value.type.base in ("interval day to second", "interval year to month"):
            return Typed(f"(-{value.sql})", value.type)
        raise self.error("TYPE_MISMATCH", f"Cannot negate {value.type}", node)

    def positive(self, node: tree.Positive) -> Typed:
        value = self.expression(node.operand)
        if not (value.type.is_numeric or value.type.base.startswith("interval")):
            raise self.error("TYPE_MISMATCH", f"Unary '+' operator cannot by applied to {value.type} type", node)
        return value

    def comparison(self, node: tree.Comparison) -> Typed:
        left, right = self.expression(node.left), self.expression(node.right)
        left, right = self.comparable_pair(node.operator, left, right, node.operator_position)
        return Typed(comparison(node.operator, left, right), BOOLEAN)

    def comparable_pair(self, operator: str, left: Typed, right: Typed, position: int) -> tuple[Typed, Typed]:
        """Both sides in their common type. Raises TrinoError TYPE_MISMATCH."""
        common = common_super_type(left.type, right.type)
        allowed = common is not None and (
            is_comparable(common) if operator in ("=", "<>", "IS DISTINCT FROM") else is_orderable(common)
        )
        if common is None or not allowed:
            raise self.error_at(
                "TYPE_MISMATCH", f"Cannot apply operator: {left.type} {operator} {right.type}", position
            )
        return coerce(left, common), coerce(right, common)

    def distinct(self, node: tree.Distinct) -> Typed:
        left, right = self.expression(node.left), self.expression(node.right)
        left, right = self.comparable_pair("IS DISTINCT FROM", left, right, node.position)
        return Typed(distinct_from(left.sql, right.sql, left.type, negated=node.negated), BOOLEAN)

    def logical(self, node: tree.Logical) -> Typed:
        terms = [
            self.condition(term, "Logical expression term must evaluate to a boolean (actual: {type})").sql
            for term in node.terms
        ]
        return Typed(f"({f' {node.operator} '.join(terms)})", BOOLEAN)

    def negation(self, node: tree.Not) -> Typed:
        operand = node.operand
        if isinstance(operand, tree.InList | tree.InQuery | tree.Between | tree.Like):
            return Typed(f"(NOT {self.expression(operand).sql})", BOOLEAN)
        value = self.condition(operand, "Value of logical NOT expression must evaluate to a boolean (actual: {type})")
        return Typed(f"(NOT {value.sql})", BOOLEAN)

    def is_null(self, node: tree.IsNull) -> Typed:
        value = self.expression(node.operand)
        return Typed(f"({value.sql} IS {'NOT ' if node.negated else ''}NULL)", BOOLEAN)

    def between(self, node: tree.Between) -> Typed:
        values = [self.expression(node.operand), self.expression(node.low), self.expression(node.high)]
        common = UNKNOWN
        for value in values:
            found = common_super_type(common, value.type)
            if found is None or not is_orderable(found):
                shown = f"{values[0].type} BETWEEN {values[1].type} AND {values[2].type}"
                raise self.error("TYPE_MISMATCH", f"Cannot check if {shown}", node)
            common = found
        value, low, high = (coerce(one, common) for one in values)
        if has_plain_comparison(common):
            return Typed(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", BOOLEAN)
        return Typed(f"({comparison('>=', value, low)} AND {comparison('<=', value, high)})", BOOLEAN)

    def in_list(self, node: tree.InList) -> Typed:
        value = self.expression(node.operand)
        items = [self.expression(item) for item in node.items]
        common = self.common_type(
            [value, *items],
            node,
            "IN value and list items must be the same type or coercible to a common type. "
            "Cannot find common type between {one} and {other}, all types (without duplicates): {types}",
        )
        value = coerce(value, common)
        items = [coerce(item, common) for item in items]
        if has_plain_comparison(common):
            return Typed(f"({value.sql} IN ({', '.join(item.sql for item in items)}))", BOOLEAN)
        return Typed(f"({' OR '.join(comparison('=', value, item) for item in items)})", BOOLEAN)

    def like(self, node: tree.Like) -> Typed:
        value, pattern = self.expression(node.operand), self.expression(node.pattern)
        for side, part in (("Left side", value), ("Pattern for", pattern)):
            if not (part.type.is_character or part.type.base == "unknown"):
                text = f"{side} of LIKE expression must evaluate to a varchar (actual: {part.type})"
                if side != "Left side":
                    text = f"Pattern for LIKE expression must evaluate to a varchar (actual: {part.type})"
                raise self.error("TYPE_MISMATCH", text, node)
        text_sql = coerce(value, types.VARCHAR).sql
        pattern_sql = coerce(pattern, types.VARCHAR).sql
        if node.escape is None:
            return Typed(f"({text_sql} LIKE {pattern_sql})", BOOLEAN)
        escape = self.expression(node.escape)
        if not (escape.type.is_character or escape.type.base == "unknown"):
            message = f"Escape for LIKE expression must evaluate to a varchar (actual: {escape.type})"
            raise self.error("TYPE_MISMATCH", message, node)
        if isinstance(escape.literal, str) and isinstance(pattern.literal, str):
            _check_like_escape(pattern.literal, escape.literal)
            if len(escape.literal) == 1:
                return Typed(f"({text_sql} LIKE {pattern_sql} ESCAPE {escape.sql})", BOOLEAN)
        sql = f"trino_like({text_sql}, {pattern_sql}, {coerce(escape, types.VARCHAR).sql})"
        return Typed(sql, BOOLEAN)

    def case(self, node: tree.Case) -> Typed:
        operand = self.expression(node.operand) if node.operand is not None else None
        conditions: list[Typed] = []
        for condition, _ in node.branches:
            if operand is None:
                conditions.append(
                    self.condition(condition, "CASE WHEN clause must evaluate to a boolean (actual: {type})")
                )
            else:
                conditions.append(self.expression(condition))
        results = [self.expression(result) for _, result in node.branches]
        if node.default is not None:
            results.append(self.expression(node.default))
        common = self.common_type(
            results,
            node,
            "All CASE results must be the same type or coercible to a common type. "
            "Cannot find common type between {one} and {other}, all types (without duplicates): {types}",
        )
        head = ""
        tests = [condition.sql for condition in conditions]
        if operand is not None:
            shared = common_super_type(operand.type, conditions[0].type)
            if (
                shared is not None
                and has_plain_comparison(shared)
                and all(common_super_type(shared, condition.type) == shared for condition in conditions)
            ):
                head = " " + coerce(operand, shared).sql
                tests = [coerce(condition, shared).sql for condition in conditions]
            else:
                tests = []
                for compared in conditions:
                    if common_super_type(operand.type, compared.type) is None:
                        message = "CASE operand type does not match WHEN clause operand type"
                        raise self.error("TYPE_MISMATCH", f"{message}: {operand.type} vs {compared.type}", node)
                    pair = self.comparable_pair("=", operand, compared, node.position)
                    tests.append(comparison("=", *pair))
        cases = " ".join(
            f"WHEN {test} THEN {coerce(result, common).sql}" for test, result in zip(tests, results, strict=False)
        )
        default = coerce(results[-1], common).sql if node.default is not None else literals.null(common).sql
        return Typed(f"(CASE{head} {cases} ELSE {default} END)", common)

    # ---------------------------------------------------------------------------------- constructors

    def row(self, node: tree.RowConstructor) -> Typed:
        values = [self.expression(item) for item in node.items]
        fields = ", ".join(f"f{i} := {value.sql}" for i, value in enumerate(values))
        names = tuple(node.names) if node.names is not None else (None,) * len(values)
        return Typed(f"struct_pack({fields})", TrinoType("row", (), tuple(value.type for value in values), names))

    def array(self, node: tree.ArrayConstructor) -> Typed:
        values = [self.expression(item) for item in node.items]
        common = self.common_type(
            values,
            node,
            "All ARRAY elements must be the same type or coercible to a common type. "
            "Cannot find common type between {one} and {other}, all types (without duplicates): {types}",
        )
        found = types.array(common)
        if not values:
            return Typed(f"CAST([] AS {physical_type(found)})", found)
        return Typed(f"[{', '.join(coerce(value, common).sql for value in values)}]", found)

    def subscript(self, node: tree.Subscript) -> Typed:
        base, index = self.expression(node.base), self.expression(node.index)
        if base.type.base == "row":
            if not isinstance(index.literal, int) or index.type != types.INTEGER:
                raise self.error(
                    "EXPRESSION_NOT_CONSTANT",
                    "Subscript expression on ROW requires a constant index"
                    if index.literal is None
                    else "Subscript expression on ROW requires integer index",
                    node.index,
                )
            if not 1 <= index.literal <= len(base.type.elements):
                problem = "ROW index must be positive" if index.literal < 1 else "ROW index out of bounds"
                message = f"Invalid subscript index: {index.literal}. {problem}"
                raise self.error("INVALID_FUNCTION_ARGUMENT", message, node.index)
            return Typed(f"({base.sql}).f{index.literal - 1}", base.type.elements[index.literal - 1])
        return self.invoke("[]", [base, index], node)

    # ---------------------------------------------------------------------------------- casts and times

    def cast(self, node: tree.Cast) -> Typed:
        from embedded.sql.functions.conversion import explicit_cast

        value = self.expression(node.operand)
        try:
            target = parse_type(node.type.text)
        except TrinoError as error:
            raise self.error(error.name, error.message, node.type) from None
        if target.base.startswith("time") and target.precision > 12:
            message = f"{target.base.upper()} precision must be in range [0, 12]: {target.precision}"
            raise self.error("NUMERIC_VALUE_OUT_OF_RANGE", message, node.type)
        if target.base == "decimal" and (
            target.precision > 38 or target.precision < 1 or target.scale > target.precision
        ):
            message = (
                f"DECIMAL scale must be in range [0, precision ({target.precision})]: {target.scale}"
                if 1 <= target.precision <= 38
                else f"DECIMAL precision must be in range [1, 38]: {target.precision}"
            )
            raise self.error("INVALID_FUNCTION_ARGUMENT", message, node.type)
        if value.is_null or value.type.base == "unknown":
            return coerce(value, target)
        return explicit_cast(self, value, target, node)  # type: ignore[arg-type]  # self is the Analyser

    def extract(self, node: tree.Extract) -> Typed:
        value = self.expression(node.operand)
        name = _EXTRACT_FUNCTIONS.get(node.field)
        if name is None:
            raise self.error("SYNTAX_ERROR", f"Invalid EXTRACT field: {node.field}", node)
        base = value.type.base
        if base != "unknown" and not base.startswith(("date", "time", "interval")):
            message = f"Type of argument to extract must be DATE, TIME, TIMESTAMP, or INTERVAL (actual {value.type})"
            raise self.error("TYPE_MISMATCH", message, node.operand)
        if name.startswith("timezone") and base != "unknown" and not base.endswith("with time zone"):
            message = f"Type of argument to extract time zone field must have a time zone (actual {value.type})"
            raise self.error("TYPE_MISMATCH", message, node.operand)
        return self.invoke(name, [value], node)

    def at_time_zone(self, node: tree.AtTimeZone) -> Typed:
        value, zone = self.expression(node.operand), self.expression(node.zone)
        if value.type.base == "timestamp":
            value = coerce(value, types.timestamp_with_time_zone(value.type.precision))
        elif value.type.base == "time":
            value = coerce(value, types.time_with_time_zone(value.type.precision))
        if value.type.base not in ("timestamp with time zone", "time with time zone"):
            message = f"Type of value must be a time or timestamp with or without time zone (actual {value.type})"
            raise self.error("TYPE_MISMATCH", message, node.operand)
        return self.invoke("at_timezone", [value, zone], node)

    def current_time(self, node: tree.CurrentTime) -> Typed:
        precision = 3 if node.precision is None else node.precision
        if precision > 12:
            kind = "TIME" if node.function in ("CURRENT_TIME", "LOCALTIME") else "TIMESTAMP"
            kind += " WITH TIME ZONE" if node.function.startswith("CURRENT") else ""
            message = f"{kind} precision must be in range [0, 12]: {precision}"
            raise self.error("NUMERIC_VALUE_OUT_OF_RANGE", message, node)
        step = 10 ** max(0, 6 - precision)
        # rounded half up to the precision, as Trino does (the date is not)
        micros = (
            self.moment.micros if node.function == "CURRENT_DATE" else (self.moment.micros + step // 2) // step * step
        )
        if node.function == "CURRENT_DATE":
            return Typed(literals.date_sql(micros // 86_400_000_000), types.DATE)
        if node.function == "CURRENT_TIMESTAMP":
            sql = literals.timestamp_with_zone_sql(micros, 0, precision, "UTC")
            return Typed(sql, types.timestamp_with_time_zone(precision))
        if node.function == "LOCALTIMESTAMP":
            return Typed(literals.timestamp_sql(micros, 0, precision), types.timestamp(precision))
        picos = f"CAST({micros % 86_400_000_000 * 1_000_000} AS BIGINT)"
        if node.function == "LOCALTIME":
            return Typed(picos, types.time(precision))
        if node.function == "CURRENT_TIME":
            return Typed(f"{{'p': {picos}, 'o': CAST(0 AS INTEGER)}}", types.time_with_time_zone(precision))
        text = {"CURRENT_CATALOG": "awsdatacatalog", "CURRENT_SCHEMA": self.database}.get(node.function, "")
        return Typed(text_literal(text), types.VARCHAR, text)

    # ---------------------------------------------------------------------------------- calls

    def call(self, node: tree.Call) -> Typed:
        if self.row_pattern is not None:
            found = self.row_pattern.call(node)
            if found is not None:
                return found
        special = registry.special_form(node.name)
        if special is not None:
            self._refuse_modifiers(node)
            return special(self, node)  # type: ignore[arg-type]  # self is the Analyser that completes this class
        kind = registry.function_kind(node.name)
        if kind is None:
            raise self.error("FUNCTION_NOT_FOUND", f"Function '{node.name}' not registered", node)
        if kind == "scalar":
            self._refuse_modifiers(node)
            return self.invoke(node.name, self.arguments(node), node)
        return self.aggregate(node, kind)

    def arguments(self, node: tree.Call) -> list[Typed | tree.Lambda]:
        found: list[Typed | tree.Lambda] = []
        for argument in node.arguments:
            if isinstance(argument, tree.Lambda):
                found.append(argument)
            elif isinstance(argument, tree.AllFields):
                raise self.error("NOT_SUPPORTED", "<identifier>.* not allowed in this context", argument)
            else:
                found.append(self.expression(argument))
        return found

    def _refuse_modifiers(self, node: tree.Call) -> None:
        if node.window is not None:
            raise self.error("FUNCTION_NOT_WINDOW", f"Not a window function: {node.name}", node)
        if node.filter is not None:
            raise self.error("FUNCTION_NOT_AGGREGATE", "Filter is only valid for aggregation functions", node)
        if node.distinct:
            raise self.error("FUNCTION_NOT_AGGREGATE", "DISTINCT is not supported for non-aggregation functions", node)
        if node.order_by:
            raise self.error("FUNCTION_NOT_AGGREGATE", "ORDER BY is only valid for aggregation functions", node)
        if node.is_star:
            raise self.error("FUNCTION_NOT_FOUND", f"Unexpected parameters (*) for function {node.name}", node)

    def invoke(
        self,
        name: str,
        arguments: Sequence[Typed | tree.Lambda],
        node: tree.Expression,
        modifiers: Modifiers | None = None,
    ) -> Typed:
        """Resolves a function or operator by its argument types and emits the call."""
        kinds: list[TrinoType | int] = [
            len(argument.parameters) if isinstance(argument, tree.Lambda) else argument.type for argument in arguments
        ]
        match = registry.resolve(name, tuple(kinds))
        if not isinstance(match, Match):
            raise self.unresolved(name, arguments, node, is_ambiguous=match == "ambiguous")
        bindings = dict(match.bindings)
        typed = self._bound_arguments(match, arguments, bindings, name, node)
        result = registry.result_type(match, bindings)
        invocation = Invocation(match.function, typed, result, bindings, self, node, modifiers)  # type: ignore[arg-type]  # self is the Analyser
        found = Typed(match.function.emit(invocation), result)
        return self.before_try(found) if match.function.is_volatile else found

    def _bound_arguments(
        self,
        match: Match,
        arguments: Sequence[Typed | tree.Lambda],
        bindings: registry.Bindings,
        name: str,
        node: tree.Expression,
    ) -> list[Typed]:
        """The arguments in the types the function wants; `bindings` grows by what the lambdas answer."""
        typed: list[Typed] = []
        for index, argument in enumerate(arguments):
            if not isinstance(argument, tree.Lambda):
                typed.append(coerce(argument, registry.argument_type(match, index, bindings)))
                continue
            parameter_types = registry.lambda_types(match, index, bindings)
            body = self.lambda_body(argument, parameter_types)
            target = registry.bind_lambda_result(match, index, body.type, bindings)
            if target is None:
                raise self.unresolved(name, arguments, node, is_ambiguous=False)
            if registry.lambda_types(match, index, bindings) != parameter_types:
                # the answer widened a type that the lambda's own parameters bear: begin again with the wider one
                return self._bound_arguments(match, arguments, bindings, name, node)
            coerced = coerce(body, target)
            function_type = TrinoType("function", (), (*parameter_types, target))
            typed.append(Typed(coerced.sql, function_type, body.literal, False, body.parameters))
        return typed

    def unresolved(
        self, name: str, arguments: Sequence[Typed | tree.Lambda], node: tree.Expression, *, is_ambiguous: bool
    ) -> TrinoError:
        shown = ["<function>" if isinstance(argument, tree.Lambda) else str(argument.type) for argument in arguments]
        if is_ambiguous:
            message = "Could not choose a best candidate operator. Explicit type casts must be added."
            return self.error("AMBIGUOUS_FUNCTION_CALL", message, node)
        if name in ("+", "-", "*", "/", "%"):
            position = node.operator_position if isinstance(node, tree.Binary) else node.position
            return self.error_at("TYPE_MISMATCH", f"Cannot apply operator: {f' {name} '.join(shown)}", position)
        if name == "[]":
            return self.error("TYPE_MISMATCH", f"Cannot apply operator: {shown[0]}[{shown[1]}]", node)
        candidates = sorted(registry.candidates(name), key=lambda function: not function.is_generic)
        expected = ", ".join(function.display for function in candidates if not function.is_hidden)
        message = f"Unexpected parameters ({', '.join(shown)}) for function {name}. Expected: {expected}"
        return self.error("FUNCTION_NOT_FOUND", message, node)

    def lambda_body(self, node: tree.Lambda, parameter_types: Sequence[TrinoType]) -> Typed:
        """The body with its parameters in reach; `parameters` of the answer are their DuckDB names."""
        depth = len(self.lambdas)
        if depth >= DEEPEST_NESTING:
            message = f"More than {DEEPEST_NESTING} nested lambdas are not supported by the embedded engine"
            raise self.error("NOT_SUPPORTED", message, node)
        names = tuple(f"l{depth}_{i}" for i in range(len(node.parameters)))
        self.lambdas.append(
            {
                parameter.lower(): Typed(name, parameter_type)
                for parameter, name, parameter_type in zip(node.parameters, names, parameter_types, strict=True)
            }
        )
        try:
            body = self.expression(node.body)
        finally:
            self.lambdas.pop()
        return Typed(body.sql, body.type, body.literal, body.is_null, names)

    def lambda_alone(self, node: tree.Lambda) -> NoReturn:
        raise self.error("TYPE_MISMATCH", "Lambda expression should always be used inside a function", node)

    # ---------------------------------------------------------------------------------- aggregates and windows

    def aggregate(self, node: tree.Call, kind: str) -> Typed:
        level = self.level
        if kind == "window" and node.window is None:
            raise self.error("MISSING_OVER", f"Window function {node.name} requires an OVER clause", node)
        if level.forbids_aggregates:
            message = (
                f"{level.forbids_aggregates} cannot contain aggregations, window functions or grouping operations: "
                f"[{_shown(node)}]"
            )
            raise self.error("EXPRESSION_NOT_SCALAR", message, node)
        if node.window is None and level.in_aggregate:
            message = f"Cannot nest aggregations inside aggregation '{level.in_aggregate}': [{_shown(node)}]"
            raise self.error("NESTED_AGGREGATION", message, node)
        self._refuse_window_clauses(node)
        modifiers = Modifiers(distinct=node.distinct, ignore_nulls=bool(node.ignore_nulls))
        mark = len(level.ungrouped)
        outer_aggregate, outer_inputs = level.in_aggregate, self.try_inputs
        self.try_inputs = None
        if node.window is None:
            level.has_aggregate = True
            level.in_aggregate = node.name
        else:
            level.has_window = True
        try:
            arguments: list[Typed | tree.Lambda] = [] if node.is_star else self.arguments(node)
            if node.order_by:
                modifiers.order_by = self.sort_sql(node.order_by)
                self._require_sorted_arguments(node, arguments)
            if node.filter is not None:
                modifiers.filter = self.condition(
                    node.filter, "Filter expression must evaluate to a boolean (actual: {type})"
                ).sql
        finally:
            level.in_aggregate = outer_aggregate
            if node.window is None:
                self.try_inputs = outer_inputs
        if node.window is None:
            del level.ungrouped[mark:]
        else:
            modifiers.over = f"OVER ({self.window_sql(node.window, node)})"
        if node.distinct:
            arguments = [self._distinct_argument(argument, node) for argument in arguments]
        found = self.invoke(node.name, arguments, node, modifiers)
        if level.group_values and node.window is None:
            # inside an aggregate a key is itself, not the value that stands for its group
            found.sql = level.key_pattern().sub(lambda match: PROTECTED + match.group(), found.sql)
        self.try_inputs = outer_inputs
        return self.before_try(found)

    def _refuse_window_clauses(self, node: tree.Call) -> None:
        """What Athena has not: FILTER, ORDER BY and DISTINCT with OVER."""
        if node.window is not None:
            if node.filter is not None:
                raise self.error("NOT_SUPPORTED", "FILTER is not yet supported for window functions", node)
            if node.order_by:
                raise self.error("NOT_SUPPORTED", "Window function with ORDER BY is not supported", node)
            if node.distinct:
                message = f"DISTINCT in window function parameters not yet supported: {_shown(node)}"
                raise self.error("NOT_SUPPORTED", message, node)

    def _require_sorted_arguments(self, node: tree.Call, arguments: Sequence[Typed | tree.Lambda]) -> None:
        given = {argument.sql for argument in arguments if isinstance(argument, Typed)}
        if node.distinct and any(self.expression(item.expression).sql not in given for item in node.order_by):
            message = "For aggregate function with DISTINCT, ORDER BY expressions must appear in arguments"
            raise self.error("EXPRESSION_NOT_IN_DISTINCT", message, node)

    def _distinct_argument(self, argument: Typed | tree.Lambda, node: tree.Call) -> Typed | tree.Lambda:
        """DISTINCT over values that differ only in zone or map order: count needs just what tells them apart."""
        if isinstance(argument, tree.Lambda) or has_plain_identity(argument.type):
            return argument
        if node.name != "count":
            message = f"{node.name}(DISTINCT) of {argument.type} is not supported by the embedded engine"
            raise self.error("NOT_SUPPORTED", message, node)
        return Typed(identity_key(argument.sql, argument.type), argument.type)

    def before_try(self, value: Typed) -> Typed:
        """Inside TRY, what DuckDB's TRY refuses to hold (aggregates, sub-queries) is computed before it and handed in.

        Trino too computes them in a plan step of their own, whose errors TRY does not catch.
        """
        if self.try_inputs is None or self.lambdas:
            return value
        self.try_inputs.append(value.sql)
        return Typed(f"try_.a{len(self.try_inputs) - 1}", value.type)

    def sort_sql(self, items: Sequence[tree.SortItem]) -> str:
        return ", ".join(self.sort_item_sql(item) for item in items)

    def sort_item_sql(self, item: tree.SortItem) -> str:
        value = self.expression(item.expression)
        if not is_orderable(value.type):
            message = f"Type {value.type} is not orderable, and therefore cannot be used in ORDER BY"
            raise self.error("TYPE_MISMATCH", message, item)
        return sort_key(value.sql, value.type) + direction(item)

    def window_sql(self, window: tree.Window | str, node: tree.Call) -> str:
        specification = self.window_specification(window, node)
        if specification.pattern is not None:
            message = "Functions over a window with row pattern recognition are not supported by the embedded engine"
            raise self.error("NOT_SUPPORTED", message, node)
        parts: list[str] = []
        if specification.partition_by:
            keys: list[str] = []
            for expression in specification.partition_by:
                value = self.expression(expression)
                keys.append(sort_key(value.sql, value.type))
            parts.append(f"PARTITION BY {', '.join(keys)}")
        if specification.order_by:
            parts.append(f"ORDER BY {self.sort_sql(specification.order_by)}")
        if specification.frame is not None:
            parts.append(self.frame_sql(specification.frame, specification.order_by))
        return " ".join(parts)

    def window_specification(self, window: tree.Window | str, node: tree.Node) -> tree.Window:
        """The specification with named windows it builds upon merged in."""
        name = window if isinstance(window, str) else window.existing
        if name is None:
            assert isinstance(window, tree.Window)
            return window
        base = self.level.windows.get(name)
        if base is None:
            raise self.error("INVALID_WINDOW_REFERENCE", f"Cannot resolve WINDOW name {name}", node)
        if isinstance(window, str):
            return self.window_specification(base, node)
        base = self.window_specification(base, node)
        return tree.Window(
            window.position,
            None,
            window.partition_by or base.partition_by,
            window.order_by or base.order_by,
            window.frame or base.frame,
            window.pattern or base.pattern,
        )

    def measure(self, node: tree.Measure) -> Typed:
        from embedded.sql.row_patterns import window_measure

        self.level.has_window = True
        return window_measure(self, self.window_specification(node.window, node), node)  # type: ignore[arg-type]  # self is the Analyser

    def frame_sql(self, frame: tree.Frame, order_by: Sequence[tree.SortItem]) -> str:
        start = self.bound_sql(frame.start, frame, order_by)
        end = self.bound_sql(frame.end, frame, order_by) if frame.end is not None else "CURRENT ROW"
        return f"{frame.unit} BETWEEN {start} AND {end}"

    def bound_sql(self, bound: tree.FrameBound, frame: tree.Frame, order_by: Sequence[tree.SortItem]) -> str:
        if bound.offset is None:
            return _FRAME_BOUNDS[bound.kind]
        offset = self.expression(bound.offset)
        if frame.unit == "RANGE":
            return f"{self.range_offset_sql(offset, order_by, bound)} {bound.kind}"
        if not offset.type.is_integer and not (offset.type.base == "decimal" and offset.type.scale == 0):
            side = "start" if bound is frame.start else "end"
            message = f"Window frame {frame.unit} {side} value type must be exact numeric type with scale 0"
            raise self.error("TYPE_MISMATCH", f"{message} (actual {offset.type})", bound)
        sql = coerce(offset, types.BIGINT).sql if offset.type.is_integer else f"CAST({offset.sql} AS BIGINT)"
        failure = registry.error_sql(
            "INVALID_WINDOW_FRAME", "'Window frame offset value must not be negative or null'", "BIGINT"
        )
        if not isinstance(offset.literal, int):
            sql = f"CASE WHEN {sql} IS NULL OR {sql} < 0 THEN {failure} ELSE {sql} END"
        return f"{sql} {bound.kind}"

    def range_offset_sql(self, offset: Typed, order_by: Sequence[tree.SortItem], bound: tree.FrameBound) -> str:
        if len(order_by) != 1:
            message = (
                "Window frame of type RANGE PRECEDING or FOLLOWING requires single sort item in ORDER BY (actual: "
            )
            raise self.error(
                "MISSING_ORDER_BY" if not order_by else "INVALID_ORDER_BY", f"{message}{len(order_by)})", bound
            )
        key = self.expression(order_by[0].expression).type
        if offset.type.base == "interval day to second":
            return f"to_milliseconds({offset.sql})"
        if offset.type.base == "interval year to month":
            return f"to_months({offset.sql})"
        if not (key.is_numeric and offset.type.is_numeric):
            raise self.error("TYPE_MISMATCH", f"Window frame of type RANGE does not match key {key}", bound)
        return offset.sql

    def grouping(self, node: tree.Grouping) -> Typed:
        columns = [self.expression(column) for column in node.columns]
        if self.level.grouping_columns is None:
            raise self.error(
                "MISSING_GROUP_BY",
                "A GROUPING() operation can only be used with a corresponding GROUPING SET/CUBE/ROLLUP/GROUP BY clause",
                node,
            )
        for column, expression in zip(columns, node.columns, strict=True):
            if column.sql not in self.level.group_sql:
                message = "The arguments to GROUPING() must be expressions referenced by the GROUP BY at line"
                raise self.error(
                    "INVALID_ARGUMENTS", f"{message} {self.source.line_and_column(expression.position)[0]}", node
                )
        physical = types.INTEGER if len(columns) <= 31 else types.BIGINT
        if not columns:
            return literals.integer_of(0, physical)
        if not self.level.grouping_columns:
            return literals.integer_of(0, physical)
        arguments = ", ".join(identity_key(column.sql, column.type) for column in columns)
        if self.level.group_values:
            arguments = self.level.key_pattern().sub(lambda match: PROTECTED + match.group(), arguments)
        return Typed(f"CAST(grouping({arguments}) AS {physical_type(physical)})", physical)

    # ---------------------------------------------------------------------------------- sub-queries

    def subquery(self, query: tree.Query) -> Output:
        raise NotImplementedError

    def scalar_query(self, node: tree.ScalarQuery) -> Typed:
        output = self.subquery(node.query)
        visible = output.fields
        if len(visible) != 1:
            fields = ", ".join(f"f{i} := c{i}" for i in range(len(visible)))
            row = TrinoType("row", (), tuple(field.type for field in visible), tuple(field.name for field in visible))
            return self.before_try(Typed(f"(SELECT struct_pack({fields}) FROM ({output.sql}))", row))
        return self.before_try(Typed(f"({output.sql})", visible[0].type))

    def exists(self, node: tree.Exists) -> Typed:
        return self.before_try(Typed(f"EXISTS ({self.subquery(node.query).sql})", BOOLEAN))

    def in_query(self, node: tree.InQuery) -> Typed:
        value = self.expression(node.operand)
        return self._against_query("IN", "=", value, node.query, node)

    def quantified(self, node: tree.Quantified) -> Typed:
        value = self.expression(node.operand)
        return self._against_query(f"{node.operator} {node.quantifier}", node.operator, value, node.query, node)

    def _against_query(
        self, phrase: str, operator: str, value: Typed, query: tree.Query, node: tree.Expression
    ) -> Typed:
        output = self.subquery(query)
        if len(output.fields) == 1:
            column = Typed("c0", output.fields[0].type)
        elif value.type.base == "row" and len(value.type.elements) == len(output.fields):
            fields = ", ".join(f"f{i} := c{i}" for i in range(len(output.fields)))
            column = Typed(f"struct_pack({fields})", types.row(*(field.type for field in output.fields)))
        else:
            message = f"Multiple columns returned by subquery are not yet supported. Found {len(output.fields)}"
            raise self.error("NOT_SUPPORTED", message, node)
        if value.type.base == "row" and len(value.type.elements) == 1 and column.type.base != "row":
            value = Typed(f"({value.sql}).f0", value.type.elements[0])
        common = common_super_type(value.type, column.type)
        if common is None or not (is_comparable(common) if operator in ("=", "<>") else is_orderable(common)):
            if phrase == "IN":
                message = "value and result of subquery must be of the same type for IN expression"
            else:
                message = "Value expression and result of subquery must be of the same type for quantified comparison"
            raise self.error("TYPE_MISMATCH", f"{message}: {value.type} vs {column.type}", node)
        left, right = coerce(value, common), coerce(column, common)
        left_key, right_key = sort_key(left.sql, common), sort_key(right.sql, common)
        inner = output.sql if right_key == "c0" else f"SELECT {right_key} FROM ({output.sql})"
        return self.before_try(Typed(f"({left_key} {phrase} ({inner}))", BOOLEAN))

    def all_fields(self, node: tree.AllFields) -> NoReturn:
        raise self.error("NOT_SUPPORTED", "<identifier>.* not allowed in this context", node)


def direction(item: tree.SortItem) -> str:
    """NULLs sort last in Trino, ascending or descending."""
    return (" DESC" if item.descending else " ASC") + (" NULLS FIRST" if item.nulls_first else " NULLS LAST")


def _name_parts(node: tree.Expression) -> list[str] | None:
    parts: list[str] = []
    while isinstance(node, tree.Dereference):
        parts.append(node.name.name)
        node = node.base
    if not isinstance(node, tree.Identifier):
        return None
    parts.append(node.name)
    return parts[::-1]


def _shown(node: tree.Expression) -> str:
    """The expression as Trino prints it, near enough for names and calls."""
    if isinstance(node, tree.Identifier):
        return node.name
    if isinstance(node, tree.Dereference):
        return f"{_shown(node.base)}.{node.name.name}"
    if isinstance(node, tree.Call):
        inside = "*" if node.is_star else ", ".join(_shown(argument) for argument in node.arguments)
        return f"{node.name}({inside})"
    if isinstance(node, tree.IntegerLiteral):
        return str(node.value)
    if isinstance(node, tree.StringLiteral):
        return f"'{node.value}'"
    if isinstance(node, tree.Binary):
        return f"({_shown(node.left)} {node.operator} {_shown(node.right)})"
    return "expression"


shown = _shown


def _check_like_escape(pattern: str, escape: str) -> None:
    if len(escape) > 1:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", "Escape string must be a single character")
    if not escape:
        return
    index = 0
    while index < len(pattern):
        if pattern[index] == escape:
            if index + 1 >= len(pattern) or pattern[index + 1] not in ("%", "_", escape):
                raise TrinoError(
                    "INVALID_FUNCTION_ARGUMENT",
                    "Escape character must be followed by '%', '_' or the escape character itself",
                )
            index += 1
        index += 1


_METHODS: dict[type, Callable[..., Typed]] = {
    tree.NullLiteral: ExpressionAnalyser.null,
    tree.BooleanLiteral: ExpressionAnalyser.boolean,
    tree.StringLiteral: ExpressionAnalyser.string,
    tree.BinaryLiteral: ExpressionAnalyser.binary_literal,
    tree.IntegerLiteral: ExpressionAnalyser.integer,
    tree.DecimalLiteral: ExpressionAnalyser.decimal,
    tree.DoubleLiteral: ExpressionAnalyser.double,
    tree.TypedLiteral: ExpressionAnalyser.typed_literal,
    tree.IntervalLiteral: ExpressionAnalyser.interval,
    tree.Parameter: ExpressionAnalyser.parameter,
    tree.Identifier: ExpressionAnalyser.identifier,
    tree.Dereference: ExpressionAnalyser.dereference,
    tree.AllFields: ExpressionAnalyser.all_fields,
    tree.Call: ExpressionAnalyser.call,
    tree.Lambda: ExpressionAnalyser.lambda_alone,
    tree.Cast: ExpressionAnalyser.cast,
    tree.Binary: ExpressionAnalyser.binary,
    tree.Negative: ExpressionAnalyser.negative,
    tree.Positive: ExpressionAnalyser.positive,
    tree.Comparison: ExpressionAnalyser.comparison,
    tree.Distinct: ExpressionAnalyser.distinct,
    tree.Logical: ExpressionAnalyser.logical,
    tree.Not: ExpressionAnalyser.negation,
    tree.IsNull: ExpressionAnalyser.is_null,
    tree.Between: ExpressionAnalyser.between,
    tree.InList: ExpressionAnalyser.in_list,
    tree.InQuery: ExpressionAnalyser.in_query,
    tree.Like: ExpressionAnalyser.like,
    tree.Quantified: ExpressionAnalyser.quantified,
    tree.Exists: ExpressionAnalyser.exists,
    tree.ScalarQuery: ExpressionAnalyser.scalar_query,
    tree.Case: ExpressionAnalyser.case,
    tree.RowConstructor: ExpressionAnalyser.row,
    tree.ArrayConstructor: ExpressionAnalyser.array,
    tree.Subscript: ExpressionAnalyser.subscript,
    tree.Extract: ExpressionAnalyser.extract,
    tree.AtTimeZone: ExpressionAnalyser.at_time_zone,
    tree.CurrentTime: ExpressionAnalyser.current_time,
    tree.Grouping: ExpressionAnalyser.grouping,
    tree.Measure: ExpressionAnalyser.measure,
}
