"""Trino's functions of JSON texts and json values: json_extract, json_extract_scalar, json_parse, json_size, ...

A constant path of plain steps (`$.a.b[0]`) runs in DuckDB, which is asked first and checked: where its reading of JSON
may differ from Trino's (texts that break off, trailing commas, NaN, numbers as written), the Python function of the
same meaning decides the row.

Rules: Trino's JsonFunctions, JsonExtract and JsonPathTokenizer. The casts are in json_cast.py, json_value and its
relatives in json_sql.py.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from embedded.sql.errors import TrinoError
from embedded.sql.functions import json_cast, json_sql  # noqa: F401  (they register themselves)
from embedded.sql.functions.registry import Invocation, emits, macro, scalar, sql_function
from embedded.sql.json_text import (
    FractionNumber,
    MalformedJson,
    Members,
    WholeNumber,
    canonical_json,
    encodable,
    is_index,
    place_of,
    root_value,
    skip_blanks,
    value_at,
    whole_value,
    without_repeats,
    written,
)
from embedded.sql.physical import text_literal
from embedded.sql.typed import Typed

_LONGEST_SHOWN = 10_000


def shown(text: str) -> str:
    """A JSON text in an error message."""
    return text if len(text.encode()) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...(truncated)"


# --------------------------------------------------------------------------------------------- paths


@lru_cache(maxsize=1024)
def path_steps(path: str) -> tuple[str, ...]:
    """`$.a["b c"][0]` as ('a', 'b c', '0'). Raises TrinoError INVALID_FUNCTION_ARGUMENT."""
    invalid = TrinoError("INVALID_FUNCTION_ARGUMENT", f"Invalid JSON path: '{path}'")
    if not path.startswith("$"):
        raise invalid
    steps: list[str] = []
    at = 1
    while at < len(path):
        if path[at] == "." or (path[at] == "[" and path[at + 1 : at + 2] != '"'):
            start = at + 1
            colon = ":" if path[at] == "." else "_"
            end = start
            while end < len(path) and (path[end] in ("_", colon) or _is_letter_or_digit(path[end])):
                end += 1
            if end == start:
                raise invalid
            steps.append(path[start:end])
            if path[at] == "[":
                if path[end : end + 1] != "]":
                    raise invalid
                end += 1
            at = end
        elif path[at] == "[":
            step, at = _quoted_step(path, at + 2, invalid)
            steps.append(step)
        else:
            raise invalid
    return tuple(steps)


def _quoted_step(path: str, at: int, invalid: TrinoError) -> tuple[str, int]:
    step = ""
    while path[at : at + 1] != '"':
        if at >= len(path):
            raise invalid
        if path[at] == "\\":
            at += 1
            if path[at : at + 1] not in ('"', "\\"):
                raise invalid
        step += path[at]
        at += 1
    if path[at + 1 : at + 2] != "]":
        raise invalid
    return step, at + 2


def _is_letter_or_digit(character: str) -> bool:
    """java.lang.Character.isLetterOrDigit of one UTF-16 unit."""
    return ord(character) < 0x10000 and unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lm", "Lo", "Nd")


@sql_function("trino_json_extract_scalar", ["VARCHAR", "VARCHAR"], "VARCHAR")
def json_extract_scalar(text: str, path: str) -> str | None:
    steps = path_steps(path)
    try:
        value = _found(text, steps)
    except MalformedJson:
        return None
    if isinstance(value, str):
        return encodable(value)
    return None if value is None or isinstance(value, list) else "true" if value else "false"


@sql_function("trino_json_extract", ["VARCHAR", "VARCHAR"], "VARCHAR")
def json_extract(text: str, path: str) -> str | None:
    steps = path_steps(path)
    try:
        return written(_found(text, steps, _NOTHING))
    except MalformedJson:
        return None


@sql_function("trino_json_size", ["VARCHAR", "VARCHAR"], "BIGINT")
def json_size(text: str, path: str) -> int | None:
    steps = path_steps(path)
    try:
        value = _found(text, steps, _NOTHING)
    except MalformedJson:
        return None
    return len(value) if isinstance(value, list) else 0


_NOTHING = object()


def _found(text: str, steps: tuple[str, ...], missing: object = None) -> object:
    """The value at the steps. `missing` where there is none: as an object it raises MalformedJson, the same answer."""
    if not steps:
        return root_value(text)
    place = place_of(text, steps)
    if place is None:
        if missing is _NOTHING:
            raise MalformedJson(text)
        return missing
    return value_at(text, place)[0]


# --------------------------------------------------------------------------------------------- paths in DuckDB

_PLAIN_STEP = re.compile(r"[A-Za-z0-9_ :@/-]+")
_WORD = re.compile(r"[A-Za-z0-9_]+")

#: Not JSON to Trino but read by DuckDB: [1,] and NaN. Also true of some good texts, which Python then reads.
macro(
    "trino_is_lenient_json(j)",
    r"(regexp_matches(j, ',\s*[\]}]') OR ((contains(lower(j), 'nan') OR contains(lower(j), 'inf')) "
    r"AND regexp_matches(j, '[:,\[]\s*-?([nN][aA][nN]|[iI][nN][fF])')))",
)
#: `found`: DuckDB's answer, NULL also for what it cannot read. `numbered`: the path has a number, which may also be a
#: key, as DuckDB does not know.
macro(
    "trino_checked_scalar(j, path, trino_path, numbered, found, pattern, twice)",
    "CASE WHEN found IS NULL THEN CASE WHEN j IS NULL OR (NOT numbered AND json_valid(j)) THEN NULL "
    "ELSE trino_json_extract_scalar(j, trino_path) END "
    "WHEN trino_is_lenient_json(j) THEN trino_json_extract_scalar(j, trino_path) "
    "WHEN found[1] = '{' OR found[1] = '[' THEN CASE WHEN json_type(j, path) = 'VARCHAR' THEN found END "
    "WHEN found = '0' THEN CASE WHEN contains(j, '-0') THEN trino_json_extract_scalar(j, trino_path) ELSE found END "
    r"WHEN regexp_full_match(found, '-?\d+(\.\d+([eE][+-]?\d+)?|[eE][+-]?\d+)') "
    "THEN trino_fraction(j, trino_path, found, pattern, twice) "
    "ELSE found END",
)
#: A fraction as it is written, which DuckDB's answer is not: by the one place where the key stands.
macro(
    "trino_fraction(j, trino_path, found, pattern, twice)",
    r"list_transform([{'j': j, 'found': found, 'digits': CASE WHEN pattern IS NULL OR contains(j, '\u') "
    "OR regexp_matches(j, twice) THEN '' ELSE regexp_extract(j, pattern, 1) END}], lambda fraction: "
    "CASE WHEN TRY_CAST(fraction.digits AS DOUBLE) = TRY_CAST(fraction.found AS DOUBLE) THEN fraction.digits "
    "ELSE trino_json_extract_scalar(fraction.j, trino_path) END)[1]",
)
macro(
    "trino_checked_extract(j, trino_path, numbered, found)",
    "CASE WHEN found IS NULL THEN CASE WHEN j IS NULL OR (NOT numbered AND json_valid(j)) THEN NULL "
    "ELSE trino_json_extract(j, trino_path) END "
    r"WHEN regexp_matches(found, '\d[.eE][\d+-]') OR trino_is_lenient_json(j) THEN trino_json_extract(j, trino_path) "
    "ELSE found END",
)


def _native_path(steps: tuple[str, ...]) -> str | None:
    """DuckDB's path of plain steps; None for others."""
    if not steps or not all(_PLAIN_STEP.fullmatch(step) for step in steps):
        return None
    return "$" + "".join(f"[{int(step)}]" if is_index(step) else f'."{step}"' for step in steps)


def _constant_steps(call: Invocation) -> tuple[str, ...] | None:
    path = call.arguments[1].literal
    if not isinstance(path, str) or call.arguments[1].type.base != "varchar":
        return None
    try:
        return path_steps(path)
    except TrinoError:
        return None  # the Python function refuses it when the first row comes, as Trino does


def _extract_scalar(call: Invocation) -> str:
    steps = _constant_steps(call)
    native = None if steps is None else _native_path(steps)
    if steps is None or native is None:
        return f"trino_json_extract_scalar({call[0]}, {call[1]})"
    pattern = twice = "CAST(NULL AS VARCHAR)"
    if _WORD.fullmatch(steps[-1]) and not is_index(steps[-1]):
        pattern = text_literal(rf'"{steps[-1]}"\s*:\s*(-?[0-9][0-9.eE+-]*)')
        twice = text_literal(rf'(?s)"{steps[-1]}".*"{steps[-1]}"')
    path = text_literal(native)
    numbered = str(any(map(is_index, steps))).lower()
    checked = f"trino_checked_scalar({{text}}, {path}, {call[1]}, {numbered}, {{found}}, {pattern}, {twice})"
    return _checked(call.arguments[0], f"TRY(json_extract_string({{text}}, {path}))", checked)


def _extract(call: Invocation) -> str:
    steps = _constant_steps(call)
    native = None if steps is None else _native_path(steps)
    if steps is None or native is None:
        return f"trino_json_extract({call[0]}, {call[1]})"
    numbered = str(any(map(is_index, steps))).lower()
    found = f"CAST(TRY(json_extract({{text}}, {text_literal(native)})) AS VARCHAR)"
    return _checked(call.arguments[0], found, f"trino_checked_extract({{text}}, {call[1]}, {numbered}, {{found}})")


#: A text up to this many characters of SQL is written twice, which DuckDB computes once; binding it takes longer.
_LONGEST_REPEATED = 500


def _checked(value: Typed, found: str, checked: str) -> str:
    """`checked` over `{text}` and `{found}`. A column is named again and again, which DuckDB computes but once."""
    if value.is_simple:
        return _filled(checked, value.sql, _filled(found, value.sql))
    if len(value.sql) <= _LONGEST_REPEATED:
        bound = f"[{{'text': {value.sql}, 'found': {_filled(found, value.sql)}}}]"
    else:
        with_found = f"{{'text': j.text, 'found': {_filled(found, 'j.text')}}}"
        bound = f"list_transform([{{'text': {value.sql}}}], lambda j: {with_found})"
    return f"(list_transform({bound}, lambda j: {_filled(checked, 'j.text', 'j.found')})[1])"


def _filled(template: str, text: str, found: str = "") -> str:
    return re.sub(r"\{(text|found)\}", lambda match: text if match[1] == "text" else found, template)


emits(
    "json_extract_scalar(varchar(x), jsonpath) -> varchar(x)",
    "json_extract_scalar(json, jsonpath) -> varchar",
)(_extract_scalar)
emits("json_extract(varchar(x), jsonpath) -> json", "json_extract(json, jsonpath) -> json")(_extract)
scalar("json_size(varchar(x), jsonpath) -> bigint", "trino_json_size({0}, {1})")
scalar("json_size(json, jsonpath) -> bigint", "trino_json_size({0}, {1})")


# --------------------------------------------------------------------------------------------- whole texts


@sql_function("trino_json_parse", ["VARCHAR"], "VARCHAR")
def json_parse(text: str) -> str:
    try:
        return canonical_json(text)
    except MalformedJson:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Cannot convert value to JSON: '{text}'") from None


scalar("json_parse(varchar(x)) -> json", "trino_json_parse({0})")
scalar("json_format(json) -> varchar", "{0}")


@sql_function("trino_is_json_scalar", ["VARCHAR"], "BOOLEAN")
def is_json_scalar(text: str) -> bool:
    try:
        return not isinstance(whole_value(text), list)
    except MalformedJson:
        raise TrinoError("INVALID_FUNCTION_ARGUMENT", f"Invalid JSON value: {shown(text)}") from None


scalar("is_json_scalar(json) -> boolean", "trino_is_json_scalar({0})")
scalar("is_json_scalar(varchar(x)) -> boolean", "trino_is_json_scalar({0})")


# --------------------------------------------------------------------------------------------- arrays


class _Elements:
    """The elements of an array text, read one by one; `is_closed` once its end was seen."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_closed = False

    def __iter__(self) -> _Elements:
        self.at = skip_blanks(self.text, 0)
        if self.text[self.at : self.at + 1] != "[":
            raise MalformedJson(self.text)
        self.at = skip_blanks(self.text, self.at + 1)
        self.is_closed = self.text[self.at : self.at + 1] == "]"
        return self

    def __next__(self) -> object:
        if self.is_closed:
            raise StopIteration
        value, end = value_at(self.text, self.at)
        end = skip_blanks(self.text, end)
        following = self.text[end : end + 1]
        self.is_closed = following == "]"
        # a text that breaks off here is refused when the next element is asked for, as a stream would
        self.at = skip_blanks(self.text, end + 1) if following == "," else len(self.text)
        return value


macro(
    "trino_array_length(j)",
    "CASE WHEN TRY(json_type(j)) = 'ARRAY' AND NOT trino_is_lenient_json(j) THEN CAST(json_array_length(j) AS BIGINT) "
    "ELSE trino_json_array_length(j) END",
)


@sql_function("trino_json_array_length", ["VARCHAR"], "BIGINT")
def json_array_length(text: str) -> int | None:
    try:
        return sum(1 for _ in _Elements(text))
    except MalformedJson:
        return None


for _type in ("json", "varchar(x)"):
    scalar(f"json_array_length({_type}) -> bigint", "trino_array_length({0})")


@sql_function("trino_json_array_has_boolean", ["VARCHAR", "BOOLEAN"], "BOOLEAN")
def json_array_has_boolean(text: str, wanted: bool) -> bool | None:
    try:
        return any(element is wanted for element in _Elements(text))
    except MalformedJson:
        return None


@sql_function("trino_json_array_has_bigint", ["VARCHAR", "BIGINT"], "BOOLEAN")
def json_array_has_bigint(text: str, wanted: int) -> bool | None:
    try:
        return any(isinstance(e, WholeNumber) and len(e) < 4000 and int(e) == wanted for e in _Elements(text))
    except MalformedJson:
        return None


@sql_function("trino_json_array_has_double", ["VARCHAR", "DOUBLE"], "BOOLEAN")
def json_array_has_double(text: str, wanted: float) -> bool | None:
    if wanted - wanted != 0:
        return False
    try:
        return any(isinstance(element, FractionNumber) and float(element) == wanted for element in _Elements(text))
    except MalformedJson:
        return None


@sql_function("trino_json_array_has_text", ["VARCHAR", "VARCHAR"], "BOOLEAN")
def json_array_has_text(text: str, wanted: str) -> bool | None:
    try:
        return any(
            isinstance(element, str) and not isinstance(element, WholeNumber | FractionNumber) and element == wanted
            for element in _Elements(text)
        )
    except MalformedJson:
        return None


for _type in ("varchar(x)", "json"):
    scalar(f"json_array_contains({_type}, boolean) -> boolean", "trino_json_array_has_boolean({0}, {1})")
    scalar(f"json_array_contains({_type}, bigint) -> boolean", "trino_json_array_has_bigint({0}, {1})")
    scalar(f"json_array_contains({_type}, double) -> boolean", "trino_json_array_has_double({0}, {1})")
    scalar(f"json_array_contains({_type}, varchar(y)) -> boolean", "trino_json_array_has_text({0}, {1})")


@sql_function("trino_json_array_get", ["VARCHAR", "BIGINT"], "VARCHAR")
def json_array_get(text: str, index: int) -> str | None:
    """Trino leaves texts without their quotes: no JSON, and its documentation calls the function broken."""
    if index == -(2**63):
        return None
    try:
        if index >= 0:
            element = next((e for at, e in enumerate(_Elements(text)) if at == index), None)
        else:
            elements = list(_Elements(text))
            element = elements[index] if -index <= len(elements) else None
    except MalformedJson:
        return None
    if isinstance(element, str):
        return encodable(element)
    if isinstance(element, Members | list):
        return written(without_repeats(element))
    return None if element is None else "true" if element else "false"


for _type in ("varchar(x)", "json"):
    scalar(f"json_array_get({_type}, bigint) -> json", "trino_json_array_get({0}, {1})")
