"""Words of Athena's DDL, which is Hive's: names in backticks, strings in single or double quotes with backslashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from embedded.sql.errors import TrinoError

WORD = "word"
NAME = "name"
STRING = "string"
NUMBER = "number"
SIGN = "sign"
END = "end"

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)
    |(?P<name>`(?:[^`]|``)*`)
    |(?P<string>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_$]*)
    |(?P<sign><=|>=|<>|!=|[(),.=<>:;*?+/@\[\]{}|&%~^!-])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a"}
_ESCAPE = re.compile(r"\\([0-7]{3}|u[0-9a-fA-F]{4}|.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class HiveToken:
    """kind, the text as it stands, its value (quotes off, escapes read), and where it begins."""

    kind: str
    text: str
    value: str
    start: int
    end: int


def position_of(sql: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of an offset."""
    line = sql.count("\n", 0, offset) + 1
    return line, offset - (sql.rfind("\n", 0, offset) + 1) + 1


def syntax_error(sql: str, offset: int, message: str) -> TrinoError:
    line, column = position_of(sql, offset)
    return TrinoError("SYNTAX_ERROR", message, line=line, column=column)


def tokens(sql: str) -> list[HiveToken]:
    """All tokens, the last one is END. Raises TrinoError SYNTAX_ERROR for a character that starts none."""
    return list(_tokens(sql))


def _tokens(sql: str) -> Iterator[HiveToken]:
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            raise syntax_error(sql, position, f"no viable alternative at input '{sql[position : position + 20]}'")
        position = match.end()
        text = match.group()
        if match.lastgroup == "name":
            yield HiveToken(NAME, text, text[1:-1].replace("``", "`"), match.start(), position)
        elif match.lastgroup == "string":
            yield HiveToken(STRING, text, string_value(text), match.start(), position)
        elif match.lastgroup != "blank":
            yield HiveToken(match.lastgroup or SIGN, text, text, match.start(), position)
    yield HiveToken(END, "<EOF>", "", len(sql), len(sql))


def string_value(text: str) -> str:
    """What a quoted Hive string stands for."""
    inner = text[1:-1]
    if text[0] == "'":
        inner = inner.replace("''", "'")
    return _ESCAPE.sub(_unescaped, inner)


def _unescaped(match: re.Match[str]) -> str:
    code = match.group(1)
    if len(code) == 3:
        return chr(int(code, 8))
    if len(code) == 5:
        return chr(int(code[1:], 16))
    # Hive keeps the backslash before % and _ (they are patterns); every other character stands for itself.
    return _ESCAPES.get(code, f"\\{code}" if code in "%_" else code)
