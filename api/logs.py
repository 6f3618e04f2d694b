"""Structured logs: one JSON object per line on standard error, from the service, from uvicorn and from libraries alike.

A line has `timestamp` (UTC), `level`, `event`. What is logged while a request is served has its `request_id` too,
while a query is driven its `query_id` and `tenant`, within a trace `trace_id` and `span_id`.
Secrets (keys, tokens, query strings, bodies) are never handed to the log.
"""

from __future__ import annotations

import logging
from typing import Any, BinaryIO

import orjson
import structlog
from structlog.types import Processor

from api.tracing import add_trace_ids

Log = structlog.typing.FilteringBoundLogger

SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    add_trace_ids,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _json(event: Any, **_: Any) -> bytes:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)


def json_log(stream: BinaryIO, level: str = "info") -> Log:
    """A logger that writes lines of JSON to `stream`, such as `sys.stderr.buffer`."""
    log: Log = structlog.wrap_logger(
        structlog.BytesLogger(stream),
        processors=[*SHARED, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    return log


class StructuredHandler(logging.Handler):
    """Sends what libraries log through the standard library to our log, so that standard error has one format."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record as one line."""
        self._log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)


def route_library_logs(log: Log, level: str = "info") -> None:
    """Makes `log` the only place the standard library's loggers write to. Called once, by the server."""
    root = logging.getLogger()
    root.handlers = [StructuredHandler(log)]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(level.upper())
    # connexion and boto repeat what the access log and problems tell already
    for name in ("connexion", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
