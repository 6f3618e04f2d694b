"""What every name of a query means: tables to scans, columns to the relation and the expression they come from.

Policy, tenant scope and pruning all ask the same questions of the tree ("is this `events` the table or a CTE?", "which
column of which table is `t.createdtimestamp`?"), so they are answered once, here, by Trino's rules of scope:

- a CTE is visible to the CTEs after it and to the query it belongs to, not to itself unless WITH RECURSIVE;
- FROM builds relations from left to right; UNNEST and LATERAL see the ones before, a derived table does not;
- a sub-query inside an expression sees the relations around it; ORDER BY also sees the names of the select list;
- names, quoted or not, are compared without regard to case.

A `Scan` is one reference to a table of the lake. A `Use` is one way its rows flow upwards: a CTE that is read twice
is one scan with two uses, and only what both ask for may narrow it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from sqlglot import exp

from glue.table_spec import TableSpec
from service.errors import ColumnNotAllowed, ColumnNotFound, InvalidQuerySyntax, StatementNotAllowed, TableNotFound
from service.sql.statement import Place, Statement, located

CATALOG = "awsdatacatalog"


@dataclass(eq=False)
class Scan:
    """One reference to a table of the lake; `node` is the reference in the tree."""

    spec: TableSpec
    node: exp.Table


@dataclass(eq=False)
class Use:
    """One way the rows of a scan reach a query. `parent` is the use inside the CTE that this one reads from."""

    scan: Scan
    parent: Use | None = None
    children: list[Use] = field(default_factory=list)


@dataclass(eq=False)
class Field:
    """A column of a relation. `definition` is the expression that makes it, where there is exactly one.

    `branches` are the columns of the branches of a set operation, with the uses each of them sees.
    """

    name: str | None
    is_forbidden: bool = False
    definition: exp.Expr | None = None
    branches: tuple[tuple[Field, frozenset[Use]], ...] = ()


@dataclass(eq=False)
class Relation:
    """Something in FROM. `fields` None: the columns cannot be known here (UNNEST without names)."""

    name: str | None
    fields: list[Field] | None
    scan: Scan | None = None
    uses: frozenset[Use] = frozenset()
    is_cte: bool = False

    def inner(self, use: Use) -> Use | None:
        """The use inside this relation's query that feeds `use`; None when `use` does not come through here."""
        if use not in self.uses:
            return None
        return use.parent if self.is_cte else use

    def visible_fields(self) -> list[Field]:
        """What `*` gives."""
        return [column for column in self.fields or () if not column.is_forbidden]


@dataclass(eq=False)
class Output:
    """What a query gives: its columns (None: unknown), and the uses that a predicate on them may narrow."""

    fields: list[Field] | None
    uses: frozenset[Use] = frozenset()


@dataclass(eq=False)
class Condition:
    """A predicate that a row of each of these uses must fulfil to matter: WHERE, or ON where it may be pushed down."""

    predicate: exp.Expr
    uses: frozenset[Use]


@dataclass(eq=False)
class Scope:
    """What an expression sees."""

    ctes: Mapping[str, Relation]
    outer: Scope | None = None
    relations: list[Relation] = field(default_factory=list)
    parameters: frozenset[str] = frozenset()
    select_list: Sequence[Field] = ()

    def nested(self, **changes: Any) -> Scope:
        """A scope around which this one stands."""
        return Scope(ctes=changes.pop("ctes", self.ctes), outer=self, **changes)


class Analysis:
    """The answers for one statement. Raises ColumnNotFound, ColumnNotAllowed, TableNotFound, StatementNotAllowed."""

    def __init__(self, statement: Statement, tree: exp.Expr, tables: Mapping[str, TableSpec], database: str) -> None:
        self.scans: list[Scan] = []
        self.conditions: list[Condition] = []
        self.columns: dict[int, tuple[Relation, Field]] = {}
        """id(exp.Column) -> where it comes from; names that belong to a select list or a lambda are not in it."""
        self.stars: dict[int, list[tuple[Relation, Field]] | None] = {}
        """id(projection) of each `*` and `t.*` -> the columns it stands for; None when they are not known."""
        self.roots: dict[Scan, Use] = {}
        self.cte_references: dict[int, list[exp.Table]] = {}
        """id(exp.CTE) -> the references to it, for every CTE of the statement."""
        self._nodes: dict[int, exp.Expr] = {}
        self._kept: list[object] = []  # what is known by its id() must live as long as the answers
        self._statement = statement
        self._tables = tables
        self._database = database
        self.output = self._query(tree, Scope(ctes={}))

    # -- queries

    def _query(self, node: exp.Expr, scope: Scope) -> Output:
        ctes = self._ctes(node, scope)
        if ctes is not scope.ctes:
            scope = Scope(ctes, scope.outer, scope.relations, scope.parameters, scope.select_list)
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, scope)
        if isinstance(node, exp.Subquery) and node.this is not None and not isinstance(node.this, exp.Table):
            inner = self._query(node.this, scope)
            return self._ordered(node, inner, scope)
        if not isinstance(node, exp.Values):
            self._refuse(node, "this is not a query", "query-shape")
        return self._values(node, scope)

    def _ctes(self, node: exp.Expr, scope: Scope) -> Mapping[str, Relation]:
        with_ = node.args.get("with_")
        if with_ is None:
            return scope.ctes
        ctes = dict(scope.ctes)
        names: set[str] = set()
        unnamed: list[tuple[exp.Expr, Relation]] = []
        is_recursive = False
        for cte in with_.expressions:
            name = cte.alias.lower()
            if name in names:
                self._syntax(cte.args["alias"], f"WITH query name '{name}' specified more than once")
            names.add(name)
            inner_scope = Scope(ctes, scope.outer, scope.relations, scope.parameters)
            self.cte_references.setdefault(id(cte), [])
            if with_.args.get("recursive"):
                relation = self._recursive_cte(cte, name, inner_scope)
            else:
                output = self._query(cte.this, inner_scope)
                fields = self._renamed(output.fields, cte.args.get("alias"))
                relation = Relation(name, fields, uses=output.uses, is_cte=True)
            if self.cte_references[id(cte)]:  # so far only its own definition can have named it
                is_recursive = True
                if not cte.args["alias"].columns:
                    self._syntax(cte.args["alias"], "missing column aliases in recursive WITH query")
            elif not cte.args["alias"].columns:
                unnamed.append((cte, relation))
            self._nodes[id(relation)] = cte
            self._kept.append(relation)
            ctes = {**ctes, name: relation}
        with_.set("recursive", is_recursive)
        if is_recursive:
            self._name_columns(unnamed)
        return ctes

    def _name_columns(self, unnamed: Sequence[tuple[exp.Expr, Relation]]) -> None:
        """Names the columns of the other CTEs of a recursive WITH: sqlglot would guess them from the text."""
        for cte, relation in unnamed:
            names = [column.name for column in relation.visible_fields()]
            if not names or None in names or len(set(names)) != len(names):
                self._syntax(
                    cte.args["alias"], "give the columns of each query of WITH RECURSIVE a name: name(a, b) AS (...)"
                )
            columns = [exp.to_identifier(name, quoted=True) for name in names]
            cte.args["alias"].set("columns", columns)

    def _recursive_cte(self, cte: exp.Expr, name: str, scope: Scope) -> Relation:
        """Trino: only the last branch of a UNION sees the name of the CTE itself; everything before it does not."""
        body = cte.this
        alias = cte.args.get("alias")
        if not isinstance(body, exp.Union):
            output = self._query(body, scope)
            return Relation(name, self._renamed(output.fields, alias), uses=output.uses, is_cte=True)
        scope = Scope(self._ctes(body, scope), scope.outer, scope.relations, scope.parameters)
        anchor = self._query(body.this, scope)
        fields = self._renamed([Field(f.name) for f in anchor.fields] if anchor.fields is not None else None, alias)
        itself = Relation(name, fields, is_cte=True)  # rows of earlier rounds matter: nothing outside may narrow them
        self.cte_references.setdefault(id(cte), [])
        self._nodes[id(itself)] = cte
        self._kept.append(itself)
        visible = {**scope.ctes, name: itself}
        self._query(body.expression, Scope(visible, scope.outer, scope.relations, scope.parameters))
        self._ordered(body, Output(fields), scope)
        return itself

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> Output:
        branches: list[exp.Expr] = []
        spine: exp.Expr = node
        spine_scope = scope
        while isinstance(spine, exp.SetOperation) and (spine is node or spine.args.get("with_") is None):
            if spine is not node and _cuts_rows(spine):
                break
            branches.append(spine.args["expression"])
            spine = spine.this
        branches.append(spine)
        branches.reverse()
        outputs = [self._query(branch, spine_scope) for branch in branches]
        first = outputs[0].fields
        uses = frozenset(use for output in outputs for use in output.uses)
        if first is None or any(output.fields is None or len(output.fields) != len(first) for output in outputs):
            known = [len(output.fields) for output in outputs if output.fields is not None]
            if len(set(known)) > 1:
                self._syntax(node, f"query has different number of fields: {', '.join(map(str, known))}")
            combined = None if first is None else [Field(column.name) for column in first]
            return self._ordered(node, Output(combined), scope)
        fields = [
            Field(
                column.name,
                branches=tuple((output.fields[index], output.uses) for output in outputs if output.fields is not None),
            )
            for index, column in enumerate(first)
        ]
        return self._ordered(node, Output(fields, uses), scope)

    def _values(self, node: exp.Values, scope: Scope) -> Output:
        for row in node.expressions:
            self._expression(row, scope)
        first = node.expressions[0] if node.expressions else None
        width = len(first.expressions) if isinstance(first, exp.Tuple) else 1
        return self._ordered(node, Output([Field(None) for _ in range(width)]), scope)

    def _ordered(self, node: exp.Expr, output: Output, scope: Scope) -> Output:
        """ORDER BY, LIMIT and the rest of a query that is no SELECT: they see its output only."""
        order = node.args.get("order")
        if order is not None:
            relation = Relation(None, output.fields)
            self._expression(order, scope.nested(relations=[relation], select_list=output.fields or ()))
        for part in ("limit", "offset"):
            if node.args.get(part) is not None:
                self._expression(node.args[part], scope.nested())
        return Output(output.fields) if _cuts_rows(node) else output

    def _select(self, node: exp.Select, scope: Scope) -> Output:
        inner = scope.nested()
        if not node.expressions:
            self._syntax(node, "SELECT without a column; expecting: '*', <expression>")
        source = node.args.get("from_")
        if source is not None:
            self._relation(source.this, inner)
        for join in node.args.get("joins") or ():
            self._join(join, inner)
        local_uses = _uses(inner.relations)
        where = node.args.get("where")
        if where is not None:
            self._expression(where, inner)
            self.conditions.append(Condition(where.this, local_uses))
        for window in node.args.get("windows") or ():
            self._expression(window, inner)
        fields = self._select_list(node, inner)
        if node.args.get("group") is not None:
            self._expression(node.args["group"], inner)
        if node.args.get("having") is not None:
            self._expression(node.args["having"], inner)
        if node.args.get("order") is not None:
            ordered = Scope(inner.ctes, inner.outer, inner.relations, inner.parameters, fields or ())
            self._expression(node.args["order"], ordered)
        for part in ("limit", "offset"):
            if node.args.get(part) is not None:
                self._expression(node.args[part], inner)
        return Output(fields) if _cuts_rows(node) or _has_window(node) else Output(fields, local_uses)

    def _select_list(self, node: exp.Select, scope: Scope) -> list[Field] | None:
        fields: list[Field] = []
        known = True
        for projection in node.expressions:
            relations = self._starred(projection, scope)
            if relations is not None:
                if any(relation.fields is None for relation in relations):
                    known = False
                columns = list(_star(node, relations))
                self.stars[id(projection)] = columns if all(r.fields is not None for r in relations) else None
                fields.extend(self._passed_on(relation, column) for relation, column in columns)
                continue
            self._expression(projection, scope)
            if isinstance(projection, exp.Alias):
                fields.append(Field(projection.alias.lower(), definition=projection.this))
            elif isinstance(projection, exp.Aliases):
                fields.extend(Field(name.name.lower()) for name in projection.expressions)
                known = known and projection.find(exp.Star) is None
            elif isinstance(projection, exp.Dot) and isinstance(projection.expression, exp.Star):
                known = False  # row.*
            elif isinstance(projection, (exp.Column, exp.Dot)):
                fields.append(Field(projection.name.lower() or None, definition=projection))
            else:
                fields.append(Field(None, definition=projection))
        return fields if known else None

    def _passed_on(self, relation: Relation, column: Field) -> Field:
        """A column that `*` stands for, as if the caller had written its name."""
        reference = exp.Column(this=exp.Identifier(this=column.name or "?", quoted=True))
        self._kept.append(reference)
        self.columns[id(reference)] = (relation, column)
        return Field(column.name, definition=reference)

    def _starred(self, projection: exp.Expr, scope: Scope) -> list[Relation] | None:
        """The relations a `*` or `t.*` stands for; None when the projection is an expression."""
        if isinstance(projection, exp.Star):
            if not scope.relations:
                self._syntax(projection, "SELECT * not allowed in queries without FROM clause")
            return scope.relations
        if not (isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star)):
            return None
        parts = [part.name.lower() for part in projection.parts[:-1]]
        at: Scope | None = scope
        while at is not None:
            for relation in at.relations:
                if self._is_named(relation, parts):
                    projection.set("db", None)
                    projection.set("catalog", None)
                    return [relation]
            at = at.outer
        name = ".".join(parts)
        names = [relation.name for relation in scope.relations if relation.name]
        close = tuple(difflib.get_close_matches(parts[-1], names, 1))
        place = self._statement.place_of(projection)
        raise TableNotFound(
            _told(place, f"'{name}' in '{name}.*' is not a table of this FROM clause", close),
            name=name,
            suggestions=close,
            **located(place),
        )

    # -- relations

    def _relation(self, node: exp.Expr, scope: Scope) -> None:
        """Adds what stands in FROM to the scope, with its own joins."""
        if isinstance(node, exp.Table):
            scope.relations.append(self._table(node, scope))
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            if node.args.get("alias") is not None:
                self._refuse(node, "a table in parentheses takes its name inside them", "query-shape")
            self._relation(node.this, scope)
        elif isinstance(node, exp.Subquery):
            self._derived(node, node.this, scope, sees_siblings=False)
        elif isinstance(node, exp.Values):
            output = self._values(node, Scope(scope.ctes, scope.outer))
            scope.relations.append(self._aliased(node, output))
        elif isinstance(node, exp.Lateral):
            if not isinstance(node.this, exp.Subquery):
                self._refuse(node, "LATERAL takes a query in parentheses", "table-function")
            self._derived(node, node.this, scope, sees_siblings=True)
        elif isinstance(node, exp.Unnest):
            self._unnest(node, scope)
        else:
            self._refuse(node, "only tables, queries, VALUES and UNNEST can stand in FROM", "query-shape")
        for join in node.args.get("joins") or ():
            self._join(join, scope)

    def _derived(self, node: exp.Expr, query: exp.Expr, scope: Scope, *, sees_siblings: bool) -> None:
        if sees_siblings:
            inner = scope.nested()
        else:
            inner = Scope(scope.ctes, scope.outer, [], scope.parameters)
        output = self._query(query, inner)
        if node.args.get("order") is not None or _cuts_rows(node):
            output = self._ordered(node, output, inner)
        relation = self._aliased(node, output)
        if node.args.get("sample") is not None:
            relation.uses = frozenset()
        scope.relations.append(relation)

    def _unnest(self, node: exp.Unnest, scope: Scope) -> None:
        for expression in node.expressions:
            self._expression(expression, scope)
        alias = node.args.get("alias")
        names = [column.name.lower() for column in alias.columns] if alias is not None else []
        if names and isinstance(node.args.get("offset"), exp.Identifier):
            names.append(node.args["offset"].name.lower())
        fields = [Field(name) for name in names] or None
        scope.relations.append(Relation(alias.name.lower() if alias is not None and alias.this else None, fields))

    def _aliased(self, node: exp.Expr, output: Output) -> Relation:
        alias = node.args.get("alias")
        name = alias.name.lower() if alias is not None and alias.this is not None else None
        return Relation(name, self._renamed(output.fields, alias), uses=output.uses)

    def _renamed(self, fields: list[Field] | None, alias: exp.Expr | None) -> list[Field] | None:
        names = [column.name.lower() for column in alias.args.get("columns") or ()] if alias is not None else []
        if not names:
            return fields
        if fields is None:
            return [Field(name) for name in names]
        visible = [column for column in fields if not column.is_forbidden]
        if alias is not None and len(names) != len(visible):
            self._syntax(
                alias,
                f"Column alias list has {len(names)} entries but '{alias.name}' has {len(visible)} columns available",
            )
        return [
            Field(name, definition=column.definition, branches=column.branches)
            for name, column in zip(names, visible, strict=True)
        ]

    def _join(self, join: exp.Join, scope: Scope) -> None:
        before = list(scope.relations)
        self._relation(join.this, scope)
        added = scope.relations[len(before) :]
        for name in join.args.get("using") or ():
            identifier = name.this if isinstance(name, exp.Column) else name
            for side in (before, added):
                self._check_using(identifier, side)
        if join.args.get("on") is not None:
            self._expression(join.args["on"], scope)
            outer = str(join.args.get("side") or "").upper()
            narrowed = {"": [*before, *added], "LEFT": added, "RIGHT": before}.get(outer, [])
            self.conditions.append(Condition(join.args["on"], _uses(narrowed)))

    def _check_using(self, identifier: exp.Expr, relations: Sequence[Relation]) -> None:
        name = identifier.name.lower()
        matches = [f for relation in relations for f in relation.fields or () if f.name == name]
        if matches and all(column.is_forbidden for column in matches):
            self._forbidden(identifier, name)
        if not matches and all(relation.fields is not None for relation in relations):
            self._no_such_column(identifier, name, [f for r in relations for f in r.visible_fields()])

    def _table(self, node: exp.Table, scope: Scope) -> Relation:
        if not isinstance(node.this, exp.Identifier):
            self._refuse(node, "table functions are not allowed; query the tables of this service", "table-function")
        parts = [part.name for part in node.parts]
        name = parts[-1].lower()
        alias = node.args.get("alias")
        alias_name = alias.name.lower() if alias is not None and alias.this is not None else None
        if len(parts) == 1 and name in scope.ctes:
            cte = scope.ctes[name]
            self.cte_references[id(self._nodes[id(cte)])].append(node)
            return self._cte_reference(node, cte, alias_name or name)
        spec = self._spec(node, parts)
        scan = Scan(spec, node)
        use = Use(scan)
        self.scans.append(scan)
        self.roots[scan] = use
        fields = [Field(column.name, is_forbidden=column.name in spec.forbidden_columns) for column in spec.all_columns]
        renamed = self._renamed(fields, alias)
        relation = Relation(alias_name or name, renamed, scan=scan, uses=frozenset({use}))
        if renamed is not fields:  # e(a, b, ...): a level of names above the scan
            table = Relation(name, fields, scan=scan, uses=frozenset({use}))
            visible = [column for column in fields if not column.is_forbidden]
            for column, original in zip(renamed or (), visible, strict=True):
                column.definition = self._passed_on(table, original).definition
            relation.scan = None
        if node.args.get("sample") is not None:
            relation.uses = frozenset()
        return relation

    def _cte_reference(self, node: exp.Table, cte: Relation, name: str) -> Relation:
        uses = []
        for parent in cte.uses:
            use = Use(parent.scan, parent)
            parent.children.append(use)
            uses.append(use)
        fields = self._renamed(cte.fields, node.args.get("alias"))
        is_sampled = node.args.get("sample") is not None
        if is_sampled:
            for use in uses:
                use.children.clear()
        return Relation(name, fields, uses=frozenset() if is_sampled else frozenset(uses), is_cte=True)

    def _spec(self, node: exp.Table, parts: Sequence[str]) -> TableSpec:
        lowered = [part.lower() for part in parts]
        place = self._statement.place_of(node)
        shown = ".".join(parts)
        if len(lowered) == 3 and lowered[0] not in (CATALOG, ""):
            raise StatementNotAllowed(
                _told(place, f"Catalog '{parts[0]}' cannot be queried here"), rule="own-database", **located(place)
            )
        if len(lowered) > 3:
            self._syntax(node, f"Too many parts in table name: {shown}")
        if len(lowered) >= 2 and lowered[-2] != self._database:
            raise StatementNotAllowed(
                _told(place, f"Schema '{parts[-2]}' cannot be queried here; the tables are in '{self._database}'"),
                rule="system-catalog"
                if lowered[-2] in ("information_schema", "system", "pg_catalog")
                else "own-database",
                suggestions=[lowered[-1]] if lowered[-1] in self._tables else (),
                **located(place),
            )
        spec = self._tables.get(lowered[-1])
        if spec is None:
            close = tuple(difflib.get_close_matches(lowered[-1], list(self._tables), 3, 0.5))
            raise TableNotFound(
                _told(place, f"Table '{CATALOG}.{self._database}.{lowered[-1]}' does not exist", close),
                name=shown,
                suggestions=close,
                **located(place),
            )
        return spec

    # -- expressions

    def _expression(self, root: exp.Expr, scope: Scope) -> None:
        """Resolves every name below `root`; sub-queries and lambdas open scopes of their own."""
        pending: list[tuple[exp.Expr, Scope]] = [(root, scope)]
        while pending:
            node, at = pending.pop()
            if isinstance(node, exp.Column):
                self._column(node, at)
            elif isinstance(node, (exp.Select, exp.SetOperation, exp.Values)) or (
                isinstance(node, exp.Subquery) and not isinstance(node.this, exp.Table)
            ):
                self._query(node, at.nested())
            elif isinstance(node, exp.Lambda):
                names = frozenset(parameter.name.lower() for parameter in node.expressions)
                pending.append((node.this, at.nested(parameters=names, select_list=())))
            elif isinstance(node, exp.Table):
                self._refuse(node, "a table cannot stand in an expression", "query-shape")
            elif isinstance(node, exp.Identifier):
                continue
            else:
                pending.extend((child, at) for child in reversed(list(node.iter_expressions())))

    def _column(self, node: exp.Column, scope: Scope) -> None:
        if isinstance(node.this, exp.Star):
            self._starred(node, scope)
            return
        parts = [part.name.lower() for part in node.parts]
        at: Scope | None = scope
        opaque = False
        while at is not None:
            if len(parts) >= 1 and parts[0] in at.parameters:
                return
            if len(parts) == 1 and any(column.name == parts[0] for column in at.select_list):
                # ORDER BY takes the select list first; a column of a table behind it is found there too
                return
            found = self._lookup(node, parts, at.relations)
            if found is not None:
                self.columns[id(node)] = found
                return
            opaque = opaque or any(relation.fields is None for relation in at.relations)
            at = at.outer
        if opaque:
            return
        self._not_found(node, parts, scope)

    def _lookup(
        self, node: exp.Column, parts: Sequence[str], relations: Sequence[Relation]
    ) -> tuple[Relation, Field] | None:
        """The column that `parts` mean among these relations: qualified first, then as the field of a row column."""
        hidden: tuple[Relation, Field] | None = None
        for length in range(min(len(parts) - 1, 3), -1, -1):
            qualifier, name = parts[:length], parts[length]
            if length == 0 and len(parts) > 4:
                break
            for relation in relations:
                if length and not self._is_named(relation, qualifier):
                    continue
                for column in relation.fields or ():
                    if column.name != name:
                        continue
                    if column.is_forbidden:
                        hidden = hidden or (relation, column)
                        continue
                    self._unqualify(node, length)
                    return relation, column
                if length and relation.fields is None:
                    return relation, Field(None)
        if hidden is not None:
            self._forbidden(node, hidden[1].name or "")
        return None

    def _unqualify(self, node: exp.Column, length: int) -> None:
        """Drops database and catalog of a reference: after the rewriting the table is a sub-query named like the
        table."""
        for _ in range(length - 1):
            identifiers = node.parts[1:]
            for part in ("catalog", "db", "table"):
                node.set(part, None)
            for part, identifier in zip(("this", "table", "db", "catalog"), reversed(identifiers), strict=False):
                node.set(part, identifier)

    def _is_named(self, relation: Relation, qualifier: Sequence[str]) -> bool:
        if relation.name is None or qualifier[-1] != relation.name:
            return False
        if len(qualifier) == 1:
            return True
        node = relation.scan.node if relation.scan is not None else None
        if node is None or node.args.get("alias") is not None or qualifier[-2] != self._database:
            return False
        return len(qualifier) == 2 or qualifier[0] == CATALOG

    def _not_found(self, node: exp.Column, parts: Sequence[str], scope: Scope) -> NoReturn:
        candidates: list[Field] = []
        at: Scope | None = scope
        while at is not None:
            for relation in at.relations:
                if len(parts) == 1 or relation.name == parts[-2]:
                    candidates.extend(relation.visible_fields())
            candidates.extend(at.select_list)
            at = at.outer
        self._no_such_column(node, ".".join(parts), candidates)

    def _no_such_column(self, node: exp.Expr, name: str, candidates: Sequence[Field]) -> NoReturn:
        bare = name.rpartition(".")[2]
        if any(bare in spec.forbidden_columns for spec in self._tables.values()):
            self._forbidden(node, bare)
        names = list(dict.fromkeys(column.name for column in candidates if column.name))
        close = tuple(difflib.get_close_matches(name.rpartition(".")[2], names, 3, 0.5))
        place = self._statement.place_of(node)
        raise ColumnNotFound(
            _told(place, f"Column '{name}' cannot be resolved", close), name=name, suggestions=close, **located(place)
        )

    def _forbidden(self, node: exp.Expr, name: str) -> NoReturn:
        place = self._statement.place_of(node)
        raise ColumnNotAllowed(
            _told(place, f"Column '{name}' must not be used in queries"), name=name, **located(place)
        )

    def _refuse(self, node: exp.Expr, what: str, rule: str) -> NoReturn:
        place = self._statement.place_of(node)
        raise StatementNotAllowed(_told(place, what), rule=rule, **located(place))

    def _syntax(self, node: exp.Expr, what: str) -> NoReturn:
        place = self._statement.place_of(node) or self._statement.place_at(0)
        raise InvalidQuerySyntax(_told(place, what), **located(place))


def _uses(relations: Sequence[Relation]) -> frozenset[Use]:
    return frozenset(use for relation in relations for use in relation.uses)


def _cuts_rows(node: exp.Expr) -> bool:
    """Whether fewer input rows could change which other rows come out: LIMIT, OFFSET, FETCH, a sample."""
    return any(node.args.get(part) is not None for part in ("limit", "offset", "sample", "match", "distinct_on"))


def _has_window(node: exp.Select) -> bool:
    return bool(node.args.get("windows")) or any(
        found.find_ancestor(exp.Select) is node for part in _after_from(node) for found in part.find_all(exp.Window)
    )


def _after_from(node: exp.Select) -> Iterator[exp.Expr]:
    yield from node.expressions
    if node.args.get("order") is not None:
        yield node.args["order"]


def _star(node: exp.Select, relations: Sequence[Relation]) -> Iterator[tuple[Relation, Field]]:
    """The columns of `*` in order; those of USING come once, first."""
    joined: list[str] = []
    for join in node.args.get("joins") or ():
        joined.extend(name.name.lower() for name in join.args.get("using") or ())
    names = list(dict.fromkeys(joined))
    for name in names:
        match = next(((r, f) for r in relations for f in r.visible_fields() if f.name == name), None)
        if match is not None:
            yield match
    for relation in relations:
        for column in relation.visible_fields():
            if column.name not in names:
                yield relation, column


def _told(place: Place | None, what: str, close: Sequence[str] = ()) -> str:
    hint = f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    return f"{place}: {what}{hint}" if place else what + hint
