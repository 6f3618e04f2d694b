"""Notifications of S3 as they arrive, in the three wrappings."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote_plus

BUCKET = "data-hist-lake"
KEY = "secor/events/dt=2026-11-22/hr=10/min=05/1_0_00000000000000000000.gz"
ETAG = "b1946ac92492d2347c6235b4d2611184"
TEST_EVENT = json.dumps(
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-22T10:00:00.000Z", "Bucket": BUCKET}
)


def record(
    key: str = KEY,
    *,
    event_name: str = "ObjectCreated:Put",
    size: int = 10,
    sequencer: str | None = None,
    bucket: str = BUCKET,
    at: str = "2026-11-22T10:06:00.000Z",
) -> dict[str, Any]:
    described: dict[str, Any] = {"key": quote_plus(key), "size": size, "eTag": ETAG}
    if sequencer is not None:
        described["sequencer"] = sequencer
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": at,
        "eventName": event_name,
        "s3": {"s3SchemaVersion": "1.0", "bucket": {"name": bucket}, "object": described},
    }


def s3_event(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


def sns_wrapped(body: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:x", "Message": body})


def event_bridge(key: str = KEY, *, kind: str = "Object Created", size: int = 10, sequencer: str = "00617F08",
                 reason: str = "PutObject") -> str:  # fmt: skip
    return json.dumps(
        {
            "version": "0",
            "detail-type": kind,
            "source": "aws.s3",
            "time": "2026-11-22T10:06:00Z",
            "detail": {
                "version": "0",
                "bucket": {"name": BUCKET},
                "object": {
                    "key": key,
                    "size": size,
                    "etag": ETAG,
                    "sequencer": sequencer,
                },
                "reason": reason,
            },
        }
    )
