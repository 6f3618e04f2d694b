"""What a failed call of AWS means for the service: wait and say it again, queue, or tell the operator what to mend.

    concurrency   the account runs as many queries as it may: the query waits in our queue
    throttled     too many calls a second: said again, slower
    server        5xx, no connection, no answer in time: said again
    credentials   expired, wrong or absent: the operator has to renew them
    clock         the machine's clock differs from AWS's: no signature is valid
    denied        the credentials may not do this
    missing       the bucket or the object is not there
    changed       the object is not the one that was asked for (If-Match)
    refused       the request itself is at fault

A sentence made here may be shown to any caller: it has the error's code and no text of AWS's, which may name accounts,
roles and buckets. The whole text belongs into the log.
Codes: Athena and S3 API references ("Common errors"), botocore's standard retry mode for those of throttling.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    SSOError,
)


class TroubleKind(StrEnum):
    """See the module."""

    CONCURRENCY = "concurrency"
    THROTTLED = "throttled"
    SERVER = "server"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    DENIED = "denied"
    MISSING = "missing"
    CHANGED = "changed"
    REFUSED = "refused"


_PASSING = frozenset({TroubleKind.THROTTLED, TroubleKind.SERVER})


@dataclass(frozen=True)
class Trouble:
    """One failed call: its kind, AWS's code (or botocore's class of error), and a sentence that may be shown."""

    kind: TroubleKind
    code: str
    sentence: str

    @property
    def may_pass(self) -> bool:
        """Whether the very same call may succeed a moment later."""
        return self.kind in _PASSING


_KINDS: dict[TroubleKind, frozenset[str]] = {
    TroubleKind.THROTTLED: frozenset(
        {
            "BandwidthLimitExceeded",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        }
    ),
    TroubleKind.CREDENTIALS: frozenset(
        {
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        }
    ),
    TroubleKind.CLOCK: frozenset({"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}),
    TroubleKind.DENIED: frozenset(
        {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden", "403", "KMS.DisabledException"}
    ),
    TroubleKind.MISSING: frozenset({"NoSuchKey", "NoSuchBucket", "NotFound", "404"}),
    TroubleKind.CHANGED: frozenset({"PreconditionFailed", "412"}),
    TroubleKind.SERVER: frozenset(
        {
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "InternalServerException",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        }
    ),
}
_KIND_BY_CODE = {code: kind for kind, codes in _KINDS.items() for code in codes}
_SENTENCES = {
    TroubleKind.CONCURRENCY: "the account runs as many queries as it may",
    TroubleKind.THROTTLED: "AWS takes no more calls for the moment",
    TroubleKind.SERVER: "AWS does not answer",
    TroubleKind.CREDENTIALS: "AWS does not accept the service's credentials; the operator has to renew them",
    TroubleKind.CLOCK: "the clock of the service's machine is wrong, so that no signature is valid; the operator has"
    " to set it",
    TroubleKind.DENIED: "the service's role may not do what this query needs; the operator has to allow it",
    TroubleKind.MISSING: "the bucket or the object is not there",
    TroubleKind.CHANGED: "the object was replaced while it was read",
    TroubleKind.REFUSED: "AWS refuses what the service asks; the operator finds AWS's words in the service's log",
}
_WITHOUT_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    NoAuthTokenError,
    SSOError,
)


def trouble_of(error: ClientError | BotoCoreError) -> Trouble:
    """What a failed call means."""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = _kind_of_answer(error, code)
    else:
        code = type(error).__name__
        kind = TroubleKind.CREDENTIALS if isinstance(error, _WITHOUT_CREDENTIALS) else TroubleKind.SERVER
    return Trouble(kind, code, f"{_SENTENCES[kind]} ({code})")


def is_passing(code: str) -> bool:
    """Whether an error code, told of one item of a batch, may pass when the item is asked for again."""
    return _KIND_BY_CODE.get(code) in _PASSING


def message_of(error: ClientError) -> str:
    """AWS's own words. Not for callers, except where they are about the caller's SQL."""
    return str(error.response.get("Error", {}).get("Message", error))


def _kind_of_answer(error: ClientError, code: str) -> TroubleKind:
    message = message_of(error)
    if code == "TooManyRequestsException" and _is_about_concurrency(error, message):
        return TroubleKind.CONCURRENCY
    if "Signature expired" in message or "Signature not yet current" in message:  # SignatureV4's words for a clock
        return TroubleKind.CLOCK
    if code in _KIND_BY_CODE:
        return _KIND_BY_CODE[code]
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return TroubleKind.SERVER if status >= 500 else TroubleKind.REFUSED


def _is_about_concurrency(error: ClientError, message: str) -> bool:
    """`Reason` is the API's (TooManyRequestsException); the words are those of accounts that do not send it."""
    reason = str(error.response.get("Reason", ""))
    return "CONCURRENT_QUERY_LIMIT" in f"{reason} {message}" or "run concurrently" in message
