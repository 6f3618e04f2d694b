"""The SQL/JSON path language: `lax $.items[0 to last]?(@.price > 10).name`, parsed once and evaluated per JSON value.

    path = parse_path("strict $.a[*]")
    items = path.evaluate(document, {"limit": Scalar(INTEGER, 3)})

A document is made of dict, list, None and `Scalar` (numbers, texts and booleans with the SQL type they have: integer,
bigint, double, varchar, boolean). An evaluation gives a list of such items or raises PathError.

| rule | lax | strict |
|---|---|---|
| a member or element that is not there | nothing | error |
| an array where members are asked for | its elements are taken | error |
| a value where an array is asked for | taken as an array of one | error |

Filters never fail: what cannot be compared is unknown. Source of the rules: Trino's documentation of JSON functions and
its PathEvaluationVisitor and PathPredicateEvaluationVisitor; ISO/IEC 9075-2:2016.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from functools import lru_cache
from typing import Any

from embedded.sql.errors import TrinoError
from embedded.sql.json_text import FractionNumber, Members, WholeNumber
from embedded.sql.types import (
    BIGINT,
    BOOLEAN,
    DOUBLE,
    INTEGER,
    INTEGER_WIDTHS,
    MAXIMUM_DECIMAL_PRECISION,
    TrinoType,
    common_super_type,
    decimal,
    decimal_of,
    varchar,
)


class PathError(Exception):
    """The path does not fit the value; str() says why in Trino's words."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value with its SQL type: int, float, Decimal, bool or str (also of dates and times, in SQL's text).

    `is_json`: it stands in a JSON document, rather than in the path or among its parameters.
    """

    type: TrinoType
    value: object
    is_json: bool = False


Item = object  # dict, list, None or Scalar
Items = list[Item]


def document(value: object) -> Item:
    """What embedded.sql.json_text read, as items. The last of repeated keys counts."""
    if isinstance(value, Members):
        return {key: document(member) for key, member in value}
    if isinstance(value, list):
        return [document(element) for element in value]
    if isinstance(value, WholeNumber):
        number = int(value)
        return Scalar(INTEGER if -(2**31) <= number < 2**31 else BIGINT, number, True)
    if isinstance(value, FractionNumber):
        return Scalar(DOUBLE, float(value), True)
    if isinstance(value, str):
        return Scalar(varchar(None), value, True)
    return value if value is None else Scalar(BOOLEAN, value, True)


# --------------------------------------------------------------------------------------------- evaluation


@dataclass(slots=True)
class _Context:
    root: Item
    parameters: Mapping[str, Item]
    is_lax: bool
    last: int = -1
    current: Item = None
    counter: list[int] = field(default_factory=lambda: [0])

    def within(self, *, last: int | None = None, current: Item = None) -> _Context:
        if last is not None:
            return _Context(self.root, self.parameters, self.is_lax, last, self.current, self.counter)
        return _Context(self.root, self.parameters, self.is_lax, self.last, current, self.counter)


Step = Callable[[_Context], Items]
Predicate = Callable[[_Context], bool | None]
#: A parameter that is NULL with FORMAT JSON: no item at all.
NO_ITEM = object()


@dataclass(frozen=True, slots=True)
class JsonPath:
    is_lax: bool
    root: Step
    names: frozenset[str]  # of the parameters it uses

    def evaluate(self, root: Item, parameters: Mapping[str, Item]) -> Items:
        try:
            return self.root(_Context(root, parameters, self.is_lax))
        except RecursionError:
            raise PathError("path is nested too deeply") from None


def _kind(item: Item) -> str:
    """Trino's name of an item's type in its messages."""
    if isinstance(item, Scalar):
        if not item.is_json:
            return str(item.type)
        return {"boolean": "BOOLEAN", "varchar": "STRING"}.get(item.type.base, "NUMBER")
    return "NULL" if item is None else "ARRAY" if isinstance(item, list) else "OBJECT"


def _item_type_error(expected: str, item: Item) -> PathError:
    return PathError(f"invalid item type. Expected: {expected}, actual: {_kind(item)}")


def _unwrapped(context: _Context, items: Items) -> Items:
    if not context.is_lax or not any(isinstance(item, list) for item in items):
        return items
    found: Items = []
    for item in items:
        found.extend(item) if isinstance(item, list) else found.append(item)
    return found


def _number(item: Item) -> Scalar:
    if not isinstance(item, Scalar) or not item.type.is_numeric:
        raise _item_type_error("NUMBER", item)
    return _representable(item)


def _representable(item: Scalar) -> Scalar:
    if item.type.base == "bigint" and not -(2**63) <= int(str(item.value)) < 2**63:
        raise PathError(f"cannot convert {item.value} to Trino value (value too big)")
    return item


def _member(base: Step, key: str | None) -> Step:
    def step(context: _Context) -> Items:
        found: Items = []
        for item in _unwrapped(context, base(context)):
            if isinstance(item, dict):
                if key is None:
                    found.extend(item.values())
                elif key in item:
                    found.append(item[key])
                elif not context.is_lax:
                    raise PathError(f"structural error: missing member '{key}' in JSON object")
            elif not context.is_lax:
                raise _item_type_error("OBJECT", item)
        return found

    return step


def _descendants(base: Step, key: str) -> Step:
    def collect(item: Item, found: Items) -> None:
        if isinstance(item, dict):
            if key in item:
                found.append(item[key])
            for member in item.values():
                collect(member, found)
        elif isinstance(item, list):
            for element in item:
                collect(element, found)

    def step(context: _Context) -> Items:
        found: Items = []
        for item in base(context):
            collect(item, found)
        return found

    return step


def _elements(base: Step, subscripts: list[tuple[Step, Step | None]]) -> Step:
    def step(context: _Context) -> Items:
        found: Items = []
        for item in base(context):
            if isinstance(item, list):
                elements = item
            elif context.is_lax:
                elements = [item]
            else:
                raise _item_type_error("ARRAY", item)
            if not subscripts:
                found.extend(elements)
            elif elements:
                for subscript in subscripts:
                    found.extend(_slice(context.within(last=len(elements) - 1), elements, subscript))
            elif not context.is_lax:
                raise PathError("structural error: invalid array subscript for empty array")
        return found

    return step


def _slice(context: _Context, elements: Items, subscript: tuple[Step, Step | None]) -> Items:
    first = _index(subscript[0](context), "from")
    last = first if subscript[1] is None else _index(subscript[1](context), "to")
    size = len(elements)
    if not context.is_lax and not (0 <= first <= last < size):
        raise PathError(f"structural error: invalid array subscript: [{first}, {last}] for array of size {size}")
    return elements[max(first, 0) : max(last + 1, 0)]


def _index(items: Items, name: str) -> int:
    if len(items) != 1:
        raise PathError(f"array subscript '{name}' value must be singleton numeric")
    number = _number(items[0])
    if isinstance(number.value, int):
        return number.value
    value = number.value if isinstance(number.value, Decimal) else Decimal(_finite(number))
    if number.is_json:
        return int(value)  # Jackson cuts the fraction
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP, context=_CONTEXT))


def _finite(number: Scalar) -> float:
    value = float(str(number.value))
    if not math.isfinite(value) or abs(value) >= 2**63:
        raise PathError(f"cannot convert value {value} to long")
    return value


def _filter(base: Step, predicate: Predicate) -> Step:
    def step(context: _Context) -> Items:
        items = _unwrapped(context, base(context))
        return [item for item in items if predicate(context.within(current=item)) is True]

    return step


def _method(base: Step, apply: Callable[[Item], Item], *, unwraps: bool = True) -> Step:
    def step(context: _Context) -> Items:
        items = base(context)
        return [apply(item) for item in (_unwrapped(context, items) if unwraps else items)]

    return step


def _type_name(item: Item) -> Item:
    if isinstance(item, Scalar):
        base = item.type.base
        name = "number" if item.type.is_numeric else "string" if item.type.is_character else base
        if base in ("time", "timestamp"):
            name = f"{base} without time zone"
    else:
        name = _kind(item).lower()
    return Scalar(varchar(27), name)


def _size(base: Step) -> Step:
    def step(context: _Context) -> Items:
        found: Items = []
        for item in base(context):
            if not isinstance(item, list) and not context.is_lax:
                raise _item_type_error("ARRAY", item)
            found.append(Scalar(INTEGER, len(item) if isinstance(item, list) else 1))
        return found

    return step


def _key_values(base: Step) -> Step:
    def step(context: _Context) -> Items:
        found: Items = []
        for item in _unwrapped(context, base(context)):
            if not isinstance(item, dict):
                raise _item_type_error("OBJECT", item)
            identity = Scalar(INTEGER, context.counter[0], True)
            found.extend(
                {"name": Scalar(varchar(None), key, True), "value": member, "id": identity}
                for key, member in item.items()
            )
            context.counter[0] += 1
        return found

    return step


_DOUBLE_TEXT = re.compile(r"[\x00-\x20]*[+-]?(?:NaN|Infinity|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fFdD]?)[\x00-\x20]*")


def _double(item: Item) -> Item:
    if isinstance(item, Scalar) and item.type.is_character:
        text = str(item.value)
        if not _DOUBLE_TEXT.fullmatch(text):
            raise PathError(f"Cannot cast '{text}' to DOUBLE")
        return Scalar(DOUBLE, float(text.strip().rstrip("fFdD")))
    if not isinstance(item, Scalar) or not item.type.is_numeric:
        raise _item_type_error("NUMBER or TEXT", item)
    return Scalar(DOUBLE, float(str(_representable(item).value)))


def _rounding(name: str) -> Callable[[Item], Item]:
    def apply(item: Item) -> Item:
        number = _number(item)
        if isinstance(number.value, int):
            return number
        if isinstance(number.value, Decimal):
            rounded = math.ceil(number.value) if name == "ceiling" else math.floor(number.value)
            scale = number.type.scale
            return Scalar(decimal(max(1, number.type.precision - scale + min(scale, 1)), 0), Decimal(rounded))
        value = float(str(number.value))
        if not math.isfinite(value) or value == 0:
            return number
        found = float(math.ceil(value) if name == "ceiling" else math.floor(value))
        return Scalar(number.type, math.copysign(found, value) if found == 0 else found)

    return apply


def _absolute(item: Item) -> Item:
    number = _number(item)
    return number if _as_number(number) >= 0 else _negated(number)


def _negated(item: Item) -> Scalar:
    number = _number(item)
    if isinstance(number.value, int):
        return _fitting(number.type, -number.value)
    return Scalar(number.type, -_as_number(number))


def _as_number(number: Scalar) -> int | float | Decimal:
    assert isinstance(number.value, int | float | Decimal)
    return number.value


def _fitting(trino_type: TrinoType, value: int) -> Scalar:
    bound = 1 << (INTEGER_WIDTHS[trino_type.base] - 1)
    if not -bound <= value < bound:
        raise PathError(f"{trino_type.base} overflow: {value}")
    return Scalar(trino_type, value)


# --------------------------------------------------------------------------------------------- arithmetic

_CONTEXT = Context(prec=100, rounding=ROUND_HALF_UP)
_OPERATOR_NAMES = {"+": "ADD", "-": "SUBTRACT", "*": "MULTIPLY", "/": "DIVIDE", "%": "MODULUS"}


def _arithmetic(operator: str, left: Step, right: Step) -> Step:
    def step(context: _Context) -> Items:
        a, b = _unwrapped(context, left(context)), _unwrapped(context, right(context))
        if len(a) != 1 or len(b) != 1:
            raise PathError("arithmetic binary expression requires singleton operands")
        return [_calculated(operator, _operand(a[0]), _operand(b[0]))]

    return step


def _operand(item: Item) -> Scalar:
    if isinstance(item, Scalar) and not item.is_json:
        return item
    return _number(item)


def _calculated(operator: str, left: Scalar, right: Scalar) -> Scalar:
    common = common_super_type(left.type, right.type)
    if common is None or not left.type.is_numeric or not right.type.is_numeric:
        name = _OPERATOR_NAMES[operator]
        raise PathError(f"invalid operand types to {name} operator ({left.type}, {right.type})")
    if common.is_floating:
        return _calculated_floating(operator, common, float(str(left.value)), float(str(right.value)))
    if operator in "/%" and not right.value:
        raise PathError("Division by zero")
    if common.is_integer:
        return _fitting(common, int(_exact(operator, Decimal(str(left.value)), Decimal(str(right.value)))))
    return _calculated_decimal(operator, left, right)


def _exact(operator: str, a: Decimal, b: Decimal) -> Decimal:
    if operator == "+":
        return _CONTEXT.add(a, b)
    if operator == "-":
        return _CONTEXT.subtract(a, b)
    if operator == "*":
        return _CONTEXT.multiply(a, b)
    if operator == "/":
        return _CONTEXT.divide(a, b).to_integral_value(ROUND_DOWN)
    return _CONTEXT.remainder(a, b)


def _calculated_floating(operator: str, common: TrinoType, a: float, b: float) -> Scalar:
    if operator == "+":
        found = a + b
    elif operator == "-":
        found = a - b
    elif operator == "*":
        found = a * b
    elif operator == "%":
        found = math.nan if b == 0 or math.isinf(a) else math.fmod(a, b)
    elif b == 0:
        found = math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)
    else:
        found = a / b
    return Scalar(common, _single(found) if common.base == "real" else found)


def _single(value: float) -> float:
    try:
        found: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return found


def _calculated_decimal(operator: str, left: Scalar, right: Scalar) -> Scalar:
    one, other = decimal_of(left.type), decimal_of(right.type)
    (p, s), (q, t) = (one.precision, one.scale), (other.precision, other.scale)
    a, b = Decimal(str(left.value)), Decimal(str(right.value))
    if operator in "+-":
        scale = max(s, t)
        precision = scale + max(p - s, q - t) + 1
    elif operator == "*":
        precision, scale = p + q, s + t
    elif operator == "/":
        scale = max(s, t)
        precision = p + t + max(0, t - s)
    else:
        scale = max(s, t)
        precision = min(p - s, q - t) + scale
    precision = min(MAXIMUM_DECIMAL_PRECISION, max(1, precision))
    if scale > precision:
        raise PathError(f"DECIMAL scale {scale} must be in range [0, precision ({precision})]")
    exact = _CONTEXT.divide(a, b) if operator == "/" else _exact(operator, a, b)
    found = exact.quantize(Decimal(1).scaleb(-scale), context=_CONTEXT)
    if abs(found) >= Decimal(10) ** (precision - scale):
        raise PathError("Decimal overflow")
    return Scalar(decimal(precision, scale), found)


# --------------------------------------------------------------------------------------------- predicates


def _compared(operator: str, left: Step, right: Step) -> Predicate:
    def predicate(context: _Context) -> bool | None:
        try:
            a, b = _unwrapped(context, left(context)), _unwrapped(context, right(context))
        except PathError:
            return None
        if not a or not b:
            return False
        left_nulls, left_scalars, left_others = _sorted_out(a)
        right_nulls, right_scalars, right_others = _sorted_out(b)
        if (left_others and (right_others or right_scalars)) or (left_scalars and right_others):
            return None
        found = operator == "==" and left_nulls and right_nulls
        if operator == "<>":
            found = bool(
                (left_nulls and (right_scalars or right_others)) or (right_nulls and (left_scalars or left_others))
            )
        if found and context.is_lax:
            return True
        for one in left_scalars:
            for other in right_scalars:
                answer = _compare(operator, one, other)
                if answer is None:
                    return None
                if answer:
                    found = True
                    if context.is_lax:
                        return True
        return found

    return predicate


def _sorted_out(items: Items) -> tuple[bool, list[Scalar], bool]:
    scalars = [item for item in items if isinstance(item, Scalar)]
    return any(i is None for i in items), scalars, any(isinstance(i, list | dict) for i in items)


def _compare(operator: str, left: Scalar, right: Scalar) -> bool | None:
    try:
        a, b = _comparable(left), _comparable(right)
    except PathError:
        return None
    if type(a) is not type(b) and not (left.type.is_numeric and right.type.is_numeric):
        return None
    if left.type.is_numeric and right.type.is_numeric:
        if left.type.is_floating or right.type.is_floating:
            a, b = float(a), float(b)
    elif common_super_type(left.type, right.type) is None:
        return None
    answers: dict[str, Callable[[], bool]] = {
        "==": lambda: a == b,
        "<>": lambda: a != b,
        "<": lambda: a < b,
        ">": lambda: a > b,
        "<=": lambda: a <= b,
        ">=": lambda: a >= b,
    }
    return answers[operator]()


def _comparable(item: Scalar) -> Any:
    if item.type.is_numeric:
        value = _as_number(_representable(item))
        return value if isinstance(value, float) else Decimal(value)
    if item.type.is_character:
        return str(item.value).encode()
    if item.type.base in ("boolean", "date"):
        return item.value
    raise PathError("not comparable here")


def _starts_with(whole: Step, prefix: Step) -> Predicate:
    def predicate(context: _Context) -> bool | None:
        try:
            values, prefixes = whole(context), prefix(context)
        except PathError:
            return None
        if len(prefixes) != 1 or (start := _text(prefixes[0])) is None:
            return None
        found = False
        for item in _unwrapped(context, values):
            text = _text(item)
            if text is None:
                return None
            if text.startswith(start):
                found = True
                if context.is_lax:
                    return True
        return found

    return predicate


def _text(item: Item) -> str | None:
    return str(item.value) if isinstance(item, Scalar) and item.type.is_character else None


def _exists(path: Step) -> Predicate:
    def predicate(context: _Context) -> bool | None:
        try:
            return bool(path(context))
        except PathError:
            return None

    return predicate


def _negation(inner: Predicate) -> Predicate:
    def predicate(context: _Context) -> bool | None:
        answer = inner(context)
        return None if answer is None else not answer

    return predicate


def _combined(left: Predicate, right: Predicate, decisive: bool) -> Predicate:
    """AND (decided by false) and OR (decided by true)."""

    def predicate(context: _Context) -> bool | None:
        a = left(context)
        if a is decisive:
            return decisive
        b = right(context)
        if b is decisive:
            return decisive
        return None if a is None or b is None else not decisive

    return predicate


# --------------------------------------------------------------------------------------------- parsing

_TOKEN = re.compile(
    r"""[ \r\n\t]*(?:
    (?P<string>"(?:[^"]|"")*")
    | (?P<number>(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<variable>\$[A-Za-z_][A-Za-z0-9_]*)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>==|<>|!=|<=|>=|&&|\|\||\.\.|[-$@.*\[\](),?!<>+/%])
    | (?P<end>$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


class PathSyntaxError(Exception):
    """The path is not well formed; `at` is the place in its text, from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip(" \r\n\t"))
            raise PathSyntaxError(f"mismatched input '{text[start]}'", start)
        kind = match.lastgroup
        assert kind is not None
        found.append(_Token(kind, match[kind], match.start(kind)))
        if kind == "end":
            return found
        at = match.end()


_METHODS = ("type", "size", "double", "ceiling", "floor", "abs", "keyvalue", "datetime", "unfold")
_COMPARISONS = {"==": "==", "<>": "<>", "!=": "<>", "<": "<", ">": ">", "<=": "<=", ">=": ">="}


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.index = 0
        self.names: set[str] = set()

    @property
    def token(self) -> _Token:
        return self.tokens[self.index]

    def take(self, *texts: str) -> bool:
        for ahead, text in enumerate(texts):
            token = self.tokens[min(self.index + ahead, len(self.tokens) - 1)]
            if token.text != text or token.kind == "string":
                return False
        self.index += len(texts)
        return True

    def need(self, text: str) -> None:
        if not self.take(text):
            raise self.mismatched(f"'{text}'")

    def mismatched(self, *expected: str) -> PathSyntaxError:
        shown = "<EOF>" if self.token.kind == "end" else self.token.text
        wanted = expected[0] if len(expected) == 1 else "{" + ", ".join(expected) + "}"
        return PathSyntaxError(f"mismatched input '{shown}' expecting {wanted}", self.token.at)

    def path(self) -> JsonPath:
        is_lax = self.take("lax")
        if not is_lax and not self.take("strict"):
            raise self.mismatched("'lax'", "'strict'")
        root = self.expression()
        if self.token.kind != "end":
            raise self.mismatched("<EOF>")
        return JsonPath(is_lax, root, frozenset(self.names))

    def expression(self) -> Step:
        left = self.term()
        while self.token.kind == "mark" and self.token.text in ("+", "-"):
            operator = self.advance()
            left = _arithmetic(operator, left, self.term())
        return left

    def term(self) -> Step:
        left = self.signed()
        while self.token.kind == "mark" and self.token.text in ("*", "/", "%"):
            operator = self.advance()
            left = _arithmetic(operator, left, self.signed())
        return left

    def advance(self) -> str:
        text = self.token.text
        self.index += 1
        return text

    def signed(self) -> Step:
        if self.take("+"):
            return _method(self.signed(), _number)
        if self.take("-"):
            if self.token.kind == "number":
                return self.accessors(self.number("-"))
            return _method(self.signed(), _negated)
        return self.accessors(self.primary())

    def primary(self) -> Step:
        token = self.token
        if token.kind == "number":
            return self.number("")
        if token.kind == "string":
            return _constant(Scalar(varchar(len(self.string_value(token))), self.string_value(self.next_token())))
        if token.kind == "variable":
            name = self.advance()[1:]
            self.names.add(name)
            return lambda context: [item for item in [context.parameters[name]] if item is not NO_ITEM]
        if self.take("$"):
            return lambda context: [context.root]
        if self.take("@"):
            return lambda context: [context.current]
        if self.take("("):
            inner = self.expression()
            self.need(")")
            return inner
        if token.kind == "name":
            if self.take("last"):
                return lambda context: [Scalar(INTEGER, context.last)]
            if self.take("null"):
                return _constant(None)
            if token.text in ("true", "false"):
                return _constant(Scalar(BOOLEAN, self.advance() == "true"))
        raise self.mismatched("<path expression>")

    def next_token(self) -> _Token:
        token = self.token
        self.index += 1
        return token

    @staticmethod
    def string_value(token: _Token) -> str:
        return token.text[1:-1].replace('""', '"')

    def number(self, sign: str) -> Step:
        text = sign + self.advance()
        if "e" in text or "E" in text:
            return _constant(Scalar(DOUBLE, float(text)))
        if "." in text:
            whole, _, fraction = text.lstrip("-").partition(".")
            digits = len(whole.lstrip("0")) + len(fraction)
            exact = Decimal(f"{sign}{whole or '0'}.{fraction}" if fraction else f"{sign}{whole}")
            return _constant(Scalar(decimal(max(1, digits), len(fraction)), exact))
        value = int(text)
        return _constant(Scalar(INTEGER if -(2**31) <= value < 2**31 else BIGINT, value))

    def accessors(self, base: Step) -> Step:
        while True:
            if self.take(".."):
                base = _descendants(base, self.key())
            elif self.take("."):
                base = self.member(base)
            elif self.take("["):
                base = self.array(base)
            elif self.take("?"):
                self.need("(")
                base = _filter(base, self.predicate())
                self.need(")")
            else:
                return base

    def key(self) -> str:
        token = self.token
        if token.kind not in ("name", "string"):
            raise self.mismatched("<member name>")
        self.index += 1
        return token.text if token.kind == "name" else self.string_value(token)

    def member(self, base: Step) -> Step:
        if self.take("*"):
            return _member(base, None)
        name = self.token.text
        if name in _METHODS and self.tokens[self.index + 1].text == "(":
            self.index += 2
            return self.method(name, base)
        return _member(base, self.key())

    def method(self, name: str, base: Step) -> Step:
        if name in ("datetime", "unfold"):
            raise TrinoError("NOT_SUPPORTED", f"{name} method in JSON path is not yet supported")
        self.need(")")
        if name == "size":
            return _size(base)
        if name == "keyvalue":
            return _key_values(base)
        if name == "type":
            return _method(base, _type_name, unwraps=False)
        if name in ("ceiling", "floor"):
            return _method(base, _rounding(name))
        return _method(base, _absolute if name == "abs" else _double)

    def array(self, base: Step) -> Step:
        if self.take("*", "]"):
            return _elements(base, [])
        subscripts: list[tuple[Step, Step | None]] = []
        while True:
            first = self.expression()
            subscripts.append((first, self.expression() if self.take("to") else None))
            if not self.take(","):
                break
        self.need("]")
        return _elements(base, subscripts)

    # ---------------------------------------------------------------------- predicates

    def predicate(self) -> Predicate:
        left = self.conjunction()
        while self.take("||"):
            left = _combined(left, self.conjunction(), True)
        return left

    def conjunction(self) -> Predicate:
        left = self.negation()
        while self.take("&&"):
            left = _combined(left, self.negation(), False)
        return left

    def negation(self) -> Predicate:
        if self.take("!"):
            if self.token.text not in ("(", "exists"):
                raise self.mismatched("'('", "'exists'")
            return _negation(self.delimited())
        if self.token.text == "exists" and self.tokens[self.index + 1].text == "(":
            return self.delimited()
        if self.token.text == "(" and self.token.kind == "mark":
            # a parenthesis opens a predicate or a path that is compared: try the predicate first
            start = self.index
            try:
                inner = self.delimited()
            except PathSyntaxError:
                self.index = start
            else:
                if self.take("is", "unknown"):
                    return lambda context: inner(context) is None
                if self.token.text in (")", "&&", "||"):
                    return inner
                self.index = start
        return self.comparison()

    def delimited(self) -> Predicate:
        if self.take("exists", "("):
            path = self.expression()
            self.need(")")
            return _exists(path)
        self.need("(")
        inner = self.predicate()
        self.need(")")
        return inner

    def comparison(self) -> Predicate:
        left = self.expression()
        if self.take("starts", "with"):
            if self.token.kind not in ("string", "variable"):
                raise self.mismatched("STRING", "NAMED_VARIABLE")
            return _starts_with(left, self.primary())
        if self.take("like_regex"):
            raise TrinoError("NOT_SUPPORTED", "like_regex predicate is not yet supported in JSON path")
        operator = _COMPARISONS.get(self.token.text)
        if operator is None or self.token.kind != "mark":
            raise self.mismatched(*(f"'{text}'" for text in _COMPARISONS))
        self.index += 1
        return _compared(operator, left, self.expression())


def _constant(item: Item) -> Step:
    return lambda _: [item]


@lru_cache(maxsize=1024)
def parse_path(text: str) -> JsonPath:
    """Raises PathSyntaxError, and TrinoError NOT_SUPPORTED for like_regex and datetime()."""
    return _Parser(text).path()
