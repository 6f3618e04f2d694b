"""Items of DynamoDB as plain values: texts, whole numbers, bytes, truth values and maps of them.

None is not kept: an attribute that is not there is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Item = dict[str, Any]


def encoded(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as the API wants it; attributes that are None are left out."""
    return {name: _encoded_value(value) for name, value in item.items() if value is not None}


def decoded(item: Mapping[str, Any]) -> Item:
    """An item of the API in plain values."""
    return {name: _decoded_value(value) for name, value in item.items()}


def _encoded_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bytes):
        return {"B": value}
    if isinstance(value, Mapping):
        return {"M": encoded(value)}
    raise TypeError(f"no attribute of DynamoDB holds a {type(value).__name__}")


def _decoded_value(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return int(content)
    if kind == "M":
        return decoded(content)
    if kind in ("S", "BOOL"):
        return content
    if kind == "B":
        return bytes(content)
    raise TypeError(f"an attribute of type {kind} is none of this service's")
