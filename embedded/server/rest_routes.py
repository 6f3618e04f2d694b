"""Which operation of a REST service a request asks for, by the model: method, path, query string and headers.

An operation matches when its method and its path fit and all the query parameters and headers it requires are there
(`?uploads`, `list-type=2`, `x-amz-copy-source`). Of several that match, the one that requires most is meant:
`GET /b/k?uploadId=1` is ListParts, not GetObject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from botocore.model import OperationModel, ServiceModel

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"


@dataclass(frozen=True)
class Route:
    """What a request must have to mean one operation."""

    operation_name: str
    method: str
    level: str
    constants: Mapping[str, str]
    parameters: frozenset[str]
    headers: frozenset[str]

    @property
    def weight(self) -> int:
        """How much the operation requires."""
        return len(self.constants) + len(self.parameters) + len(self.headers)

    def matches(self, query: Mapping[str, str], headers: Mapping[str, Any]) -> bool:
        """Whether query string and headers (names in lower case) have what the operation requires."""
        return (
            all(name in query and (not value or query[name] == value) for name, value in self.constants.items())
            and all(name in query for name in self.parameters)
            and all(name in headers for name in self.headers)
        )


class RestRoutes:
    """All the routes of a service model whose paths are `/`, `/{Bucket}` and `/{Bucket}/{Key+}`."""

    def __init__(self, model: ServiceModel) -> None:
        # of two operations for one request (PutBucketLifecycle) the deprecated one comes last
        operations = sorted(map(model.operation_model, model.operation_names), key=lambda found: bool(found.deprecated))
        routes = [_route(found) for found in operations]
        self._routes: dict[tuple[str, str], list[Route]] = {}
        for route in sorted((route for route in routes if route is not None), key=lambda route: -route.weight):
            self._routes.setdefault((route.method, route.level), []).append(route)

    def operation_name(
        self, method: str, level: str, query: Mapping[str, str], headers: Mapping[str, Any]
    ) -> str | None:
        """The operation a request means; None when no operation of the service fits."""
        for route in self._routes.get((method, level), ()):
            if route.matches(query, headers):
                return route.operation_name
        return None


def _route(operation: OperationModel) -> Route | None:
    path, _, query = operation.http["requestUri"].partition("?")
    level = {"/": SERVICE, "/{Bucket}": BUCKET, "/{Bucket}/{Key+}": OBJECT}.get(path)
    if level is None:
        return None
    parameters, headers = set(), set()
    shape: Any = operation.input_shape
    for name in shape.required_members if shape is not None else ():
        place = shape.members[name].serialization
        if place.get("location") == "querystring":
            parameters.add(place["name"])
        elif place.get("location") == "header":
            headers.add(place["name"].lower())
    constants = dict(parse_qsl(query, keep_blank_values=True))
    return Route(operation.name, operation.http["method"], level, constants, frozenset(parameters), frozenset(headers))
