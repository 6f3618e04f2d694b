"""The boto3 methods this room uses, and how their errors are read. Clients are handed in; nothing here makes one.

In production they are boto3 clients, with no AWS account the objects of `embedded`, in unit tests fakes. Arguments
and answers are those of the AWS service models (glue 2017-03-31, s3 2006-03-01).
"""

from __future__ import annotations

from typing import Any, Protocol

from botocore.exceptions import ClientError

# AWS says of these "try again" (reference: AWS Glue API, common errors); everything else stays wrong when repeated.
RETRYABLE_CODES = frozenset(
    {
        "ConcurrentModificationException",
        "InternalServiceException",
        "InternalServerError",
        "OperationTimeoutException",
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SlowDown",
    }
)


class GlueClient(Protocol):
    """The part of boto3's Glue client that is used here."""

    def create_database(self, **arguments: Any) -> Any: ...
    def create_table(self, **arguments: Any) -> Any: ...
    def get_table(self, **arguments: Any) -> Any: ...
    def get_partitions(self, **arguments: Any) -> Any: ...
    def update_table(self, **arguments: Any) -> Any: ...
    def batch_create_partition(self, **arguments: Any) -> Any: ...


class S3Client(Protocol):
    """The part of boto3's S3 client that is used here."""

    def create_bucket(self, **arguments: Any) -> Any: ...
    def head_bucket(self, **arguments: Any) -> Any: ...
    def list_objects_v2(self, **arguments: Any) -> Any: ...
    def get_object(self, **arguments: Any) -> Any: ...
    def put_object(self, **arguments: Any) -> Any: ...


def error_code(error: ClientError) -> str:
    """The AWS error code, such as `AlreadyExistsException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_message(error: ClientError) -> str:
    """The AWS error message without boto3's frame around it."""
    return str(error.response.get("Error", {}).get("Message", "")) or str(error)
