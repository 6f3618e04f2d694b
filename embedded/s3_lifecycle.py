"""Lifecycle configurations of buckets: put, got and deleted as S3 does, with S3's checks and errors.

They are kept beside the buckets (`<root>/.%lifecycle/<bucket>.json`) and answered as they came. S3 enforces them by
itself, once a day; here nobody does: what of them is this project's, `data-hist retention sweep` enforces
(`S3.archive`, DeleteObjects). Source: S3 API reference, PutBucketLifecycleConfiguration; user guide, "Lifecycle
configuration elements".
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded.aws_json import from_json, to_json
from embedded.aws_shape import Answer, AwsClient, Request, aware_datetime, operation
from embedded.s3_key_path import MARK

RULE_LIMIT = 1000
_ID_LIMIT = 255
_DEFAULT_MINIMUM = "all_storage_classes_128K"
_ACTIONS = (
    "Expiration",
    "Transitions",
    "NoncurrentVersionTransitions",
    "NoncurrentVersionExpiration",
    "AbortIncompleteMultipartUpload",
)
_CONDITIONS = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")
_INFREQUENT = frozenset({"STANDARD_IA", "ONEZONE_IA"})


class LifecycleOperations(AwsClient):
    """The three operations, for the embedded S3, which has the folder and knows its buckets."""

    _root: Path

    def _bucket_folder(self, operation_name: str, bucket: str) -> Path:
        raise NotImplementedError

    @operation("PutBucketLifecycleConfiguration")
    def put_bucket_lifecycle_configuration(self, request: Request) -> Answer:
        self._bucket_folder("PutBucketLifecycleConfiguration", request["Bucket"])
        rules = request.get("LifecycleConfiguration", {}).get("Rules", [])
        complaint = next(_complaints(rules), None)
        if complaint is not None:
            raise self.error("PutBucketLifecycleConfiguration", *complaint)
        for rule in rules:
            rule.setdefault("ID", uuid.uuid4().hex)
        minimum = request.get("TransitionDefaultMinimumObjectSize", _DEFAULT_MINIMUM)
        document = {"rules": to_json(self._shape.shape("LifecycleRules"), rules), "minimum": minimum}
        path = self._lifecycle_file(request["Bucket"])
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_name(f"{uuid.uuid4().hex}.new")
        temporary.write_text(json.dumps(document), encoding="utf-8")
        os.replace(temporary, path)  # noqa: PTH105  # atomic, and named so
        return {"TransitionDefaultMinimumObjectSize": minimum}

    @operation("GetBucketLifecycleConfiguration")
    def get_bucket_lifecycle_configuration(self, request: Request) -> Answer:
        self._bucket_folder("GetBucketLifecycleConfiguration", request["Bucket"])
        try:
            document = json.loads(self._lifecycle_file(request["Bucket"]).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self._no_configuration(request["Bucket"]) from None
        return {
            "Rules": from_json(self._shape.shape("LifecycleRules"), document["rules"]),
            "TransitionDefaultMinimumObjectSize": document["minimum"],
        }

    @operation("DeleteBucketLifecycle")
    def delete_bucket_lifecycle(self, request: Request) -> Answer:
        self._bucket_folder("DeleteBucketLifecycle", request["Bucket"])
        self._forget_lifecycle(request["Bucket"])
        return {}

    def _forget_lifecycle(self, bucket: str) -> None:
        """A bucket's configuration goes with it."""
        self._lifecycle_file(bucket).unlink(missing_ok=True)

    def _lifecycle_file(self, bucket: str) -> Path:
        return self._root / f"{MARK}lifecycle" / f"{bucket}.json"

    def _no_configuration(self, bucket: str) -> ClientError:
        return self.error(
            "GetBucketLifecycleConfiguration",
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
            http_status=404,
            error_members={"BucketName": bucket},
        )


_MALFORMED = (
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
)


def _complaints(rules: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """(code, message) of what S3 refuses."""
    if not 0 < len(rules) <= RULE_LIMIT:
        yield _MALFORMED
    ids = [rule["ID"] for rule in rules if "ID" in rule]
    if len(set(ids)) != len(ids):
        yield "InvalidArgument", "Rule ID must be unique. Found same ID for one or more rules"
    for rule in rules:
        if len(rule.get("ID", "")) > _ID_LIMIT:
            yield "InvalidArgument", f"ID length should not exceed allowed limit of {_ID_LIMIT}"
        if ("Filter" in rule) == ("Prefix" in rule):
            yield _MALFORMED
        yield from _of_filter(rule.get("Filter", {}))
        if not any(rule.get(action) for action in _ACTIONS):
            yield "InvalidRequest", "At least one action needs to be specified in a rule"
        yield from _of_times(rule)
        has_tags = "Tag" in rule.get("Filter", {}) or rule.get("Filter", {}).get("And", {}).get("Tags")
        if has_tags and "AbortIncompleteMultipartUpload" in rule:
            yield "InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags"


def _of_filter(chosen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if sum(name in chosen for name in _CONDITIONS) > 1:
        yield _MALFORMED
    both = chosen.get("And")
    if both is not None:
        tags = both.get("Tags", [])
        if len(tags) + sum(name in both for name in _CONDITIONS) < 2:
            yield _MALFORMED
        if len({tag["Key"] for tag in tags}) != len(tags):
            yield "InvalidRequest", "Duplicate Tag Keys are not allowed."


def _of_times(rule: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    expiration = rule.get("Expiration", {})
    timed = [("Expiration", expiration, 1)] if expiration else []
    for transition in rule.get("Transitions", []):
        timed.append(("Transition", transition, 30 if transition.get("StorageClass") in _INFREQUENT else 0))
    for action, times, least in timed:
        if sum(name in times for name in ("Days", "Date", "ExpiredObjectDeleteMarker")) != 1:
            yield _MALFORMED
        if "Days" in times and times["Days"] < least:
            kind = "a positive integer" if least == 1 else f"greater than or equal to {least}"
            yield "InvalidArgument", f"'Days' for {action} action must be {kind}"
        if "Date" in times and not _is_midnight(aware_datetime(times["Date"])):
            yield "InvalidArgument", "'Date' must be at midnight GMT"
    for transition in rule.get("Transitions", []):
        if ("Days" in transition and "Date" in expiration) or ("Date" in transition and "Days" in expiration):
            yield (
                "InvalidRequest",
                "Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule",
            )
        for name in ("Days", "Date"):
            if name in transition and name in expiration and transition[name] >= expiration[name]:
                detail = f"'{name}' in the Expiration action must be later than '{name}' in the Transition action"
                yield "InvalidArgument", detail


def _is_midnight(moment: datetime) -> bool:
    utc = moment.astimezone(UTC)
    return (utc.hour, utc.minute, utc.second, utc.microsecond) == (0, 0, 0, 0)
