"""Exclusion patterns of crawlers, as Glue reads them: globs over the part of a key below the include path.

    *      any characters of one folder or name          {a,b}  one of some patterns
    **     any characters, folders included              [a-z]  one character of a set; [!a-z] one that is none of it
    ?      one character of a name                       \\      takes the next character as it is

Source: Glue developer guide, "Include and exclude patterns". Athena knows nothing of them: what a crawler leaves out
lies in the table's folder all the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

PATTERN_LIMIT = 1024


class InvalidPattern(ValueError):
    """A text that is no glob; says why."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """The regular expression of a glob. Raises InvalidPattern."""
    if len(pattern) > PATTERN_LIMIT:
        raise InvalidPattern(f"a pattern has at most {PATTERN_LIMIT} characters")
    pieces: list[str] = []
    at, is_grouped = 0, False
    while at < len(pattern):
        character = pattern[at]
        if pattern.startswith("**", at):
            while pattern.startswith("*", at):
                at += 1
            pieces.append(".*")
            continue
        at += 1
        if character == "*":
            pieces.append("[^/]*")
        elif character == "?":
            pieces.append("[^/]")
        elif character == "\\":
            if at == len(pattern):
                raise InvalidPattern(f"{pattern!r} ends with a backslash")
            pieces.append(re.escape(pattern[at]))
            at += 1
        elif character == "[":
            text, at = _character_set(pattern, at)
            pieces.append(text)
        elif character == "{":
            if is_grouped:
                raise InvalidPattern(f"{pattern!r}: groups cannot be nested")
            is_grouped = True
            pieces.append("(?:")
        elif character == "}" and is_grouped:
            is_grouped = False
            pieces.append(")")
        elif character == "," and is_grouped:
            pieces.append("|")
        else:
            pieces.append(re.escape(character))
    if is_grouped:
        raise InvalidPattern(f"{pattern!r}: a group does not end")
    try:
        return re.compile("".join(pieces), re.DOTALL)
    except re.error as error:
        raise InvalidPattern(f"{pattern!r}: {error}") from None


def is_excluded(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns fits the whole path."""
    return any(compiled(pattern).fullmatch(path) is not None for pattern in patterns)


def _character_set(pattern: str, at: int) -> tuple[str, int]:
    """The set that begins behind `[`, and where it ends."""
    end = pattern.find("]", at + 1)
    if end < 0:
        raise InvalidPattern(f"{pattern!r}: a set does not end")
    members = pattern[at:end]
    negation = "^/" if members.startswith("!") else ""
    members = members.removeprefix("!")
    # inside a set `*`, `?` and `\` are themselves, and so is everything that is special to Python
    text = "".join(re.escape(member) if member != "-" else member for member in members)
    return f"[{negation}{text}]", end + 1
