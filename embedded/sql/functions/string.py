"""Trino functions: strings (StringFunctions, CharacterStringCasts, WordStem, Soundex, FormatNumber).

Strings are counted in code points. char(n) is held without its padding blanks: a function of its own keeps that form,
every other one gets the varchar.
"""

from __future__ import annotations

import unicodedata
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import snowballstemmer

from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import (
    Bindings,
    Invocation,
    emits,
    error_sql,
    macro,
    python,
    scalar,
    sql_function,
)
from embedded.sql.types import MAXIMUM_VARCHAR_LENGTH, TrinoType, char, varchar

_INVALID = "INVALID_FUNCTION_ARGUMENT"
_MAXIMUM_SIZE = 2147483647

# ------------------------------------------------------------------------------------------------ joining


def _joined(call: Invocation) -> str:
    # without the cast DuckDB types the whole as INTEGER where one part is a constant NULL
    return f"CAST({' || '.join(argument.sql for argument in call.arguments)} AS VARCHAR)"


@emits(
    "concat(char(x), char(y)) -> char",
    result=lambda bindings, _: char(bindings["x"] + bindings["y"]),
)
def concat_char(call: Invocation) -> str:
    first, second = call.arguments
    return f"rtrim(rpad({first.sql}, {first.type.numbers[0]}, ' ') || {second.sql}, ' ')"


@emits("concat(varchar...) -> varchar")
def concat(call: Invocation) -> str:
    if len(call.arguments) < 2:
        raise call.error(_INVALID, "There must be two or more concatenation arguments")
    return _joined(call)


@emits("concat_ws(varchar, varchar...) -> varchar")
def concat_with_separator(call: Invocation) -> str:
    if len(call.arguments) < 2:
        raise call.error(_INVALID, "There must be two or more arguments")
    return f"trino_concat_ws({call[0]}, [{', '.join(argument.sql for argument in call.arguments[1:])}])"


macro(
    "trino_concat_ws(separator, parts)",
    "CASE WHEN separator IS NULL OR parts IS NULL THEN NULL "
    "ELSE coalesce(array_to_string(list_filter(parts, lambda part: part IS NOT NULL), separator), '') END",
)
scalar("concat_ws(varchar, array(varchar)) -> varchar", "trino_concat_ws({0}, {1})")

# ------------------------------------------------------------------------------------------------ length and case

scalar("length(char(x)) -> bigint", "CASE WHEN {0} IS NULL THEN NULL ELSE CAST({x} AS BIGINT) END")
scalar("length(varchar(x)) -> bigint", "length({0})")
# character by character as Java's Character: a sharp s has no upper case of one character, DuckDB makes one
macro(
    "trino_upper(t)",
    "CASE WHEN contains(t, 'ß') "
    "THEN array_to_string(list_transform(string_split(t, 'ß'), lambda part: upper(part)), 'ß') ELSE upper(t) END",
)
for _case, _function in (("upper", "trino_upper"), ("lower", "lower")):
    scalar(f"{_case}(char(x)) -> char(x)", f"{_function}({{0}})")
    scalar(f"{_case}(varchar(x)) -> varchar(x)", f"{_function}({{0}})")


@python("reverse(varchar(x)) -> varchar(x)")
def reverse(text: str) -> str:
    return text[::-1]


@python("chr(bigint) -> varchar(1)")
def chr_(code_point: int) -> str:
    if not 0 <= code_point <= 0x10FFFF or 0xD800 <= code_point <= 0xDFFF:
        raise TrinoError(_INVALID, f"Not a valid Unicode code point: {code_point}")
    return chr(code_point)


@python("codepoint(varchar(1)) -> integer")
def codepoint(text: str) -> int:
    if len(text) != 1:
        raise TrinoError(_INVALID, "Input string must be a single character string")
    return ord(text)


@python("normalize(varchar(x), varchar(y)) -> varchar")
def normalize(text: str, form: str) -> str:
    if form not in ("NFC", "NFD", "NFKC", "NFKD"):
        raise TrinoError(_INVALID, f"Normalization form must be one of [NFD, NFC, NFKD, NFKC]: {form}")
    return unicodedata.normalize(form, text)  # type: ignore[arg-type]  # the four forms are checked above


# ------------------------------------------------------------------------------------------------ parts

macro(
    "trino_substr(t, s)",
    "CASE WHEN s = 0 OR abs(s) > length(t) THEN CASE WHEN t IS NOT NULL AND s IS NOT NULL THEN '' END "
    "ELSE substr(t, s) END",
)
macro(
    "trino_substr_length(t, s, n)",
    "CASE WHEN s = 0 OR n <= 0 OR abs(s) > length(t) "
    "THEN CASE WHEN t IS NOT NULL AND s IS NOT NULL AND n IS NOT NULL THEN '' END ELSE substr(t, s, n) END",
)
for _substr in ("substr", "substring"):
    scalar(f"{_substr}(varchar(x), bigint) -> varchar(x)", "trino_substr({0}, {1})")
    scalar(f"{_substr}(varchar(x), bigint, bigint) -> varchar(x)", "trino_substr_length({0}, {1}, {2})")
    scalar(f"{_substr}(char(x), bigint) -> varchar(x)", "trino_substr(rpad({0}, {x}, ' '), {1})")
    scalar(f"{_substr}(char(x), bigint, bigint) -> varchar(x)", "trino_substr_length(rpad({0}, {x}, ' '), {1}, {2})")
scalar("starts_with(varchar, varchar) -> boolean", "starts_with({0}, {1})")


@python("strpos(varchar, varchar, bigint) -> bigint")
def strpos_instance(text: str, part: str, instance: int) -> int:
    """Position of the n-th occurrence (overlapping ones count), from the end when negative; 0 when there is none."""
    if instance == 0:
        raise TrinoError(_INVALID, "'instance' must be a positive or negative number.")
    if not part:
        return 1
    at = -1 if instance > 0 else len(text)
    for _ in range(abs(instance)):
        if instance < 0 and at + len(part) - 1 < 0:
            return 0
        at = text.find(part, at + 1) if instance > 0 else text.rfind(part, 0, max(at + len(part) - 1, 0))
        if at < 0:
            return 0
    return at + 1


scalar("strpos(varchar, varchar) -> bigint", "instr({0}, {1})")
scalar("position(varchar, varchar) -> bigint", "instr({1}, {0})")

# ------------------------------------------------------------------------------------------------ trimming

#: What Java's Character.isWhitespace calls whitespace.
_WHITESPACE = (
    "".join(map(chr, [*range(0x09, 0x0E), *range(0x1C, 0x21), 0x1680, *range(0x2000, 0x2007), 0x2008, 0x2009, 0x200A]))
    + "\u2028\u2029\u205f\u3000"
)

for _trim in ("ltrim", "rtrim", "trim"):
    macro(f"trino_{_trim}(t)", f"{_trim}(t, '{_WHITESPACE}')")
    # DuckDB takes an empty set of characters for blanks
    macro(f"trino_{_trim}_of(t, c)", f"CASE WHEN c = '' THEN t ELSE {_trim}(t, c) END")
    scalar(f"{_trim}(varchar(x)) -> varchar(x)", f"trino_{_trim}({{0}})")
    scalar(f"{_trim}(varchar(x), varchar) -> varchar(x)", f"trino_{_trim}_of({{0}}, {{1}})")
    scalar(f"{_trim}(char(x)) -> varchar(x)", f"trino_{_trim}({{0}})")
    scalar(f"{_trim}(char(x), varchar) -> varchar(x)", f"trino_{_trim}_of({{0}}, {{1}})")

for _pad in ("lpad", "rpad"):
    _size_error = error_sql(_INVALID, "'Target length must be in the range [0..2147483647]'", "VARCHAR")
    _padding_error = error_sql(_INVALID, "'Padding string must not be empty'", "VARCHAR")
    macro(
        f"trino_{_pad}(t, n, p)",
        f"CASE WHEN n < 0 OR n > {_MAXIMUM_SIZE} THEN {_size_error} WHEN p = '' THEN {_padding_error} "
        f"ELSE {_pad}(t, CAST(n AS INTEGER), p) END",
    )
    scalar(f"{_pad}(varchar(x), bigint, varchar(y)) -> varchar", f"trino_{_pad}({{0}}, {{1}}, {{2}})")

# ------------------------------------------------------------------------------------------------ replacing


def _replaced(bindings: Bindings, _: tuple[TrinoType, ...]) -> TrinoType:
    """replace(varchar(x), varchar(y), varchar(z)): every place between two characters may take the replacement."""
    x, z = bindings["x"], bindings["z"]
    return varchar(x + z * (x + 1)) if x + z * (x + 1) <= MAXIMUM_VARCHAR_LENGTH else varchar(None)


scalar("replace(varchar(x), varchar(y)) -> varchar(x)", "CASE WHEN {1} = '' THEN {0} ELSE replace({0}, {1}, '') END")


@python("replace(varchar(x), varchar(y), varchar(z)) -> varchar", result=_replaced)
def replace(text: str, search: str, replacement: str) -> str:
    return text.replace(search, replacement)


@python("translate(varchar(x), varchar(y), varchar(z)) -> varchar")
def translate(text: str, from_: str, to: str) -> str:
    table: dict[int, str | None] = {}
    for index, letter in enumerate(from_):
        table.setdefault(ord(letter), to[index] if index < len(to) else None)
    return text.translate(table)


# ------------------------------------------------------------------------------------------------ splitting

_EMPTY_DELIMITER = error_sql(_INVALID, "'The delimiter may not be the empty string'", "VARCHAR")
scalar(
    "split(varchar(x), varchar(y)) -> array(varchar(x))",
    f"string_split({{0}}, CASE WHEN {{1}} = '' THEN {_EMPTY_DELIMITER} ELSE {{1}} END)",
)


@python("split(varchar(x), varchar(y), bigint) -> array(varchar(x))")
def split_limited(text: str, delimiter: str, limit: int) -> list[str]:
    if limit <= 0:
        raise TrinoError(_INVALID, "Limit must be positive")
    if limit > _MAXIMUM_SIZE:
        raise TrinoError(_INVALID, "Limit is too large")
    if not delimiter:
        raise TrinoError(_INVALID, "The delimiter may not be the empty string")
    return text.split(delimiter, limit - 1)


@python("split_part(varchar(x), varchar(y), bigint) -> varchar(x)")
def split_part(text: str, delimiter: str, index: int) -> str | None:
    if index <= 0:
        raise TrinoError(_INVALID, "Index must be greater than zero")
    parts = text.split(delimiter) if delimiter else list(text)
    return parts[index - 1] if index <= len(parts) else None


def _entries(text: str, entry_delimiter: str, key_delimiter: str, quote: str) -> list[tuple[str, str]]:
    if not entry_delimiter:
        raise TrinoError(_INVALID, "entryDelimiter is empty")
    if not key_delimiter:
        raise TrinoError(_INVALID, "keyValueDelimiter is empty")
    if entry_delimiter == key_delimiter:
        raise TrinoError(_INVALID, "entryDelimiter and keyValueDelimiter must not be the same")
    entries = text.split(entry_delimiter)
    if entries[-1] == "":
        entries.pop()  # a trailing delimiter ends the last entry
    pairs = []
    for entry in entries:
        key, found, value = entry.partition(key_delimiter)
        if not found or key_delimiter in value:
            message = f"Key-value delimiter must appear exactly once in each entry. Bad input: {quote}{entry}{quote}"
            raise TrinoError(_INVALID, message)
        pairs.append((key, value))
    return pairs


@sql_function("trino_split_to_map", ["VARCHAR", "VARCHAR", "VARCHAR"], "STRUCT(k VARCHAR, v VARCHAR)[]")
def split_to_map(text: str, entry_delimiter: str, key_delimiter: str) -> list[dict[str, str]]:
    found: dict[str, str] = {}
    for key, value in _entries(text, entry_delimiter, key_delimiter, "'"):
        if key in found:
            raise TrinoError(_INVALID, f"Duplicate keys ({key}) are not allowed")
        found[key] = value
    return [{"k": key, "v": value} for key, value in found.items()]


@sql_function("trino_split_to_multimap", ["VARCHAR", "VARCHAR", "VARCHAR"], "STRUCT(k VARCHAR, v VARCHAR[])[]")
def split_to_multimap(text: str, entry_delimiter: str, key_delimiter: str) -> list[dict[str, object]]:
    found: dict[str, list[str]] = {}
    for key, value in _entries(text, entry_delimiter, key_delimiter, ""):
        found.setdefault(key, []).append(value)
    return [{"k": key, "v": values} for key, values in found.items()]


scalar("split_to_map(varchar, varchar, varchar) -> map(varchar,varchar)", "map_from_entries(trino_split_to_map({*}))")
scalar(
    "split_to_multimap(varchar, varchar, varchar) -> map(varchar,array(varchar))",
    "map_from_entries(trino_split_to_multimap({*}))",
)

# ------------------------------------------------------------------------------------------------ likeness


@python("levenshtein_distance(varchar(x), varchar(y)) -> bigint")
def levenshtein_distance(left: str, right: str) -> int:
    if left and right and len(left) * len(right) > 1_000_000:
        raise TrinoError(_INVALID, "The combined inputs for Levenshtein distance are too large")
    before = list(range(len(right) + 1))
    for row, letter in enumerate(left, 1):
        current = [row]
        for column, other in enumerate(right, 1):
            substituted = before[column - 1] + (letter != other)
            current.append(min(before[column] + 1, current[-1] + 1, substituted))
        before = current
    return before[-1]


@python("hamming_distance(varchar(x), varchar(y)) -> bigint")
def hamming_distance(left: str, right: str) -> int:
    if len(left) != len(right):
        raise TrinoError(_INVALID, "The input strings to hamming_distance function must have the same length")
    return sum(a != b for a, b in zip(left, right, strict=True))


@python("luhn_check(varchar) -> boolean")
def luhn_check(text: str) -> bool:
    if not text:
        return False
    if not (text.isascii() and text.isdigit()):
        raise TrinoError(_INVALID, f"Input string must be numeric, but was: {text}")
    total = 0
    for index, digit in enumerate(map(int, reversed(text))):
        doubled = digit * 2 if index % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


_SOUNDEX = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "01230120022455012623010202")


@python("soundex(varchar) -> varchar(4)")
def soundex(text: str) -> str:
    """As Apache commons-codec: H and W do not part two letters of one code."""
    letters = "".join(filter(str.isalpha, text)).upper()
    if not letters.isascii():
        raise TrinoError(_INVALID, f"The character is not mapped: {next(c for c in letters if not c.isascii())}")
    if not letters:
        return ""
    codes = letters.translate(_SOUNDEX)
    answer, last = letters[0], codes[0]
    for letter, code in zip(letters[1:], codes[1:], strict=True):
        if letter in "HW":
            continue
        if code not in ("0", last):
            answer += code
        last = code
    return answer.ljust(4, "0")[:4]


_STEMMERS = {
    "ca": "catalan", "da": "danish", "de": "german", "en": "english", "es": "spanish", "eu": "basque", "fi": "finnish",
    "fr": "french", "hu": "hungarian", "hy": "armenian", "it": "italian", "lt": "lithuanian", "nl": "dutch",
    "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip


@cache
def _stemmer(language: str) -> snowballstemmer.stemmer:
    return snowballstemmer.stemmer(_STEMMERS[language])


@sql_function("trino_word_stem", ["VARCHAR", "VARCHAR"], "VARCHAR")
def word_stem(word: str, language: str) -> str:
    if language not in _STEMMERS:
        raise TrinoError(_INVALID, f"Unknown stemmer language: {language}")
    return str(_stemmer(language).stemWord(word))


scalar("word_stem(varchar(x)) -> varchar(x)", "trino_word_stem({0}, 'en')")
scalar("word_stem(varchar(x), varchar(2)) -> varchar(x)", "trino_word_stem({0}, {1})")

# ------------------------------------------------------------------------------------------------ numbers as text


def _shortened(number: Decimal) -> str:
    """FormatNumber: three significant digits and a unit of thousands."""
    unit = ""
    for following in ("K", "M", "B", "T", "Q"):
        if abs(number) < 1000:
            break
        number, unit = number / 1000, following
    if number == number.to_integral_value():
        decimals = 0
    elif abs(number) < 10:
        decimals = 2
    elif abs(number) < 100:
        decimals = 1
    else:
        decimals = 0
    rounded = number.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    return f"{rounded:f}{unit}"


@python("format_number(bigint) -> varchar")
def format_integer(number: int) -> str:
    return _shortened(Decimal(number))


@python("format_number(double) -> varchar")
def format_double(number: float) -> str:
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "∞" if number > 0 else "-∞"
    return _shortened(Decimal(repr(number)))
