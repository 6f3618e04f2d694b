"""format(): Java's Formatter over Trino values (FormatFunction)."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from embedded.sql.errors import TrinoError
from embedded.sql.functions.datetime_format import java_text
from embedded.sql.functions.registry import python_call, special
from embedded.sql.text import text_expression
from embedded.sql.typed import Typed
from embedded.sql.types import VARCHAR

if TYPE_CHECKING:
    from embedded.sql import tree
    from embedded.sql.analysis import Analyser

_INVALID = "INVALID_FUNCTION_ARGUMENT"
_SPECIFIER = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([tT]?[a-zA-Z%])")
#: Types whose values reach the formatter as they are; every other one as Athena's text.
_AS_IS = ("boolean", "tinyint", "smallint", "integer", "bigint", "real", "double", "decimal", "varchar", "date")


@special("format")
def format_(analyser: Analyser, node: tree.Call) -> Typed:
    arguments = [analyser.expression(argument) for argument in node.arguments]
    if not arguments:
        raise analyser.error("INVALID_FUNCTION_ARGUMENT", "format() must have at least one argument", node)
    if arguments[0].type.base != "varchar":
        message = f"Type of first argument to format() must be VARCHAR (actual: {arguments[0].type})"
        raise analyser.error("TYPE_MISMATCH", message, node)
    values = [arguments[0]]
    for argument in arguments[1:]:
        kind = argument.type
        if kind.base in _AS_IS or (kind.base == "timestamp" and kind.precision <= 6):
            values.append(argument)
        elif kind.base in ("time", "timestamp", "timestamp with time zone"):
            values.append(Typed(java_text(argument), VARCHAR))
        else:
            values.append(Typed(text_expression(argument.sql, kind), VARCHAR))
    return Typed(python_call(analyser, _checked, values, VARCHAR, null_call=True, key=str(len(values))), VARCHAR)


def _checked(template: str | None, *values: object) -> str | None:
    return None if template is None else formatted(template, values)


def formatted(template: str, values: tuple[object, ...]) -> str:
    """Java's String.format(template, values). Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    out: list[str] = []
    at, ordinary, last = 0, 0, -1
    while at < len(template):
        if template[at] != "%":
            end = template.find("%", at)
            end = len(template) if end < 0 else end
            out.append(template[at:end])
            at = end
            continue
        match = _SPECIFIER.match(template, at)
        if match is None:
            raise _invalid(template, f"UnknownFormatConversionException: Conversion = '{template[at : at + 2][-1]}'")
        at = match.end()
        index, flags, width, precision, conversion = match.groups()
        if conversion in ("n", "%"):
            out.append("\n" if conversion == "n" else _padded("%", flags, width))
            continue
        if index is not None:
            last = int(index) - 1
        elif "<" not in flags:
            last, ordinary = ordinary, ordinary + 1
        if not 0 <= last < len(values):
            raise _invalid(template, f"Format specifier '{match.group()}'")
        out.append(_one(values[last], flags, width, precision, conversion, template))
    return "".join(out)


def _invalid(template: str, reason: str) -> TrinoError:
    return TrinoError(_INVALID, f"Invalid format string: {template} ({reason})")


def _padded(text: str, flags: str, width: str | None) -> str:
    if width is None:
        return text
    return text.ljust(int(width)) if "-" in flags else text.rjust(int(width))


def _one(value: object, flags: str, width: str | None, precision: str | None, conversion: str, template: str) -> str:
    kind = conversion.lower()
    if kind.startswith("t"):
        text = "null" if value is None else _time(value, conversion[1], template)
    elif kind in ("s", "b", "h"):
        text = _general(value, kind)
        text = text if precision is None else text[: int(precision)]
    elif kind not in "cdoxefga":
        raise _invalid(template, f"UnknownFormatConversionException: Conversion = '{conversion}'")
    elif value is None:
        text = "null"
    else:
        text = _number(value, flags, width, precision, kind, template)
    return _padded(text.upper() if conversion[0].isupper() else text, flags, width)


def _general(value: object, kind: str) -> str:
    if kind == "b":
        return str(value).lower() if isinstance(value, bool) else ("false" if value is None else "true")
    if kind == "h":
        raise TrinoError("NOT_SUPPORTED", "format() conversion %h is not supported by the embedded engine")
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _java_double(value)
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        # LocalDateTime.toString leaves seconds out when they and the fraction are zero, fractions in groups of three
        if value.microsecond:
            return text[:-3] if value.microsecond % 1000 == 0 else text
        return text[:-3] if value.second == 0 else text
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def _java_double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else text + ".0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{len(text) - 1 + int(exponent)}"


def _number(value: object, flags: str, width: str | None, precision: str | None, kind: str, template: str) -> str:
    mismatch = _invalid(template, f"{kind} != {type(value).__name__}")
    if isinstance(value, bool):
        raise mismatch
    if kind == "c":
        if not isinstance(value, int) or not 0 <= value <= 0x10FFFF:
            raise mismatch
        return chr(value)
    if kind in "dox":
        if not isinstance(value, int):
            raise mismatch
        if kind == "d":
            return _signed(f"{abs(value):,}" if "," in flags else str(abs(value)), value < 0, flags, width)
        unsigned = value if value >= 0 else value + (1 << 64)
        digits = format(unsigned, kind)
        if "#" in flags:
            digits = ("0x" if kind == "x" else "0") + digits
        return digits.rjust(int(width), "0") if "0" in flags and width else digits
    if not isinstance(value, float | Decimal):
        raise mismatch
    if kind == "a":
        raise TrinoError("NOT_SUPPORTED", "format() conversion %a is not supported by the embedded engine")
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    if not number.is_finite():
        return "NaN" if number.is_nan() else _signed("Infinity", number < 0, flags.replace("0", ""), width)
    return _signed(_real(abs(number), kind, flags, precision), number.is_signed(), flags, width)


def _real(number: Decimal, kind: str, flags: str, precision: str | None) -> str:
    digits = 6 if precision is None else int(precision)
    if kind == "g":
        digits = max(digits, 1)
        rounded = number if not number else Decimal(format(number, f".{digits - 1}e"))
        if number and not Decimal("0.0001") <= rounded < Decimal(10) ** digits:
            return _scientific(number, digits - 1)
        decimals = digits - 1 - (rounded.adjusted() if number else 0)
        return format(number.quantize(Decimal(1).scaleb(-max(decimals, 0)), rounding=ROUND_HALF_UP), "f")
    if kind == "e":
        return _scientific(number, digits)
    fixed = number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    return format(fixed, ",f" if "," in flags else "f")


def _scientific(number: Decimal, digits: int) -> str:
    mantissa, _, exponent = format(number, f".{digits}e").partition("e")
    return f"{mantissa}e{exponent[0]}{exponent[1:].zfill(2)}"


def _signed(digits: str, is_negative: bool, flags: str, width: str | None) -> str:
    if is_negative:
        before, after = ("(", ")") if "(" in flags else ("-", "")
    else:
        before, after = ("+" if "+" in flags else " " if " " in flags else ""), ""
    if "0" in flags and width is not None:
        digits = digits.rjust(int(width) - len(before) - len(after), "0")
    return before + digits + after


_TIMES: dict[str, Callable[[datetime.datetime], str]] = {
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{at.hour % 12 or 12:02}",
    "k": lambda at: str(at.hour),
    "l": lambda at: str(at.hour % 12 or 12),
    "M": lambda at: f"{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "L": lambda at: f"{at.microsecond // 1000:03}",
    "N": lambda at: f"{at.microsecond * 1000:09}",
    "p": lambda at: "am" if at.hour < 12 else "pm",
    "R": lambda at: f"{at:%H:%M}",
    "T": lambda at: f"{at:%H:%M:%S}",
    "r": lambda at: f"{at.hour % 12 or 12:02}:{at:%M:%S} {'AM' if at.hour < 12 else 'PM'}",
}
_DATES: dict[str, Callable[[datetime.date], str]] = {
    "B": lambda day: f"{day:%B}",
    "b": lambda day: f"{day:%b}",
    "h": lambda day: f"{day:%b}",
    "A": lambda day: f"{day:%A}",
    "a": lambda day: f"{day:%a}",
    "C": lambda day: f"{day.year // 100:02}",
    "Y": lambda day: f"{day.year:04}",
    "y": lambda day: f"{day.year % 100:02}",
    "j": lambda day: f"{day.timetuple().tm_yday:03}",
    "m": lambda day: f"{day.month:02}",
    "d": lambda day: f"{day.day:02}",
    "e": lambda day: str(day.day),
    "D": lambda day: f"{day:%m/%d}/{day.year % 100:02}",
    "F": lambda day: day.isoformat()[:10],
}


def _time(value: object, letter: str, template: str) -> str:
    if isinstance(value, datetime.date) and letter in _DATES:
        return _DATES[letter](value)
    if isinstance(value, datetime.datetime) and letter in _TIMES:
        return _TIMES[letter](value)
    if isinstance(value, str) and letter in (*_DATES, *_TIMES):
        message = f"format() conversion %t{letter} is supported for date and timestamp values only"
        raise TrinoError("NOT_SUPPORTED", message)
    raise _invalid(template, f"t{letter} != {type(value).__name__}")
