"""Whether the quick parser has lost a member: of names that stand twice in an object it keeps the last one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

# A name followed by blanks, or one that ends in a backslash: the count of `":` misses these.
_UNCOUNTED_NAME = re.compile(rb'"[ \t\r\n]+:|\\\\":')


def has_single_names(text: bytes, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether no name stands twice in an object of this array: the parser, which keeps the last one, lost nothing.

    What it understood, written again, is the text; or else there are as many names in both. Inside a string a quote is
    always escaped, so that `":` without a backslash before it is the end of a name.
    """
    try:
        if orjson.dumps(rows) == text:
            return True
        if _UNCOUNTED_NAME.search(text) is not None:
            return False
        return text.count(b'":') - text.count(b'\\":') == sum(map(_name_count, rows))
    except (TypeError, RecursionError):  # nested deeper than it can be written
        return False


def _name_count(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_name_count(item) for item in value.values() if isinstance(item, dict | list))
    return sum(_name_count(item) for item in value if isinstance(item, dict | list))
