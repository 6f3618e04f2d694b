"""Values of a botocore shape as JSON and back: AWS's JSON 1.1 protocol, also the form in which Glue's store keeps them.

Timestamps are seconds since 1970 (a number), blobs are base64 text; members that are None are left out, members the
shape does not know are dropped when writing and ignored when reading, as AWS does.
"""

from __future__ import annotations

import base64
import weakref
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from embedded.aws_shape import aware_datetime


def to_json(shape: Any, value: Any) -> Any:
    """A value of `shape`, as botocore takes or gives it, in types that a JSON writer knows.

    Parts that are JSON already are shared with the value, not copied: not to be changed.
    """
    kind = shape.type_name
    if kind in {"structure", "list", "map"} and _is_plain(shape):
        return value
    if kind == "structure":
        members = shape.members
        return {
            members[name].serialization.get("name", name): to_json(members[name], item)
            for name, item in value.items()
            if item is not None and name in members
        }
    if kind == "list":
        return [to_json(shape.member, item) for item in value]
    if kind == "map":
        return {key: to_json(shape.value, item) for key, item in value.items()}
    if kind == "timestamp":
        seconds = aware_datetime(value).timestamp()
        return int(seconds) if seconds.is_integer() else round(seconds, 6)
    if kind == "blob":
        return base64.b64encode(value.encode() if isinstance(value, str) else bytes(value)).decode()
    if kind in {"integer", "long"} and isinstance(value, Decimal):
        return int(value)
    return value


_plain: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def _is_plain(shape: Any) -> bool:
    """Whether values of a shape are JSON as they are: no timestamps, blobs or renamed members anywhere in it.

    Most of a page of query results is; then nothing has to be copied. Remembered as long as the shape lives.
    """
    known = _plain.get(shape)
    if known is None:
        known = _plain[shape] = _found_plain(shape, set())
    return known


def _found_plain(shape: Any, met: set[str]) -> bool:
    kind = shape.type_name
    if kind in {"timestamp", "blob"}:
        return False
    if shape.name in met:
        return True
    met.add(shape.name)
    if kind == "structure":
        return all(
            member.serialization.get("name", name) == name and _found_plain(member, met)
            for name, member in shape.members.items()
        )
    if kind == "list":
        return _found_plain(shape.member, met)
    return kind != "map" or _found_plain(shape.value, met)


class WrongTypeError(ValueError):
    """JSON that does not fit its shape; the text names the member."""


_ACCEPTED: dict[str, Any] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float, str),
}


def from_json(shape: Any, value: Any, path: str = "") -> Any:
    """The value of `shape` that parsed JSON holds, as botocore would hand it to a caller; raises WrongTypeError."""
    kind = shape.type_name
    if not isinstance(value, _ACCEPTED.get(kind, (object,))) or (isinstance(value, bool) and kind != "boolean"):
        raise WrongTypeError(f"{path or 'The request'} must be a {kind}, not {_json_type(value)}")
    if kind == "structure":
        by_name = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
        found = {}
        for key, item in value.items():
            if item is not None and key in by_name:
                name, member = by_name[key]
                found[name] = from_json(member, item, f"{path}.{name}" if path else name)
        return found
    if kind == "list":
        return [from_json(shape.member, item, f"{path}[{at}]") for at, item in enumerate(value) if item is not None]
    if kind == "map":
        return {key: from_json(shape.value, item, f"{path}.{key}") for key, item in value.items() if item is not None}
    if kind == "timestamp":
        try:
            return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else aware_datetime(value)
        except (ValueError, OverflowError, OSError):
            raise WrongTypeError(f"{path} must be a timestamp") from None
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise WrongTypeError(f"{path} must be base64 text") from None
    return value


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
