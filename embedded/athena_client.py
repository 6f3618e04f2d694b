"""What the parts of the embedded Athena share: its SQLite file, its clock, and the way it refuses."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from botocore.exceptions import ClientError

from embedded.athena_executions import open_database
from embedded.aws_shape import AwsClient

Item = TypeVar("Item")

Clock = Callable[[], datetime]

ENGINE_VERSION: Mapping[str, str] = {
    "SelectedEngineVersion": "AUTO",
    "EffectiveEngineVersion": "Athena engine version 3",
}


def utc_now() -> datetime:
    return datetime.now(UTC)


class AthenaClient(AwsClient):
    """Base of the operation groups of the embedded Athena."""

    service_name: ClassVar[str] = "athena"
    constraint_error_code: ClassVar[str] = "InvalidRequestException"
    unsupported_error_code: ClassVar[str] = "InvalidRequestException"

    def __init__(self, *, glue: Any, path: Path, clock: Clock) -> None:
        super().__init__()
        self._glue = glue
        self._clock = clock
        self._lock = threading.RLock()
        self._database: sqlite3.Connection = open_database(path)

    def invalid(self, operation_name: str, message: str, code: str = "INVALID_INPUT") -> ClientError:
        """An InvalidRequestException with Athena's error code."""
        return self.error(operation_name, "InvalidRequestException", message, AthenaErrorCode=code, Message=message)

    def page(
        self, operation_name: str, items: Sequence[Item], request: Mapping[str, Any], *, default: int = 50
    ) -> tuple[list[Item], str | None]:
        """A page of a list and the token of the next one, None on the last page."""
        start = self._page_start(operation_name, request.get("NextToken"))
        size = request.get("MaxResults") or default
        end = start + size
        token = base64.urlsafe_b64encode(json.dumps(end).encode()).decode() if end < len(items) else None
        return list(items[start:end]), token

    def _page_start(self, operation_name: str, token: str | None) -> int:
        if token is None:
            return 0
        try:
            start = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
        except ValueError:
            start = None
        if not isinstance(start, int) or isinstance(start, bool) or start < 0:
            raise self.invalid(operation_name, "Invalid NextToken")
        return start


def with_token(answer: dict[str, Any], token: str | None) -> dict[str, Any]:
    """The answer with its NextToken, which is absent on the last page."""
    if token is not None:
        answer["NextToken"] = token
    return answer
