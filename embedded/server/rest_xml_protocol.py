"""AWS's REST-XML protocol, as S3 speaks it: arguments lie in path, query string, headers and body of a request.

Answers go the same way back: header members, an XML document, or the bytes of the object. Errors are S3's
`<Error><Code>..` with the HTTP status of the code (S3 API reference, "Error responses").
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import IO, Any, cast
from urllib.parse import parse_qsl, quote, unquote, unquote_to_bytes

from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError, ParamValidationError
from flask import Request, Response

from embedded.aws_shape import AwsClient, ServiceShape, aware_datetime
from embedded.server.chunked_body import ChunkedBody, MalformedChunkError
from embedded.server.rest_routes import BUCKET, OBJECT, SERVICE, RestRoutes
from embedded.server.rest_xml_body import DECLARATION, NAMESPACE, MalformedXmlError, escaped, from_xml, to_xml

LOGGER = logging.getLogger(__name__)

XML_LIMIT_BYTES = 16 * 1024 * 1024
_IN_MEMORY_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024

_ROOT_NAMES = {
    "ListObjectsV2": "ListBucketResult",
    "ListObjects": "ListBucketResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "ListParts": "ListPartsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "GetBucketVersioning": "VersioningConfiguration",
}
_ABSOLUTE = re.compile(r"https?://[^/]*", re.IGNORECASE)
_WITHOUT_BODY = frozenset({204, 304})


class _RefusedError(Exception):
    """A request that never reaches the service."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class RestXmlService:
    """One service over the REST-XML protocol: any object with boto3's methods of S3; None refuses all."""

    def __init__(self, client: AwsClient | None) -> None:
        self._client = client
        # boto3's own client signs what it sends, so it reads a body twice
        self._takes_streams = not isinstance(client, BaseClient)
        self._shape = ServiceShape.load("s3")
        self._routes = RestRoutes(self._shape.model)

    def answer(self, received: Request, bucket_of_host: str | None) -> Response:
        """The HTTP answer to one call."""
        operation_name = ""
        spools = contextlib.ExitStack()
        try:
            bucket, key = _bucket_and_key(received, bucket_of_host)
            level = SERVICE if bucket is None else BUCKET if key is None else OBJECT
            query = _query(received)
            headers = {name.lower(): value for name, value in received.headers.items()}
            operation_name = self._routes.operation_name(received.method, level, query, headers) or ""
            if not operation_name:
                raise _RefusedError(
                    "MethodNotAllowed", "The specified method is not allowed against this resource.", 405
                )
            if self._client is None:
                raise _RefusedError("NotImplemented", f"No S3 answers {operation_name} here.", 501)
            arguments = self._arguments(operation_name, bucket, key, query, headers, received, spools)
            answer = getattr(self._client, xform_name(operation_name))(**arguments)
            return self._response(operation_name, answer)
        except _RefusedError as error:
            return _error_response(received, error.code, error.message, error.status)
        except MalformedChunkError as error:
            return _error_response(received, "IncompleteBody", str(error), 400)
        except MalformedXmlError:
            message = "The XML you provided was not well-formed or did not validate against our published schema"
            return _error_response(received, "MalformedXML", message, 400)
        except ParamValidationError as error:
            code = "InvalidBucketName" if "Invalid bucket name" in str(error) else "InvalidArgument"
            if "Missing required parameter in " in str(error) and "parameter in input" not in str(error):
                code = "MalformedXML"  # an element that the body's own schema asks for
            return _error_response(received, code, str(error), 400)
        except ClientError as error:
            described: Mapping[str, Any] = error.response
            members = {name: value for name, value in described["Error"].items() if name not in {"Code", "Message"}}
            status = described["ResponseMetadata"]["HTTPStatusCode"]
            return _error_response(received, described["Error"]["Code"], described["Error"]["Message"], status, members)
        except Exception:
            LOGGER.exception("%s of s3 failed", operation_name or received.method)
            message = "We encountered an internal error. Please try again."
            return _error_response(received, "InternalError", message, 500)
        finally:
            spools.close()

    # --- requests ------------------------------------------------------------------------------------------------

    def _arguments(
        self,
        operation_name: str,
        bucket: str | None,
        key: str | None,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        received: Request,
        spools: contextlib.ExitStack,
    ) -> dict[str, Any]:
        shape: Any = self._shape.operation(operation_name).input_shape
        if shape is None:
            return {}
        arguments: dict[str, Any] = {}
        for name, member in shape.members.items():
            place = member.serialization
            location = place.get("location")
            value: Any = None
            if location == "uri":
                value = {"Bucket": bucket, "Key": key}.get(name)
            elif location == "querystring":
                value = query.get(place["name"])
            elif location == "header":
                value = headers.get(place["name"].lower())
            elif location == "headers":
                prefix = place["name"].lower()
                value = {header[len(prefix) :]: text for header, text in headers.items() if header.startswith(prefix)}
            if value is not None and value != {}:
                arguments[name] = _typed(name, member, value)
        if "CopySource" in arguments:
            arguments["CopySource"] = _copy_source(arguments["CopySource"])
        payload = shape.serialization.get("payload")
        if payload is not None:
            self._add_body(arguments, payload, shape.members[payload], headers, received, spools)
        return arguments

    def _add_body(
        self,
        arguments: dict[str, Any],
        payload: str,
        member: Any,
        headers: Mapping[str, str],
        received: Request,
        spools: contextlib.ExitStack,
    ) -> None:
        stream: Any = received.stream
        is_chunked = "aws-chunked" in headers.get("content-encoding", "")
        chunked = ChunkedBody(stream) if is_chunked else None
        if chunked is not None:
            arguments.pop("ContentLength", None)
            _drop_encoding(arguments)
            stream = chunked
        if member.type_name == "blob":
            if chunked is not None:
                arguments["Body"] = _spooled(chunked, arguments, spools)
            else:
                arguments["Body"] = stream if self._takes_streams else _spooled_whole(stream, spools)
            return
        body = stream.read(XML_LIMIT_BYTES + 1)
        if len(body) > XML_LIMIT_BYTES:
            raise _RefusedError("MaxMessageLengthExceeded", "Your request was too big.")
        if body.strip():
            arguments[payload] = from_xml(member, body)

    # --- answers -------------------------------------------------------------------------------------------------

    def _response(self, operation_name: str, answer: Mapping[str, Any]) -> Response:
        operation = self._shape.operation(operation_name)
        shape: Any = operation.output_shape
        status = operation.http.get("responseCode", 200)
        if "ContentRange" in answer:
            status = 206
        if operation_name == "GetBucketLocation":
            return _xml(f'<LocationConstraint xmlns="{NAMESPACE}"/>', 200)
        if shape is None:
            return _bare(status)
        headers = _headers(shape, answer)
        payload = shape.serialization.get("payload")
        if payload is not None and shape.members[payload].type_name == "blob":
            response = Response(_streamed(answer[payload]), status, direct_passthrough=True)
        elif payload is not None:
            member = shape.members[payload]
            name = member.serialization.get("name", payload)
            response = _xml(to_xml(member, answer.get(payload, {}), name), status)
        elif any("location" not in member.serialization for member in shape.members.values()):
            response = _xml(to_xml(shape, answer, _ROOT_NAMES.get(operation_name, f"{operation_name}Result")), status)
        else:
            response = _bare(status)
        for name, value in headers:
            response.headers[name] = value
        return response


def _bucket_and_key(received: Request, bucket_of_host: str | None) -> tuple[str | None, str | None]:
    """Bucket and key of the path, which is read as it was sent: servers differ in what they make of odd ones."""
    sent = received.environ.get("RAW_URI") or received.environ.get("REQUEST_URI") or quote(received.path)
    path = _ABSOLUTE.sub("", sent).partition("?")[0]
    try:
        path = unquote_to_bytes(path).decode().removeprefix("/")
    except UnicodeError:
        raise _RefusedError("InvalidURI", "Couldn't parse the specified URI.") from None
    if bucket_of_host is not None:
        return bucket_of_host, path or None
    bucket, _, key = path.partition("/")
    return bucket or None, key or None


def _query(received: Request) -> dict[str, str]:
    text = received.environ.get("QUERY_STRING", "")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict"))
    except (UnicodeError, ValueError):
        raise _RefusedError("InvalidURI", "Couldn't parse the specified URI.") from None


def _typed(name: str, shape: Any, value: Any) -> Any:
    """Text of a query string or header as the value of its shape."""
    kind = shape.type_name
    try:
        if kind in {"integer", "long"}:
            return int(value)
        if kind == "boolean":
            return value.strip().lower() == "true"
        if kind == "list":
            return [item.strip() for item in value.split(",")]
        if kind == "timestamp":
            return _moment(value)
    except ValueError:
        raise _RefusedError("InvalidArgument", f"{name} is not a valid {kind}: {value}") from None
    # AWS's SDK for C++ (pyarrow) sends `x-amz-checksum-mode: enabled`; S3 minds neither case
    if name == "ChecksumMode":
        return value.upper()
    return value


def _moment(text: str) -> datetime:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return aware_datetime(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _copy_source(header: str) -> dict[str, str]:
    """The header is URL-encoded: `bucket/key%20of%20it?versionId=1`."""
    location, _, version = header.removeprefix("/").partition("?versionId=")
    bucket, _, key = unquote(location).removeprefix("/").partition("/")
    if not key:
        raise _RefusedError(
            "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        )
    return {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}


def _drop_encoding(arguments: dict[str, Any]) -> None:
    """aws-chunked is how the body travelled, not how the object is encoded."""
    encodings = [item.strip() for item in arguments.pop("ContentEncoding", "").split(",")]
    kept = ",".join(item for item in encodings if item and item != "aws-chunked")
    if kept:
        arguments["ContentEncoding"] = kept


def _spooled_whole(stream: IO[bytes], spools: contextlib.ExitStack) -> IO[bytes]:
    """A body as a file that can be read again."""
    spool = spools.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115  # the stack closes it
    shutil.copyfileobj(stream, spool)
    spool.seek(0)
    return cast(IO[bytes], spool)


def _spooled(chunked: ChunkedBody, arguments: dict[str, Any], spools: contextlib.ExitStack) -> IO[bytes]:
    """The decoded body, read to its end, because the checksum to hold it to comes last."""
    spool = spools.enter_context(tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES))  # noqa: SIM115  # the stack closes it
    while chunk := chunked.read(_CHUNK_BYTES):
        spool.write(chunk)
    spool.seek(0)
    for name, value in chunked.trailers.items():
        checksum = name.removeprefix("x-amz-checksum-")
        if checksum != name and checksum in {"crc32", "sha1", "sha256"}:
            arguments[f"Checksum{checksum.upper()}"] = value
    return cast(IO[bytes], spool)


def _streamed(body: Any) -> Iterator[bytes]:
    try:
        while chunk := body.read(_CHUNK_BYTES):
            yield chunk
    finally:
        body.close()


def _headers(shape: Any, answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, member in shape.members.items():
        value = answer.get(name)
        place = member.serialization
        if value is None:
            continue
        if place.get("location") == "header":
            found.append((place["name"], _header_text(member, value)))
        elif place.get("location") == "headers":
            found += [(place["name"] + key, text) for key, text in value.items()]
    return found


def _header_text(shape: Any, value: Any) -> str:
    if shape.type_name == "timestamp":
        return format_datetime(aware_datetime(value).astimezone(UTC), usegmt=True)
    if shape.type_name == "boolean":
        return "true" if value else "false"
    return ",".join(value) if shape.type_name == "list" else str(value)


def _error_response(
    received: Request, code: str, message: str, status: int, members: Mapping[str, Any] | None = None
) -> Response:
    request_id = str(uuid.uuid4())
    if received.method == "HEAD" or status in _WITHOUT_BODY:
        response = _bare(status)
    else:
        described = {"Code": code, "Message": message, **(members or {}), "RequestId": request_id}
        inner = "".join(f"<{name}>{escaped(str(value))}</{name}>" for name, value in described.items())
        response = _xml(f"{DECLARATION}<Error>{inner}</Error>", status)
    return response


def _xml(text: str, status: int) -> Response:
    return _stamped(Response(text, status, content_type="application/xml"))


def _bare(status: int) -> Response:
    response = Response(b"", status)
    del response.headers["Content-Type"]
    return _stamped(response)


def _stamped(response: Response) -> Response:
    response.headers["x-amz-request-id"] = uuid.uuid4().hex[:16].upper()
    return response
