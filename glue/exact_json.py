"""One line of JSON read exactly: numbers as they are written, objects with all their members in order.

For whoever must give a value as the query engine gives it (compaction), of lines that the quick parser does not take or
does not take apart finely enough: it keeps the last of two members of a name, and forgets how a number was written.

    JSON text (RFC 8259), and what the engine's reader takes beside it: a comma before a closing bracket, and
    NaN, Infinity and -Infinity, in any case, also inf

Strings must be Unicode: half of a surrogate pair is no text. `text_of` writes a value as the engine shows JSON in a
text column.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

DEEPEST = 200
_BLANKS = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(r"-?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_LITERALS = {"true": True, "false": False, "null": None}
_LITERAL = re.compile(r"true|false|null")


class NotJson(ValueError):
    """A text that is not JSON; says what stands where."""


class TooDeep(ValueError):
    """A value nested deeper than DEEPEST levels, which is not read here."""


class Number(str):
    """A number as it is written."""

    __slots__ = ()

    @property
    def is_whole(self) -> bool:
        """Whether it is written without a point and without an exponent."""
        return self.lstrip("-").isdecimal()

    @property
    def is_special(self) -> bool:
        """Whether it is NaN or infinite, which JSON has no numbers for."""
        return self[-1] not in "0123456789"


class Members(list[tuple[str, Any]]):
    """The members of an object, in order; a name may stand more than once."""

    __slots__ = ()

    @property
    def has_repeated_names(self) -> bool:
        """Whether a name stands more than once."""
        return len({name for name, _ in self}) < len(self)


def read_exactly(line: bytes) -> Any:
    """The value: None, bool, str, Number, list or Members. Raises NotJson, TooDeep."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8: byte {error.start + 1} is 0x{line[error.start]:02x}") from None
    value, at = _value(text, _blanks(text, 0), 0)
    at = _blanks(text, at)
    if at < len(text):
        raise NotJson(f"something else behind the value: {text[at : at + 20]!r}")
    return value


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise TooDeep(f"nested deeper than {DEEPEST} levels")
    first = text[at : at + 1]
    if first == '"':
        return _string(text, at)
    if first == "{":
        return _object(text, at + 1, depth)
    if first == "[":
        return _array(text, at + 1, depth)
    literal = _LITERAL.match(text, at)
    if literal is not None:
        return _LITERALS[literal[0]], literal.end()
    number = _SPECIAL.match(text, at) or _NUMBER.match(text, at)
    if number is None:
        raise NotJson(f"no value at character {at + 1}: {text[at : at + 20]!r}")
    return Number(number[0]), number.end()


def _string(text: str, at: int) -> tuple[str, int]:
    match = _STRING.match(text, at)
    if match is None:
        raise NotJson(f"a string that is not closed, or with a control character, at character {at + 1}")
    token = match[0]
    if "\\" not in token:
        return token[1:-1], match.end()
    found: str = json.loads(token)
    try:
        found.encode()
    except UnicodeEncodeError:
        raise NotJson(f"half of a surrogate pair in the string at character {at + 1}") from None
    return found, match.end()


def _object(text: str, at: int, depth: int) -> tuple[Members, int]:
    members = Members()
    while True:
        at = _blanks(text, at)
        if text[at : at + 1] == "}":
            return members, at + 1
        name, at = _string(text, at)
        at = _blanks(text, at)
        if text[at : at + 1] != ":":
            raise NotJson(f"no colon at character {at + 1}")
        value, at = _value(text, _blanks(text, at + 1), depth + 1)
        members.append((name, value))
        at = _blanks(text, at)
        if text[at : at + 1] == "}":
            return members, at + 1
        at = _comma(text, at)


def _array(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    while True:
        at = _blanks(text, at)
        if text[at : at + 1] == "]":
            return items, at + 1
        value, at = _value(text, at, depth + 1)
        items.append(value)
        at = _blanks(text, at)
        if text[at : at + 1] == "]":
            return items, at + 1
        at = _comma(text, at)


def _comma(text: str, at: int) -> int:
    if text[at : at + 1] != ",":
        raise NotJson(f"no comma and no closing bracket at character {at + 1}: {text[at : at + 20]!r}")
    return at + 1


def _blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return at if match is None else match.end()


# ------------------------------------------------------------------------------------- a value as text


def text_of(value: Any) -> str:
    """The JSON text of a value as the engine writes it: no blanks, fractions in their shortest form, whole numbers and
    those beyond a double as they are written.
    """
    if isinstance(value, Members):
        return "{" + ",".join(f"{_quoted(name)}:{text_of(item)}" for name, item in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    if isinstance(value, Number):
        return number_text(value, shortest=_ecmascript)
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else "true" if value else "false"


def number_text(number: Number, *, shortest: Any = repr) -> str:
    """A number as the engine writes it; `shortest` writes a float."""
    if number.is_special:
        return str(number)
    if number.is_whole:
        return "0" if number == "-0" else str(number)
    value = float(number)
    return str(number) if value - value != 0 else shortest(value)


def _quoted(text: str) -> str:
    return as_engine(orjson.dumps(text).decode())


_ESCAPE = re.compile(r"\\(u00[0-9a-f]{2}|.)")


def as_engine(text: str) -> str:
    """JSON text of the quick writer as the engine writes it: the digits of an escape in upper case."""
    if "\\u00" not in text:
        return text
    return _ESCAPE.sub(lambda match: match[0] if len(match[1]) == 1 else "\\u" + match[1][1:].upper(), text)


def _ecmascript(value: float) -> str:
    """The shortest text of a float by the rules of ECMAScript, with `.0` where it looks whole."""
    mantissa, _, exponent_text = repr(value).partition("e")
    sign, mantissa = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    whole, _, fraction = mantissa.partition(".")
    exponent = int(exponent_text or 0)
    if fraction == "0":
        fraction = ""
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + exponent - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0") or "0"
    if value == 0:
        return f"{sign}0.0"
    if 0 < point <= 21:
        if len(digits) <= point:
            return f"{sign}{digits.ljust(point, '0')}.0"
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1}"
