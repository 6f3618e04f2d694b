"""`Typed`: a Trino expression after analysis, that is DuckDB SQL text plus its Trino type."""

from __future__ import annotations

import re
from dataclasses import dataclass

from embedded.sql.physical import physical_type
from embedded.sql.types import TrinoType

_SIMPLE = re.compile(
    r"""[A-Za-z_][A-Za-z0-9_]*(?:\.(?:[A-Za-z_][A-Za-z0-9_]*|"[^"]*"))*|-?\d+(?:\.\d+)?|'[^']{0,40}'"""
)


@dataclass(slots=True)
class Typed:
    """sql: DuckDB expression in the physical form of `type`; safe to embed anywhere (parenthesised where needed).

    literal: the Python value when the SQL text gave a literal (str, int, Decimal, float, bytes, bool), else None.
    parameters: only for lambdas, whose `sql` is the body: the DuckDB names of the lambda's parameters.
    """

    sql: str
    type: TrinoType
    literal: object = None
    is_null: bool = False
    parameters: tuple[str, ...] | None = None

    @property
    def physical(self) -> str:
        return physical_type(self.type)

    @property
    def is_simple(self) -> bool:
        """Whether writing it twice costs nothing: a column, a parameter, a short literal."""
        return _SIMPLE.fullmatch(self.sql) is not None

    @property
    def lambda_sql(self) -> str:
        """`lambda x, y: body` for DuckDB's list functions."""
        assert self.parameters is not None
        return f"lambda {', '.join(self.parameters)}: {self.sql}"


#: Beyond this many characters an expression is bound to a name rather than written twice.
LONGEST_REPEATED = 60


def is_repeatable(sql: str) -> bool:
    """Whether SQL may stand twice in an emission; otherwise nesting would double it at every level."""
    return len(sql) < LONGEST_REPEATED


def bound_pair(left: str, right: str, template: str, name: str = "pair_") -> str:
    """`template` with `{left}` and `{right}`; long operands are bound first, as fields of one struct."""
    if is_repeatable(left) and is_repeatable(right):
        return template.replace("{left}", left).replace("{right}", right)
    body = template.replace("{left}", f"{name}.a").replace("{right}", f"{name}.b")
    return f"(list_transform([struct_pack(a := {left}, b := {right})], lambda {name}: {body})[1])"


def once(value: Typed, template: str, name: str = "once_") -> str:
    """`template` is SQL that uses `{0}` more than once: a simple value is written in place, another is bound first.

    Binding is a one-element list_transform, DuckDB's only let-expression; without it nested calls double each level.
    """
    if value.is_simple or is_repeatable(value.sql):
        return template.replace("{0}", value.sql)
    return f"(list_transform([{value.sql}], lambda {name}: {template.replace('{0}', name)})[1])"


def tried(sql: str, trino_type: TrinoType) -> str:
    """SQL that is NULL where this SQL of that type fails: never a bare TRY, which may write past the end of a vector.

    DuckDB repeats a batch that failed row by row into a vector with room for one row, and a CASE or COALESCE directly
    below TRY writes there by the row's number in the batch (DuckDB 1.5, issue 25280: heap corruption). Below
    struct_pack it writes into a vector of its own. The cast: a field of a constant NULL has no type.
    """
    return f"CAST((TRY(struct_pack(v := {sql}))).v AS {physical_type(trino_type)})"


_PARAMETERS = re.compile(r"\blambda ([A-Za-z0-9_]+(?:, [A-Za-z0-9_]+)*):")


def with_enclosed_parameters(sql: str) -> str:
    """`(pair_).a` for `pair_.a` where pair_ is a lambda's parameter: DuckDB's HAVING takes the latter for a column."""
    names = {name for match in _PARAMETERS.finditer(sql) for name in match[1].split(", ")}
    if not names:
        return sql
    words = "|".join(sorted(names))
    quoted_or_field = re.compile(rf"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?<![.\w])({words})\.(?=[A-Za-z_"])""")
    return quoted_or_field.sub(lambda match: f"({match[1]})." if match[1] else match[0], sql)
