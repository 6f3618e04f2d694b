"""JSON texts as Trino reads and writes them (through Jackson): one value at a time, numbers kept as written.

Reading is by need, as Trino's is: what stands behind the value that was asked for is never looked at, so a path may
answer out of a text that breaks off later. Writing has no blanks; doubles are Java's (1.0E10), an overflowing number
is the text "Infinity".

| JSON | Python |
|---|---|
| whole number, other number | WholeNumber, FractionNumber: texts as written |
| text, true, null | str, bool, None |
| object | Members: (key, value) pairs in order, repeated keys kept |
| array | list |
"""

from __future__ import annotations

import json
import json.decoder
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

import orjson


class MalformedJson(ValueError):
    """The text is not JSON, at least as far as it was read."""


class WholeNumber(str):
    __slots__ = ()


class FractionNumber(str):
    __slots__ = ()


class Members(list[tuple[str, object]]):
    __slots__ = ()


def _refuse_constant(name: str) -> object:
    raise MalformedJson(name)


_DECODER = json.JSONDecoder(
    parse_int=WholeNumber, parse_float=FractionNumber, parse_constant=_refuse_constant, object_pairs_hook=Members
)
_scan: Callable[[str, int], tuple[object, int]] = _DECODER.scan_once  # type: ignore[attr-defined]  # not in the stub
_scan_string: Callable[[str, int, bool], tuple[str, int]]
_scan_string = json.decoder.scanstring  # type: ignore[attr-defined]  # not in the stub
_blanks = re.compile(r"[ \t\n\r]*").match
_AFTER_NUMBER = frozenset("0123456789.eE+-")


def skip_blanks(text: str, at: int) -> int:
    found = _blanks(text, at)
    assert found is not None
    return found.end()


def value_at(text: str, at: int) -> tuple[object, int]:
    """The value that starts at this place and where it ends. Raises MalformedJson."""
    try:
        value, end = _scan(text, at)
    except (StopIteration, ValueError, RecursionError):
        raise MalformedJson(text) from None
    if end < len(text) and not isinstance(value, Members | list):
        following = text[end]
        if isinstance(value, WholeNumber | FractionNumber):
            if following in _AFTER_NUMBER:
                raise MalformedJson(text)
        elif not isinstance(value, str) and (following.isalnum() or following in "_$"):
            raise MalformedJson(text)
    return value, end


def root_value(text: str) -> object:
    """The first value of a text; what follows is not read. Raises MalformedJson."""
    start = skip_blanks(text, 0)
    value, end = value_at(text, start)
    if isinstance(value, WholeNumber | FractionNumber) and end < len(text) and text[end] not in " \t\n\r":
        raise MalformedJson(text)
    return value


def whole_value(text: str) -> object:
    """The one value of a text. Raises MalformedJson, also for anything behind it."""
    value, end = value_at(text, skip_blanks(text, 0))
    if skip_blanks(text, end) != len(text):
        raise MalformedJson(text)
    return value


def place_of(text: str, steps: Sequence[str]) -> int | None:
    """Where the value at these steps starts: keys of objects, or numbers of array elements; None where there is none.

    The first of repeated keys counts. Raises MalformedJson for a text that breaks off before the place.
    """
    at = skip_blanks(text, 0)
    for step in steps:
        opening = text[at : at + 1]
        if opening == "{":
            found = _member(text, at, step)
        elif opening == "[":
            found = _element(text, at, int(step) if is_index(step) else -1)
        else:
            return None
        if found is None:
            return None
        at = found
    return at


def is_index(step: str) -> bool:
    """Whether Java's Integer.parseInt reads the step as a number that is not negative."""
    return step.isdecimal() and int(step) < 2**31


def _member(text: str, at: int, key: str) -> int | None:
    at = skip_blanks(text, at + 1)
    if text[at : at + 1] == "}":
        return None
    while True:
        if text[at : at + 1] != '"':
            raise MalformedJson(text)
        try:
            name, at = _scan_string(text, at + 1, True)
        except ValueError:
            raise MalformedJson(text) from None
        at = skip_blanks(text, at)
        if text[at : at + 1] != ":":
            raise MalformedJson(text)
        at = skip_blanks(text, at + 1)
        if name == key:
            return at
        at = skip_blanks(text, value_at(text, at)[1])
        following = text[at : at + 1]
        if following == "}":
            return None
        if following != ",":
            raise MalformedJson(text)
        at = skip_blanks(text, at + 1)


def _element(text: str, at: int, index: int) -> int | None:
    at = skip_blanks(text, at + 1)
    if text[at : at + 1] == "]":
        return None
    while index != 0:
        index -= 1
        at = skip_blanks(text, value_at(text, at)[1])
        following = text[at : at + 1]
        if following == "]":
            return None
        if following != ",":
            raise MalformedJson(text)
        at = skip_blanks(text, at + 1)
    return at


# --------------------------------------------------------------------------------------------- writing

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_escaped = re.compile('["\\\\\x00-\x1f\ud800-\udfff]').sub


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character >= "\ud800":
        raise MalformedJson("half of a surrogate pair")
    return _ESCAPES.get(character) or f"\\u{ord(character):04X}"


def json_string(value: str) -> str:
    """A text as a JSON text, in quotes. Raises MalformedJson for half a surrogate pair, which UTF-8 cannot hold."""
    return '"' + _escaped(_escape, value) + '"'


def encodable(text: str) -> str:
    """The text; half a surrogate pair becomes a question mark, as Java writes it."""
    return str(text) if text.isascii() else text.encode("utf-8", "replace").decode()


def java_double_text(value: float) -> str:
    """java.lang.Double.toString: 1.0, 1.0E10, NaN, -Infinity."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    if 1e-3 <= abs(value) < 1e7 or value == 0:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits))
    return f"{'-' if sign else ''}{written[0]}.{written[1:] or '0'}E{exponent + len(written) - 1}"


def number_text(value: WholeNumber | FractionNumber) -> str:
    """A number as Jackson writes it once it has read it: whole numbers exactly, others as doubles."""
    if isinstance(value, WholeNumber):
        return "0" if value == "-0" else str(value)
    number = float(value)
    text = java_double_text(number)
    return text if number - number == 0 else f'"{text}"'


def written(value: object) -> str:
    """The text of a value: members in their order, repeated keys kept."""
    if isinstance(value, str):
        return number_text(value) if isinstance(value, WholeNumber | FractionNumber) else json_string(value)
    if isinstance(value, Members):
        return "{" + ",".join(f"{json_string(key)}:{written(member)}" for key, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return "null" if value is None else "true" if value else "false"


def without_repeats(value: object) -> object:
    """The value with the last of repeated keys at the place of the first."""
    if isinstance(value, Members):
        return Members({key: without_repeats(member) for key, member in value}.items())
    if isinstance(value, list):
        return [without_repeats(element) for element in value]
    return value


def key_order(key: str) -> bytes:
    """What keys are sorted by: Java compares the UTF-16 units of texts."""
    return key.encode("utf-16-be", "surrogatepass")


def _sorted(value: object) -> object:
    if isinstance(value, Members):
        latest = dict(value)
        return Members((key, _sorted(latest[key])) for key in sorted(latest, key=key_order))
    if isinstance(value, list):
        return [_sorted(element) for element in value]
    return value


#: What orjson may write otherwise than Jackson: numbers with exponents, large and small fractions, escapes of control
#: characters; and keys beyond the basic plane, which it sorts otherwise.
_differs = re.compile(rb"\d[eE][\d+-]|\d{8}\.\d|0\.000|\\u|[\xf0-\xf4]").search


def canonical_json(text: str) -> str:
    """Trino's json value of a text: no blanks, keys sorted, the last of repeated keys. Raises MalformedJson."""
    try:
        quick = orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError):
        return written(_sorted(whole_value(text)))
    if _differs(quick) is None:
        return quick.decode()
    return written(_sorted(whole_value(text)))
