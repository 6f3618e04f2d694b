"""The archive of the embedded S3: what a lifecycle's transition to GLACIER does, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from embedded.s3 import S3

KEY = "secor/events/dt=2025-01-01/hr=10/min=05/1_0_0.gz"
FOLDER = KEY.rpartition("/")[0] + "/"


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2025, 1, 1, 10, 6, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def s3(tmp_path: Path, clock: Clock) -> S3:
    client = S3(tmp_path / "s3", clock=clock)
    client.create_bucket(Bucket="lake")
    client.put_object(Bucket="lake", Key=KEY, Body=b"bytes", ContentType="application/gzip", Metadata={"m": "1"})
    return client


def archive(s3: S3, clock: Clock, key: str = KEY) -> bool:
    return s3.archive("lake", key, unless_newer_than=clock.now)


def listed(s3: S3) -> list[tuple[str, str]]:
    return [(item["Key"], item["StorageClass"]) for item in s3.list_objects_v2(Bucket="lake").get("Contents", [])]


def test_it_is_listed_with_its_times_and_nobody_reads_it(s3: S3, clock: Clock) -> None:
    before = s3.head_object(Bucket="lake", Key=KEY)
    assert [archive(s3, clock) for _ in range(2)] == [True, True]
    assert listed(s3) == [(KEY, "GLACIER")]
    assert list(s3.list_files("lake", FOLDER)) == list(s3.list_files("lake", "")) == []
    after = s3.head_object(Bucket="lake", Key=KEY)
    assert after["StorageClass"] == "GLACIER"
    for member in ("LastModified", "ETag", "ContentLength", "Metadata", "ContentType"):
        assert after[member] == before[member]
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="lake", Key=KEY)
    assert raised.value.response["Error"]["Code"] == "InvalidObjectState"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match="not in the active tier"):
        s3.copy_object(Bucket="lake", Key="other", CopySource={"Bucket": "lake", "Key": KEY})


def test_restored_it_is_as_if_written_now(s3: S3, clock: Clock) -> None:
    archive(s3, clock)
    clock.now += timedelta(days=400)
    s3.restore_object(Bucket="lake", Key=KEY, RestoreRequest={"Days": 1})
    assert listed(s3) == [(KEY, "STANDARD")]
    answer = s3.get_object(Bucket="lake", Key=KEY)
    assert (answer["Body"].read(), answer["LastModified"], answer["Metadata"]) == (b"bytes", clock.now, {"m": "1"})
    with pytest.raises(ClientError, match="current storage class"):
        s3.restore_object(Bucket="lake", Key=KEY, RestoreRequest={"Days": 1})
    with pytest.raises(ClientError, match="does not exist"):
        s3.restore_object(Bucket="lake", Key="nothing", RestoreRequest={"Days": 1})


def test_what_was_written_anew_meanwhile_stays(s3: S3, clock: Clock) -> None:
    seen_at = clock.now
    clock.now += timedelta(minutes=1)
    s3.put_object(Bucket="lake", Key=KEY, Body=b"newer")
    assert s3.archive("lake", KEY, unless_newer_than=seen_at) is False
    assert s3.archive("lake", "nothing", unless_newer_than=seen_at) is False
    assert listed(s3) == [(KEY, "STANDARD")]


def test_a_put_replaces_what_is_in_the_archive(s3: S3, clock: Clock) -> None:
    archive(s3, clock)
    with pytest.raises(ClientError):
        s3.put_object(Bucket="lake", Key=KEY, Body=b"other", IfNoneMatch="*")
    s3.put_object(Bucket="lake", Key=KEY, Body=b"newer")
    assert listed(s3) == [(KEY, "STANDARD")]
    assert s3.get_object(Bucket="lake", Key=KEY)["Body"].read() == b"newer"
    s3.delete_object(Bucket="lake", Key=KEY)
    assert listed(s3) == []


def test_deleting_takes_it_out_of_the_archive_and_the_folder(s3: S3, clock: Clock, tmp_path: Path) -> None:
    archive(s3, clock)
    with pytest.raises(ClientError, match="not empty"):
        s3.delete_bucket(Bucket="lake")
    for _ in range(2):
        s3.delete_objects(Bucket="lake", Delete={"Objects": [{"Key": KEY}]})
    assert list((tmp_path / "s3/lake").iterdir()) == []


def test_a_bucket_takes_its_lifecycle_along(s3: S3) -> None:
    s3.create_bucket(Bucket="other")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket="other", LifecycleConfiguration={"Rules": [rule]})
    assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == {"lake", "other"}
    s3.delete_bucket(Bucket="other")
    s3.create_bucket(Bucket="other")
    with pytest.raises(ClientError, match="lifecycle configuration does not exist"):
        s3.get_bucket_lifecycle_configuration(Bucket="other")
