"""Trino's types as values: `TrinoType`, its names, and the rules by which one type becomes another.

Rules come from Trino's TypeCoercion: which type coerces implicitly to which, and the common super type of two types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from embedded.sql.errors import TrinoError

UNBOUNDED = None  # length of `varchar` without a number


@dataclass(frozen=True, slots=True)
class TrinoType:
    """One Trino type.

    base: 'bigint', 'varchar', 'decimal', 'timestamp', 'timestamp with time zone', 'row', 'interval day to second' ...
    numbers: varchar(n)/char(n): (n,), decimal: (precision, scale), time and timestamp families: (precision,).
    elements: array: (E,), map: (K, V), row: the field types, function: argument types and, last, the result.
    names: row only: the field names, None for an anonymous field.
    """

    base: str
    numbers: tuple[int, ...] = ()
    elements: tuple[TrinoType, ...] = ()
    names: tuple[str | None, ...] = ()

    @property
    def length(self) -> int | None:
        return self.numbers[0] if self.numbers else None

    @property
    def precision(self) -> int:
        return self.numbers[0]

    @property
    def scale(self) -> int:
        return self.numbers[1]

    @property
    def element(self) -> TrinoType:
        """Element type of an array."""
        return self.elements[0]

    @property
    def key(self) -> TrinoType:
        return self.elements[0]

    @property
    def value(self) -> TrinoType:
        return self.elements[1]

    @property
    def depth(self) -> int:
        """How deep arrays, maps and rows nest: 0 for a plain type."""
        return 1 + max((element.depth for element in self.elements), default=0) if self.is_nested else 0

    @property
    def is_integer(self) -> bool:
        return self.base in INTEGER_WIDTHS

    @property
    def is_numeric(self) -> bool:
        return self.base in _NUMERIC

    @property
    def is_floating(self) -> bool:
        return self.base in ("double", "real")

    @property
    def is_character(self) -> bool:
        return self.base in ("varchar", "char")

    @property
    def is_nested(self) -> bool:
        return self.base in ("array", "map", "row")

    def __str__(self) -> str:
        return _display(self)


@lru_cache(maxsize=20_000)
def _display(trino_type: TrinoType) -> str:
    base = trino_type.base
    if base in ("varchar", "char", "decimal"):
        numbers = ",".join(map(str, trino_type.numbers))
        return f"{base}({numbers})" if numbers else base
    if base.endswith(" with time zone"):
        return f"{base.split(' ')[0]}({trino_type.precision}) with time zone"
    if base in ("time", "timestamp"):
        return f"{base}({trino_type.precision})"
    if base in ("array", "map"):
        return f"{base}({', '.join(map(str, trino_type.elements))})"
    if base == "row":
        fields = zip(trino_type.names, trino_type.elements, strict=True)
        return f"row({', '.join(f'{name} {element}' if name else str(element) for name, element in fields)})"
    if base == "function":
        arguments = ",".join(map(str, trino_type.elements))
        return f"function({arguments})"
    return base


BOOLEAN = TrinoType("boolean")
TINYINT = TrinoType("tinyint")
SMALLINT = TrinoType("smallint")
INTEGER = TrinoType("integer")
BIGINT = TrinoType("bigint")
REAL = TrinoType("real")
DOUBLE = TrinoType("double")
VARCHAR = TrinoType("varchar")
VARBINARY = TrinoType("varbinary")
DATE = TrinoType("date")
JSON = TrinoType("json")
UNKNOWN = TrinoType("unknown")
UUID = TrinoType("uuid")
IPADDRESS = TrinoType("ipaddress")
DAY_TO_SECOND = TrinoType("interval day to second")
YEAR_TO_MONTH = TrinoType("interval year to month")
JSON_2016 = TrinoType("json2016")

INTEGER_WIDTHS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64}
_NUMERIC = frozenset({*INTEGER_WIDTHS, "decimal", "real", "double"})
_DECIMAL_OF_INTEGER = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}
MAXIMUM_DECIMAL_PRECISION = 38
MAXIMUM_VARCHAR_LENGTH = 2**31 - 2


@lru_cache(maxsize=4096)
def varchar(length: int | None = UNBOUNDED) -> TrinoType:
    """varchar(length); unbounded above the longest bound Trino has."""
    if length is None or length > MAXIMUM_VARCHAR_LENGTH:
        return VARCHAR
    return TrinoType("varchar", (length,))


@lru_cache(maxsize=4096)
def char(length: int) -> TrinoType:
    return TrinoType("char", (length,))


@lru_cache(maxsize=4096)
def decimal(precision: int, scale: int = 0) -> TrinoType:
    return TrinoType("decimal", (precision, scale))


@lru_cache(maxsize=64)
def timestamp(precision: int = 3) -> TrinoType:
    return TrinoType("timestamp", (precision,))


@lru_cache(maxsize=64)
def timestamp_with_time_zone(precision: int = 3) -> TrinoType:
    return TrinoType("timestamp with time zone", (precision,))


@lru_cache(maxsize=64)
def time(precision: int = 3) -> TrinoType:
    return TrinoType("time", (precision,))


@lru_cache(maxsize=64)
def time_with_time_zone(precision: int = 3) -> TrinoType:
    return TrinoType("time with time zone", (precision,))


def array(element: TrinoType) -> TrinoType:
    return TrinoType("array", (), (element,))


def map_of(key: TrinoType, value: TrinoType) -> TrinoType:
    return TrinoType("map", (), (key, value))


def row(*elements: TrinoType, names: tuple[str | None, ...] | None = None) -> TrinoType:
    return TrinoType("row", (), elements, names if names is not None else (None,) * len(elements))


def decimal_of(trino_type: TrinoType) -> TrinoType:
    """The decimal that holds every value of an integer type; a decimal is itself."""
    if trino_type.base == "decimal":
        return trino_type
    return decimal(_DECIMAL_OF_INTEGER[trino_type.base], 0)


# --------------------------------------------------------------------------------------------- coercion

_INTEGER_ORDER = ("tinyint", "smallint", "integer", "bigint")


@lru_cache(maxsize=50_000)
def common_super_type(left: TrinoType, right: TrinoType) -> TrinoType | None:
    """The type both sides coerce to, or None (Trino's TypeCoercion.getCommonSuperType)."""
    if left == right:
        return left
    if left.base == "unknown":
        return right
    if right.base == "unknown":
        return left
    if left.base == right.base:
        return _common_of_same_base(left, right)
    for one, other in ((left, right), (right, left)):
        common = _common_of_bases(one, other)
        if common is not None:
            return common
    return None


def _common_of_same_base(left: TrinoType, right: TrinoType) -> TrinoType | None:
    base = left.base
    if base == "varchar":
        return VARCHAR if left.length is None or right.length is None else varchar(max(left.length, right.length))
    if base == "char":
        return char(max(left.numbers[0], right.numbers[0]))
    if base == "decimal":
        scale = max(left.scale, right.scale)
        whole = max(left.precision - left.scale, right.precision - right.scale)
        return decimal(min(MAXIMUM_DECIMAL_PRECISION, whole + scale), scale)
    if base in ("time", "timestamp", "time with time zone", "timestamp with time zone"):
        return left if left.precision >= right.precision else right
    if base in ("array", "map"):
        elements = [common_super_type(a, b) for a, b in zip(left.elements, right.elements, strict=True)]
        found = [element for element in elements if element is not None]
        return TrinoType(base, (), tuple(found)) if len(found) == len(elements) else None
    if base == "row":
        if len(left.elements) != len(right.elements):
            return None
        elements = [common_super_type(a, b) for a, b in zip(left.elements, right.elements, strict=True)]
        found = [element for element in elements if element is not None]
        if len(found) != len(elements):
            return None
        names = tuple(a if a == b else None for a, b in zip(left.names, right.names, strict=True))
        return TrinoType("row", (), tuple(found), names)
    return None


def _common_of_bases(one: TrinoType, other: TrinoType) -> TrinoType | None:
    """The common type if `one` coerces to the family of `other`."""
    if one.is_integer:
        if other.is_integer:
            return other if _INTEGER_ORDER.index(other.base) > _INTEGER_ORDER.index(one.base) else None
        if other.base == "decimal":
            return _common_of_same_base(decimal_of(one), other)
        if other.is_floating:
            return other
    elif one.base == "decimal":
        if other.is_floating:
            return other
    elif one.base == "real":
        if other.base == "double":
            return other
    elif one.base == "date":
        if other.base in ("timestamp", "timestamp with time zone"):
            return other
    elif one.base == "timestamp":
        if other.base == "timestamp with time zone":
            return timestamp_with_time_zone(max(one.precision, other.precision))
    elif one.base == "time":
        if other.base == "time with time zone":
            return time_with_time_zone(max(one.precision, other.precision))
    elif one.base == "varchar" and other.base == "char" and one.length is not None:
        # a char compared with a varchar becomes a char: Trino's rule since 2018
        return char(max(one.length, other.numbers[0]))
    return None


@lru_cache(maxsize=50_000)
def can_coerce(source: TrinoType, target: TrinoType) -> bool:
    """Whether Trino casts source to target without being asked."""
    if source == target:
        return True
    common = common_super_type(source, target)
    if common == target:
        return True
    if common is not None and target.base == "row" and common.base == "row":
        return all(can_coerce(a, b) for a, b in zip(source.elements, target.elements, strict=True))
    if target.is_nested and target.base == source.base and len(source.elements) == len(target.elements):
        return all(can_coerce(a, b) for a, b in zip(source.elements, target.elements, strict=True))
    return (
        source.base == "char"
        and target.base == "varchar"
        and (target.length is None or target.length >= source.numbers[0])
    )


def is_comparable(trino_type: TrinoType) -> bool:
    if trino_type.base in ("function", "hyperloglog", "qdigest", "tdigest", "setdigest", "json2016"):
        return False
    return all(is_comparable(element) for element in trino_type.elements)


def is_orderable(trino_type: TrinoType) -> bool:
    if trino_type.base in ("function", "json", "map", "hyperloglog", "qdigest", "tdigest", "setdigest", "json2016"):
        return False
    return all(is_orderable(element) for element in trino_type.elements)


# --------------------------------------------------------------------------------------------- reading type texts

_TOKEN = re.compile(r'\s*(?:("(?:[^"]|"")*")|([A-Za-z_][A-Za-z_0-9]*)|(\d+)|([(),<>:]))')
_ALIASES = {"int": "integer", "string": "varchar", "binary": "varbinary", "float": "real", "numeric": "decimal"}
_PLAIN = frozenset(
    [
        "boolean",
        "tinyint",
        "smallint",
        "integer",
        "bigint",
        "real",
        "double",
        "date",
        "json",
        "varbinary",
        "unknown",
        "uuid",
        "ipaddress",
        "json2016",
        "hyperloglog",
        "p4hyperloglog",
        "setdigest",
        "tdigest",
        "color",
        "geometry",
        "sphericalgeography",
        "jsonpath",
    ]
)


class _TypeText:
    """Reads `decimal(10,2)`, `row(a bigint, varchar)`, `timestamp(3) with time zone`, `array<int>`, `struct<a:int>`."""

    def __init__(self, text: str, *, hive: bool) -> None:
        self.text = text
        self.hive = hive
        self.tokens: list[str] = []
        position = 0
        stripped = text.strip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise self.unknown()
            self.tokens.append(match.group(0).strip())
            position = match.end()
        self.at = 0

    def unknown(self) -> TrinoError:
        return TrinoError("TYPE_NOT_FOUND", f"Unknown type: {self.text}")

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return self.tokens[index].lower() if index < len(self.tokens) else ""

    def take(self, *words: str) -> bool:
        for ahead, word in enumerate(words):
            if self.peek(ahead) != word:
                return False
        self.at += len(words)
        return True

    def number(self) -> int:
        token = self.peek()
        if not token.isdigit():
            raise self.unknown()
        self.at += 1
        return int(token)

    def numbers(self) -> tuple[int, ...]:
        if not self.take("("):
            return ()
        found = [self.number()]
        while self.take(","):
            found.append(self.number())
        if not self.take(")"):
            raise self.unknown()
        return tuple(found)

    def type(self) -> TrinoType:
        name = self.peek()
        self.at += 1
        if self.hive and name == "float":
            return REAL
        name = _ALIASES.get(name, name)
        if name in _PLAIN:
            if name == "double":
                self.take("precision")
            return TrinoType(name)
        if name == "varchar":
            return varchar(*self.numbers())
        if name == "char":
            return char(*(self.numbers() or (1,)))
        if name == "decimal":
            numbers = self.numbers()
            default = 10 if self.hive else MAXIMUM_DECIMAL_PRECISION
            return decimal(numbers[0] if numbers else default, numbers[1] if len(numbers) > 1 else 0)
        if name in ("time", "timestamp"):
            return self._time_type(name)
        if name == "interval":
            if self.take("day", "to", "second"):
                return DAY_TO_SECOND
            if self.take("year", "to", "month"):
                return YEAR_TO_MONTH
            raise self.unknown()
        if name in ("array", "map", "row", "struct", "function"):
            return self._nested_type(name)
        raise self.unknown()

    def _time_type(self, name: str) -> TrinoType:
        precision = (self.numbers() or (3,))[0]
        if self.take("with", "time", "zone"):
            return TrinoType(f"{name} with time zone", (precision,))
        self.take("without", "time", "zone")
        return TrinoType(name, (precision,))

    def _nested_type(self, name: str) -> TrinoType:
        opening = self.peek()
        if opening not in ("(", "<"):
            raise self.unknown()
        self.at += 1
        closing = ")" if opening == "(" else ">"
        elements: list[TrinoType] = []
        names: list[str | None] = []
        while True:
            field_name = self._field_name() if name in ("row", "struct") else None
            elements.append(self.type())
            names.append(field_name)
            if self.take(","):
                continue
            if not self.take(closing):
                raise self.unknown()
            break
        if name in ("row", "struct"):
            return TrinoType("row", (), tuple(elements), tuple(names))
        if name != "function" and len(elements) != (1 if name == "array" else 2):
            raise self.unknown()
        return TrinoType(name, (), tuple(elements))

    def _field_name(self) -> str | None:
        if self.peek(1) == ":":
            self.at += 2
            return self._unquoted(self.tokens[self.at - 2])
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        following = self.peek(1)
        is_name = token.startswith('"') or (
            following not in ("", "(", ")", "<", ">", ",")
            and not (token.lower() == "double" and following == "precision")
            and not (token.lower() in ("time", "timestamp") and following in ("with", "without"))
            and not (token.lower() == "interval" and following in ("day", "year") and self.peek(2) == "to")
        )
        if not is_name:
            return None
        self.at += 1
        return self._unquoted(token)

    @staticmethod
    def _unquoted(token: str) -> str:
        return token[1:-1].replace('""', '"') if token.startswith('"') else token.lower()


@lru_cache(maxsize=20_000)
def parse_type(text: str) -> TrinoType:
    """Reads Trino's type text. Raises TrinoError TYPE_NOT_FOUND."""
    reader = _TypeText(text, hive=False)
    found = reader.type()
    if reader.at != len(reader.tokens):
        raise reader.unknown()
    return found


@lru_cache(maxsize=20_000)
def parse_hive_type(text: str) -> TrinoType:
    """Reads Glue's (Hive's) type text as Athena shows it: `int` is integer, `string` varchar, `float` real."""
    reader = _TypeText(text, hive=True)
    found = reader.type()
    if reader.at != len(reader.tokens):
        raise reader.unknown()
    return found
