"""The contract as one document: openapi/<version>.yaml with the files it refers to folded in.

The parts stay apart in the tree (v0.yaml the calls, schemas.yaml the shapes, problems.yaml what goes wrong,
security.yaml how callers say who they are, which is part of every version) and are whole for everybody else: connexion,
Swagger UI, code generators and tests all see the same single document, with every name under `components` kept.
`$ref: 'schemas.yaml#/components/schemas/Page'` becomes
`#/components/schemas/Page`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

Document = dict[str, Any]


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
    document: Document = local({key: value for key, value in _file(name).items() if key != "components"})
    fold(name)
    fold("security.yaml")
    return {**document, "components": components}


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
