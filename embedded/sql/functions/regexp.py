r"""Trino functions: regular expressions (JoniRegexpFunctions).

Trino's engine is Joni with Java's syntax. Here it is the `regex` library, which has the same look-around, named groups,
possessive quantifiers and Unicode classes; each call is bounded in time, since a pattern may be the caller's. A
constant pattern of plain pieces in regexp_like, the form of log search, runs vectorised in DuckDB's RE2 instead
(`plain_pattern`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import regex

from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import Bindings, Invocation, emits, python, sql_function
from embedded.sql.types import MAXIMUM_VARCHAR_LENGTH, TrinoType, varchar

_INVALID = "INVALID_FUNCTION_ARGUMENT"
_SECONDS_PER_CALL = 5.0


@lru_cache(maxsize=500)
def _compiled(pattern: str) -> regex.Pattern[str]:
    try:
        # Java's `$` and \Z stand before a last line feed too; V0 has re's semantics of sets
        return regex.compile(pattern, regex.V0 | regex.UNICODE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise TrinoError(_INVALID, f"{error}: {pattern}") from None


def _matches(text: str, pattern: str) -> Iterator[regex.Match[str]]:
    """Matches from left to right; after an empty one the search goes on one character further."""
    compiled = _compiled(pattern)
    at = 0
    while at <= len(text):
        match = _search(compiled, text, at)
        if match is None:
            return
        yield match
        at = match.end() + 1 if match.end() == match.start() else match.end()


def _search(compiled: regex.Pattern[str], text: str, at: int = 0) -> regex.Match[str] | None:
    try:
        return compiled.search(text, at, timeout=_SECONDS_PER_CALL)
    except TimeoutError:
        message = f"regular expression took more than {_SECONDS_PER_CALL:g} s on one value: {compiled.pattern}"
        raise TrinoError("EXCEEDED_TIME_LIMIT", message) from None


def _group(pattern: str, group: int) -> int:
    if group < 0:
        raise TrinoError(_INVALID, "Group cannot be negative")
    count = _compiled(pattern).groups
    if group > count:
        raise TrinoError(_INVALID, f"Pattern has {count} groups. Cannot access group {group}")
    return group


# ------------------------------------------------------------------------------------------------ like


def plain_pattern(pattern: str) -> str | None:
    r"""The pattern for RE2 when it means the same there, else None.

    Taken: literals, `.`, `^`, a last `$`, `|`, groups `(..)` and `(?:..)`, quantifiers `* + ?` (also lazy) and `{n,m}`
    up to 1000, simple sets, \d \w \s (Unicode as Joni's), escaped punctuation, a leading (?i).
    """
    prefix, rest = ("(?i)", pattern[4:]) if pattern.startswith("(?i)") else ("", pattern)
    out: list[str] = []
    at = 0
    while at < len(rest):
        match = _PIECE.match(rest, at)
        if match is None:
            return None
        kind, text = match.lastgroup, match.group()
        if kind == "end":
            out.append(r"\n?\z")
        elif kind == "class":
            out.append("[" + _RE2_CLASSES[text[1]] + "]")
        elif kind == "set":
            out.append(_SET_CLASS.sub(lambda found: _RE2_CLASSES[found.group(1)], text))
        elif kind == "times" and any(int(number) > 1000 for number in regex.findall(r"\d+", text)):
            return None
        else:
            out.append(text)
        at = match.end()
    return prefix + "(?-s)" + "".join(out)


_RE2_CLASSES = {"d": r"\p{Nd}", "w": r"\p{L}\p{M}\p{N}\p{Pc}", "s": r"\t-\r \x{85}\p{Z}"}
_PIECE = regex.compile(
    r"""(?P<literal>[^\\\[\](){}*+?|^$.\n]+ | \\[^\sA-Za-z0-9] | \.)
    | (?P<class>\\[dws])
    | (?P<set>\[\^?(?:[^\\\[\]&^-]|\\[dws]|\\[-\]\[\\./^+*?(){}|$]|[A-Za-z0-9]-[A-Za-z0-9])+\])
    | (?P<group>\((?:\?:)?(?!\?) | \) | \| | \^)
    | (?P<times>(?:[*+?]|\{\d+(?:,\d*)?\})\??(?![+*?{]))
    | (?P<end>\$\Z)""",
    regex.VERBOSE,
)
_SET_CLASS = regex.compile(r"\\([dws])")


def _like(text: str, pattern: str) -> bool:
    return _search(_compiled(pattern), text) is not None


@emits("regexp_like(varchar(x), varchar(y)) -> boolean")
def regexp_like(call: Invocation) -> str:
    pattern = call.arguments[1].literal
    if isinstance(pattern, str):
        _compiled(pattern)
        plain = plain_pattern(pattern)
        if plain is not None:
            quoted = plain.replace("'", "''")
            return f"regexp_matches({call[0]}, '{quoted}')"
    return call.python(_like)


# ------------------------------------------------------------------------------------------------ find


@python("regexp_count(varchar(x), varchar(y)) -> bigint")
def regexp_count(text: str, pattern: str) -> int:
    return sum(1 for _ in _matches(text, pattern))


def _extract(text: str, pattern: str, group: int = 0) -> str | None:
    _group(pattern, group)
    match = _search(_compiled(pattern), text)
    return None if match is None else match.group(group)


def _extract_all(text: str, pattern: str, group: int = 0) -> list[str | None]:
    _group(pattern, group)
    return [match.group(group) for match in _matches(text, pattern)]


for _signature in ("varchar(x), varchar(y)", "varchar(x), varchar(y), bigint"):
    python(f"regexp_extract({_signature}) -> varchar(x)")(_extract)
    python(f"regexp_extract_all({_signature}) -> array(varchar(x))")(_extract_all)


def _position(text: str, pattern: str, start: int = 1, occurrence: int = 1) -> int:
    if start < 1:
        raise TrinoError(_INVALID, "start position cannot be smaller than 1")
    if occurrence < 1:
        raise TrinoError(_INVALID, "occurrence cannot be smaller than 1")
    if start > len(text):
        return -1
    compiled = _compiled(pattern)
    at = start - 1
    while at <= len(text):
        match = _search(compiled, text, at)
        if match is None:
            return -1
        occurrence -= 1
        if occurrence == 0:
            return int(match.start()) + 1
        at = match.end() + 1 if match.end() == match.start() else match.end()
    return -1


for _signature in (
    "varchar(x), varchar(y)",
    "varchar(x), varchar(y), bigint",
    "varchar(x), varchar(y), bigint, bigint",
):
    python(f"regexp_position({_signature}) -> integer")(_position)


@python("regexp_split(varchar(x), varchar(y)) -> array(varchar(x))")
def regexp_split(text: str, pattern: str) -> list[str]:
    parts, last = [], 0
    for match in _matches(text, pattern):
        parts.append(text[last : match.start()])
        last = match.end()
    return [*parts, text[last:]]


# ------------------------------------------------------------------------------------------------ replace


def _expanded(replacement: str, match: regex.Match[Any]) -> str:
    r"""Java's replacement text: $3, ${name}, \x for a literal x."""
    out: list[str] = []
    at = 0
    while at < len(replacement):
        letter = replacement[at]
        at += 1
        if letter == "\\":
            if at == len(replacement):
                raise TrinoError(_INVALID, f"Illegal replacement sequence: {replacement}")
            out.append(replacement[at])
            at += 1
        elif letter == "$":
            group, at = _reference(replacement, at, match)
            out.append(match.group(group) or "")
        else:
            out.append(letter)
    return "".join(out)


def _reference(replacement: str, at: int, match: regex.Match[Any]) -> tuple[int | str, int]:
    """The group that `$` refers to and where the replacement goes on."""
    if at < len(replacement) and replacement[at] == "{":
        end = replacement.find("}", at)
        name = replacement[at + 1 : end] if end > 0 else ""
        if name not in match.re.groupindex:
            raise TrinoError(_INVALID, f"Illegal replacement sequence: unknown group {{ {name} }}")
        return name, end + 1
    if at == len(replacement) or not replacement[at].isascii() or not replacement[at].isdigit():
        raise TrinoError(_INVALID, f"Illegal replacement sequence: {replacement}")
    group = int(replacement[at])
    at += 1
    if group > match.re.groups:
        raise TrinoError(_INVALID, f"Illegal replacement sequence: unknown group {group}")
    while at < len(replacement) and replacement[at].isascii() and replacement[at].isdigit():
        longer = group * 10 + int(replacement[at])
        if longer > match.re.groups:
            break
        group, at = longer, at + 1
    return group, at


def _replaced_length(bindings: Bindings, _: tuple[TrinoType, ...]) -> TrinoType:
    x, y = bindings["x"], bindings["z"]
    length = x + max(x * y // 2, y) * (x + 1)
    return varchar(length if length <= MAXIMUM_VARCHAR_LENGTH else None)


def _replace(text: str, pattern: str, replacement: str = "") -> str:
    out, last = [], 0
    for match in _matches(text, pattern):
        out += [text[last : match.start()], _expanded(replacement, match)]
        last = match.end()
    return "".join([*out, text[last:]])


python("regexp_replace(varchar(x), varchar(y)) -> varchar(x)")(_replace)
python("regexp_replace(varchar(x), varchar(y), varchar(z)) -> varchar", result=_replaced_length)(_replace)


@sql_function("trino_regexp_pieces", ["VARCHAR", "VARCHAR"], "STRUCT(before VARCHAR, groups VARCHAR[])[]")
def pieces(text: str, pattern: str) -> list[dict[str, object]]:
    """What stands before each match, and its groups 1..n; the last piece is the rest of the text."""
    found: list[dict[str, object]] = []
    last = 0
    for match in _matches(text, pattern):
        found.append({"before": text[last : match.start()], "groups": list(match.groups())})
        last = match.end()
    return [*found, {"before": text[last:], "groups": None}]


@emits("regexp_replace(varchar(x), varchar(y), function(array(varchar),varchar(x))) -> varchar")
def regexp_replace_lambda(call: Invocation) -> str:
    lambda_ = call.arguments[2]
    assert lambda_.parameters is not None
    parameter = lambda_.parameters[0]
    found = f"trino_regexp_pieces({call[0]}, {call[1]})"
    piece = f"piece_{parameter}"
    body = f"list_transform([{piece}.groups], lambda {parameter}: {lambda_.sql})[1]"
    texts = (
        f"list_transform({found}, lambda {piece}: {piece}.before || "
        f"CASE WHEN {piece}.groups IS NULL THEN '' ELSE coalesce({body}, '') END)"
    )
    return f"array_to_string({texts}, '')"
