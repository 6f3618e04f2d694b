"""The caller's SQL, read once: text -> `Statement`, or InvalidQuerySyntax with line and column.

Limits come before the parser, so that no text can crash or stall the process: bytes (Athena's 262,144), characters
that no engine accepts (NUL, other controls, lone surrogates), nesting of brackets and CASE, chains of NOT. What is
longer than it is deep (thousands of AND or OR, of IN values, of UNION branches) is fine.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TypedDict

from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.tokenizer_core import Token, TokenType

from service.errors import InvalidQuerySyntax, StatementNotAllowed, StatementTooLong
from service.sql import grammar

MAXIMUM_SQL_BYTES = 262_144
"""Athena's limit for QueryString (StartQueryExecution, API reference)."""

MAXIMUM_NESTING = 100
MAXIMUM_TREE_DEPTH = 1_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufeff]")
_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET})
# Prefix words after which sqlglot calls itself; an operand and a new prefix nest once more (`NOT a = NOT b = ...`).
_PREFIX_WORDS = frozenset({"NOT", "ANY", "ALL", "SOME", "INTERVAL", "EXISTS", "DISTINCT", "PRIOR", "LATERAL"})
_CHAIN_ENDS = frozenset(
    {"AND", "OR", ",", "SELECT", "FROM", "WHERE", "ON", "HAVING", "BY", "THEN", "WHEN", "ELSE", "UNION"}
)
_LEADING_COMMAND = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(EXPLAIN|SHOW)\b", re.IGNORECASE | re.DOTALL)
_AFTER_COMMA = frozenset(
    {",", ")", "]", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "UNION", "AND", "OR"}
)


class StatementKind(StrEnum):
    """What the first word asks for."""

    SELECT = "SELECT"
    EXPLAIN = "EXPLAIN"
    SHOW = "SHOW"
    DESCRIBE = "DESCRIBE"


class Location(TypedDict):
    """Where, as a StatementError takes it."""

    line: int | None
    column: int | None


@dataclass(frozen=True)
class Place:
    """Where something stands in the SQL as asked; both count from 1, columns in characters."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}:{self.column}"


@dataclass(frozen=True)
class Statement:
    """One statement. `tree` is the query (of EXPLAIN too); SHOW and DESCRIBE have `words`, their tokens, and no tree.

    `prefix` is what stands before the query in EXPLAIN, as it is written for the engine; its `words` are its tokens.
    The tree is the statement's own: copy before changing.
    """

    sql: str
    kind: StatementKind
    tree: exp.Expr | None
    words: tuple[Token, ...] = ()
    prefix: str = ""
    _line_starts: tuple[int, ...] = field(default=(0,), repr=False, compare=False)

    def place_at(self, offset: int) -> Place:
        """The place of a character of the SQL as asked."""
        return _place(self._line_starts, offset)

    def place_of(self, node: exp.Expr | Token | None) -> Place | None:
        """Where a node or token of this statement starts; None for nodes that have no text of their own."""
        if node is None:
            return None
        start = node.start if isinstance(node, Token) else _start_of(node)
        return None if start is None else _place(self._line_starts, start)


def read(sql: str) -> Statement:
    """The one statement in `sql`; a trailing `;` and comments are fine.

    Raises InvalidQuerySyntax, StatementTooLong, or StatementNotAllowed for a statement that is no query and for two.
    """
    size_bytes = len(sql.encode("utf-8", "surrogatepass"))
    if size_bytes > MAXIMUM_SQL_BYTES:
        raise StatementTooLong(
            f"The SQL has {size_bytes} bytes; at most {MAXIMUM_SQL_BYTES} are accepted",
            size_bytes=size_bytes,
            limit_bytes=MAXIMUM_SQL_BYTES,
        )
    line_starts = (0, *(match.end() for match in re.finditer("\n", sql)))
    if match := _CONTROL.search(sql):
        raise _syntax_error(
            _place(line_starts, match.start()), f"character U+{ord(match[0]):04X} is not allowed in SQL"
        )
    tokens = _tokens(sql, line_starts)
    _check_nesting(tokens, line_starts)
    kind = _kind(tokens, line_starts)
    if kind in (StatementKind.SHOW, StatementKind.DESCRIBE):
        return Statement(sql, kind, None, words=tuple(tokens), _line_starts=line_starts)
    query_tokens, prefix = tokens, ""
    if kind is StatementKind.EXPLAIN:
        query_tokens, prefix = _after_explain(tokens, line_starts)
        if not query_tokens:
            raise _syntax_error(_end_place(sql, line_starts), "mismatched input '<EOF>'. Expecting: <query>")
        if _kind(query_tokens, line_starts) is not StatementKind.SELECT:
            raise StatementNotAllowed(
                "Only a query can be explained",
                rule="explain-of-a-query",
                **located(_place(line_starts, query_tokens[0].start)),
            )
    words = tuple(tokens[: len(tokens) - len(query_tokens)])
    tree = _tree(query_tokens, sql, line_starts)
    return Statement(sql, kind, tree, words=words, prefix=prefix, _line_starts=line_starts)


def _tokens(sql: str, line_starts: tuple[int, ...]) -> list[Token]:
    # sqlglot's lexer swallows what follows these two words whole; as plain names they are tokens like any other
    leading = _LEADING_COMMAND.match(sql)
    masked = sql if leading is None else sql[: leading.start(1)] + "_" * len(leading[1]) + sql[leading.end(1) :]
    try:
        tokens = grammar.tokenize(masked)
    except TokenError as error:
        raise _syntax_error(*_unterminated(sql, line_starts)) from error
    if leading is not None:
        first = tokens[0]
        tokens[0] = Token(TokenType.VAR, leading[1].upper(), first.line, first.col, first.start, first.end)
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise _syntax_error(Place(1, 1), "mismatched input '<EOF>'. Expecting: 'SELECT', 'WITH', 'VALUES', <query>")
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            raise StatementNotAllowed(
                f"{_place(line_starts, token.start)}: Only one sql statement is allowed",
                rule="one-statement",
                **located(_place(line_starts, token.start)),
            )
    return tokens


def _unterminated(sql: str, line_starts: tuple[int, ...]) -> tuple[Place, str]:
    """Which string, quoted name or comment does not end, by reading the text as Trino's lexer does."""
    position, length = 0, len(sql)
    while position < length:
        two = sql[position : position + 2]
        if two == "--":
            end = sql.find("\n", position)
            position = length if end < 0 else end + 1
        elif two == "/*":
            end = sql.find("*/", position + 2)
            if end < 0:
                return _place(line_starts, position), "the comment /* has no end"
            position = end + 2
        elif sql[position] in "'\"`":
            end = _closing_quote(sql, position)
            if end < 0:
                kind = "string" if sql[position] == "'" else "quoted name"
                return _place(line_starts, position), f"the {kind} that starts here has no end"
            position = end + 1
        else:
            position += 1
    return Place(1, 1), "the text cannot be split into words"


def _closing_quote(sql: str, start: int) -> int:
    quote, position = sql[start], start + 1
    while (position := sql.find(quote, position)) >= 0:
        if sql[position + 1 : position + 2] != quote:
            return position
        position += 2
    return -1


def _check_nesting(tokens: Sequence[Token], line_starts: tuple[int, ...]) -> None:
    depth, chain = 0, 0
    chains: list[int] = []
    cases: list[int] = []
    previous = ""
    for token in tokens:
        kind, word = token.token_type, token.text.upper()
        is_text = kind in (TokenType.STRING, TokenType.IDENTIFIER)
        if kind in (TokenType.L_BRACE, TokenType.R_BRACE) or (previous == "," and word in _AFTER_COMMA and not is_text):
            raise _syntax_error(_place(line_starts, token.start), f"mismatched input '{token.text}'")
        if kind in _OPENING or word == "CASE":
            depth += 1
            chains.append(chain)
            cases.append(word == "CASE")
            chain = 0 if kind in _OPENING and previous != "]" else chain + 1
        elif kind in _CLOSING or word == "END":
            if chains and (word != "END" or cases[-1]):
                depth -= 1
                cases.pop()
                closed = chains.pop()
                chain = chain if word == "]" else closed
        elif is_text:
            pass
        elif word in _CHAIN_ENDS:
            chain = 0
        elif word in _PREFIX_WORDS or word in ("->", "<", "AT", "+", "-", "~", ".", "JOIN"):
            chain += word in _PREFIX_WORDS or word in ("->", "<", "AT", "JOIN") or previous == word
        if depth > MAXIMUM_NESTING or chain > MAXIMUM_NESTING:
            place = _place(line_starts, token.start)
            raise _syntax_error(place, f"the statement is nested deeper than {MAXIMUM_NESTING} levels")
        previous = "" if is_text else word


def _kind(tokens: Sequence[Token], line_starts: tuple[int, ...]) -> StatementKind:
    first = next((token for token in tokens if token.token_type != TokenType.L_PAREN), tokens[0])
    word = first.text.upper() if first.token_type not in (TokenType.STRING, TokenType.IDENTIFIER) else ""
    if word in ("SELECT", "WITH", "VALUES", "TABLE"):
        return StatementKind.SELECT
    if word in ("DESC", "DESCRIBE"):
        return StatementKind.DESCRIBE
    if word in ("EXPLAIN", "SHOW"):
        return StatementKind(word)
    place = _place(line_starts, first.start)
    if word in _OTHER_STATEMENTS:
        raise StatementNotAllowed(
            f"{place}: {word} is not allowed: history can only be read (SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE)",
            rule="read-only",
            **located(place),
        )
    raise _syntax_error(
        place,
        f"mismatched input '{first.text[:60]}'. "
        "Expecting: 'SELECT', 'WITH', 'VALUES', 'EXPLAIN', 'SHOW', 'DESCRIBE', <query>",
    )


_OTHER_STATEMENTS = frozenset(
    [
        "ALTER",
        "ANALYZE",
        "ATTACH",
        "BEGIN",
        "CALL",
        "CHECKPOINT",
        "COMMENT",
        "COMMIT",
        "COPY",
        "CREATE",
        "DEALLOCATE",
        "DELETE",
        "DENY",
        "DETACH",
        "DROP",
        "EXECUTE",
        "EXPORT",
        "FORCE",
        "GRANT",
        "IMPORT",
        "INSERT",
        "INSTALL",
        "LOAD",
        "MERGE",
        "MSCK",
        "OPTIMIZE",
        "PIVOT",
        "PRAGMA",
        "PREPARE",
        "REFRESH",
        "RENAME",
        "REPAIR",
        "RESET",
        "REVOKE",
        "ROLLBACK",
        "SET",
        "START",
        "TRUNCATE",
        "UNLOAD",
        "UNPIVOT",
        "UPDATE",
        "USE",
        "USING",
        "VACUUM",
    ]
)


def _after_explain(tokens: list[Token], line_starts: tuple[int, ...]) -> tuple[list[Token], str]:
    """The tokens of the explained query, and the EXPLAIN clause as words (SqlBase.g4, `explain` and
    `explainAnalyze`)."""
    words, rest = ["EXPLAIN"], tokens[1:]
    if rest and rest[0].text.upper() == "ANALYZE":
        words.append("ANALYZE")
        rest = rest[1:]
        if rest and rest[0].text.upper() == "VERBOSE":
            words.append("VERBOSE")
            rest = rest[1:]
    elif len(rest) > 1 and rest[0].token_type == TokenType.L_PAREN and rest[1].text.upper() in ("TYPE", "FORMAT"):
        options: list[str] = []
        rest = rest[1:]
        while True:
            option = " ".join(token.text.upper() for token in rest[:2])
            if option not in _EXPLAIN_OPTIONS:
                raise _syntax_error(
                    _place(line_starts, rest[0].start), f"mismatched input '{rest[0].text[:60]}' in EXPLAIN"
                )
            options.append(option)
            separator, rest = rest[2:3], rest[3:]
            if separator and separator[0].token_type == TokenType.R_PAREN:
                break
            if not separator or separator[0].token_type != TokenType.COMMA or not rest:
                raise _syntax_error(_place(line_starts, tokens[0].start), "the options of EXPLAIN have no end")
        words.append(f"({', '.join(options)})")
    return rest, " ".join(words)


_EXPLAIN_OPTIONS = frozenset(
    [f"TYPE {kind}" for kind in ("LOGICAL", "DISTRIBUTED", "VALIDATE", "IO")]
    + [f"FORMAT {kind}" for kind in ("TEXT", "GRAPHVIZ", "JSON")]
)


def _tree(tokens: list[Token], sql: str, line_starts: tuple[int, ...]) -> exp.Expr:
    try:
        trees = grammar.parse(tokens, sql)
    except ParseError as error:
        raise _from_parse_error(error, sql, tokens, line_starts) from error
    except (RecursionError, SqlglotError) as error:
        raise _syntax_error(
            _place(line_starts, tokens[0].start), "the statement is nested too deeply to be read"
        ) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # sqlglot's parser walks off the end of some broken statements
        raise _syntax_error(_end_place(sql, line_starts), "mismatched input '<EOF>'") from error
    tree = trees[0] if len(trees) == 1 else None
    if tree is None:
        raise _syntax_error(_place(line_starts, tokens[0].start), "this is not one query")
    _check_joins(tree, tokens, line_starts)
    return _balanced(tree, _place(line_starts, tokens[0].start))


def _check_joins(tree: exp.Expr, tokens: Sequence[Token], line_starts: tuple[int, ...]) -> None:
    """Every JOIN but CROSS JOIN has its ON or USING; one without would be read as a comma: every row with every row."""
    joins = [
        token
        for before, token in pairwise(tokens)
        if token.token_type == TokenType.JOIN and before.text.upper() not in ("CROSS", "NATURAL")
    ]
    if not joins:
        return
    with_condition = sum(1 for join in tree.find_all(exp.Join) if join.args.get("on") or join.args.get("using"))
    if len(joins) > with_condition:
        place = _place(line_starts, joins[-1].start)
        raise _syntax_error(place, "a JOIN has no condition. Expecting: 'ON', 'USING' (or CROSS JOIN)")


def _balanced(tree: exp.Expr, place: Place) -> exp.Expr:
    """The same tree with long chains of AND, of OR, made as shallow as they can be: `((a AND b) AND (c AND d))`.

    Both are associative; engines and Python count depth, not length. Then the depth is checked.
    """
    chains = [
        node
        for node in tree.find_all(exp.And, exp.Or)
        if type(node.parent) is not type(node)
        and isinstance(node.left, type(node))
        and isinstance(node.left.left, type(node))
    ]
    for chain in reversed(chains):
        kind = type(chain)
        operands: list[exp.Expr] = []
        node: exp.Expr = chain
        while type(node) is kind:
            operands.append(node.args["expression"])
            node = node.this
        operands.append(node)
        operands.reverse()
        if len(operands) < _LONG_CHAIN:
            continue
        balanced = _joined(operands, kind)
        chain.replace(balanced)
        if chain is tree:
            tree = balanced
    depth = _depth(tree)
    if depth > MAXIMUM_TREE_DEPTH:
        raise _syntax_error(place, f"the statement is nested deeper than {MAXIMUM_TREE_DEPTH} levels")
    return tree


_LONG_CHAIN = 64


def _joined(operands: list[exp.Expr], kind: type[exp.Expr]) -> exp.Expr:
    while len(operands) > 1:
        operands = [
            kind(this=_in_parens(operands[index], kind), expression=_in_parens(operands[index + 1], kind))
            if index + 1 < len(operands)
            else operands[index]
            for index in range(0, len(operands), 2)
        ]
    return operands[0]


def _in_parens(operand: exp.Expr, kind: type[exp.Expr]) -> exp.Expr:
    return exp.Paren(this=operand) if type(operand) is kind else operand


def _depth(tree: exp.Expr) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for node in level for child in node.iter_expressions()]
    return deepest


def _from_parse_error(
    error: ParseError, sql: str, tokens: Sequence[Token], line_starts: tuple[int, ...]
) -> InvalidQuerySyntax:
    details = error.errors[0] if error.errors else {}
    line, column = details.get("line"), details.get("col")
    highlight = str(details.get("highlight") or "")
    if not isinstance(line, int) or not isinstance(column, int):
        return _syntax_error(_place(line_starts, tokens[0].start), "this is not a query")
    end = (
        line_starts[min(line, len(line_starts)) - 1] + column
    )  # sqlglot's column is that of the token's last character
    place = _place(line_starts, max(0, end - max(1, len(highlight))))
    expected = str(details.get("description") or "")
    at_the_end = end >= tokens[-1].end + 1 and not expected.startswith("Invalid expression")
    if at_the_end:
        place = _end_place(sql, line_starts)
    found = "<EOF>" if at_the_end else highlight.strip()
    hint = expected.removeprefix("Expecting ").strip() if expected.startswith("Expecting ") else ""
    return _syntax_error(place, f"mismatched input '{found[:60]}'" + (f". Expecting: '{hint}'" if hint else ""))


def _start_of(node: exp.Expr) -> int | None:
    starts = [
        part.meta["start"] for part in node.find_all(exp.Identifier, exp.Anonymous, exp.Star) if "start" in part.meta
    ]
    return min(starts) if starts else node.meta.get("start")


def _place(line_starts: Sequence[int], offset: int) -> Place:
    line = bisect.bisect_right(line_starts, offset)
    return Place(line, offset - line_starts[line - 1] + 1)


def _end_place(sql: str, line_starts: Sequence[int]) -> Place:
    return _place(line_starts, len(sql.rstrip()))


def located(place: Place | None) -> Location:
    """The place as keyword arguments of a StatementError."""
    return {"line": place.line if place else None, "column": place.column if place else None}


def _syntax_error(place: Place, what: str) -> InvalidQuerySyntax:
    return InvalidQuerySyntax(f"{place}: {what}", line=place.line, column=place.column)
