"""The shape of an AWS client: what every embedded service shares with the boto3 client of the same name.

A boto3 client checks its keyword arguments against the service's model before it sends anything
(`ParamValidationError`), the service then checks lengths, ranges and enumerations (`ValidationException` and the like)
and answers with a dict or an error that boto3 raises as a subclass of `ClientError`. This module does the same three
things from the same model, botocore's own, for objects that live in this process: `AwsClient` is their base class and
`@operation("GetTable")` marks a method that answers one operation.

    class Glue(AwsClient):
        service_name = "glue"

        @operation("GetTable")
        def get_table(self, request: Request) -> Answer: ...

An operation that the service's model knows and the class lacks raises an error that names it; a name no model knows is
an AttributeError, as it is on a boto3 client.
"""

from __future__ import annotations

import functools
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, NoReturn, TypeVar, cast

import botocore.loaders
import botocore.session
from botocore import xform_name
from botocore.errorfactory import ClientExceptionsFactory
from botocore.exceptions import (
    ClientError,
    OperationNotPageableError,
    ParamValidationError,
    UnknownServiceError,
)
from botocore.model import OperationModel, ServiceModel
from botocore.paginate import Paginator
from botocore.validate import ParamValidator
from botocore.waiter import WaiterModel, create_waiter_with_client

Request = dict[str, Any]
Answer = dict[str, Any]

ACCOUNT_ID = "123456789012"
REGION_NAME = "us-east-1"

_Method = TypeVar("_Method", bound=Callable[..., Any])


class ServiceShape:
    """botocore's model of one service, loaded once per process, and what follows from it."""

    _loaded: ClassVar[dict[str, ServiceShape]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, service_name: str) -> None:
        self.service_name = service_name
        self.loader: botocore.loaders.Loader = botocore.session.get_session().get_component("data_loader")
        description = self.loader.load_service_model(service_name, "service-2")
        self.model = ServiceModel(description, service_name=service_name)
        self.exceptions = ClientExceptionsFactory().create_client_exceptions(self.model)
        self.operation_name_of_method = {xform_name(name): name for name in self.model.operation_names}
        self._operations: dict[str, OperationModel] = {}
        self._shapes: dict[str, Any] = {}

    @classmethod
    def load(cls, service_name: str) -> ServiceShape:
        """The shape of a service; parsed at the first call, shared by all later ones."""
        with cls._lock:
            if service_name not in cls._loaded:
                cls._loaded[service_name] = cls(service_name)
            return cls._loaded[service_name]

    def operation(self, operation_name: str) -> OperationModel:
        """The model of one operation; raises botocore's OperationNotFoundError for a name the service lacks."""
        operation = self._operations.get(operation_name)
        if operation is None:
            operation = self._operations[operation_name] = self.model.operation_model(operation_name)
        return operation

    def shape(self, shape_name: str) -> Any:
        """A shape of the model, one object per name (botocore makes a new one each time it is asked)."""
        shape = self._shapes.get(shape_name)
        if shape is None:
            shape = self._shapes[shape_name] = self.model.shape_for(shape_name)
        return shape

    def error(
        self, operation_name: str, code: str, message: str, *, http_status: int = 400, **members: Any
    ) -> ClientError:
        """A ClientError of the class that `client.exceptions` has for this code; `members` as in `client_error`."""
        error_class: Any = self.exceptions.from_code(code)
        error: ClientError = error_class(_error_response(code, message, http_status, members), operation_name)
        return error


class OperationValidator:
    """Checks the keyword arguments of calls, first as boto3 does, then as the service behind it does."""

    def __init__(self, service_name: str) -> None:
        self._shape = ServiceShape.load(service_name)
        self._validator = ParamValidator()

    def validate(self, operation_name: str, arguments: Mapping[str, Any]) -> None:
        """Raises botocore's ParamValidationError, text and all, exactly when boto3 would."""
        input_shape = self._shape.operation(operation_name).input_shape
        if input_shape is None:
            if arguments:
                raise ParamValidationError(report=f"Unknown parameter in input: {next(iter(arguments))!r}")
            return
        report = self._validator.validate(arguments, input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())

    def constraint_violations(self, operation_name: str, arguments: Mapping[str, Any]) -> list[str]:
        """What the service itself would refuse: over-long values, too many members, values outside an enumeration.

        The wording is that of AWS services ("Value '..' at 'maxResults' failed to satisfy constraint: ..").
        """
        input_shape = self._shape.operation(operation_name).input_shape
        if input_shape is None:
            return []
        return list(_violations(input_shape, arguments, ""))


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    maximum = shape.metadata.get("max")
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from _violations(member, value[name], f"{path}.{_camel(name)}" if path else _camel(name))
    elif shape.type_name == "list":
        if maximum is not None and len(value) > maximum:
            yield _violation(value, path, f"Member must have length less than or equal to {maximum}")
            return
        for position, item in enumerate(value):
            yield from _violations(shape.member, item, f"{path}.{position + 1}.member")
    elif shape.type_name == "map":
        if maximum is not None and len(value) > maximum:
            yield _violation(value, path, f"Member must have length less than or equal to {maximum}")
            return
        for key, item in value.items():
            yield from _violations(shape.key, key, f"{path}.key")
            yield from _violations(shape.value, item, f"{path}.{key}.member")
    elif shape.type_name == "string":
        if maximum is not None and len(value) > maximum:
            yield _violation(value, path, f"Member must have length less than or equal to {maximum}")
        if shape.enum and value not in shape.enum:
            yield _violation(value, path, f"Member must satisfy enum value set: [{', '.join(shape.enum)}]")
        pattern = shape.metadata.get("pattern")
        if pattern is not None and not _matches(pattern, value):
            yield _violation(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    elif shape.type_name in {"integer", "long"} and maximum is not None and value > maximum:
        yield _violation(value, path, f"Member must have value less than or equal to {maximum}")


def _violation(value: Any, path: str, constraint: str) -> str:
    text = str(value)
    shown = text if len(text) <= 1000 else text[:1000] + "..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}"


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A Java pattern of a service model for `re`; None where Python has no equivalent (`\\p{L}`): then not checked."""
    translated = pattern.replace("\\uD800\\uDC00-\\uDBFF\\uDFFF", "\\U00010000-\\U0010FFFF")
    try:
        return re.compile(translated)
    except re.error:
        return None


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.fullmatch(value) is not None


def client_error(
    operation: str, code: str, message: str, *, service_name: str | None = None, http_status: int = 400, **extra: Any
) -> ClientError:
    """A ClientError as boto3 raises it, of the modelled subclass where the service is named and models the code.

    `extra` becomes members of the response beside "Error" (Athena's `AthenaErrorCode`, Glue's none), except
    `error_members`, which extends "Error" itself (S3's `Key`, `BucketName`).
    """
    if service_name is not None:
        return ServiceShape.load(service_name).error(operation, code, message, http_status=http_status, **extra)
    return ClientError(_error_response(code, message, http_status, extra), operation)


def _error_response(code: str, message: str, http_status: int, members: dict[str, Any]) -> Any:
    """The parsed response inside a ClientError."""
    beside = {name: value for name, value in members.items() if name != "error_members"}
    error = {"Code": code, "Message": message, **members.get("error_members", {})}
    return {"Error": error, "ResponseMetadata": response_metadata(http_status), **beside}


def response_metadata(http_status: int = 200) -> dict[str, Any]:
    """The ResponseMetadata member of an answer that took no network."""
    return {"RequestId": str(uuid.uuid4()), "HTTPStatusCode": http_status, "HTTPHeaders": {}, "RetryAttempts": 0}


def aware_datetime(value: datetime | float | str) -> datetime:
    """A timestamp argument in any form boto3 accepts, as a time zone aware datetime (UTC where none is given)."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    parsed = datetime.fromisoformat(value) if isinstance(value, str) else value
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def operation(operation_name: str) -> Callable[[_Method], Any]:
    """Marks the method that answers one operation.

    The method takes one dict, the request, already validated; callers use keyword arguments, as with boto3. A
    ResponseMetadata member is added to what it returns.
    """

    def decorate(method: _Method) -> Any:
        @functools.wraps(method)
        def call(self: AwsClient, /, *positional: Any, **arguments: Any) -> Answer:
            if positional:
                raise TypeError(f"{method.__name__}() only accepts keyword arguments.")
            self._prepare(operation_name, arguments)
            answer: Answer = method(self, arguments)
            answer["ResponseMetadata"] = response_metadata()
            return answer

        call.operation_name = operation_name  # type: ignore[attr-defined]  # read back by AwsClient.operations
        return call

    return decorate


class _Meta:
    """`client.meta`: what boto3's paginators, waiters and curious callers read of it."""

    def __init__(self, shape: ServiceShape) -> None:
        self.service_model = shape.model
        self.method_to_api_mapping = dict(shape.operation_name_of_method)
        self.region_name = REGION_NAME
        self.endpoint_url = f"embedded://{shape.service_name}"
        self.partition = "aws"
        self.events = botocore.session.get_session().get_component("event_emitter")


class AwsClient:
    """Base of the embedded services: validation, errors, paginators and waiters from the service's own model."""

    service_name: ClassVar[str]
    """botocore's name of the service: s3, glue, athena."""
    constraint_error_code: ClassVar[str] = "ValidationException"
    """The code of the error for what `OperationValidator.constraint_violations` finds."""
    unsupported_error_code: ClassVar[str] = "UnsupportedOperationException"
    """The code of the error for an operation the service has and the embedded one lacks."""
    unsupported_http_status: ClassVar[int] = 400
    """S3 has an HTTP status of its own for what is not implemented; the JSON services answer 400."""

    def __init__(self) -> None:
        self._shape = ServiceShape.load(self.service_name)
        self._validator = OperationValidator(self.service_name)
        self.meta = _Meta(self._shape)
        self.exceptions = self._shape.exceptions

    @classmethod
    def operations(cls) -> Mapping[str, str]:
        """The operations that are implemented: AWS's name -> the method's name."""
        found = {}
        for method_name in dir(cls):
            operation_name = getattr(getattr(cls, method_name), "operation_name", None)
            if operation_name is not None:
                found[operation_name] = method_name
        return found

    def error(self, operation_name: str, code: str, message: str, **members: Any) -> ClientError:
        """A ClientError that `except client.exceptions.<code>` catches; see `client_error` for `members`."""
        return self._shape.error(operation_name, code, message, **members)

    def get_paginator(self, operation_name: str) -> Paginator[Any]:
        """As on a boto3 client: botocore's own paginator, configured by botocore's own data, over this object."""
        config = self._pagination(operation_name)
        if config is None:
            raise OperationNotPageableError(operation_name=operation_name)
        api_name = self._shape.operation_name_of_method[operation_name]
        return Paginator(getattr(self, operation_name), config, self._shape.operation(api_name))

    def can_paginate(self, operation_name: str) -> bool:
        """Whether `get_paginator` knows the method of this name."""
        return self._pagination(operation_name) is not None

    def get_waiter(self, waiter_name: str) -> Any:
        """As on a boto3 client; raises ValueError for a waiter the service does not have."""
        model = self._waiters()
        names = {xform_name(name): name for name in model.waiter_names} if model is not None else {}
        if model is None or waiter_name not in names:
            raise ValueError(f"Waiter does not exist: {waiter_name}")
        return create_waiter_with_client(names[waiter_name], model, cast(Any, self))

    def close(self) -> None:
        """Nothing to close unless a subclass says otherwise."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        operation_name = self._shape.operation_name_of_method.get(name)
        if operation_name is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

        def unsupported(**_arguments: Any) -> NoReturn:
            raise self.unsupported(operation_name)

        return unsupported

    def unsupported(self, operation_name: str, what: str | None = None) -> ClientError:
        """The error for an operation, or a part of one (`what`), that this embedded service does not implement."""
        subject = f"{what} of {operation_name}" if what else operation_name
        return self.error(
            operation_name,
            self.unsupported_error_code,
            f"The embedded {self.service_name} does not implement {subject}.",
            http_status=self.unsupported_http_status,
        )

    def _prepare(self, operation_name: str, arguments: Request) -> None:
        self._validator.validate(operation_name, arguments)
        violations = self._validator.constraint_violations(operation_name, arguments)
        if violations:
            raise self._constraint_error(operation_name, violations)

    def _constraint_error(self, operation_name: str, violations: list[str]) -> ClientError:
        noun = "error" if len(violations) == 1 else "errors"
        message = f"{len(violations)} validation {noun} detected: {'; '.join(violations)}"
        return self.error(operation_name, self.constraint_error_code, message)

    def _pagination(self, method_name: str) -> dict[str, Any] | None:
        operation_name = self._shape.operation_name_of_method.get(method_name)
        try:
            pages = self._shape.loader.load_service_model(self.service_name, "paginators-1")["pagination"]
        except UnknownServiceError:
            return None
        found: dict[str, Any] | None = pages.get(operation_name)
        return found

    def _waiters(self) -> WaiterModel | None:
        try:
            return WaiterModel(self._shape.loader.load_service_model(self.service_name, "waiters-2"))
        except UnknownServiceError:
            return None
