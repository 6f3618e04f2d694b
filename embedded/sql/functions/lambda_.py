"""How the body of a lambda gets into DuckDB SQL where DuckDB's own lambda functions do not fit."""

from __future__ import annotations

import re

from embedded.sql.typed import Typed

_WORD = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\b(?:{names})\b"


def body_with(lambda_: Typed, *values: str) -> str:
    """The lambda's body with its parameters replaced by these SQL expressions (cheap ones: a name, a struct field).

    Text inside quotes stays as it is.
    """
    assert lambda_.parameters is not None
    replacements = dict(zip(lambda_.parameters, values, strict=True))
    pattern = _WORD.format(names="|".join(map(re.escape, lambda_.parameters)))
    return re.sub(pattern, lambda match: replacements.get(match.group(), match.group()), lambda_.sql)


def bound(name: str, value: str, body: str) -> str:
    """`body` in which `name` stands for `value`: a one-element list_transform, DuckDB's only let-expression."""
    return f"(list_transform([{value}], lambda {name}: {body})[1])"
