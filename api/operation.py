"""One operation of the contract, compiled once at start: which handler, which parameters, which body, which scope.

connexion reads the contract, routes, authenticates, serves Swagger UI and (in tests) checks answers. Checking and
binding requests is done here, with validators compiled at start: connexion builds its own anew for each request,
which costs more than all the rest of a status call together (docs/decisions). It is plugged in as connexion means
it: a `RoutedMiddleware` in `middlewares=`.

A handler is `async def handler(call: Call, *, query_id: str, ...) -> Response`, with a keyword for each parameter
of its operation (`Idempotency-Key` is `idempotency_key`) and `body` for the JSON body. A handler whose keywords
differ from the contract stops the start.
"""

from __future__ import annotations

import asyncio
import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import jsonschema_rs
from connexion.middleware.abstract import RoutedAPI, RoutedMiddleware
from connexion.operations import AbstractOperation
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.auth import caller_of
from api.contract import DATABASES, ContractError, first_step, json_schema
from api.exchange import Exchange, exchange_of
from api.json_body import parse_json, pointer_step, read_body, refuse_nul, require_json
from api.problems import FieldError, RequestInvalid, ServiceStopping
from api.rate_limits import RateLimits
from service.audit import AuditTrail, CallOrigin
from service.errors import ScopeMissing
from service.model import Caller
from service.queries import QueryService

MAXIMUM_FIELD_ERRORS = 20
MAXIMUM_SHOWN_CHARACTERS = 60
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")

Handler = Callable[..., Awaitable[Response]]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Application:
    """What handlers work with; the same for every request. `stopping` is set when the server begins to shut down."""

    service: QueryService
    scrape: Callable[[], bytes]
    stopping: asyncio.Event
    rate_limits: RateLimits
    audit: AuditTrail | None = None
    public_url: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One checked request, as handlers see it. `database` is the one that its version of the contract serves; None is
    the default one.
    """

    application: Application
    caller: Caller
    exchange: Exchange
    scope: Scope
    receive: Receive
    database: str | None = None

    @property
    def origin(self) -> CallOrigin:
        """Where the call came from, for the audit trail."""
        return CallOrigin(self.exchange.request_id, self.exchange.origin.client)

    @property
    def service(self) -> QueryService:
        """The query use cases."""
        return self.application.service

    def header(self, name: bytes) -> str:
        """The value of a header (lower-case name), joined by commas when sent more than once, empty when absent."""
        return ", ".join(value.decode("latin-1") for key, value in self.scope["headers"] if key == name)

    async def wait(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """The outcome of `work`, given up when the client leaves (ClientDisconnect) or the server stops
        (ServiceStopping).

        For long polls: whatever `work` holds is let go at once.
        """
        running = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._client_left())
        stopping = asyncio.ensure_future(self.application.stopping.wait())
        try:
            await asyncio.wait({running, leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            if leaving.done():
                raise ClientDisconnect
            raise ServiceStopping
        finally:
            for task in (running, leaving, stopping):
                task.cancel()
            await asyncio.gather(running, leaving, stopping, return_exceptions=True)

    async def _client_left(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Parameters:
    """The parameters of one operation: reads them from a request, checks them together, gives handler keywords."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]]) -> None:
        self.keywords: dict[str, str] = {}
        self._pointers: dict[str, str] = {}
        self._defaults: dict[str, Any] = {}
        self._whole_numbers: set[str] = set()
        self._headers: dict[bytes, str] = {}
        self._queries: set[str] = set()
        properties: dict[str, Any] = {}
        required = []
        for definition in definitions:
            name, place, schema = definition["name"], definition["in"], definition["schema"]
            keyword = name.lower().replace("-", "_")
            keyword += "_" if iskeyword(keyword) else ""  # `from`
            self.keywords[name] = keyword
            self._pointers[name] = f"{place}:{name}"
            properties[name] = json_schema(schema)
            if schema.get("type") == "integer":
                self._whole_numbers.add(name)
            elif schema.get("type") != "string":
                raise ContractError(f"parameter {name}: only strings and integers are read")
            if definition.get("required"):
                required.append(name)
            else:
                self._defaults[keyword] = schema.get("default")
            if place == "header":
                self._headers[name.lower().encode()] = name
            elif place == "query":
                self._queries.add(name)
            elif place != "path":
                raise ContractError(f"parameter {name}: {place} is not read")
        self._validator = jsonschema_rs.Draft7Validator({"properties": properties, "required": required})

    def read(self, scope: Scope) -> dict[str, Any]:
        """Keyword -> value, defaults filled in. Raises RequestInvalid with every parameter that is wrong."""
        given: dict[str, Any] = dict(scope.get("path_params", ()))
        errors: list[FieldError] = []
        if scope["query_string"]:
            self._read_query(scope["query_string"], given, errors)
        if self._headers:
            for name, value in scope["headers"]:
                if name in self._headers:
                    self._put(self._headers[name], value.decode("latin-1"), given, errors)
        if not errors and not self._validator.is_valid(given):
            for error in self._validator.iter_errors(given):
                kind: Any = error.kind
                name = str(error.instance_path[0]) if error.instance_path else kind.property
                errors.append(FieldError(self._pointers[name], expectation(error)))
        if errors:
            raise RequestInvalid.of(*errors[:MAXIMUM_FIELD_ERRORS])
        values = self._defaults.copy()
        for name, value in given.items():
            values[self.keywords[name]] = value
        return values

    def _read_query(self, query_string: bytes, given: dict[str, Any], errors: list[FieldError]) -> None:
        try:
            pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            errors.append(FieldError("query:", "is not percent-encoded UTF-8, or has more than 100 fields"))
            return
        for name, text in pairs:
            if name in self._queries:
                self._put(name, text, given, errors)
            else:
                errors.append(FieldError(f"query:{pointer_step(name)}", unknown("parameter", name, self._queries)))

    def _put(self, name: str, text: str, given: dict[str, Any], errors: list[FieldError]) -> None:
        if name in given:
            errors.append(FieldError(self._pointers[name], "is given twice"))
        elif "\0" in text:
            errors.append(FieldError(self._pointers[name], "holds a NUL character"))
        elif name not in self._whole_numbers:
            given[name] = text
        elif WHOLE_NUMBER.fullmatch(text):
            given[name] = int(text)
        else:
            errors.append(FieldError(self._pointers[name], f"{shown(text)} is not a whole number"))


class Body:
    """The JSON body of one operation: reads it, checks it, fills in the contract's defaults."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = jsonschema_rs.Draft7Validator(json_schema(dict(schema)))
        self._known = frozenset(schema.get("properties", {}))
        self._defaults = {
            name: member["default"] for name, member in schema.get("properties", {}).items() if "default" in member
        }

    async def read(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        """The checked body. Raises UnsupportedMediaType, RequestTooLarge, or RequestInvalid with every wrong field."""
        require_json(scope)
        text = await read_body(scope, receive)
        body = parse_json(text)
        if not self._validator.is_valid(body):
            raise RequestInvalid.of(*self._errors(body))
        if b"\\u0000" in text:
            refuse_nul(body, "#")
        checked: dict[str, Any] = {**self._defaults, **body}
        return checked

    def _errors(self, body: object) -> list[FieldError]:
        errors: list[FieldError] = []
        for error in self._validator.iter_errors(body):
            kind: Any = error.kind
            pointer = "#" + "".join(f"/{pointer_step(step)}" for step in error.instance_path)
            if kind.name == "additionalProperties":
                for name in kind.unexpected:
                    field = unknown("field", name, self._known)
                    errors.append(FieldError(f"{pointer}/{pointer_step(name)}", field))
            elif kind.name == "required":
                errors.append(FieldError(f"{pointer}/{kind.property}", "is missing"))
            else:
                errors.append(FieldError(pointer, expectation(error)))
            if len(errors) >= MAXIMUM_FIELD_ERRORS:
                break
        return errors


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown field; did you mean retention_minutes?`"""
    near = difflib.get_close_matches(name[:100], known, n=1)
    return f"unknown {what}" + (f"; did you mean {near[0]}?" if near else "")


def shown(value: object) -> str:
    """`value` as JSON would show it, cut where it is long: an answer never repeats a whole request."""
    text = value if isinstance(value, str) else str(value)
    text = text.encode("unicode_escape").decode("ascii")
    text = text if len(text) <= MAXIMUM_SHOWN_CHARACTERS else text[:MAXIMUM_SHOWN_CHARACTERS] + "…"
    return f"'{text}'" if isinstance(value, str) else text


NAMES = {"integer": "whole number", "null": "null", "array": "list", "object": "object"}


def expectation(error: jsonschema_rs.ValidationError) -> str:
    """What was expected in place of what came, in words."""
    kind: Any = error.kind  # its attributes depend on its name
    value = shown(error.instance) if not isinstance(error.instance, dict | list) else "this"
    match kind.name:
        case "type":
            return f"{value} is not a {' or '.join(NAMES.get(name, name) for name in kind.types)}"
        case "minimum":
            return f"{value} is less than the minimum of {kind.limit}"
        case "maximum":
            return f"{value} is more than the maximum of {kind.limit}"
        case "minLength":
            return "is empty" if kind.limit == 1 else f"is shorter than {kind.limit} characters"
        case "maxLength":
            return f"is longer than {kind.limit} characters"
        case "maxItems":
            return f"has more than {kind.limit} items"
        case "enum":
            return f"{value} is not one of {', '.join(str(option) for option in kind.options)}"
        case "required":
            return "is missing"
        case "pattern":
            return f"{value} does not match {kind.pattern}"
        case "anyOf":
            return f"{value} has not the right type, or is too long or out of bounds"
        case _:
            return f"does not fit: {kind.name}"


class CompiledOperation:
    """An operation ready to be called: an ASGI application that checks, binds, calls the handler and sends its
    answer.
    """

    def __init__(self, operation: AbstractOperation, application: Application, base_path: str = "") -> None:
        self._application = application
        self._handler: Handler = operation.function
        self._route: str = f"{base_path}{operation.path}"
        self._database = DATABASES.get(first_step(self._route))
        self._parameters = Parameters(operation.parameters)
        content = operation.request_body.get("content", {})
        self._body = Body(content["application/json"]["schema"]) if content else None
        self._scope_needed: str | None = operation._operation.get("x-required-scope")
        self._check_handler(operation.operation_id)

    def _check_handler(self, operation_id: str) -> None:
        expected = set(self._parameters.keywords.values()) | ({"body"} if self._body else set())
        found = set(list(inspect.signature(self._handler).parameters)[1:])
        if expected != found:
            raise ContractError(f"{operation_id} takes {sorted(found)}; the contract gives {sorted(expected)}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        exchange.route = self._route
        caller = caller_of(scope)
        if exchange.tenant is not None:  # somebody, that is: probes are not counted
            await self._application.rate_limits.admit(caller, exchange)
        if self._scope_needed is not None and self._scope_needed not in caller.scopes:
            has = ", ".join(sorted(caller.scopes)) or "none"
            raise ScopeMissing(
                f"This call needs the scope {self._scope_needed}; the key has {has}.", scope=self._scope_needed
            )
        keywords = self._parameters.read(scope)
        if self._body is not None:
            keywords["body"] = await self._body.read(scope, receive)
        call = Call(self._application, caller, exchange, scope, receive, self._database)
        response = await self._handler(call, **keywords)
        await response(scope, receive, send)


class OperationsApi(RoutedAPI):  # type: ignore[misc]  # connexion has no type hints that mypy is told of
    """The compiled operations of one contract."""

    def __init__(self, *args: Any, application: Application, **kwargs: Any) -> None:
        self._application = application
        super().__init__(*args, **kwargs)
        self.add_paths()

    def make_operation(self, operation: AbstractOperation) -> CompiledOperation:
        """Compiles one operation; a contract and a handler that differ stop the start."""
        return CompiledOperation(operation, self._application, self.base_path)


class OperationsMiddleware(RoutedMiddleware):  # type: ignore[misc]  # as above
    """Ends the middleware chain for every operation of the contract; other paths go on to the application behind."""

    api_cls = OperationsApi

    def __init__(self, app: ASGIApp, *, application: Application) -> None:
        super().__init__(app)
        self._application = application

    def add_api(self, specification: Any, **kwargs: Any) -> Any:
        """connexion calls this once for each contract."""
        return super().add_api(specification, application=self._application, **kwargs)
