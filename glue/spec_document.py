"""Reads a YAML document by the keys that its reader knows, and complains about all that is wrong at once.

    node = Node(document, complaints)
    name = node.text("name")              # "name is missing", "name: 5 is not a text"
    for column in node.nodes("columns"):  # "columns[2].type is missing"
        ...
    node.finish()                         # "colums: unknown; did you mean columns?"

Nothing is raised: a complaint is a sentence that begins with where it is, and a value that cannot be used reads as one
that does no harm, so that the rest is looked at too.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import yaml

_SHOWN_CHARACTERS = 60
_Value = TypeVar("_Value")


class Node:
    """One mapping of a document; `where` is its path, "" for the whole."""

    def __init__(self, value: object, complaints: list[str], where: str = "") -> None:
        self.complaints = complaints
        self.where = where
        self._asked: list[str] = []
        if not isinstance(value, Mapping):
            self.complain("", f"{shown(value)} is not a mapping of keys to values")
            value = {}
        self._members: Mapping[Any, Any] = value

    def __contains__(self, key: str) -> bool:
        return self._members.get(key) is not None

    def complain(self, key: str, what: str) -> None:
        """Says what is wrong with a key; "" is the mapping itself."""
        place = ".".join(filter(None, (self.where, key)))
        self.complaints.append(f"{place}: {what}" if place else what)

    def raw(self, key: str) -> Any:
        """What stands under a key, None where nothing does."""
        self._asked.append(key)
        return self._members.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        """A text. Without `default` it has to be there."""
        value = self.raw(key)
        if value is None:
            if default is None:
                self._missing(key)
            return default or ""
        if not isinstance(value, str):
            self.complain(key, f"{shown(value)} is not a text")
            return default or ""
        return value

    def texts(self, key: str, *, is_required: bool = False) -> list[str]:
        """Texts: one, or a list of them."""
        value = self.raw(key)
        if value is None:
            if is_required:
                self._missing(key)
            return []
        found = value if isinstance(value, list) else [value]
        for item in found:
            if not isinstance(item, str):
                self.complain(key, f"{shown(item)} is not a text")
        return [item for item in found if isinstance(item, str)]

    def whole_number(self, key: str, *, least: int = 0, default: int | None = None) -> int:
        """A whole number. Without `default` it has to be there."""
        value = self.raw(key)
        if value is None:
            if default is None:
                self._missing(key)
            return least if default is None else default
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self.complain(key, f"{shown(value)} is not a whole number from {least} on")
            return least
        return value

    def node(self, key: str, *, is_required: bool = True) -> Node:
        """A mapping within this one; empty where there is none."""
        value = self.raw(key)
        if value is None and is_required:
            self._missing(key)
        return Node({} if value is None else value, self.complaints, ".".join(filter(None, (self.where, key))))

    def nodes(self, key: str) -> list[Node]:
        """The mappings of a list; none where there is no list."""
        value = self.raw(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.complain(key, f"{shown(value)} is not a list")
            return []
        place = ".".join(filter(None, (self.where, key)))
        return [Node(item, self.complaints, f"{place}[{index}]") for index, item in enumerate(value)]

    def checked(self, key: str, read: Callable[[], _Value], otherwise: _Value) -> _Value:
        """What `read` makes of a key's value; a ValueError of it is a complaint about the key."""
        try:
            return read()
        except KeyError as error:
            self.complain(key, f"{error.args[0]} is missing")
        except (ValueError, TypeError) as error:
            self.complain(key, str(error))
        return otherwise

    def finish(self, *further: str) -> None:
        """Complains about keys that nobody asked for; `further` are known too."""
        known = [*dict.fromkeys((*self._asked, *further))]
        for key in self._members:
            if key not in known:
                self.complain(str(key), "unknown" + did_you_mean(str(key), known))

    def _missing(self, key: str) -> None:
        near = difflib.get_close_matches(key, [str(name) for name in self._members], n=1)
        self.complaints.append(f"{'.'.join(filter(None, (self.where, key)))} is missing")
        if near and near[0] not in self._asked:
            self.complaints[-1] += f"; is {near[0]} meant for it?"


def did_you_mean(name: str, known: list[str]) -> str:
    """`; did you mean columns?`, or what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def shown(value: object) -> str:
    """A value of a document in a sentence, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def yaml_document(text: str) -> Any:
    """The document of a YAML text; a key that stands twice is an error. Raises ValueError."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        place = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        raise ValueError(f"{place}{error.problem or error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"cannot be read as YAML: {str(error).splitlines()[0]}") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML without surprises: a key stands once."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys: set[object] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool) and key is not None:
            raise yaml.MarkedYAMLError(problem="a key is not a plain value", problem_mark=key_node.start_mark)
        if key in keys:
            raise yaml.MarkedYAMLError(problem=f"{key!r} stands twice", problem_mark=key_node.start_mark)
        keys.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
