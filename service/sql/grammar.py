"""The grammar of a caller's SQL: Trino's, read without interpreting it.

The service decides on the caller's syntax tree and sends that same tree to the engine. sqlglot's own Trino dialect would
rename, fold or re-type about half of the functions on the way; so before parsing, the token stream is prepared in two
ways: each call becomes a plain call (name and arguments as written), and each typed literal (``DECIMAL '1.20'``) becomes
a call of `TYPED_LITERAL_PREFIX` + type, which `write` turns back. Comments and hints never reach the engine.
"""

from __future__ import annotations

import re
from typing import Final

from sqlglot import exp
from sqlglot.dialects.trino import Trino
from sqlglot.tokenizer_core import Token, TokenType

# A name no caller can write: control characters are refused before parsing (service.sql.statement).
TYPED_LITERAL_PREFIX: Final = "\x01literal "
_TYPED_LITERAL = re.compile(r'"?\x01literal ([A-Z ]+)"?\(((?:\'(?:[^\']|\'\')*\'))\)', re.IGNORECASE)

# sqlglot's documented mark: a call followed by this comment is kept as written (exp.Anonymous).
_KEEP_AS_WRITTEN: Final = exp.SQLGLOT_ANONYMOUS

# Type names that may stand before a string (SqlBase.g4: `identifier string #typeConstructor`).
LITERAL_TYPES: Final = frozenset(
    [
        "BOOLEAN",
        "TINYINT",
        "SMALLINT",
        "INT",
        "INTEGER",
        "BIGINT",
        "REAL",
        "DOUBLE",
        "DECIMAL",
        "VARCHAR",
        "CHAR",
        "VARBINARY",
        "JSON",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "IPADDRESS",
        "IPPREFIX",
        "UUID",
    ]
)

GRAMMAR: Final = Trino()


def tokenize(sql: str) -> list[Token]:
    """The tokens of `sql`; sqlglot's TokenError where a string, quoted name or comment does not end."""
    return GRAMMAR.tokenize(sql)


def parse(tokens: list[Token], sql: str) -> list[exp.Expr | None]:
    """The statements in `tokens`, functions and typed literals as written. Raises sqlglot's ParseError."""
    return GRAMMAR.parser().parse(_prepared(tokens), sql)


def write(tree: exp.Expr) -> str:
    """SQL text of `tree` in Trino's grammar, on one line, without comments."""
    text = GRAMMAR.generate(tree, copy=True, comments=False, normalize_functions=False)
    return _TYPED_LITERAL.sub(lambda match: f"{match[1]} {match[2]}", text) if "\x01" in text else text


def typed_literal(kind: str, text: str) -> exp.Anonymous:
    """The node of ``kind 'text'``, as `parse` makes it."""
    return exp.Anonymous(
        this=exp.Identifier(this=TYPED_LITERAL_PREFIX + kind.upper(), quoted=True),
        expressions=[exp.Literal.string(text)],
    )


def typed_literal_of(node: exp.Expr) -> tuple[str, str] | None:
    """(TYPE, text) when `node` is a typed literal, else None."""
    if isinstance(node, exp.Anonymous):
        name = node.name
        if name.startswith(TYPED_LITERAL_PREFIX):
            return name[len(TYPED_LITERAL_PREFIX) :], node.expressions[0].name
    return None


def _prepared(tokens: list[Token]) -> list[Token]:
    prepared: list[Token] = []
    for index, token in enumerate(tokens):
        if token.token_type == TokenType.STRING and prepared and _is_literal_type(tokens, index - 1):
            kind = prepared.pop()
            name = kind.text.upper()
            if name == "PRECISION":
                kind = prepared.pop()
                name = "DOUBLE"
            prepared.append(_at(kind, TokenType.IDENTIFIER, TYPED_LITERAL_PREFIX + name))
            prepared.append(_at(token, TokenType.L_PAREN, "("))
            prepared.append(_at(token, TokenType.STRING, token.text))
            prepared.append(_at(token, TokenType.R_PAREN, ")", comments=[_KEEP_AS_WRITTEN]))
            continue
        comments = [_KEEP_AS_WRITTEN] if token.token_type == TokenType.R_PAREN else []
        prepared.append(_at(token, token.token_type, token.text, comments=comments))
    return prepared


def _is_literal_type(tokens: list[Token], index: int) -> bool:
    token = tokens[index]
    if token.token_type in (TokenType.IDENTIFIER, TokenType.STRING):
        return False
    name = token.text.upper()
    if name == "PRECISION":
        return index > 0 and tokens[index - 1].text.upper() == "DOUBLE"
    return name in LITERAL_TYPES


def _at(token: Token, token_type: TokenType, text: str, comments: list[str] | None = None) -> Token:
    return Token(token_type, text, token.line, token.col, token.start, token.end, comments or [])
