from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from glue.object_changes import ObjectChange, UnreadableNotification, latest_changes, object_changes
from tests.unit.glue.notifications import BUCKET, ETAG, KEY, TEST_EVENT, event_bridge, record, s3_event, sns_wrapped

AT = datetime(2026, 11, 22, 10, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        s3_event(record(sequencer="00617F08")),
        sns_wrapped(s3_event(record(sequencer="00617F08"))),
        sns_wrapped(sns_wrapped(s3_event(record(sequencer="00617F08")))),
        event_bridge(),
        sns_wrapped(event_bridge()),
    ],
    ids=["sqs", "sns", "sns in sns", "eventbridge", "eventbridge in sns"],
)
def test_a_created_object_is_the_same_change_however_it_is_told(body: str) -> None:
    assert object_changes(body) == (ObjectChange("created", BUCKET, KEY, 10, "00617F08", AT, f"etag:{ETAG}"),)
    assert object_changes(body.encode()) == object_changes(body)


@pytest.mark.parametrize(
    "key",
    [
        "secor/events/dt=2026-11-22/hr=10/min=05/a b+c.gz",
        "secor/events/dt=2026-11-22/hr=10/min=05/ünïcødé-☃.gz",
        "secor/events/dt=2026-11-22'; DROP TABLE x --/hr=10/min=05/a\"b.gz",
        "secor/../../etc/passwd",
        "line\nbreak\ttab",
        "k" * 1024,
    ],
)
def test_keys_come_out_as_they_are(key: str) -> None:
    for body in (s3_event(record(key)), event_bridge(key)):
        assert [change.key for change in object_changes(body)] == [key]


def test_encoded_slashes_and_equal_signs_are_decoded() -> None:
    entry = record()
    entry["s3"]["object"]["key"] = "secor%2Fevents%2Fdt%3D2026-11-22/hr%3D10/min%3D05/a+b%2Bc.gz"
    assert [c.key for c in object_changes(s3_event(entry))] == ["secor/events/dt=2026-11-22/hr=10/min=05/a b+c.gz"]


@pytest.mark.parametrize(
    "name", ["ObjectRemoved:Delete", "ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:Delete"]
)
def test_removed_objects_are_removals(name: str) -> None:
    (change,) = object_changes(s3_event(record(event_name=name)))
    assert (change.kind, change.was_meant) == ("removed", name.startswith("Lifecycle"))
    for reason in ("DeleteObject", "Lifecycle Expiration"):
        (change,) = object_changes(event_bridge(kind="Object Deleted", reason=reason))
        assert (change.kind, change.was_meant) == ("removed", reason != "DeleteObject")


@pytest.mark.parametrize("etag", [None, 7, "", "a b", "x" * 129, "'; --"])
def test_an_etag_that_is_none_is_none(etag: object) -> None:
    entry = record()
    entry["s3"]["object"]["eTag"] = etag
    assert [change.content_tag for change in object_changes(s3_event(entry))] == [None]


@pytest.mark.parametrize(
    "body",
    [
        TEST_EVENT,
        sns_wrapped(TEST_EVENT),
        s3_event(),
        s3_event(record(event_name="ObjectTagging:Put")),
        event_bridge(kind="Object Tags Added"),
    ],
)
def test_what_changes_no_object_is_no_change(body: str) -> None:
    assert object_changes(body) == ()


def endless() -> str:
    body = TEST_EVENT
    for _ in range(6):
        body = sns_wrapped(body)
    return body


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"Records": [1]}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {}, "object": {"key": "k"}}}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "b"}, "object": {"key": "%ff"}}}]}',
        '{"source": "aws.s3", "detail-type": "Object Created", "detail": 1}',
        json.dumps({"Type": "Notification", "Message": "no json"}),
        s3_event(record(sequencer="x" * 65)),
        s3_event(record(sequencer="'; --")),
        endless(),
        "[" * 65_536,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
    ],
)
def test_what_is_no_notification_says_why(body: str) -> None:
    with pytest.raises(UnreadableNotification, match=r".+"):
        object_changes(body)


def test_a_body_of_64_kilobytes_is_read() -> None:
    records = [record(f"secor/events/dt=2026-11-22/hr=10/min=05/{n:06d}-{'x' * 100}.gz") for n in range(200)]
    body = s3_event(*records)
    assert len(body) > 65_536
    assert len(object_changes(body)) == 200


def test_one_change_is_left_per_object_the_latest_by_sequencer() -> None:
    def change(kind: str, sequencer: str | None, key: str = KEY) -> ObjectChange:
        return ObjectChange(kind, BUCKET, key, 1, sequencer)  # type: ignore[arg-type]  # a literal by parameter

    # the shorter sequencer is filled with zeros on the right: 0A < 0A1
    created, removed = change("created", "0A"), change("removed", "0A1")
    assert latest_changes([created, removed]) == latest_changes([removed, created]) == [removed]
    assert latest_changes([created, created]) == [created]
    told_last = change("removed", None)
    assert latest_changes([created, told_last]) == [told_last]
    assert len(latest_changes([created, change("created", "0A", "other")])) == 2
