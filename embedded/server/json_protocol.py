"""AWS's JSON 1.1 protocol: a POST whose header X-Amz-Target names the operation, JSON in, JSON or a typed error out.

Errors are `{"__type": code, "message": text, ...}` with the status the service gives (Smithy, awsJson1_1).
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from flask import Response

from embedded.aws_json import WrongTypeError, from_json, to_json
from embedded.aws_shape import AwsClient, ServiceShape

LOGGER = logging.getLogger(__name__)

CONTENT_TYPE = "application/x-amz-json-1.1"


class JsonService:
    """One service over the JSON protocol: any object with boto3's methods of that service."""

    def __init__(self, client: AwsClient) -> None:
        self._client = client
        self._service_name: str = client.meta.service_model.service_name
        self._constraint_error_code = getattr(client, "constraint_error_code", "InvalidInputException")  # boto3: none
        self._shape = ServiceShape.load(self._service_name)

    def answer(self, operation_name: str, body: bytes) -> Response:
        """The HTTP answer to one call."""
        if operation_name not in self._shape.model.operation_names:
            return json_error("UnknownOperationException", f"Unknown operation {operation_name}.", 404)
        operation = self._shape.operation(operation_name)
        try:
            arguments = self._arguments(operation.input_shape, body)
            answer = getattr(self._client, xform_name(operation_name))(**arguments)
        except (WrongTypeError, orjson.JSONDecodeError, RecursionError) as error:
            return json_error("SerializationException", str(error), 400)
        except ParamValidationError as error:
            return json_error(self._constraint_error_code, str(error), 400)
        except ClientError as error:
            return _client_error(error)
        except Exception:
            LOGGER.exception("%s of %s failed", operation_name, self._service_name)
            code = "InternalServerException" if self._service_name == "athena" else "InternalServiceException"
            return json_error(code, "Internal failure of the embedded service; its log has the trace.", 500)
        output = operation.output_shape
        return _response(200, {} if output is None else to_json(output, _without_metadata(answer)))

    def _arguments(self, input_shape: Any, body: bytes) -> dict[str, Any]:
        parsed = orjson.loads(body) if body.strip() else {}
        if input_shape is None:
            return {}
        arguments: dict[str, Any] = from_json(input_shape, parsed)
        return arguments


def json_error(code: str, message: str, status: int, members: Mapping[str, Any] | None = None) -> Response:
    """An error in the protocol's form."""
    response = _response(status, {**(members or {}), "__type": code, "message": message, "Message": message})
    response.headers["x-amzn-ErrorType"] = code
    return response


def _client_error(error: ClientError) -> Response:
    described: Mapping[str, Any] = error.response
    members = {name: value for name, value in described.items() if name not in {"Error", "ResponseMetadata"}}
    status = described["ResponseMetadata"]["HTTPStatusCode"]
    return json_error(described["Error"]["Code"], described["Error"]["Message"], status, members)


def _without_metadata(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _response(status: int, body: Any) -> Response:
    response = Response(orjson.dumps(body, option=orjson.OPT_PASSTHROUGH_DATETIME), status, content_type=CONTENT_TYPE)
    response.headers["x-amzn-RequestId"] = str(uuid.uuid4())
    return response
