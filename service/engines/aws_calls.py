"""Calls of AWS said again while their trouble may pass (throttling, 5xx, no connection), with jitter.

Only calls that may be said twice go through here: reads, deletes, and StartQueryExecution, whose ClientRequestToken
makes saying it twice the same as once. boto3's own retries lie beneath; these wait longer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import tenacity
from botocore.exceptions import BotoCoreError, ClientError

from service.engines.aws_troubles import Trouble, message_of, trouble_of
from service.errors import EngineUnavailable

_LOG = logging.getLogger(__name__)

AWS_ERRORS = (ClientError, BotoCoreError)


class AwsCallFailed(Exception):
    """A call failed for good, or its trouble did not pass; `trouble` says which, `message` is AWS's own text."""

    def __init__(self, operation: str, error: ClientError | BotoCoreError) -> None:
        self.trouble: Trouble = trouble_of(error)
        self.operation = operation
        self.error = error
        self.message = message_of(error) if isinstance(error, ClientError) else str(error)
        super().__init__(f"{operation}: {self.trouble.code}: {self.message}")

    def as_unavailable(self, engine: str) -> EngineUnavailable:
        """The error for whoever asked: a sentence that may be shown; AWS's own words go to the log."""
        answer = getattr(self.error, "response", {}).get("ResponseMetadata", {})
        _LOG.warning("%s (request %s)", self, answer.get("RequestId", "not answered"))
        return EngineUnavailable(f"the engine cannot be used: {self.trouble.sentence}", engine=engine)


class AwsCalls:
    """See the module. `attempts` is how often one call is said; `sleep` waits seconds and may return earlier."""

    def __init__(self, *, attempts: int = 6, sleep: Callable[[float], object]) -> None:
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            stop=tenacity.stop_after_attempt(attempts),
            sleep=lambda seconds: _waited(sleep, seconds),
            reraise=True,
        )

    def __call__(self, method: Callable[..., Any], **arguments: Any) -> Any:
        """The answer of `method`. Raises AwsCallFailed."""
        operation = getattr(method, "__name__", "call")
        try:
            # a copy: one Retrying keeps the state of one call
            return self._retrying.copy()(method, **arguments)
        except AWS_ERRORS as error:
            raise AwsCallFailed(operation, error) from error


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, AWS_ERRORS) and trouble_of(error).may_pass


def _waited(sleep: Callable[[float], object], seconds: float) -> None:
    sleep(seconds)
