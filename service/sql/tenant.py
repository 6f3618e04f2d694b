"""Tenant scope: every reference to a table of the lake becomes a sub-query that can only give what the caller may see.

    events e   ->   (SELECT customerid, servicename, ... FROM data_hist.events
                     WHERE customerid IN (11000, 11001) AND <partition predicate> AND <time predicate>) AS e

The column list has no forbidden column and, of the raised fields, those that the statement names
(service.sql.raised). So no forbidden column is reachable whatever the query says around it. A CTE that is named
like a table of the lake gets another name, and its references with it: no engine can take one for the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlglot import exp

from glue.table_spec import TableSpec
from service.sql.raised import raised_columns
from service.sql.scope import Analysis, Scan


def scope_to(
    tree: exp.Expr,
    analysis: Analysis,
    customers: Collection[int] | None,
    predicates: Mapping[Scan, list[exp.Expr]],
    table_names: Collection[str],
) -> exp.Expr:
    """The tree with every scan wrapped; changes and returns `tree` itself (or its replacement, when it was a table).

    `customers` None is the operator, who sees all; an empty collection sees no row. `predicates` are further
    conditions per scan, over the table's own columns.
    """
    names = frozenset(identifier.name.lower() for identifier in tree.find_all(exp.Identifier))
    _rename_ctes(tree, analysis, table_names)
    place: exp.Expr
    for scan in analysis.scans:
        conditions = [_of_customers(scan.spec, customers), *predicates.get(scan, ())]
        raised = raised_columns(scan, analysis, names)
        wrapped = _wrapped(scan, raised, [condition for condition in conditions if condition is not None])
        place = scan.node
        while (
            isinstance(place.parent, exp.Subquery)
            and set(_parts(place.parent)) == {"this"}
            and "joins" not in _parts(place)
        ):
            place = place.parent  # `(events)`: the brackets of a table alone would enclose the sub-query twice
        place.replace(wrapped)
    return tree


def _parts(node: exp.Expr) -> list[str]:
    return [name for name, value in node.args.items() if value]


def _of_customers(spec: TableSpec, customers: Collection[int] | None) -> exp.Expr | None:
    if customers is None:
        return None
    if not customers:
        return exp.false()
    values: list[exp.Expr] = [exp.Literal.number(customer) for customer in sorted(customers)]
    column = exp.column(spec.tenant_column)
    if len(values) == 1:
        return exp.EQ(this=column, expression=values[0])
    return exp.In(this=column, expressions=values)


def _wrapped(scan: Scan, raised: Mapping[str, exp.Expr], conditions: list[exp.Expr]) -> exp.Subquery:
    spec, node = scan.spec, scan.node
    table = exp.Table(this=exp.to_identifier(spec.name), db=exp.to_identifier(spec.database))
    left_out = {field.name for field in spec.raised} - set(raised) | spec.forbidden_columns
    names = [column.name for column in spec.all_columns if column.name not in left_out]
    select = exp.Select(
        expressions=[raised.get(name) or exp.column(name) for name in names],
        from_=exp.From(this=table),
    )
    if conditions:
        select.set("where", exp.Where(this=conjunction(conditions)))
    alias = node.args.get("alias")
    if alias is None or alias.this is None:
        alias = exp.TableAlias(this=exp.to_identifier(spec.name))
    wrapped = exp.Subquery(this=select, alias=alias)
    for part in ("joins", "sample"):
        if node.args.get(part):
            wrapped.set(part, node.args[part])
    return wrapped


def conjunction(conditions: Iterable[exp.Expr]) -> exp.Expr:
    """All of them, joined by AND; an OR among them is put in parentheses."""
    parts = [exp.Paren(this=condition) if isinstance(condition, exp.Or) else condition for condition in conditions]
    joined = parts[0]
    for part in parts[1:]:
        joined = exp.And(this=joined, expression=part)
    return joined


def _rename_ctes(tree: exp.Expr, analysis: Analysis, table_names: Collection[str]) -> None:
    taken = {table.name.lower() for table in tree.find_all(exp.Table)} | {
        cte.alias.lower() for cte in tree.find_all(exp.CTE)
    }
    for cte in tree.find_all(exp.CTE):
        name = cte.alias.lower()
        if name not in table_names:
            continue
        new_name = next(candidate for number in range(1, 10_000) if (candidate := f"{name}_{number}") not in taken)
        taken.add(new_name)
        cte.args["alias"].set("this", exp.to_identifier(new_name))
        for reference in analysis.cte_references.get(id(cte), ()):
            if reference.args.get("alias") is None:
                reference.set("alias", exp.TableAlias(this=exp.to_identifier(reference.name, quoted=True)))
            elif reference.args["alias"].this is None:
                reference.args["alias"].set("this", exp.to_identifier(reference.name, quoted=True))
            reference.set("this", exp.to_identifier(new_name))
