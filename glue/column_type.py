"""Types of columns as the catalogue writes them (Hive's: `bigint`, `map<string,array<int>>`), read once.

For table specs (is this a type at all, what may it become later), for SQL (the same type in Trino's words) and for
whoever writes typed files. The grammar, blanks and case do not matter:

    type  = name | "decimal" ["(" precision ["," scale] ")"] | ("varchar" | "char") "(" length ")"
          | "array<" type ">" | "map<" type "," type ">" | "struct<" name ":" type {"," name ":" type} ">"

Athena's own list of types is the rule (Athena manual, "Data types in Amazon Athena").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[<>(),:])\s*")
_FIELD_NAME = re.compile(r"[a-z_][a-z0-9_]*")
# Hive's name -> Trino's
_SCALARS = {
    "boolean": "boolean",
    "tinyint": "tinyint",
    "smallint": "smallint",
    "int": "integer",
    "bigint": "bigint",
    "float": "real",
    "double": "double",
    "string": "varchar",
    "binary": "varbinary",
    "date": "date",
    "timestamp": "timestamp",
}
_OTHER_NAMES = {"integer": "int", "real": "float", "double precision": "double"}
_WHOLE_NUMBERS = ("tinyint", "smallint", "int", "bigint")
_DEEPEST = 20


class InvalidColumnType(ValueError):
    """A text that is no type of the catalogue; says why."""


@dataclass(frozen=True)
class ColumnType:
    """One type. `name` is `bigint`, `decimal`, `array`, ...; `parameters` are the numbers in parentheses.

    `items` are the types inside: of an array its element, of a map key and value, of a struct its fields, whose names
    are `fields`.
    """

    name: str
    parameters: tuple[int, ...] = ()
    items: tuple[ColumnType, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def is_nested(self) -> bool:
        """Whether there are types inside."""
        return bool(self.items)

    def hive(self) -> str:
        """The type as the catalogue writes it, without blanks."""
        if self.name == "struct":
            pairs = zip(self.fields, self.items, strict=True)
            return f"struct<{','.join(f'{name}:{item.hive()}' for name, item in pairs)}>"
        if self.items:
            return f"{self.name}<{','.join(item.hive() for item in self.items)}>"
        return self.name + (f"({','.join(map(str, self.parameters))})" if self.parameters else "")

    def trino(self) -> str:
        """The type as Athena's SQL writes it: `varchar`, `array(integer)`, `row("a" bigint)`."""
        if self.name == "struct":
            pairs = zip(self.fields, self.items, strict=True)
            return "row(" + ", ".join(f'"{name}" {item.trino()}' for name, item in pairs) + ")"
        if self.items:
            return f"{self.name}({', '.join(item.trino() for item in self.items)})"
        name = _SCALARS.get(self.name, self.name)
        return name + (f"({','.join(map(str, self.parameters))})" if self.parameters else "")

    def widens_to(self, wider: ColumnType) -> bool:
        """Whether files written with this type read the same with `wider`, whichever SerDe reads them.

        Whole numbers to larger ones, float to double, decimals that gain digits before the point only, varchar to a
        longer one or to string; inside arrays, maps and structs the same; a struct may gain fields at its end.
        """
        if self == wider:
            return True
        if self.name in _WHOLE_NUMBERS and wider.name in _WHOLE_NUMBERS:
            return _WHOLE_NUMBERS.index(self.name) < _WHOLE_NUMBERS.index(wider.name)
        if (self.name, wider.name) in (("float", "double"), ("varchar", "string"), ("char", "string")):
            return True
        if self.name == wider.name == "varchar":
            return self.parameters[0] <= wider.parameters[0]
        if self.name == wider.name == "decimal":
            return self.parameters[1] == wider.parameters[1] and self.parameters[0] <= wider.parameters[0]
        if self.name == wider.name and self.items:
            is_longer = len(wider.items) == len(self.items) or self.name == "struct"
            return (
                is_longer
                and self.fields == wider.fields[: len(self.fields)]
                and len(self.items) <= len(wider.items)
                and all(mine.widens_to(its) for mine, its in zip(self.items, wider.items, strict=False))
            )
        return False


@lru_cache(maxsize=1024)
def parse_type(text: str) -> ColumnType:
    """The type that this text is. Raises InvalidColumnType."""
    reader = _Reader(text)
    found = reader.type(0)
    if reader.peek() is not None:
        raise InvalidColumnType(f"{text!r} is no type: {reader.peek()!r} is too much")
    return found


class _Reader:
    """Reads one text, token by token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise InvalidColumnType(f"{text!r} is no type: {text[at : at + 10]!r} cannot be read")
            self._tokens.append(match[1].lower())
            at = match.end()
        self._at = 0

    def peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def type(self, depth: int) -> ColumnType:
        if depth > _DEEPEST:
            raise InvalidColumnType(f"a type is nested deeper than {_DEEPEST} levels")
        name = self._word()
        name = _OTHER_NAMES.get(name, name)
        if name == "array":
            self._take("<")
            element = self.type(depth + 1)
            self._take(">")
            return ColumnType("array", items=(element,))
        if name == "map":
            self._take("<")
            key = self.type(depth + 1)
            self._take(",")
            value = self.type(depth + 1)
            self._take(">")
            if key.is_nested:
                raise InvalidColumnType(f"{self._text!r} is no type: the key of a map is a plain value")
            return ColumnType("map", items=(key, value))
        if name == "struct":
            return self._struct(depth)
        if name == "decimal":
            return self._decimal()
        if name in ("varchar", "char"):
            return ColumnType(name, parameters=(self._numbers(1, 1)[0],))
        if name not in _SCALARS:
            raise InvalidColumnType(f"{name!r} is no type; there are {', '.join(_NAMES)}")
        return ColumnType(name)

    def _struct(self, depth: int) -> ColumnType:
        self._take("<")
        fields: list[str] = []
        items: list[ColumnType] = []
        while True:
            field = self._word()
            if not _FIELD_NAME.fullmatch(field) or field in fields:
                raise InvalidColumnType(f"{self._text!r} is no type: a struct's field cannot be named {field!r}")
            self._take(":")
            fields.append(field)
            items.append(self.type(depth + 1))
            if self.peek() != ",":
                break
            self._take(",")
        self._take(">")
        return ColumnType("struct", items=tuple(items), fields=tuple(fields))

    def _decimal(self) -> ColumnType:
        numbers = self._numbers(1, 2) if self.peek() == "(" else [10, 0]
        precision, scale = numbers[0], numbers[1] if len(numbers) > 1 else 0
        if not 1 <= precision <= 38 or scale > precision:
            raise InvalidColumnType(f"decimal({precision},{scale}) is no type: at most 38 digits, scale within them")
        return ColumnType("decimal", parameters=(precision, scale))

    def _numbers(self, least: int, most: int) -> list[int]:
        self._take("(")
        numbers = [self._number()]
        while self.peek() == "," and len(numbers) < most:
            self._take(",")
            numbers.append(self._number())
        self._take(")")
        if len(numbers) < least:
            raise InvalidColumnType(f"{self._text!r} is no type")
        return numbers

    def _number(self) -> int:
        token = self.peek() or ""
        if not token.isdecimal() or len(token) > 9:
            raise InvalidColumnType(f"{self._text!r} is no type: a number is expected, not {token or 'its end'!r}")
        self._at += 1
        return int(token)

    def _word(self) -> str:
        token = self.peek()
        if token is None or not (token[0].isalpha() or token[0] == "_"):
            raise InvalidColumnType(f"{self._text!r} is no type: a name is expected, not {token or 'its end'!r}")
        self._at += 1
        return token

    def _take(self, token: str) -> None:
        if self.peek() != token:
            raise InvalidColumnType(
                f"{self._text!r} is no type: {token!r} is expected, not {self.peek() or 'its end'!r}"
            )
        self._at += 1


_NAMES = (*_SCALARS, "decimal(p,s)", "varchar(n)", "char(n)", "array<T>", "map<K,V>", "struct<name:T,...>")
