"""Reads the beginnings of Trino's own statements (CREATE VIEW, CTAS, INSERT, UNLOAD, PREPARE, EXECUTE) from their text.

What stands between the words is a query, and stays text: the SQL translator reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from embedded.sql.errors import TrinoError
from embedded.statements.hive_tokens import position_of
from embedded.statements.model import TableName

Item = TypeVar("Item")

_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([A-Za-z_][A-Za-z0-9_]*)')
_STRING = re.compile(r"'((?:[^']|'')*)'")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_LITERAL_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


class TextReader:
    """A position in a statement's text."""

    def __init__(self, sql: str) -> None:
        self.sql = sql
        self.position = 0
        self._skip_blank()

    def _skip_blank(self) -> None:
        match = _BLANK.match(self.sql, self.position)
        self.position = match.end() if match else self.position

    @property
    def rest(self) -> str:
        return self.sql[self.position :]

    @property
    def is_at_end(self) -> bool:
        return self.position >= len(self.sql)

    def fail(self, *expected: str) -> TrinoError:
        line, column = position_of(self.sql, self.position)
        match = re.compile(r"\w+|\S").match(self.sql, self.position)
        found = match.group() if match else "<EOF>"
        wanted = ", ".join(f"'{word}'" if word.isupper() or not word.isalpha() else word for word in expected)
        return TrinoError("SYNTAX_ERROR", f"mismatched input '{found}'. Expecting: {wanted}", line=line, column=column)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        match = pattern.match(self.sql, self.position)
        if match is not None:
            self.position = match.end()
            self._skip_blank()
        return match

    def take(self, *words: str) -> bool:
        """Reads these words (or signs) if they all come next."""
        start = self.position
        for word in words:
            if word[0].isalpha():
                match = _WORD.match(self.sql, self.position)
                if match is None or match.group().upper() != word:
                    self.position = start
                    return False
                self.position = match.end()
            elif self.sql.startswith(word, self.position):
                self.position += len(word)
            else:
                self.position = start
                return False
            self._skip_blank()
        return True

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.take(word):
                raise self.fail(word)

    def name(self) -> str:
        match = self._take(_NAME)
        if match is None:
            raise self.fail("identifier")
        double, back, plain = match.groups()
        text: str = double.replace('""', '"') if double else (back.replace("``", "`") if back else plain)
        return text.lower()

    def table_name(self) -> TableName:
        parts = [self.name()]
        while self.take("."):
            parts.append(self.name())
        if len(parts) > 3:
            raise self.fail("<EOF>")
        if len(parts) == 3 and parts[0] != "awsdatacatalog":
            raise TrinoError("CATALOG_NOT_FOUND", f"Catalog '{parts[0]}' does not exist")
        return TableName(parts[-1], parts[-2] if len(parts) > 1 else None)

    def string(self) -> str:
        match = self._take(_STRING)
        if match is None:
            raise self.fail("string")
        return match.group(1).replace("''", "'")

    def number(self) -> str:
        match = self._take(_NUMBER)
        if match is None:
            raise self.fail("number")
        return match.group()

    def listed(self, item: Callable[[], Item], opening: str = "(", closing: str = ")") -> list[Item]:
        self.expect(opening)
        found: list[Item] = []
        if self.take(closing):
            return found
        found.append(item())
        while self.take(","):
            found.append(item())
        self.expect(closing)
        return found

    def properties(self) -> Mapping[str, object]:
        """( name = value, ... ): strings, numbers, booleans and ARRAY[...] of strings."""

        def pair() -> tuple[str, object]:
            name = self.name()
            self.expect("=")
            return name, self._value()

        return dict(self.listed(pair))

    def _value(self) -> object:
        if self.sql.startswith("'", self.position):
            return self.string()
        if self.take("ARRAY"):
            return self.listed(self.string, "[", "]")
        if self.take("TRUE"):
            return True
        if self.take("FALSE"):
            return False
        text = self.number()
        return float(text) if "." in text else int(text)

    def parenthesized(self) -> str:
        """The text between the next parenthesis and its partner."""
        if not self.sql.startswith("(", self.position):
            raise self.fail("(")
        start = at = self.position + 1
        depth = 1
        while at < len(self.sql):
            literal = _LITERAL_OR_COMMENT.match(self.sql, at)
            if literal is not None and literal.end() > at:
                at = literal.end()
                continue
            depth += {"(": 1, ")": -1}.get(self.sql[at], 0)
            if depth == 0:
                self.position = at + 1
                self._skip_blank()
                return self.sql[start:at]
            at += 1
        self.position = len(self.sql)
        raise self.fail(")")

    def end(self) -> None:
        if not self.is_at_end:
            raise self.fail("<EOF>")
