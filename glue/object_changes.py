"""What a notification says: objects of the lake that came or went, whoever carried the news.

    body of a queue message -> object_changes -> ObjectChange, ...

Forms that are read (AWS: S3 event message structure; SNS HTTP/JSON format; EventBridge events of S3):

    {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name"}, "object": {"key", "size", ...}}}]}
        straight from S3; the key is URL-encoded: `=` is %3D, a space is `+`
    {"Type": "Notification", "Message": "<one of these as text>"}      through SNS
    {"detail-type": "Object Created", "source": "aws.s3", "detail": {"bucket": {"name"}, "object": {"key", ...}}}
        through EventBridge; the key is not encoded
    {"Service": "Amazon S3", "Event": "s3:TestEvent", ...}             S3's first message to a new queue: no change

Nothing is believed: a body that is none of these is an `UnreadableNotification` that says why, so that it can be put
aside with its reason. Delivery is at least once and in any order; `latest_changes` leaves one change per object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from urllib.parse import unquote_plus

import orjson

from glue.ledger import sequencer_order

_CREATED = ("ObjectCreated:", "s3:ObjectCreated:")
_EXPIRED = ("LifecycleExpiration:", "s3:LifecycleExpiration:")
_REMOVED = ("ObjectRemoved:", "s3:ObjectRemoved:", *_EXPIRED)
_EVENT_BRIDGE_KINDS: Mapping[str, ChangeKind] = {"Object Created": "created", "Object Deleted": "removed"}
_MAXIMUM_WRAPPINGS = 3  # S3 in SNS in SNS is already one more than anybody builds
MAXIMUM_SEQUENCER_CHARACTERS = 64
_ETAG = re.compile(r"[0-9A-Za-z_-]{1,128}")

ChangeKind = Literal["created", "removed"]


class UnreadableNotification(ValueError):
    """A message that is no notification of S3; says why. Reading it again will not help."""


@dataclass(frozen=True)
class ObjectChange:
    """An object that came (or was replaced) or went.

    `sequencer` orders the changes of one key (hex text, see `sequencer_order`); None where the source has none.
    `content_tag` changes with the bytes (`etag:...`, see `glue.ledger.ObjectRecord`). `was_meant`: it went because a
    lifecycle rule said so.
    """

    kind: ChangeKind
    bucket: str
    key: str
    size_bytes: int | None = None
    sequencer: str | None = None
    happened_at: datetime | None = None
    content_tag: str | None = None
    was_meant: bool = False


def object_changes(body: str | bytes) -> tuple[ObjectChange, ...]:
    """The changes a message tells of; none for S3's test event and for events about something else than objects
    coming and going. Raises UnreadableNotification.
    """
    return _changes_of(body, 0)


def latest_changes(changes: Iterable[ObjectChange]) -> list[ObjectChange]:
    """One change per object, the latest: by sequencer where both have one, else the one that was told last."""
    latest: dict[tuple[str, str], ObjectChange] = {}
    for change in changes:
        known = latest.get((change.bucket, change.key))
        if known is None or not _is_newer(known, change):
            latest[change.bucket, change.key] = change
    return list(latest.values())


def _is_newer(one: ObjectChange, other: ObjectChange) -> bool:
    if one.sequencer is None or other.sequencer is None:
        return False
    return sequencer_order(one.sequencer) > sequencer_order(other.sequencer)


def _changes_of(body: str | bytes, wrappings: int) -> tuple[ObjectChange, ...]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableNotification(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableNotification("not a JSON object")
    if document.get("Event") == "s3:TestEvent":
        return ()
    if isinstance(document.get("Records"), list):
        return tuple(change for record in document["Records"] for change in _from_record(record))
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
        if wrappings >= _MAXIMUM_WRAPPINGS:
            raise UnreadableNotification("notifications wrapped in one another without end")
        return _changes_of(document["Message"], wrappings + 1)
    if document.get("source") == "aws.s3" and "detail" in document:
        return _from_event_bridge(document)
    names = ", ".join(sorted(map(str, document))[:5]) or "nothing"
    raise UnreadableNotification(f"neither an event of S3, SNS nor EventBridge; it has {names[:200]}")


def _from_record(record: object) -> tuple[ObjectChange, ...]:
    if not isinstance(record, dict) or not isinstance(record.get("eventName"), str):
        raise UnreadableNotification("a record without eventName")
    event_name = record["eventName"]
    kind: ChangeKind
    if event_name.startswith(_CREATED):
        kind = "created"
    elif event_name.startswith(_REMOVED):
        kind = "removed"
    else:
        return ()  # tagging, restoring, replication: the bytes and the name stay
    s3 = record.get("s3")
    if not isinstance(s3, dict):
        raise UnreadableNotification(f"{event_name} without s3")
    key = _object_of(s3).get("key")
    if not isinstance(key, str):
        raise UnreadableNotification(f"{event_name} without a key")
    try:
        key = unquote_plus(key, errors="strict")
    except UnicodeDecodeError as error:
        raise UnreadableNotification(f"a key that is not UTF-8: {key[:200]!r}") from error
    was_meant = event_name.startswith(_EXPIRED)
    return (_change(kind, s3, key, record.get("eventTime"), was_meant=was_meant),)


def _from_event_bridge(document: Mapping[str, Any]) -> tuple[ObjectChange, ...]:
    kind = _EVENT_BRIDGE_KINDS.get(str(document.get("detail-type")))
    if kind is None:
        return ()
    detail = document["detail"]
    if not isinstance(detail, dict):
        raise UnreadableNotification("an event without detail")
    key = _object_of(detail).get("key")
    if not isinstance(key, str):
        raise UnreadableNotification("an event without a key")
    was_meant = kind == "removed" and str(detail.get("reason", "")).startswith("Lifecycle")
    return (_change(kind, detail, key, document.get("time"), was_meant=was_meant),)


def _object_of(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    found = holder.get("object")
    if not isinstance(found, dict):
        raise UnreadableNotification("an event without an object")
    return found


def _change(
    kind: ChangeKind, holder: Mapping[str, Any], key: str, time_text: object, *, was_meant: bool
) -> ObjectChange:
    bucket = holder.get("bucket")
    name = bucket.get("name") if isinstance(bucket, dict) else None
    if not isinstance(name, str) or not name or not key:
        raise UnreadableNotification("an event without a bucket's name or with an empty key")
    described = _object_of(holder)
    size, sequencer = described.get("size"), described.get("sequencer")
    if sequencer is not None and not (
        isinstance(sequencer, str) and sequencer.isalnum() and len(sequencer) <= MAXIMUM_SEQUENCER_CHARACTERS
    ):
        raise UnreadableNotification(f"a sequencer that is none: {str(sequencer)[:100]!r}")
    return ObjectChange(
        kind,
        name,
        key,
        size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        sequencer,
        _moment(time_text),
        _content_tag(described.get("eTag", described.get("etag"))),
        was_meant,
    )


def _content_tag(etag: object) -> str | None:
    """The tag of an ETag; an answer of S3 has it in quotes, a notification has not."""
    if not isinstance(etag, str) or not _ETAG.fullmatch(etag.strip('"')):
        return None
    return "etag:" + etag.strip('"')


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
