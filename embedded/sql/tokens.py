"""Trino's lexical grammar (SqlBase.g4): SQL text to tokens that know where they stand."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from embedded.sql.errors import TrinoError

_LEXER = re.compile(
    r"""
    (?P<space>\s+|--[^\r\n]*(?:\r?\n)?|/\*.*?\*/)
  | (?P<string>'(?:[^']|'')*')
  | (?P<unicode>[uU]&'(?:[^']|'')*')
  | (?P<binary>[xX]'[^']*')
  | (?P<double>(?:\d[\d_]*(?:\.\d*)?|\.\d+)[eE][+-]?\d+)
  | (?P<decimal>\d[\d_]*\.\d*|\.\d+)
  | (?P<digit_identifier>\d[\d_]*[A-Za-z][A-Za-z0-9_]*)
  | (?P<integer>\d(?:_?\d)*)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<quoted>"(?:[^"]|"")*")
  | (?P<backquoted>`(?:[^`]|``)*`)
  | (?P<operator><>|!=|<=|>=|=>|->|\|\||\{-|-\}|[-+*/%=<>()\[\],.;?:$^|{}@])
    """,
    re.VERBOSE | re.DOTALL,
)
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+")


class Token(NamedTuple):
    kind: str  # name quoted string unicode binary integer decimal double operator end
    text: str
    key: str  # upper-cased name or operator; '' for literals and quoted names: what keywords are compared with
    position: int


class Source:
    """The SQL text; turns offsets into Trino's line:column, both from 1."""

    __slots__ = ("_starts", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts: list[int] | None = None

    def line_and_column(self, position: int) -> tuple[int, int]:
        if self._starts is None:
            self._starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect_right(self._starts, position)
        return line, position - self._starts[line - 1] + 1

    def error(self, name: str, message: str, position: int) -> TrinoError:
        line, column = self.line_and_column(position)
        return TrinoError(name, message, line=line, column=column)


def tokenize(source: Source) -> list[Token]:
    """All tokens, closed by one of kind 'end'. Raises TrinoError SYNTAX_ERROR."""
    text = source.text
    tokens: list[Token] = []
    append = tokens.append
    match_at = _LEXER.match
    position = 0
    length = len(text)
    while position < length:
        match = match_at(text, position)
        if match is None:
            raise _unreadable(source, position)
        kind = match.lastgroup
        end = match.end()
        if kind == "name":
            word = match.group()
            append(Token("name", word, word.upper(), position))
        elif kind == "operator":
            word = match.group()
            append(Token("operator", word, "<>" if word == "!=" else word, position))
        elif kind == "space":
            pass
        elif kind == "digit_identifier" and _HEXADECIMAL.fullmatch(match.group()):
            append(Token("integer", match.group(), "", position))
        elif kind == "digit_identifier":
            raise source.error(
                "SYNTAX_ERROR",
                "identifiers must not start with a digit; surround the identifier with double quotes",
                position,
            )
        elif kind == "backquoted":
            raise source.error(
                "SYNTAX_ERROR",
                "backquoted identifiers are not supported; use double quotes to quote identifiers",
                position,
            )
        else:
            assert kind is not None
            append(Token(kind, match.group(), "", position))
        position = end
    append(Token("end", "<EOF>", "", length))
    return tokens


def _unreadable(source: Source, position: int) -> TrinoError:
    character = source.text[position]
    if character in "'\"":
        return source.error("SYNTAX_ERROR", f"mismatched input '{character}'", position)
    return source.error("SYNTAX_ERROR", f"mismatched input '{character}'. Expecting: <EOF>", position)
