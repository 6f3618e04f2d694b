"""The contract as one document: openapi/<version>.yaml with the files it refers to folded in.

The parts stay apart in the tree (v0.yaml the calls, schemas.yaml the shapes, problems.yaml what goes wrong,
security.yaml how callers say who they are, which is part of every version) and are whole for everybody else: connexion,
Swagger UI, code generators and tests all see the same single document, with every name under `components` kept.
`$ref: 'schemas.yaml#/components/schemas/Page'` becomes
`#/components/schemas/Page`.

A later version says only what differs. Its paths may be path items of an earlier one (`$ref: 'v0.yaml#/paths/~1v0..'`)
and `x-words` tells which words its texts and examples have in place of those.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

Document = dict[str, Any]

VERSIONS = ("v0", "v1")
DATABASES = {"v1": "data_hist_v1"}
"""The database that a version serves; any other serves the default one."""
_TOLD = frozenset({"description", "summary", "example", "examples"})


class ContractError(ValueError):
    """The contract's files do not fit together; a mistake of ours, seen at start."""


@cache
def _file(name: str) -> Document:
    document = yaml.safe_load(resources.files("openapi").joinpath(name).read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ContractError(f"openapi/{name} is not an OpenAPI document")
    return document


def load_contract(version: str = "v0") -> Document:
    """The OpenAPI 3.0.3 document of `version`, self-contained: each `$ref` in it begins with `#/`."""
    folded: set[str] = set()
    components: dict[str, dict[str, Any]] = {}

    def fold(name: str) -> None:
        if name in folded:
            return
        folded.add(name)
        for kind, members in _file(name).get("components", {}).items():
            for key, member in members.items():
                if key in components.setdefault(kind, {}):
                    raise ContractError(f"#/components/{kind}/{key} stands twice, the second time in openapi/{name}")
                components[kind][key] = local(member)

    def local(node: Any) -> Any:
        if isinstance(node, list):
            return [local(item) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref")
        if isinstance(reference, str):
            file, _, pointer = reference.partition("#")
            if file:
                fold(file)
            return {"$ref": f"#{pointer}"}
        return {str(key): local(value) for key, value in node.items()}

    name = f"{version}.yaml"
    whole = _file(name)
    paths = {path: local(_path_item(item, fold)) for path, item in whole["paths"].items()}
    rest: Document = local(
        {key: value for key, value in whole.items() if key not in ("components", "paths", "x-words")}
    )
    fold(name)
    fold("security.yaml")
    words = whole.get("x-words")
    document: Document = {**rest, "paths": paths, "components": components}
    return _reworded(document, words) if words else document


def below(document: Document, base_path: str) -> Document:
    """The document as it stands below a path: its own paths without it."""
    return {**document, "paths": {path.removeprefix(base_path): item for path, item in document["paths"].items()}}


def first_step(path: str) -> str:
    """`v0` of /v0/data_hist/query."""
    return path.lstrip("/").partition("/")[0]


def _path_item(item: Document, fold: Callable[[str], None]) -> Document:
    """A path item, that of another file where it says so; what that file's components are is folded in too."""
    reference = item.get("$ref")
    if reference is None:
        return item
    file, _, pointer = reference.partition("#/")
    found: Any = _file(file)
    for step in pointer.split("/"):
        found = found[step.replace("~1", "/").replace("~0", "~")]
    fold(file)
    return dict(found)


def _reworded(document: Document, words: Mapping[str, str]) -> Document:
    """The document with other words in its texts and examples; names of its shapes stay."""
    expression = re.compile("|".join(rf"(?<![\w]){re.escape(word)}(?![\w])" for word in words))

    def texts(node: Any) -> Any:
        if isinstance(node, str):
            return expression.sub(lambda match: words[match[0]], node)
        if isinstance(node, list):
            return [texts(item) for item in node]
        if isinstance(node, dict):
            return {texts(key): texts(value) for key, value in node.items()}
        return node

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {key: texts(value) if key in _TOLD else walk(value) for key, value in node.items()}

    reworded: Document = walk(document)
    return reworded


def resolve(document: Document, node: Any) -> Any:
    """`node` with every local `$ref` in it replaced by what it points to. The contract has no circles."""
    if isinstance(node, list):
        return [resolve(document, item) for item in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if isinstance(reference, str):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        return resolve(document, target)
    return {key: resolve(document, value) for key, value in node.items()}


def json_schema(schema: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema draft 7, which has no `nullable` (OpenAPI 3.0.3, Schema Object)."""
    if isinstance(schema, list):
        return [json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {
        key: json_schema(value)
        for key, value in schema.items()
        if key not in ("nullable", "example", "description", "default")
    }
    return {"anyOf": [{"type": "null"}, plain]} if schema.get("nullable") is True else plain
