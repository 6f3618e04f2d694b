"""The grammar of a caller's SQL: Trino's, read without interpreting it.

The service decides on the caller's syntax tree and sends that same tree to the engine. sqlglot's own Trino dialect
would rename, fold or re-type about half of the functions on the way; so before parsing, the token stream is prepared
in two ways: each call becomes a plain call (name and arguments as written), and each typed literal (``DECIMAL
'1.20'``) becomes a call of `TYPED_LITERAL_PREFIX` + type, which `write` turns back. Comments and hints never reach
the engine.
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

# SQL/JSON functions: as plain calls unless a clause of their own grammar (RETURNING, WITH WRAPPER, ON ERROR) is used,
# since sqlglot would read the path and write another one.
_PLAIN_WHEN_BARE: Final = frozenset({"JSON_VALUE", "JSON_QUERY"})
_CLAUSE_WORDS: Final = frozenset({"RETURNING", "PASSING", "FORMAT", "ON", "WITH", "WITHOUT", "KEEP", "OMIT"})
_PLAIN_CALL: Final = "\x01call "

# `?` is parsed as a call with its place in the text, since sqlglot forgets the order in which they stand.
_PARAMETER: Final = "\x01parameter"

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
    trees = GRAMMAR.parser().parse(_prepared(tokens), sql)
    for index, tree in enumerate(trees):
        calls = list(tree.find_all(exp.Anonymous)) if tree is not None else []
        for call in calls:
            if isinstance(call.this, str) and call.this.startswith(_PLAIN_CALL):
                call.set("this", call.this.removeprefix(_PLAIN_CALL))
            elif call.this == _PARAMETER:
                place = exp.Placeholder()
                place.meta["start"] = int(call.expressions[0].name)
                if call is tree:
                    trees[index] = place
                call.replace(place)
    return trees


def write(tree: exp.Expr) -> str:
    """SQL text of `tree` in Trino's grammar, on one line, without comments."""
    text = GRAMMAR.generate(tree, copy=False, comments=False, normalize_functions=False)
    return _TYPED_LITERAL.sub(lambda match: f"{match[1]} {match[2]}", text) if "\x01" in text else text


def write_with_places(tree: exp.Expr) -> tuple[str, tuple[tuple[int, int], ...]]:
    """`write`, and where the caller's names went: (offset in the text, offset in the SQL as asked), in order.

    Engines report faults by their place in the text they got; this is the way back.
    """
    marked: list[tuple[exp.Expr, str]] = []
    for node in tree.find_all(exp.Identifier, exp.Anonymous):
        start, name = node.meta.get("start"), node.args["this"]
        if start is not None and isinstance(name, str) and not name.startswith(TYPED_LITERAL_PREFIX):
            marked.append((node, name))
            node.set("this", f"\x02{start}\x02{name}")
    try:
        text = write(tree)
    finally:
        for named, name in marked:
            named.set("this", name)
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    offset = 0
    for index, piece in enumerate(text.split("\x02")):
        if index % 2:
            is_quoted = pieces[-1].endswith('"')
            places.append((offset - is_quoted, int(piece)))
        else:
            pieces.append(piece)
            offset += len(piece)
    return "".join(pieces), tuple(places)


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
        if token.text.upper() in _PLAIN_WHEN_BARE and _is_bare_call(tokens, index):
            prepared.append(_at(token, TokenType.VAR, _PLAIN_CALL + token.text))
            continue
        if token.token_type == TokenType.PLACEHOLDER and token.text == "?":
            prepared.append(_at(token, TokenType.VAR, _PARAMETER))
            prepared.append(_at(token, TokenType.L_PAREN, "("))
            prepared.append(_at(token, TokenType.NUMBER, str(token.start)))
            prepared.append(_at(token, TokenType.R_PAREN, ")", comments=[_KEEP_AS_WRITTEN]))
            continue
        comments = [_KEEP_AS_WRITTEN] if token.token_type == TokenType.R_PAREN else []
        prepared.append(_at(token, token.token_type, token.text, comments=comments))
    return prepared


def _is_bare_call(tokens: list[Token], index: int) -> bool:
    """Whether `name(` is followed by arguments and commas only, up to its closing bracket."""
    if index + 1 >= len(tokens) or tokens[index + 1].token_type != TokenType.L_PAREN:
        return False
    depth = 0
    for token in tokens[index + 1 :]:
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
            if depth == 0:
                return True
        elif depth == 1 and token.text.upper() in _CLAUSE_WORDS and token.token_type != TokenType.STRING:
            return False
    return False


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
