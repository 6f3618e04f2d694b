"""Values of a botocore shape as XML and back: the bodies of AWS's REST-XML protocol."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC
from typing import Any
from xml.etree import ElementTree

from embedded.aws_shape import aware_datetime

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_SPECIAL = re.compile('[&<>"\r\n\t]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


class MalformedXmlError(ValueError):
    """Bytes that are no XML, or none of the shape."""


def to_xml(shape: Any, value: Any, name: str) -> str:
    """An element `name` with the value of a shape; the namespace is S3's."""
    return DECLARATION + _element(shape, value, name, f' xmlns="{NAMESPACE}"')


def escaped(text: str) -> str:
    """Text for the inside of an element; line ends survive."""
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text)


def _element(shape: Any, value: Any, name: str, attributes: str = "") -> str:
    kind = shape.type_name
    if kind == "structure":
        inner = "".join(
            _member(member, value[key], member.serialization.get("name", key))
            for key, member in shape.members.items()
            if value.get(key) is not None and "location" not in member.serialization
        )
    elif kind == "list":
        item_name = shape.member.serialization.get("name", "member")
        inner = "".join(_element(shape.member, item, item_name) for item in value)
    else:
        inner = escaped(_text(kind, value))
    return f"<{name}{attributes}>{inner}</{name}>"


def _member(shape: Any, value: Any, name: str) -> str:
    if shape.type_name == "list" and shape.serialization.get("flattened"):
        return "".join(_element(shape.member, item, name) for item in value)
    return _element(shape, value, name)


def _text(kind: str, value: Any) -> str:
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        moment = aware_datetime(value).astimezone(UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"
    return str(value)


def from_xml(shape: Any, body: bytes) -> Any:
    """The value of a shape that an XML document holds; raises MalformedXmlError."""
    if b"<!" in body.replace(b"<![CDATA[", b"").replace(b"<!--", b""):
        raise MalformedXmlError("Document type declarations are not allowed")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  # declarations, hence entities, are refused above
        return _value(shape, root)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise MalformedXmlError(str(error)) from None


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _value(shape: Any, element: ElementTree.Element) -> Any:
    kind = shape.type_name
    if kind == "structure":
        found = {}
        for key, member in shape.members.items():
            name = member.serialization.get("name", key)
            elements = [child for child in element if _local(child) == name]
            if not elements:
                continue
            if member.type_name == "list" and member.serialization.get("flattened"):
                found[key] = [_value(member.member, child) for child in elements]
            else:
                found[key] = _value(member, elements[0])
        return found
    if kind == "list":
        return [_value(shape.member, child) for child in element]
    text = "".join(_texts(element))
    if kind == "boolean":
        return text.strip().lower() == "true"
    if kind in {"integer", "long"}:
        return int(text)
    return aware_datetime(text) if kind == "timestamp" else text


def _texts(element: ElementTree.Element) -> Iterator[str]:
    if len(element):
        raise ValueError(f"{_local(element)} holds elements where text belongs")
    yield element.text or ""
