"""Analysis of queries: SELECT, VALUES, set operations, relations, grouping; a syntax tree in, a Translation out.

Every relation in the emitted SQL has an alias of its own (r0, r1, ...) and every query's columns are c0, c1, ...:
no name of the user's ever meets a name of DuckDB's.
"""

# ruff: noqa: S608  (writing SQL is the job, user text enters as quoted literals)

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from embedded.sql import tree, types
from embedded.sql.catalogue import Catalogue, Column, TableScan, Translation
from embedded.sql.coercion import coerced_sql
from embedded.sql.comparison import comparison, has_plain_identity, identity_key, sort_key
from embedded.sql.expressions import DEEPEST_NESTING, ExpressionAnalyser, direction, shown
from embedded.sql.functions import registry
from embedded.sql.partition_predicate import partition_predicate
from embedded.sql.physical import physical_type, quoted
from embedded.sql.scope import CommonTable, Field, Level, Output, Scan, Scope
from embedded.sql.tokens import Source
from embedded.sql.typed import Typed, with_enclosed_parameters
from embedded.sql.types import BIGINT, UNKNOWN, TrinoType, common_super_type, is_comparable, is_orderable

_MAXIMUM_GROUPING_SETS = 2048


@dataclass(slots=True)
class _Item:
    """One output column of a SELECT."""

    value: Typed
    name: str | None
    node: tree.Expression
    field: Field | None = None
    is_alias: bool = False


class Analyser(ExpressionAnalyser):
    def __init__(
        self,
        sql: str,
        catalogue: Catalogue,
        *,
        database: str,
        now: datetime,
        parameters: Sequence[tree.Expression] = (),
    ) -> None:
        super().__init__(Source(sql), now=now, database=database, parameters=parameters)
        self.catalogue = catalogue
        self.scans: list[Scan] = []
        self.common_tables: list[dict[str, CommonTable]] = []
        self._relation_numbers = itertools.count()
        self._common_numbers = itertools.count()
        self._common_reads: list[CommonTable] = []
        self._inner_depth = 0  # of queries that DuckDB may take for correlated: sub-queries of expressions, LATERAL
        self._hoisted: list[tuple[str, str]] = []  # fenced queries taken out of those: (name, SQL), in order of need
        self._column_nodes: dict[int, str] = {}
        self._group_items: dict[str, str] = {}

    # ---------------------------------------------------------------------------------- the whole

    def translation(self, query: tree.Query) -> Translation:
        registry.load()
        output = self.query(query, None)
        for field in output.fields:
            if field.type.depth > DEEPEST_NESTING:
                message = f"Types nested deeper than {DEEPEST_NESTING} are not supported by the embedded engine"
                raise self.error("NOT_SUPPORTED", message, query)
        columns = tuple(
            Column(field.name if field.name is not None else f"_col{i}", field.type)
            for i, field in enumerate(output.fields)
        )
        return Translation(
            self._with_hoisted(output.sql),
            columns,
            tuple(self._table_scan(scan) for scan in self.scans),
            frozenset(self.functions),
        )

    def _table_scan(self, scan: Scan) -> TableScan:
        # a WITH query that is read twice has one scan: what one reading leaves out the other may want
        conjuncts = [term for term, through in scan.predicates if all(table.reads == 1 for table in through)]
        predicate = partition_predicate(conjuncts, self._column_nodes) if conjuncts else None
        return TableScan(scan.database, scan.table, scan.token, tuple(scan.used.values()), predicate, scan.catalog)

    def alias(self) -> str:
        return f"r{next(self._relation_numbers)}"

    def subquery(self, query: tree.Query) -> Output:
        level, scope, try_inputs = self.level, self.scope, self.try_inputs
        in_aggregate = level.in_aggregate
        self.try_inputs = None
        mark = len(self.referenced)
        self._inner_depth += 1
        try:
            output = self.query(query, scope)
            return _unfenced(output) if scope is not None and self._reaches_outside(mark, scope) else output
        finally:
            self._inner_depth -= 1
            self.level, self.scope, self.try_inputs = level, scope, try_inputs
            level.in_aggregate = in_aggregate

    # ---------------------------------------------------------------------------------- fences

    def _fenced(self, output: Output, reads_mark: int) -> Output:
        """A query whose WHERE is asked before anything outside it; it refers to nothing around it.

        DuckDB takes no fence below a correlation, for which it also takes the reading of a scan there. So inside of
        sub-queries the fenced query, which is correlated to nothing, stands at the top of the statement under a name.
        That is not materialised: DuckDB puts it back in place once it has bound it, its WHERE and its columns reach
        the files as ever. A query that reads a WITH query around it has to stay: its rows are behind fences already.
        """
        sql = f"SELECT * FROM ({output.sql}) AS {self.alias()}{_FENCE}"
        if self._inner_depth and not self._reads_around(reads_mark):
            name = f"fenced_{len(self._hoisted)}"
            self._hoisted.append((name, sql))
            sql = f"SELECT * FROM {name}"
        return Output(sql, output.fields)

    def _reads_around(self, mark: int) -> bool:
        """Whether anything since `mark` reads a WITH query that is declared around here."""
        around = {id(table) for reach in self.common_tables for table in reach.values()}
        return any(id(table) in around for table in self._common_reads[mark:])

    def _with_hoisted(self, sql: str) -> str:
        if not self._hoisted:
            return sql
        first = ", ".join(f"{name} AS NOT MATERIALIZED ({fenced})" for name, fenced in self._hoisted)
        for word in ("WITH RECURSIVE ", "WITH "):
            if sql.startswith(word):
                return f"{word}{first}, {sql[len(word) :]}"
        return f"WITH {first} {sql}"

    # ---------------------------------------------------------------------------------- queries

    def query(self, node: tree.Query, outer: Scope | None) -> Output:
        if not node.common_tables:
            return self._query_body(node, outer)
        reach: dict[str, CommonTable] = {}
        self.common_tables.append(reach)
        try:
            parts: list[tuple[CommonTable, str]] = []
            is_recursive = False
            for common in node.common_tables:
                key = common.name.lower()
                if key in reach:
                    raise self.error(
                        "DUPLICATE_NAMED_QUERY", f"WITH query name '{common.name}' specified more than once", common
                    )
                recursive = self._recursive_table(common, outer, reach) if node.recursive else None
                if recursive is not None:
                    table, sql = recursive
                    is_recursive = True
                else:
                    output = self.query(common.query, outer)
                    table = self._common_table(common, output.fields)
                    sql = output.sql
                reach[key] = table
                parts.append((table, sql))
            output = self._query_body(node, outer)
        finally:
            self.common_tables.pop()
        used = [f"{table.token}({_column_names(len(table.fields))}) AS ({sql})" for table, sql in parts if table.reads]
        if not used:
            return output
        word = "WITH RECURSIVE" if is_recursive else "WITH"
        return Output(f"{word} {', '.join(used)} {output.sql}", output.fields)

    def _common_table(self, node: tree.CommonTable, fields: list[Field]) -> CommonTable:
        token = f"w{next(self._common_numbers)}"
        names: list[str | None] = [field.name for field in fields]
        if node.columns is not None:
            if len(node.columns) != len(fields):
                message = f"Column alias list has {len(node.columns)} entries but relation has {len(fields)} columns"
                raise self.error("MISMATCHED_COLUMN_ALIASES", message, node)
            names = list(node.columns)
        renamed = [
            Field(name, field.type, f"c{i}", origin=field.origin, through=field.through)
            for i, (name, field) in enumerate(zip(names, fields, strict=True))
        ]
        return CommonTable(token, renamed)

    def _recursive_table(
        self, node: tree.CommonTable, outer: Scope | None, reach: dict[str, CommonTable]
    ) -> tuple[CommonTable, str] | None:
        """A WITH RECURSIVE table whose query is `base UNION [ALL] step`; None when it does not refer to itself."""
        body: tree.Body = node.query.body
        while isinstance(body, tree.Query) and not body.order_by and body.limit is None:
            body = body.body
        if not isinstance(body, tree.SetOperation) or body.kind != "UNION" or not _mentions(body.right, node.name):
            return None
        if node.columns is None:
            raise self.error("MISSING_COLUMN_ALIASES", "missing column aliases in recursive WITH query", node)
        base = self._body(body.left, outer)
        table = self._common_table(node, base.fields)
        for field in table.fields:
            field.origin = None
        reach[node.name.lower()] = table
        step = self._body(body.right, outer)
        del reach[node.name.lower()]
        if len(step.fields) != len(base.fields):
            message = "base and step relations of recursion have different number of fields"
            raise self.error("TYPE_MISMATCH", f"{message}: {len(base.fields)}, {len(step.fields)}", node)
        for a, b in zip(base.fields, step.fields, strict=True):
            if not types.can_coerce(b.type, a.type):
                message = (
                    f"recursion step relation output type ({b.type}) is not coercible to "
                    f"recursion base relation output type ({a.type})"
                )
                raise self.error("TYPE_MISMATCH", message, node)
        step_sql = self._coerced_output(step, [field.type for field in base.fields])
        # Trino's `UNION` recursion keeps duplicates out as DuckDB's does
        word = "UNION" if body.distinct else "UNION ALL"
        return table, f"({base.sql}) {word} ({step_sql})"

    def _query_body(self, node: tree.Query, outer: Scope | None) -> Output:
        body = node.body
        if isinstance(body, tree.Select):
            return self._select(body, outer, node)
        output = self._body(body, outer)
        if not (node.order_by or node.offset is not None or node.limit is not None):
            return output
        alias = self.alias()
        fields = [Field(field.name, field.type, f"{alias}.c{i}") for i, field in enumerate(output.fields)]
        sql = f"SELECT {alias}.* FROM ({output.sql}) AS {alias}"
        order_sql: list[str] = []
        if node.order_by:
            level, scope = self.level, self.scope
            self.level = Level()
            self.scope = Scope(fields, outer, self.level)
            for item in node.order_by:
                ordinal = self._ordinal(item.expression, len(fields))
                if ordinal is not None:
                    field = fields[ordinal]
                    self._check_orderable(field.type, item)
                    order_sql.append(sort_key(field.sql, field.type) + direction(item))
                else:
                    order_sql.append(self.sort_item_sql(item))
            self.level, self.scope = level, scope
        if node.with_ties:
            columns = ", ".join(f"{alias}.c{i}" for i in range(len(fields)))
            return Output(
                self._with_ties(f"SELECT {columns}", f"FROM ({output.sql}) AS {alias}", order_sql, node, len(fields)),
                output.fields,
            )
        if order_sql:
            sql += f" ORDER BY {', '.join(order_sql)}"
        return Output(sql + self._limit_sql(node), output.fields)

    def _limit_sql(self, node: tree.Query) -> str:
        sql = ""
        if node.limit is not None:
            sql += f" LIMIT {self._row_count(node.limit, 'LIMIT')}"
        if node.offset is not None:
            sql += f" OFFSET {self._row_count(node.offset, 'OFFSET')}"
        return sql

    def _row_count(self, node: tree.Expression, clause: str) -> int:
        if isinstance(node, tree.Parameter) and node.index < len(self.parameters):
            node = self.parameters[node.index]
        if not isinstance(node, tree.IntegerLiteral) or node.value < 0:
            raise self.error("INVALID_LIMIT_CLAUSE", f"{clause} row count must be a non-negative integer", node)
        if node.value >= 2**63:
            raise self.error("TYPE_MISMATCH", f"Invalid numeric literal: {node.value}", node)
        return node.value

    def _ordinal(self, node: tree.Expression, count: int) -> int | None:
        if not isinstance(node, tree.IntegerLiteral):
            return None
        if not 1 <= node.value <= count:
            raise self.error("INVALID_COLUMN_REFERENCE", f"ORDER BY position {node.value} is not in select list", node)
        return node.value - 1

    def _check_orderable(self, trino_type: TrinoType, node: tree.Node) -> None:
        if not is_orderable(trino_type):
            message = f"Type {trino_type} is not orderable, and therefore cannot be used in ORDER BY"
            raise self.error("TYPE_MISMATCH", message, node)

    def _with_ties(self, select: str, rest: str, order_sql: list[str], node: tree.Query, count: int) -> str:
        """FETCH FIRST n ROWS WITH TIES through rank()."""
        if not order_sql:
            raise self.error("MISSING_ORDER_BY", "FETCH FIRST WITH TIES clause requires ORDER BY", node)
        assert node.limit is not None
        limit = self._row_count(node.limit, "FETCH FIRST")
        if limit < 1:
            raise self.error("INVALID_LIMIT_CLAUSE", "FETCH FIRST WITH TIES row count must be positive", node)
        offset = self._row_count(node.offset, "OFFSET") if node.offset is not None else 0
        order = ", ".join(order_sql)
        alias, rank, number = self.alias(), f"c{count}", f"c{count + 1}"
        over = f"OVER (ORDER BY {order})"
        inner = f"{select}, rank() {over} AS {rank}, row_number() {over} AS {number} {rest}"
        names = _column_names(count + 2)
        columns = ", ".join(f"{alias}.c{i}" for i in range(count))
        if offset:
            # rows after the offset are ranked anew: ties are counted from the first row that is kept
            outer_alias = self.alias()
            kept = f"SELECT * FROM ({inner}) AS {alias}({names}) WHERE {number} > {offset}"
            again = (
                f"SELECT *, (SELECT max({rank}) FROM ({kept}) WHERE {number} <= {offset + limit}) AS last FROM ({kept})"
            )
            columns = ", ".join(f"{outer_alias}.c{i}" for i in range(count))
            return f"SELECT {columns} FROM ({again}) AS {outer_alias} WHERE {rank} <= last ORDER BY {number}"
        return f"SELECT {columns} FROM ({inner}) AS {alias}({names}) WHERE {rank} <= {limit} ORDER BY {number}"

    def _body(self, node: tree.Body, outer: Scope | None) -> Output:
        if isinstance(node, tree.Select):
            return self._select(node, outer, None)
        if isinstance(node, tree.Query):
            return self.query(node, outer)
        if isinstance(node, tree.Values):
            return self._values(node, outer)
        if isinstance(node, tree.TableQuery):
            sql, fields = self.relation(node.table, Scope([], outer, None))
            visible = [field for field in fields if not field.is_hidden]
            for field in visible:
                self.reference(field, tree.Identifier(node.position, field.name or ""))
            columns = ", ".join(f"{field.sql} AS c{i}" for i, field in enumerate(visible))
            return Output(
                f"SELECT {columns} FROM {sql}", [Field(f.name, f.type, f"c{i}") for i, f in enumerate(visible)]
            )
        return self._set_operation(node, outer)

    def _set_operation(self, node: tree.SetOperation, outer: Scope | None) -> Output:
        # a long chain of UNIONs leans to the left: walk it without recursion
        chain: list[tree.SetOperation] = []
        body: tree.Body = node
        while isinstance(body, tree.SetOperation):
            chain.append(body)
            body = body.left
        output = self._body(body, outer)
        for operation in reversed(chain):
            output = self._combined(operation, output, self._body(operation.right, outer))
        return output

    def _combined(self, node: tree.SetOperation, left: Output, right: Output) -> Output:
        if len(left.fields) != len(right.fields):
            message = f"{node.kind} query has different number of fields: {len(left.fields)}, {len(right.fields)}"
            raise self.error("TYPE_MISMATCH", message, node)
        common: list[TrinoType] = []
        for i, (a, b) in enumerate(zip(left.fields, right.fields, strict=True)):
            found = common_super_type(a.type, b.type)
            if found is None:
                message = f"column {i + 1} in {node.kind} query has incompatible types: {a.type}, {b.type}"
                raise self.error("TYPE_MISMATCH", message, node)
            if not is_comparable(found) and (node.distinct or node.kind != "UNION"):
                message = f"Type {found} is not comparable and therefore cannot be used in {node.kind}"
                raise self.error("TYPE_MISMATCH", message, node)
            common.append(found)
        word = node.kind if node.distinct else f"{node.kind} ALL"
        left_sql, right_sql = self._coerced_output(left, common), self._coerced_output(right, common)
        unchanged = left_sql is left.sql and left.chain == word
        sql = f"{left_sql} {word} ({right_sql})" if unchanged else f"({left_sql}) {word} ({right_sql})"
        if not all(map(has_plain_identity, common)) and not (node.kind == "UNION" and not node.distinct):
            if node.kind != "UNION":
                message = f"{node.kind} of values with time zone or maps is not supported by the embedded engine"
                raise self.error("NOT_SUPPORTED", message, node)
            columns = [Typed(f"c{i}", found) for i, found in enumerate(common)]
            sql = f"SELECT {self._distinct_sql(columns)}* FROM (({left_sql}) UNION ALL ({right_sql}))"
        return Output(
            sql, [Field(f.name, t, f"c{i}") for i, (f, t) in enumerate(zip(left.fields, common, strict=True))]
        )

    def _coerced_output(self, output: Output, wanted: Sequence[TrinoType]) -> str:
        if all(field.type == target for field, target in zip(output.fields, wanted, strict=True)):
            return output.sql
        columns = ", ".join(
            f"{coerced_sql(f'c{i}', field.type, target)} AS c{i}"
            for i, (field, target) in enumerate(zip(output.fields, wanted, strict=True))
        )
        return f"SELECT {columns} FROM ({output.sql})"

    def _values(self, node: tree.Values, outer: Scope | None) -> Output:
        level, scope = self.level, self.scope
        self.level = Level(forbids_aggregates="VALUES clause")
        self.scope = Scope([], outer, self.level)
        rows: list[list[Typed]] = []
        for row_node in node.rows:
            if isinstance(row_node, tree.RowConstructor):
                rows.append([self.expression(item) for item in row_node.items])
                continue
            value = self.expression(row_node)
            if value.type.base == "row":
                rows.append([Typed(f"({value.sql}).f{i}", element) for i, element in enumerate(value.type.elements)])
            else:
                rows.append([value])
        self.level, self.scope = level, scope
        width = len(rows[0])
        if any(len(one) != width for one in rows):
            message = "Values rows have mismatched sizes"
            sizes = sorted({len(one) for one in rows})
            raise self.error("TYPE_MISMATCH", f"{message}: {sizes[0]} vs {sizes[1]}", node)
        common = [UNKNOWN] * width
        for one in rows:
            for i, value in enumerate(one):
                found = common_super_type(common[i], value.type)
                if found is None:
                    message = f"Values rows have mismatched types: {_row_text(rows[0])} vs {_row_text(one)}"
                    raise self.error("TYPE_MISMATCH", message, node)
                common[i] = found
        coerced = [[self.coerce(v, t).sql for v, t in zip(one, common, strict=True)] for one in rows]
        fields = [Field(None, t, f"c{i}") for i, t in enumerate(common)]
        if len(rows) == 1:
            return Output("SELECT " + ", ".join(f"{sql} AS c{i}" for i, sql in enumerate(coerced[0])), fields)
        alias = self.alias()
        text = ", ".join(f"({', '.join(one)})" for one in coerced)
        return Output(f"SELECT * FROM (VALUES {text}) AS {alias}({_column_names(width)})", fields)

    # ---------------------------------------------------------------------------------- SELECT

    def _select(self, node: tree.Select, outer: Scope | None, query: tree.Query | None) -> Output:
        saved_level, saved_scope = self.level, self.scope
        level = Level()
        self.level = level
        try:
            from_sql = ""
            fields: list[Field] = []
            if node.relation is not None:
                sql, fields = self.relation(node.relation, Scope([], outer, None))
                from_sql = f" FROM {sql}"
            for field in fields:
                field.level = level
            self.scope = Scope(fields, outer, level)
            for name, specification in node.windows:
                if name in level.windows:
                    raise self.error("DUPLICATE_WINDOW_NAME", f"WINDOW name '{name}' specified twice", node)
                level.windows[name] = specification
            where_sql = self._where(node.where) if node.where is not None else ""
            level.ungrouped.clear()
            group_sql = self._group_by(node)
            items = self._items(node, fields)
            return self._finish_select(node, query, from_sql, where_sql, group_sql, items)
        finally:
            self.level, self.scope = saved_level, saved_scope

    def _finish_select(
        self,
        node: tree.Select,
        query: tree.Query | None,
        from_sql: str,
        where_sql: str,
        group_sql: str,
        items: list[_Item],
    ) -> Output:
        level = self.level
        having_sql = ""
        if node.having is not None:
            having = self.condition(node.having, "HAVING clause must evaluate to a boolean: actual type {type}")
            having_sql = f" HAVING {having.sql}"
        order_by = query.order_by if query is not None else []
        order_sql = self._order_by(order_by, items, node) if order_by else []
        if (node.group_by is not None or level.has_aggregate or node.having is not None) and level.ungrouped:
            column, name = level.ungrouped[0]
            message = f"'{name}' must be an aggregate expression or appear in GROUP BY clause"
            raise self.error("EXPRESSION_NOT_AGGREGATE", message, column)
        if node.distinct:
            for item in items:
                if not is_comparable(item.value.type):
                    message = f"DISTINCT can only be applied to comparable types (actual: {item.value.type})"
                    raise self.error("TYPE_MISMATCH", message, node)
        if level.group_values:
            having_sql = level.shown(having_sql)
            order_sql = [level.shown(one) for one in order_sql]
            for item in items:
                item.value = Typed(level.shown(item.value.sql), item.value.type)
        if node.having is not None and not group_sql and not level.has_aggregate:
            group_sql = " GROUP BY ()"
        columns = ", ".join(f"{item.value.sql} AS c{i}" for i, item in enumerate(items))
        distinct = self._distinct_sql([item.value for item in items]) if node.distinct else ""
        select = f"SELECT {distinct}{columns}"
        rest = f"{from_sql}{where_sql}{group_sql}{with_enclosed_parameters(having_sql)}"
        passes_on = not (node.distinct or node.group_by is not None or level.has_aggregate or level.has_window)
        limited = query is not None and (query.limit is not None or query.offset is not None)
        output = [
            Field(
                item.name,
                item.value.type,
                f"c{i}",
                origin=item.field.origin if item.field is not None and passes_on and not limited else None,
                through=item.field.through if item.field is not None else (),
            )
            for i, item in enumerate(items)
        ]
        if query is None:
            return Output(select + rest, output)
        if query.with_ties:
            resolved = [self._resolved_ordinal(one, items) for one in order_sql]
            return Output(self._with_ties(select, rest, resolved, query, len(items)), output)
        order = f" ORDER BY {', '.join(order_sql)}" if order_sql else ""
        return Output(f"{select}{rest}{order}{self._limit_sql(query)}", output)

    def _distinct_sql(self, values: Sequence[Typed]) -> str:
        if all(has_plain_identity(value.type) for value in values):
            return "DISTINCT "
        return f"DISTINCT ON ({', '.join(identity_key(value.sql, value.type) for value in values)}) "

    def _resolved_ordinal(self, order: str, items: list[_Item]) -> str:
        head, _, tail = order.partition(" ")
        return f"{items[int(head) - 1].value.sql} {tail}" if head.isdigit() else order

    def _where(self, node: tree.Expression) -> str:
        level = self.level
        level.forbids_aggregates = "WHERE clause"
        terms = node.terms if isinstance(node, tree.Logical) and node.operator == "AND" else [node]
        message = "WHERE clause must evaluate to a boolean: actual type {type}"
        if len(terms) > 1:
            message = "Logical expression term must evaluate to a boolean (actual: {type})"
        parts: list[str] = []
        for term in terms:
            mark = len(self.referenced)
            parts.append(self.condition(term, message).sql)
            self._note_partition_predicate(term, mark)
        level.forbids_aggregates = ""
        return f" WHERE {' AND '.join(parts)}"

    def _note_partition_predicate(self, term: tree.Expression, mark: int) -> None:
        references = self.referenced[mark:]
        if not references or references[0][1].origin is None:
            return
        scan = references[0][1].origin[0]
        for _, field in references:
            # a column of an outer query says nothing about which of its rows this WHERE keeps
            if field.origin is None or field.origin[0] is not scan or field.level is not self.level:
                return
            if not scan.columns[field.origin[1]].is_partition_key:
                return
        for reference, field in references:
            assert field.origin is not None
            self._column_nodes[id(reference)] = field.origin[1]
        scan.predicates.append((term, references[0][1].through))

    # ---------------------------------------------------------------------------------- select items

    def _items(self, node: tree.Select, fields: list[Field]) -> list[_Item]:
        items: list[_Item] = []
        for item in node.items:
            expression = item.expression
            if isinstance(expression, tree.AllFields):
                items.extend(self._all_fields_items(expression, item, fields))
                continue
            value = self.expression(expression)
            name = item.alias
            field: Field | None = None
            if isinstance(expression, tree.Identifier):
                name = name if name is not None else expression.name
                field = self._field_of(expression, value)
            elif isinstance(expression, tree.Dereference):
                name = name if name is not None else expression.name.name
                field = self._field_of(expression, value)
            items.append(_Item(value, name, expression, field, item.alias is not None))
        return items

    def _field_of(self, node: tree.Expression, value: Typed) -> Field | None:
        if self.referenced and self.referenced[-1][0] is node and self.referenced[-1][1].sql == value.sql:
            return self.referenced[-1][1]
        return None

    def _all_fields_items(self, node: tree.AllFields, item: tree.SelectItem, fields: list[Field]) -> list[_Item]:
        found: list[_Item] = []
        if node.base is None:
            visible = [field for field in fields if not field.is_hidden]
            if not visible:
                raise self.error("COLUMN_NOT_FOUND", "SELECT * not allowed in queries without FROM clause", node)
            for field in visible:
                column = tree.Identifier(node.position, field.name or "")
                found.append(_Item(self.reference(field, column), field.name, column, field))
            return found
        matching = self._relation_fields(node.base)
        if matching is not None:
            names: list[str | None] = [field.name for field in matching]
            if item.column_aliases is not None:
                names = self._column_aliases(item, len(matching))
            for field, name in zip(matching, names, strict=True):
                column = tree.Identifier(node.position, field.name or "")
                found.append(_Item(self.reference(field, column), name, column, field))
            return found
        value = self.expression(node.base)
        if value.type.base != "row":
            raise self.error("TYPE_MISMATCH", f"Cannot reference all fields of non-row type: {value.type}", node)
        names = list(value.type.names)
        if item.column_aliases is not None:
            names = self._column_aliases(item, len(names))
        for i, (name, element) in enumerate(zip(names, value.type.elements, strict=True)):
            found.append(_Item(Typed(f"({value.sql}).f{i}", element), name, node.base))
        return found

    def _column_aliases(self, item: tree.SelectItem, count: int) -> list[str | None]:
        assert item.column_aliases is not None
        if len(item.column_aliases) != count:
            message = f"Column alias list has {len(item.column_aliases)} entries but relation has {count} columns"
            raise self.error("MISMATCHED_COLUMN_ALIASES", message, item)
        return list(item.column_aliases)

    def _relation_fields(self, base: tree.Expression) -> list[Field] | None:
        parts: list[str] = []
        node = base
        while isinstance(node, tree.Dereference):
            parts.append(node.name.name.lower())
            node = node.base
        if not isinstance(node, tree.Identifier):
            return None
        parts.append(node.name.lower())
        qualifier = tuple(reversed(parts))
        scope: Scope | None = self.scope
        while scope is not None:
            matching = [f for f in scope.fields if not f.is_hidden and f.matches_qualifier(qualifier)]
            if matching:
                return matching
            if scope.candidates(qualifier[0]):
                return None
            scope = scope.parent
        if len(qualifier) == 1 and self.lookup((), qualifier[0], base, peek=True) is None:
            raise self.error("TABLE_NOT_FOUND", f"Unable to resolve reference {shown(base)}", base)
        return None

    # ---------------------------------------------------------------------------------- GROUP BY

    def _group_by(self, node: tree.Select) -> str:
        level = self.level
        if node.group_by is None:
            return ""
        level.forbids_aggregates = "GROUP BY clause"
        parts: list[list[list[str]]] = []
        for element in node.group_by:
            sets = [[self._group_key(e, node) for e in one] for one in element.sets]
            if element.kind == "SIMPLE":
                parts.append([sets[0]])
            elif element.kind == "SETS":
                parts.append(sets)
            elif element.kind == "ROLLUP":
                parts.append([list(itertools.chain(*sets[:n])) for n in range(len(sets), -1, -1)])
            else:
                parts.append(_cube(sets))
        level.forbids_aggregates = ""
        level.ungrouped.clear()
        count = 1
        for part in parts:
            count *= len(part)
            if count > _MAXIMUM_GROUPING_SETS:
                message = f"GROUP BY can contain at most {_MAXIMUM_GROUPING_SETS} grouping sets"
                raise self.error("TOO_MANY_GROUPING_SETS", message, node)
        grouping_sets = [
            list(dict.fromkeys(itertools.chain(*combination))) for combination in itertools.product(*parts)
        ]
        if node.group_by_distinct:
            unique: dict[frozenset[str], list[str]] = {}
            for one in grouping_sets:
                unique.setdefault(frozenset(one), one)
            grouping_sets = list(unique.values())
        keys = list(dict.fromkeys(itertools.chain(*grouping_sets)))
        level.group_sql = frozenset(keys)
        level.grouping_columns = keys if len(grouping_sets) > 1 else []
        if len(grouping_sets) > 1:
            for key, shown_value in level.group_values.items():
                level.group_values[key] = f"(CASE WHEN grouping({self._group_items[key]}) = 0 THEN {shown_value} END)"
        if len(grouping_sets) == 1:
            return f" GROUP BY {', '.join(map(self._group_item, keys))}" if keys else " GROUP BY ()"
        shown_sets = ", ".join(f"({', '.join(map(self._group_item, one))})" for one in grouping_sets)
        return f" GROUP BY GROUPING SETS ({shown_sets})"

    def _group_item(self, sql: str) -> str:
        """A key as GROUP BY writes it; a literal there would be a position to DuckDB."""
        if sql.lstrip("(-").rstrip(")").isdigit():
            return f"CAST({sql} AS {physical_type(types.INTEGER)})"
        if sql.startswith("'"):
            return f"CAST({sql} AS VARCHAR)"
        return self._group_items.get(sql, sql)

    def _group_key(self, node: tree.Expression, select: tree.Select) -> str:
        if isinstance(node, tree.IntegerLiteral):
            if not 1 <= node.value <= len(select.items):
                message = f"GROUP BY position {node.value} is not in select list"
                raise self.error("INVALID_COLUMN_REFERENCE", message, node)
            expression = select.items[node.value - 1].expression
            if isinstance(expression, tree.AllFields):
                items = self._items(select, self.scope.fields)
                value = items[node.value - 1].value
            else:
                value = self.expression(expression)
        else:
            value = self.expression(node)
        if not is_comparable(value.type):
            message = f"{value.type} is not comparable, and therefore cannot be used in GROUP BY"
            raise self.error("TYPE_MISMATCH", message, node)
        key = identity_key(value.sql, value.type)
        if key != value.sql:
            # grouped by the instant, shown with the zone of any of its rows
            self.level.group_values[value.sql] = f"any_value({value.sql})"
            self._group_items[value.sql] = key
        return value.sql

    # ---------------------------------------------------------------------------------- ORDER BY

    def _order_by(self, order_by: list[tree.SortItem], items: list[_Item], node: tree.Select) -> list[str]:
        """Sort keys: output columns by position, anything else as an expression over outputs first, then sources."""
        outputs = [Field(item.name, item.value.type, item.value.sql) for item in items if item.name is not None]
        # an output column named like its own source is the same thing; two alike are ambiguous only when they differ
        unique: dict[tuple[str, str], Field] = {(field.key, field.sql): field for field in outputs}
        self.scope = Scope(list(unique.values()), self.scope, self.level)
        positions = {item.value.sql: str(i + 1) for i, item in reversed(list(enumerate(items)))}
        found: list[str] = []
        for sort in order_by:
            ordinal = self._ordinal(sort.expression, len(items))
            value = items[ordinal].value if ordinal is not None else self.expression(sort.expression)
            self._check_orderable(value.type, sort)
            key = sort_key(value.sql, value.type)
            position = positions.get(value.sql)
            if position is not None and key == value.sql:
                found.append(position + direction(sort))
                continue
            if node.distinct and position is None:
                message = "For SELECT DISTINCT, ORDER BY expressions must appear in select list"
                raise self.error("EXPRESSION_NOT_IN_DISTINCT", message, sort)
            if key.lstrip("-").isdigit() or key.startswith("'"):
                continue  # a constant sorts nothing
            found.append(key + direction(sort))
        assert self.scope.parent is not None
        self.scope = self.scope.parent
        return found

    # ---------------------------------------------------------------------------------- relations

    def relation(self, node: tree.RelationNode, around: Scope) -> tuple[str, list[Field]]:
        """SQL for FROM and the fields it brings. `around.fields`: what stands to the left (for LATERAL and UNNEST)."""
        if isinstance(node, tree.TableReference):
            return self._table(node)
        if isinstance(node, tree.Aliased):
            return self._aliased(node, around)
        if isinstance(node, tree.SubqueryRelation):
            mark, reads_mark = len(self.referenced), len(self._common_reads)
            output = self.query(node.query, around.parent)
            if _has_where(node.query) and not self._reaches_outside(mark, around):
                output = self._fenced(output, reads_mark)
            return self._derived(output, "")
        if isinstance(node, tree.Lateral):
            mark = len(self.referenced)
            self._inner_depth += 1
            try:
                output = self.query(node.query, Scope(around.fields, around.parent, None))
            finally:
                self._inner_depth -= 1
            if self._is_correlated(mark, around):
                return self._derived(_unfenced(output), "LATERAL ")
            return self._derived(output, "")
        if isinstance(node, tree.Unnest):
            return self._unnest(node, around)
        if isinstance(node, tree.Join):
            return self._join(node, around)
        if isinstance(node, tree.Sampled):
            return self._sampled(node, around)
        if isinstance(node, tree.TableFunction):
            return self._table_function(node)
        if isinstance(node, tree.MatchRecognize):
            from embedded.sql.row_patterns import match_recognize

            return match_recognize(self, node, around)
        raise self.error("NOT_SUPPORTED", f"{type(node).__name__} is not supported by the embedded engine", node)

    def _derived(self, output: Output, prefix: str) -> tuple[str, list[Field]]:
        alias = self.alias()
        fields = [
            Field(field.name, field.type, f"{alias}.c{i}", origin=field.origin, through=field.through)
            for i, field in enumerate(output.fields)
        ]
        return f"{prefix}({output.sql}) AS {alias}", fields

    def _table(self, node: tree.TableReference) -> tuple[str, list[Field]]:
        parts = [part.lower() for part in node.parts]
        if len(parts) == 1:
            for reach in reversed(self.common_tables):
                common = reach.get(parts[0])
                if common is not None:
                    common.reads += 1
                    self._common_reads.append(common)
                    alias = self.alias()
                    fields = [
                        Field(
                            f.name, f.type, f"{alias}.c{i}", (parts[0],), origin=f.origin, through=(*f.through, common)
                        )
                        for i, f in enumerate(common.fields)
                    ]
                    return f"{common.token} AS {alias}", fields
        if len(parts) > 3:
            raise self.error("SYNTAX_ERROR", f"Too many dots in table name: {'.'.join(node.parts)}", node)
        if node.time_travel:
            raise self.error("NOT_SUPPORTED", "Time travel is not supported by the embedded engine", node)
        table = parts[-1]
        database = parts[-2] if len(parts) > 1 else self.database
        catalog = parts[0] if len(parts) == 3 else None
        columns = self.catalogue.columns(catalog, database, table)
        if columns is None:
            if not self.catalogue.database_exists(database):
                raise self.error("SCHEMA_NOT_FOUND", f"Schema '{database}' does not exist", node)
            message = f"Table '{catalog or 'awsdatacatalog'}.{database}.{table}' does not exist"
            raise self.error("TABLE_NOT_FOUND", message, node)
        scan = Scan(f"scan_{len(self.scans)}", catalog, database, table, {column.name: column for column in columns})
        self.scans.append(scan)
        alias = self.alias()
        qualifier = (catalog or "awsdatacatalog", database, table)
        fields = [
            Field(
                column.name,
                column.type,
                f"{alias}.{quoted(column.name)}",
                qualifier,
                scan=scan,
                origin=(scan, column.name),
                is_hidden=column.is_hidden,
            )
            for column in columns
        ]
        return f"{scan.token} AS {alias}", fields

    def _aliased(self, node: tree.Aliased, around: Scope) -> tuple[str, list[Field]]:
        if isinstance(node.relation, tree.Unnest) and node.columns is not None:
            sql, fields = self._unnest(node.relation, around, len(node.columns))
        else:
            sql, fields = self.relation(node.relation, around)
        visible = [field for field in fields if not field.is_hidden]
        qualifier = (node.alias.lower(),)
        if node.columns is not None:
            if len(node.columns) != len(visible):
                message = (
                    f"Column alias list has {len(node.columns)} entries but '{node.alias}' has {len(visible)} columns"
                )
                raise self.error("MISMATCHED_COLUMN_ALIASES", f"{message} available", node)
            renamed = [
                Field(name, field.type, field.sql, qualifier, origin=field.origin, through=field.through)
                for name, field in zip(node.columns, visible, strict=True)
            ]
            for new, old in zip(renamed, visible, strict=True):
                if old.scan is not None:
                    old.scan.used[old.name or ""] = old.scan.columns[old.name or ""]
                    new.scan = None
            return sql, renamed
        for field in fields:
            field.qualifier = qualifier
        return sql, fields

    def _sampled(self, node: tree.Sampled, around: Scope) -> tuple[str, list[Field]]:
        sql, fields = self.relation(node.relation, around)
        percentage = node.percentage
        if isinstance(percentage, tree.IntegerLiteral):
            share = float(percentage.value)
        elif isinstance(percentage, tree.DecimalLiteral | tree.DoubleLiteral):
            share = float(percentage.text)
        else:
            raise self.error("NOT_SUPPORTED", "Sample percentage has to be a literal", node)
        if not 0 <= share <= 100:
            raise self.error("TYPE_MISMATCH", "Sample percentage must be between 0 and 100", node)
        if share == 100:
            return sql, fields
        return f"(SELECT * FROM {sql}) AS {self._rebased(fields)} TABLESAMPLE bernoulli({share!r}%)", fields

    def _rebased(self, fields: list[Field]) -> str:
        alias = self.alias()
        for field in fields:
            if field.scan is not None and field.name is not None:
                field.scan.used[field.name] = field.scan.columns[field.name]
            field.sql = f"{alias}.{field.sql.partition('.')[2]}"
        return alias

    def _table_function(self, node: tree.TableFunction) -> tuple[str, list[Field]]:
        if node.name != "sequence":
            raise self.error("FUNCTION_NOT_FOUND", f"Table function '{node.name}' not registered", node)
        named = {name: value for name, value in node.arguments if name is not None}
        plain = [value for name, value in node.arguments if name is None]
        order = ["start", "stop", "step"]
        values: list[str] = []
        for i, name in enumerate(order):
            argument = plain[i] if i < len(plain) else named.get(name)
            default = {"start": "0", "step": "1"}.get(name)
            if argument is None and default is None:
                raise self.error("MISSING_ARGUMENT", f"Missing argument: {name.upper()}", node)
            values.append(self.coerce(self.expression(argument), BIGINT).sql if argument is not None else str(default))
        alias = self.alias()
        step = values[2]
        stop = f"CASE WHEN {step} < 0 THEN {values[1]} - 1 ELSE {values[1]} + 1 END"
        return f"range({values[0]}, {stop}, {step}) AS {alias}(c0)", [Field("sequential_number", BIGINT, f"{alias}.c0")]

    def _unnest(self, node: tree.Unnest, around: Scope, alias_count: int | None = None) -> tuple[str, list[Field]]:
        """Arrays of rows become a column per field as in Trino, unless the alias list names one column per array.

        That older form is what Athena's own documentation uses: `UNNEST(people) AS t(person)`.
        """
        level, scope = self.level, self.scope
        self.level = Level(forbids_aggregates="UNNEST")
        self.scope = Scope(around.fields, around.parent, None)
        mark = len(self.referenced)
        try:
            values = [self.expression(expression) for expression in node.expressions]
        finally:
            self.level, self.scope = level, scope
        is_lateral = self._is_correlated(mark, around)
        keeps_rows = alias_count == node.with_ordinality + sum(
            2 if value.type.base == "map" else 1 for value in values
        ) and alias_count != node.with_ordinality + sum(_unnested_width(value.type) for value in values)
        inner: list[str] = []
        columns: list[tuple[str, str | None, TrinoType]] = []
        lengths: list[str] = []
        for i, (value, expression) in enumerate(zip(values, node.expressions, strict=True)):
            trino_type = value.type
            if trino_type.base == "array":
                inner.append(f"unnest({value.sql}) AS u{i}")
                lengths.append(f"coalesce(len({value.sql}), 0)")
                if trino_type.element.base == "row" and not keeps_rows:
                    pairs = zip(trino_type.element.names, trino_type.element.elements, strict=True)
                    columns.extend((f"(u{i}).f{j}", name, element) for j, (name, element) in enumerate(pairs))
                else:
                    columns.append((f"u{i}", None, trino_type.element))
            elif trino_type.base == "map":
                inner.append(f"unnest(map_keys({value.sql})) AS u{i}")
                inner.append(f"unnest(map_values({value.sql})) AS v{i}")
                lengths.append(f"coalesce(CAST(cardinality({value.sql}) AS BIGINT), 0)")
                columns.append((f"u{i}", None, trino_type.key))
                columns.append((f"v{i}", None, trino_type.value))
            else:
                message = f"Cannot unnest type: {trino_type}"
                raise self.error("INVALID_FUNCTION_ARGUMENT", message, expression)
        if node.with_ordinality:
            longest = f"greatest({', '.join(lengths)})" if len(lengths) > 1 else lengths[0]
            inner.append(f"unnest(range(1, {longest} + 1)) AS n")
            columns.append(("n", "ordinality", BIGINT))
        shown_columns = ", ".join(f"{sql} AS c{i}" for i, (sql, _, _) in enumerate(columns))
        alias = self.alias()
        fields = [Field(name, trino_type, f"{alias}.c{i}") for i, (_, name, trino_type) in enumerate(columns)]
        prefix = "LATERAL " if is_lateral else ""
        return f"{prefix}(SELECT {shown_columns} FROM (SELECT {', '.join(inner)})) AS {alias}", fields

    def _is_correlated(self, mark: int, around: Scope) -> bool:
        """Whether anything since `mark` refers to the relations on the left."""
        left = {id(field) for field in around.fields}
        return any(id(field) in left for _, field in self.referenced[mark:])

    def _reaches_outside(self, mark: int, around: Scope) -> bool:
        """Whether anything since `mark` refers to a relation of a query around this one."""
        outside: set[int] = set()
        scope: Scope | None = around
        while scope is not None:
            outside.update(id(field) for field in scope.fields)
            scope = scope.parent
        return any(id(field) in outside for _, field in self.referenced[mark:])

    # ---------------------------------------------------------------------------------- joins

    def _join(self, node: tree.Join, around: Scope) -> tuple[str, list[Field]]:
        is_row_by_row = node.kind in ("LEFT", "RIGHT") and _holds(node.on, tree.Quantified)
        self._inner_depth += is_row_by_row
        try:
            left_sql, left = self.relation(node.left, around)
            right_around = Scope([*around.fields, *left], around.parent, None)
            right_sql, right = self.relation(node.right, right_around)
        finally:
            self._inner_depth -= is_row_by_row
        if node.kind in ("LEFT", "FULL"):
            for field in right:
                field.origin = None
        if node.kind in ("RIGHT", "FULL"):
            for field in left:
                field.origin = None
        if node.kind in ("CROSS", "IMPLICIT"):
            return f"{left_sql} CROSS JOIN {_grouped(right_sql, node.right)}", [*left, *right]
        word = "JOIN" if node.kind == "INNER" else f"{node.kind} JOIN"
        if node.natural:
            raise self.error("NOT_SUPPORTED", "Natural join not supported", node)
        if node.using is not None:
            return self._join_using(node, word, left_sql, left, right_sql, right)
        assert node.on is not None
        if _is_lateral(node.right) and isinstance(node.on, tree.BooleanLiteral) and node.on.value:
            # joined row by row: every row of the right belongs to its left row
            word = "CROSS JOIN" if node.kind in ("INNER", "RIGHT") else "LEFT JOIN"
            condition_sql = "" if word == "CROSS JOIN" else " ON true"
            return f"{left_sql} {word} {right_sql}{condition_sql}", [*left, *right]
        if _is_lateral(node.right) and (node.kind == "FULL" or _is_unnest(node.right)):
            kind = "UNNEST" if _is_unnest(node.right) else "LATERAL relation"
            message = f"{node.kind} JOIN involving {kind} is only supported with condition ON TRUE"
            raise self.error("NOT_SUPPORTED", message, node.on)
        level, scope = self.level, self.scope
        self.level = Level(forbids_aggregates="JOIN clause")
        self.scope = Scope([*left, *right], around.parent, None)
        try:
            condition = self.condition(node.on, "JOIN ON clause must evaluate to a boolean: actual type {type}")
        finally:
            self.level, self.scope = level, scope
        if is_row_by_row:
            return self._join_row_by_row(node.kind, condition.sql, (left_sql, left), (right_sql, right))
        if node.kind == "RIGHT" and _is_lateral(node.right):
            shown_left = [
                Field(f.name, f.type, f"(CASE WHEN {condition.sql} THEN {f.sql} END)", f.qualifier) for f in left
            ]
            return f"{left_sql} CROSS JOIN {right_sql}", [*shown_left, *right]
        return f"{left_sql} {word} {_grouped(right_sql, node.right)} ON {condition.sql}", [*left, *right]

    def _join_row_by_row(
        self, kind: str, condition: str, left: tuple[str, list[Field]], right: tuple[str, list[Field]]
    ) -> tuple[str, list[Field]]:
        """An outer join as a LATERAL sub-query: DuckDB joins on no quantified comparison."""
        (kept_sql, kept), (inner_sql, inner) = (left, right) if kind == "LEFT" else (right, left)
        alias = self.alias()
        position = tree.Identifier(0, "")
        for field in inner:
            if not field.is_hidden:
                self.reference(field, position)
        shown_inner = [field for field in inner if not field.is_hidden]
        columns = ", ".join(f"{field.sql} AS c{i}" for i, field in enumerate(shown_inner))
        rebased = [
            Field(field.name, field.type, f"{alias}.c{i}", field.qualifier) for i, field in enumerate(shown_inner)
        ]
        sql = f"{kept_sql} LEFT JOIN LATERAL (SELECT {columns} FROM {inner_sql} WHERE {condition}) AS {alias} ON true"
        return sql, [*kept, *rebased] if kind == "LEFT" else [*rebased, *kept]

    def _join_using(
        self, node: tree.Join, word: str, left_sql: str, left: list[Field], right_sql: str, right: list[Field]
    ) -> tuple[str, list[Field]]:
        assert node.using is not None
        conditions: list[str] = []
        merged: list[Field] = []
        taken: set[int] = set()
        seen: set[str] = set()
        for column in node.using:
            key = column.name.lower()
            if key in seen:
                raise self.error(
                    "DUPLICATE_COLUMN_NAME", f"Column '{column.name}' appears multiple times in USING clause", column
                )
            seen.add(key)
            pair: list[Field] = []
            for side, fields in (("left", left), ("right", right)):
                matches = [field for field in fields if field.key == key]
                if not matches:
                    message = f"Column '{column.name}' is missing from {side} side of join"
                    raise self.error("COLUMN_NOT_FOUND", message, column)
                if len(matches) > 1:
                    raise self.error("AMBIGUOUS_NAME", f"Column '{column.name}' is ambiguous", column)
                pair.append(matches[0])
                taken.add(id(matches[0]))
                self.reference(matches[0], column)
            a, b = Typed(pair[0].sql, pair[0].type), Typed(pair[1].sql, pair[1].type)
            a, b = self.comparable_pair("=", a, b, column.position)
            conditions.append(comparison("=", a, b))
            sql = {"RIGHT": b.sql, "FULL": f"COALESCE({a.sql}, {b.sql})"}.get(node.kind, a.sql)
            origin = pair[0].origin if node.kind in ("INNER", "LEFT") and a.type == pair[0].type else None
            merged.append(Field(pair[0].name, a.type, sql, origin=origin, through=pair[0].through))
        rest = [field for field in [*left, *right] if id(field) not in taken]
        sql = f"{left_sql} {word} {_grouped(right_sql, node.right)} ON {' AND '.join(conditions)}"
        return sql, [*merged, *rest]


def _unnested_width(trino_type: TrinoType) -> int:
    if trino_type.base == "map":
        return 2
    if trino_type.base == "array" and trino_type.element.base == "row":
        return len(trino_type.element.elements)
    return 1


_FENCE = " TABLESAMPLE system(100%)"
"""Keeps DuckDB from evaluating what stands outside a sub-query on rows its WHERE refuses.

DuckDB merges both filters and reorders them while it runs; Trino applies the inner one first. The difference is seen
when the outer one fails, and its message tells what was in a row that the caller (a tenant) must not see. A sample of
all chunks costs nothing, and no filter is pushed through it.
"""


def _unfenced(output: Output) -> Output:
    """Without the fences that could not be hoisted: they stand around WITH queries, whose own fences stay."""
    return Output(output.sql.replace(_FENCE, ""), output.fields, output.chain)


def _has_where(query: tree.Query) -> bool:
    return isinstance(query.body, tree.Select) and query.body.where is not None


def _is_lateral(node: tree.RelationNode) -> bool:
    while isinstance(node, tree.Aliased | tree.Sampled):
        node = node.relation
    return isinstance(node, tree.Lateral | tree.Unnest)


def _is_unnest(node: tree.RelationNode) -> bool:
    while isinstance(node, tree.Aliased | tree.Sampled):
        node = node.relation
    return isinstance(node, tree.Unnest)


def _grouped(sql: str, node: tree.RelationNode) -> str:
    """The right side of a join in parentheses when it is a join itself."""
    while isinstance(node, tree.Aliased | tree.Sampled):
        node = node.relation
    return f"({sql})" if isinstance(node, tree.Join) else sql


def _column_names(count: int) -> str:
    return ", ".join(f"c{i}" for i in range(count))


def _cube(sets: list[list[str]]) -> list[list[str]]:
    found: list[list[str]] = []
    for size in range(len(sets), -1, -1):
        found.extend(list(itertools.chain(*combination)) for combination in itertools.combinations(sets, size))
    return found


def _row_text(values: list[Typed]) -> str:
    return f"row({', '.join(str(value.type) for value in values)})"


def _holds(node: object, wanted: type[tree.Node]) -> bool:
    """Whether an expression contains a node of this class, sub-queries left aside."""
    if isinstance(node, wanted):
        return True
    if isinstance(node, tree.Query):
        return False
    if isinstance(node, list | tuple):
        return any(_holds(one, wanted) for one in node)
    if isinstance(node, tree.Node):
        return any(
            _holds(getattr(node, slot), wanted) for cls in type(node).__mro__ for slot in getattr(cls, "__slots__", ())
        )
    return False


def _mentions(node: object, name: str) -> bool:
    """Whether a syntax tree reads from a table of this name."""
    if isinstance(node, tree.TableReference):
        return [part.lower() for part in node.parts] == [name.lower()]
    if isinstance(node, list | tuple):
        return any(_mentions(one, name) for one in node)
    if isinstance(node, tree.Node):
        return any(
            _mentions(getattr(node, slot), name) for cls in type(node).__mro__ for slot in getattr(cls, "__slots__", ())
        )
    return False
