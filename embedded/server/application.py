"""The Flask application: which protocol a request speaks, and the answer to every accident."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, Request, Response, request

from embedded.server.json_protocol import JsonService, json_error
from embedded.server.query_protocol import answer_query
from embedded.server.rest_xml_protocol import RestXmlService

LOGGER = logging.getLogger(__name__)

VIRTUAL_HOST = re.compile(r"(?P<bucket>.+)\.(?:s3[.-].*|localhost|localhost\.localdomain)(?::\d+)?", re.IGNORECASE)
"""Hosts that name a bucket: `<bucket>.localhost:8081`, `<bucket>.s3.us-east-1.amazonaws.com`."""

_HOST_WITHOUT_BUCKET = re.compile(r"s3[.-].*", re.IGNORECASE)
_FORM = "application/x-www-form-urlencoded"


def create_app(*, athena: Any, glue: Any, s3: Any) -> Flask:
    """A WSGI application that answers for three objects with boto3's methods; a service that is None is refused."""
    app = Flask("data-hist-aws", static_folder=None)
    json_services = {
        prefix: JsonService(client)
        for prefix, client in (("AmazonAthena", athena), ("AWSGlue", glue))
        if client is not None
    }
    rest_service = RestXmlService(s3)

    def answer() -> Response:
        target = request.headers.get("X-Amz-Target", "")
        if target:
            prefix, _, operation_name = target.rpartition(".")
            service = json_services.get(prefix)
            if service is None:
                return json_error("UnknownOperationException", f"No service here answers {target}.", 404)
            return service.answer(operation_name, request.get_data(cache=False))
        if request.method == "POST" and request.path == "/" and _content_type(request) == _FORM:
            return answer_query(dict(parse_qsl(request.get_data(cache=False).decode("utf-8", "replace"))))
        return rest_service.answer(request, _bucket_of_host(request))

    # before any routing of Flask's, which would merge the slashes of keys
    app.before_request(answer)
    return app


def _content_type(received: Request) -> str:
    return (received.content_type or "").partition(";")[0].strip().lower()


def _bucket_of_host(received: Request) -> str | None:
    host = received.headers.get("Host", "")
    match = VIRTUAL_HOST.fullmatch(host)
    if match is None or _HOST_WITHOUT_BUCKET.fullmatch(host):
        return None
    return match["bucket"]
