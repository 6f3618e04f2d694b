"""The embedded S3 beyond the contract: the folder behind it, hostile keys, files that came by other means."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from embedded.s3 import S3
from embedded.s3_listing import FolderReader

NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "s3"


@pytest.fixture
def s3(root: Path) -> S3:
    client = S3(root, clock=lambda: NOON)
    client.create_bucket(Bucket="lake")
    return client


def body_of(s3: S3, key: str) -> bytes:
    body: bytes = s3.get_object(Bucket="lake", Key=key)["Body"].read()
    return body


def keys_of(s3: S3) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="lake").get("Contents", [])]


class TestTheFolder:
    def test_an_object_is_the_file_of_its_key(self, s3: S3, root: Path) -> None:
        s3.put_object(Bucket="lake", Key="secor/events/dt=2026-11-22/1_0_0.gz", Body=b"x")
        assert (root / "lake/secor/events/dt=2026-11-22/1_0_0.gz").read_bytes() == b"x"

    def test_a_file_that_was_copied_in_is_an_object(self, s3: S3, root: Path) -> None:
        (root / "lake/a").mkdir()
        (root / "lake/a/b.gz").write_bytes(b"copied")
        assert keys_of(s3) == ["a/b.gz"]
        head = s3.head_object(Bucket="lake", Key="a/b.gz")
        assert head["ETag"] == s3.list_objects_v2(Bucket="lake")["Contents"][0]["ETag"]
        assert head["ETag"].endswith('-1"')
        assert head["ContentType"] == "binary/octet-stream"
        assert body_of(s3, "a/b.gz") == b"copied"

    def test_a_file_changed_by_other_means_loses_its_etag_and_metadata(self, s3: S3, root: Path) -> None:
        before = s3.put_object(Bucket="lake", Key="k", Body=b"x", Metadata={"m": "1"})["ETag"]
        (root / "lake/k").write_bytes(b"changed")
        head = s3.head_object(Bucket="lake", Key="k")
        assert head["ETag"] != before
        assert head["Metadata"] == {}

    def test_attributes_survive_a_restart(self, s3: S3, root: Path) -> None:
        s3.put_object(Bucket="lake", Key="k", Body=b"x", Metadata={"m": "1"}, ContentType="text/plain")
        head = S3(root).head_object(Bucket="lake", Key="k")
        assert (head["Metadata"], head["ContentType"]) == ({"m": "1"}, "text/plain")
        assert head["LastModified"] == NOON.replace(microsecond=0)

    def test_temporary_files_are_neither_listed_nor_left(self, s3: S3, root: Path) -> None:
        class Broken:
            def read(self, _size: int = -1) -> bytes:
                raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            s3.put_object(Bucket="lake", Key="k", Body=Broken())
        assert keys_of(s3) == []
        assert [path for path in root.rglob("*") if path.is_file()] == []
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["lake"]

    def test_what_a_killed_writer_left_goes_after_a_day(self, s3: S3, root: Path) -> None:
        s3.put_object(Bucket="lake", Key="k", Body=b"x")
        (temporary,) = (path for path in root.iterdir() if path.name != "lake")
        for name, age_seconds in (("old", 90_000), ("new", 60)):
            (temporary / name).write_bytes(b"x")
            then = time.time() - age_seconds
            os.utime(temporary / name, (then, then))
        S3(root)
        assert [path.name for path in temporary.iterdir()] == ["new"]

    def test_deleting_leaves_no_empty_folders(self, s3: S3, root: Path) -> None:
        s3.put_object(Bucket="lake", Key="a/b/c", Body=b"x")
        s3.delete_object(Bucket="lake", Key="a/b/c")
        assert list((root / "lake").iterdir()) == []

    def test_empty_folders_are_no_common_prefixes(self, s3: S3, root: Path) -> None:
        (root / "lake/empty/deep").mkdir(parents=True)
        assert "CommonPrefixes" not in s3.list_objects_v2(Bucket="lake", Delimiter="/")

    def test_the_folder_can_move(self, s3: S3, root: Path, tmp_path: Path) -> None:
        s3.put_object(Bucket="lake", Key="a/b", Body=b"x")
        shutil.move(root, tmp_path / "elsewhere")
        assert S3(tmp_path / "elsewhere").get_object(Bucket="lake", Key="a/b")["Body"].read() == b"x"


class TestHostileKeys:
    @pytest.mark.parametrize(
        "key",
        ["..", "../outside", "a/../../outside", "/etc/passwd", "//", ".", "a/./b", "a\0b", "\\..\\x", "~/x", "C:\\x"],
    )
    def test_none_leaves_its_bucket(self, s3: S3, root: Path, key: str) -> None:
        s3.put_object(Bucket="lake", Key=key, Body=b"x")
        assert s3.path("lake", key).resolve().is_relative_to((root / "lake").resolve())
        assert keys_of(s3) == [key]
        assert body_of(s3, key) == b"x"

    @pytest.mark.parametrize("bucket", ["..", "../lake", ".", "", "lake/..", ".%temporary", "a\0b", "/"])
    def test_no_bucket_name_leaves_the_root(self, s3: S3, bucket: str) -> None:
        with pytest.raises(ClientError, match="NoSuchBucket"):
            s3.path(bucket, "k")

    def test_a_key_of_1024_bytes_is_the_longest(self, s3: S3) -> None:
        s3.put_object(Bucket="lake", Key="k" * 1024, Body=b"x")
        assert body_of(s3, "k" * 1024) == b"x"
        with pytest.raises(ClientError, match="KeyTooLongError"):
            s3.put_object(Bucket="lake", Key="k" * 1025, Body=b"x")

    def test_a_path_the_system_cannot_hold_is_refused(self, s3: S3) -> None:
        with pytest.raises(ClientError, match="KeyTooLongError"):
            s3.put_object(Bucket="lake", Key="/" * 1024, Body=b"x")

    def test_text_that_is_not_unicode_is_refused(self, s3: S3) -> None:
        with pytest.raises(ClientError, match="InvalidURI"):
            s3.put_object(Bucket="lake", Key="\ud800", Body=b"x")

    def test_a_symbolic_link_is_no_object(self, s3: S3, root: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret/file").write_bytes(b"secret")
        (root / "lake/link").symlink_to(tmp_path / "secret/file")
        (root / "lake/folder").symlink_to(tmp_path / "secret")
        assert keys_of(s3) == []
        for key in ("link", "folder/file"):
            with pytest.raises(s3.exceptions.NoSuchKey):
                s3.get_object(Bucket="lake", Key=key)
            s3.delete_object(Bucket="lake", Key=key)
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket="lake", Key="folder/new", Body=b"x")
        assert {path.name for path in (tmp_path / "secret").iterdir()} == {"file"}

    def test_a_name_that_is_not_utf8_is_no_object(self, s3: S3, root: Path) -> None:
        (root / "lake" / os.fsdecode(b"\xff")).write_bytes(b"x")
        assert keys_of(s3) == []

    def test_an_escaped_name_that_no_key_is_written_as_is_no_object(self, s3: S3, root: Path) -> None:
        (root / "lake/.%~%61").write_bytes(b"x")
        (root / "lake/.%other").write_bytes(b"x")
        assert keys_of(s3) == []


class TestWriting:
    def test_wrong_digests_are_refused_and_nothing_is_written(self, s3: S3) -> None:
        wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket="lake", Key="k", Body=b"x", ContentMD5=wrong)
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket="lake", Key="k", Body=b"x", ChecksumCRC32="AAAAAA==")
        assert keys_of(s3) == []

    def test_fewer_bytes_than_announced_are_refused(self, s3: S3) -> None:
        with pytest.raises(ClientError, match="IncompleteBody"):
            s3.put_object(Bucket="lake", Key="k", Body=b"x", ContentLength=2)
        assert keys_of(s3) == []

    def test_metadata_has_a_limit(self, s3: S3) -> None:
        with pytest.raises(ClientError, match="MetadataTooLarge"):
            s3.put_object(Bucket="lake", Key="k", Metadata={"m": "x" * 2048})

    @pytest.mark.parametrize(
        "argument", [{"SSECustomerKey": "k"}, {"Tagging": "a=b"}, {"ObjectLockMode": "GOVERNANCE"}]
    )
    def test_what_is_not_there_is_refused_by_name(self, s3: S3, argument: dict[str, str]) -> None:
        with pytest.raises(ClientError, match=f"does not implement {next(iter(argument))} of PutObject"):
            s3.put_object(Bucket="lake", Key="k", **argument)

    def test_of_many_writers_where_nothing_is_one_wins(self, s3: S3) -> None:
        won = []

        def write(number: int) -> None:
            try:
                s3.put_object(Bucket="lake", Key="a/k", Body=str(number).encode(), IfNoneMatch="*")
                won.append(number)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"  # noqa: PT017  # in a thread

        run_together(write, 8)
        assert [str(number).encode() for number in won] == [body_of(s3, "a/k")]

    def test_of_many_writers_over_one_state_one_wins(self, s3: S3) -> None:
        etag = s3.put_object(Bucket="lake", Key="k", Body=b"first")["ETag"]
        outcomes = []

        def write(number: int) -> None:
            try:
                s3.put_object(Bucket="lake", Key="k", Body=str(number).encode(), IfMatch=etag)
                outcomes.append("written")
            except ClientError as error:
                outcomes.append(error.response["Error"]["Code"])

        run_together(write, 6)
        assert sorted(outcomes) == ["PreconditionFailed"] * 5 + ["written"]

    def test_writers_and_deleters_of_one_folder_do_not_disturb_each_other(self, s3: S3) -> None:
        def work(number: int) -> None:
            for _ in range(30):
                s3.put_object(Bucket="lake", Key=f"a/b/{number}", Body=b"x")
                s3.delete_object(Bucket="lake", Key=f"a/b/{number}")
            s3.put_object(Bucket="lake", Key=f"a/b/{number}", Body=b"x")

        run_together(work, 4)
        assert keys_of(s3) == [f"a/b/{number}" for number in range(4)]

    def test_an_object_becomes_a_folder_and_back(self, s3: S3) -> None:
        s3.put_object(Bucket="lake", Key="a", Body=b"object")
        s3.put_object(Bucket="lake", Key="a/b", Body=b"below")
        assert body_of(s3, "a") == b"object"
        s3.put_object(Bucket="lake", Key="a", Body=b"again")
        s3.delete_object(Bucket="lake", Key="a/b")
        assert (keys_of(s3), body_of(s3, "a")) == (["a"], b"again")
        s3.delete_object(Bucket="lake", Key="a")
        assert keys_of(s3) == []


class TestLargeFolders:
    def test_a_remembered_folder_tells_of_every_change(
        self, s3: S3, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(FolderReader, "LARGE", 3)
        folder = root / "lake/flat"
        for name in "abcd":
            s3.put_object(Bucket="lake", Key=f"flat/{name}", Body=b"x")
        for number in range(4):
            settled_ns = (1_700_000_000 + number) * 1_000_000_000
            os.utime(folder, ns=(settled_ns, settled_ns))
            before = keys_of(s3)
            assert keys_of(s3) == before
            s3.put_object(Bucket="lake", Key=f"flat/b{number}", Body=b"x")
            assert keys_of(s3) == sorted([*before, f"flat/b{number}"])
            (folder / f"b{number}").unlink()
            assert keys_of(s3) == before


class TestShortCuts:
    def test_list_files_tells_size_time_and_file(self, s3: S3, root: Path) -> None:
        s3.put_object(Bucket="lake", Key="a/b", Body=b"12345")
        s3.put_object(Bucket="lake", Key="c", Body=b"")
        (found,) = s3.list_files("lake", "a/")
        assert (found.key, found.size_bytes, found.last_modified) == ("a/b", 5, NOON.replace(microsecond=0))
        assert found.path == root / "lake/a/b"

    def test_list_files_of_a_remembered_folder_tells_of_every_change(self, s3: S3, root: Path) -> None:
        folder = root / "lake/dt=1/hr=2"

        def told() -> list[tuple[str, int]]:
            return [(found.key, found.size_bytes) for found in s3.list_files("lake", "dt=1/hr=2/")]

        def settle(number: int) -> None:
            settled_ns = (1_700_000_000 + number) * 1_000_000_000
            os.utime(folder, ns=(settled_ns, settled_ns))
            told()

        s3.put_object(Bucket="lake", Key="dt=1/hr=2/b", Body=b"12")
        settle(1)
        s3.put_object(Bucket="lake", Key="dt=1/hr=2/a", Body=b"1")
        assert told() == [("dt=1/hr=2/a", 1), ("dt=1/hr=2/b", 2)]
        settle(2)
        with (folder / "a").open("ab") as file:  # in place: the folder's time does not tell
            file.write(b"234")
        assert told() == [("dt=1/hr=2/a", 4), ("dt=1/hr=2/b", 2)]
        settle(3)
        s3.put_object(Bucket="lake", Key="dt=1/hr=2/c/d", Body=b"")
        assert told() == [("dt=1/hr=2/a", 4), ("dt=1/hr=2/b", 2), ("dt=1/hr=2/c/d", 0)]
        settle(4)
        for name in ("a", "b"):
            s3.delete_object(Bucket="lake", Key=f"dt=1/hr=2/{name}")
        s3.delete_object(Bucket="lake", Key="dt=1/hr=2/c/d")
        assert told() == []

    def test_list_files_of_a_bucket_that_was_made_anew(self, s3: S3) -> None:
        s3.put_object(Bucket="lake", Key="a/b", Body=b"12345")
        assert [found.key for found in s3.list_files("lake", "a/")] == ["a/b"]
        s3.delete_object(Bucket="lake", Key="a/b")
        s3.delete_bucket(Bucket="lake")
        with pytest.raises(s3.exceptions.NoSuchBucket):
            list(s3.list_files("lake", "a/"))
        s3.create_bucket(Bucket="lake")
        assert list(s3.list_files("lake", "a/")) == []

    def test_an_unknown_bucket(self, s3: S3) -> None:
        with pytest.raises(s3.exceptions.NoSuchBucket):
            s3.list_files("nothing", "")

    def test_tokens_of_nobody_are_refused(self, s3: S3) -> None:
        for token in ("nonsense", "", "é"):
            with pytest.raises(ClientError, match="continuation token"):
                s3.list_objects_v2(Bucket="lake", ContinuationToken=token)


def run_together(work: object, count: int) -> None:
    """Runs `work(number)` in threads; raises what one of them raised."""
    raised: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)  # type: ignore[operator]  # a function of one number
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
