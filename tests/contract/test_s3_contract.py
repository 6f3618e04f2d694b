"""What the project relies on of S3, held by the embedded S3 and by moto through boto3."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.contract.aws_implementations import IMPLEMENTATIONS, is_moto, moto_differs, s3_client

BUCKET = "lake"
PART = 5 * 1024 * 1024


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def s3(implementation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_client(implementation, tmp_path, monkeypatch) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


def put(s3: Any, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())


def keys_of(page: dict[str, Any]) -> list[str]:
    return [item["Key"] for item in page.get("Contents", [])]


def prefixes_of(page: dict[str, Any]) -> list[str]:
    return [item["Prefix"] for item in page.get("CommonPrefixes", [])]


def error_of(raised: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


class TestBuckets:
    def test_made_listed_and_deleted(self, s3: Any) -> None:
        s3.create_bucket(Bucket="another-one")
        assert {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]} == {"another-one", BUCKET}
        s3.delete_bucket(Bucket="another-one")
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == [BUCKET]

    def test_making_it_twice_is_making_it_once(self, s3: Any) -> None:
        put(s3, "kept")
        s3.create_bucket(Bucket=BUCKET)
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == ["kept"]

    def test_head_tells_whether_it_is_there(self, s3: Any) -> None:
        assert s3.head_bucket(Bucket=BUCKET)["ResponseMetadata"]["HTTPStatusCode"] == 200
        with pytest.raises(ClientError) as raised:
            s3.head_bucket(Bucket="not-there")
        assert error_of(raised) == ("404", 404)

    def test_one_that_holds_objects_is_not_deleted(self, s3: Any) -> None:
        put(s3, "a/b")
        with pytest.raises(ClientError) as raised:
            s3.delete_bucket(Bucket=BUCKET)
        assert error_of(raised) == ("BucketNotEmpty", 409)

    def test_location_of_the_default_region_is_none(self, s3: Any) -> None:
        assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] is None

    @pytest.mark.parametrize("call", ["list_objects_v2", "put_object", "get_object"])
    def test_an_unknown_one_is_named_in_the_error(self, s3: Any, call: str) -> None:
        key = {} if call == "list_objects_v2" else {"Key": "k"}
        with pytest.raises(ClientError) as raised:
            getattr(s3, call)(Bucket="not-there", **key)
        assert error_of(raised) == ("NoSuchBucket", 404)
        assert isinstance(raised.value, s3.exceptions.NoSuchBucket)

    @pytest.mark.parametrize("name", ["Upper", "a_b", "a..b", "-ab"])
    def test_names_outside_the_rule_are_refused(self, s3: Any, name: str, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "checks the length of a bucket's name only")
        with pytest.raises(ClientError):
            s3.create_bucket(Bucket=name)

    @pytest.mark.parametrize("name", ["..", "ab"])
    def test_names_of_another_length_are_refused(self, s3: Any, name: str) -> None:
        with pytest.raises((ClientError, ParamValidationError)):
            s3.create_bucket(Bucket=name)


class TestObjects:
    def test_what_was_put_is_got(self, s3: Any) -> None:
        body = b'{"x": 1}'
        put_answer = s3.put_object(
            Bucket=BUCKET, Key="a/b.json", Body=body, ContentType="application/json", Metadata={"tenant": "7"}
        )
        got = s3.get_object(Bucket=BUCKET, Key="a/b.json")
        assert got["Body"].read() == body
        assert got["ETag"] == put_answer["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
        assert got["ContentLength"] == 8
        assert got["ContentType"] == "application/json"
        assert got["Metadata"] == {"tenant": "7"}
        assert got["LastModified"].utcoffset() == timedelta(0)

    def test_a_body_can_be_bytes_text_or_a_file(self, s3: Any) -> None:
        for body in (b"same", bytearray(b"same"), io.BytesIO(b"same")):
            s3.put_object(Bucket=BUCKET, Key="k", Body=body)
            assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"same"

    def test_an_empty_object_is_an_object(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="empty")
        assert s3.get_object(Bucket=BUCKET, Key="empty")["Body"].read() == b""
        assert s3.head_object(Bucket=BUCKET, Key="empty")["ContentLength"] == 0

    def test_a_later_put_replaces_the_object_and_its_metadata(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"first", Metadata={"a": "1"})
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"second")
        got = s3.get_object(Bucket=BUCKET, Key="k")
        assert (got["Body"].read(), got["Metadata"]) == (b"second", {})

    def test_head_is_get_without_the_body(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"12345", ContentType="text/plain", CacheControl="no-store")
        head, got = s3.head_object(Bucket=BUCKET, Key="k"), s3.get_object(Bucket=BUCKET, Key="k")
        names = ("ETag", "ContentLength", "ContentType", "LastModified", "Metadata", "CacheControl")
        assert {name: head[name] for name in names} == {name: got[name] for name in names}
        assert "Body" not in head

    def test_body_reads_in_portions_and_as_lines(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"one\ntwo\nthree")
        assert list(s3.get_object(Bucket=BUCKET, Key="k")["Body"].iter_lines()) == [b"one", b"two", b"three"]
        assert b"".join(s3.get_object(Bucket=BUCKET, Key="k")["Body"].iter_chunks(4)) == b"one\ntwo\nthree"

    def test_an_absent_key(self, s3: Any) -> None:
        with pytest.raises(s3.exceptions.NoSuchKey) as raised:
            s3.get_object(Bucket=BUCKET, Key="nothing")
        assert error_of(raised) == ("NoSuchKey", 404)
        assert raised.value.response["Error"]["Key"] == "nothing"
        with pytest.raises(ClientError) as raised:
            s3.head_object(Bucket=BUCKET, Key="nothing")
        assert error_of(raised) == ("404", 404)

    def test_wrong_arguments_are_boto3s_own_error(self, s3: Any) -> None:
        with pytest.raises(ParamValidationError, match='Missing required parameter in input: "Key"'):
            s3.get_object(Bucket=BUCKET)
        with pytest.raises(ParamValidationError, match="Unknown parameter in input"):
            s3.get_object(Bucket=BUCKET, Key="k", Nonsense=1)
        with pytest.raises(ParamValidationError, match="Invalid type for parameter Key"):
            s3.get_object(Bucket=BUCKET, Key=7)
        with pytest.raises(ParamValidationError, match="Invalid length for parameter Key"):
            s3.get_object(Bucket=BUCKET, Key="")

    @pytest.mark.parametrize(
        ("header", "expected", "content_range"),
        [
            ("bytes=0-0", b"0", "bytes 0-0/10"),
            ("bytes=2-4", b"234", "bytes 2-4/10"),
            ("bytes=7-", b"789", "bytes 7-9/10"),
            ("bytes=-3", b"789", "bytes 7-9/10"),
            ("bytes=5-500", b"56789", "bytes 5-9/10"),
        ],
    )
    def test_a_range(self, s3: Any, header: str, expected: bytes, content_range: str) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"0123456789")
        got = s3.get_object(Bucket=BUCKET, Key="k", Range=header)
        assert (got["Body"].read(), got["ContentRange"], got["ContentLength"]) == (
            expected,
            content_range,
            len(expected),
        )

    def test_a_range_beyond_the_end(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"0123456789")
        with pytest.raises(ClientError) as raised:
            s3.get_object(Bucket=BUCKET, Key="k", Range="bytes=10-12")
        assert error_of(raised) == ("InvalidRange", 416)

    def test_conditions_on_reading(self, s3: Any) -> None:
        etag = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")["ETag"]
        assert s3.get_object(Bucket=BUCKET, Key="k", IfMatch=etag)["Body"].read() == b"x"
        with pytest.raises(ClientError) as raised:
            s3.get_object(Bucket=BUCKET, Key="k", IfMatch='"other"')
        assert error_of(raised) == ("PreconditionFailed", 412)
        with pytest.raises(ClientError) as raised:
            s3.get_object(Bucket=BUCKET, Key="k", IfNoneMatch=etag)
        assert error_of(raised) == ("304", 304)

    def test_put_only_where_nothing_is(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError) as raised:
            s3.put_object(Bucket=BUCKET, Key="k", Body=b"second", IfNoneMatch="*")
        assert error_of(raised) == ("PreconditionFailed", 412)
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"first"

    @pytest.mark.parametrize(
        "key",
        [
            "a b",
            "a+b",
            "50%",
            "a%2Fb",
            "ü/é",
            "'quoted'",
            '"',
            "a&b=c",
            "x:y",
            "日本",
            "\U0001f600",
            "a\\b",
            "~",
            "a//b",
        ],
    )
    def test_keys_of_any_characters(self, s3: Any, key: str) -> None:
        put(s3, key)
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == [key]
        s3.delete_object(Bucket=BUCKET, Key=key)
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == []

    def test_a_key_and_keys_below_it(self, s3: Any) -> None:
        put(s3, "a", "a/", "a/b", "a/b/c")
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == ["a", "a/", "a/b", "a/b/c"]
        for key in ("a", "a/", "a/b", "a/b/c"):
            assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()


class TestDeletion:
    def test_deleting_twice_is_deleting_once(self, s3: Any) -> None:
        put(s3, "a/b", "a/c")
        s3.delete_object(Bucket=BUCKET, Key="a/b")
        s3.delete_object(Bucket=BUCKET, Key="a/b")
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == ["a/c"]

    def test_many_at_once(self, s3: Any) -> None:
        put(s3, "a", "b/c", "d")
        answer = s3.delete_objects(
            Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}, {"Key": "b/c"}, {"Key": "never-there"}]}
        )
        assert {item["Key"] for item in answer["Deleted"]} == {"a", "b/c", "never-there"}
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == ["d"]

    def test_only_what_has_the_etag(self, s3: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores the ETag of an object to be deleted")
        etag = s3.put_object(Bucket=BUCKET, Key="a", Body=b"1")["ETag"]
        s3.put_object(Bucket=BUCKET, Key="b", Body=b"2")
        objects = [{"Key": "a", "ETag": etag}, {"Key": "b", "ETag": etag}]
        answer = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": objects})
        assert [item["Key"] for item in answer["Deleted"]] == ["a"]
        assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("b", "PreconditionFailed")]
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == ["b"]

    def test_quietly(self, s3: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores Quiet")
        put(s3, "a")
        assert "Deleted" not in s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "a"}], "Quiet": True})


class TestCopy:
    def test_bytes_type_and_metadata_go_along(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="a b", Body=b"x", ContentType="text/plain", Metadata={"m": "1"})
        answer = s3.copy_object(Bucket=BUCKET, Key="c", CopySource={"Bucket": BUCKET, "Key": "a b"})
        got = s3.get_object(Bucket=BUCKET, Key="c")
        assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"x", "text/plain", {"m": "1"})
        assert answer["CopyObjectResult"]["ETag"] == got["ETag"]

    def test_source_as_text_and_metadata_replaced(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="a", Body=b"x", Metadata={"m": "1"})
        s3.copy_object(
            Bucket=BUCKET, Key="b", CopySource=f"{BUCKET}/a", Metadata={"n": "2"}, MetadataDirective="REPLACE"
        )
        assert s3.head_object(Bucket=BUCKET, Key="b")["Metadata"] == {"n": "2"}

    def test_onto_itself_only_with_a_change(self, s3: Any) -> None:
        put(s3, "a")
        with pytest.raises(ClientError) as raised:
            s3.copy_object(Bucket=BUCKET, Key="a", CopySource={"Bucket": BUCKET, "Key": "a"})
        assert raised.value.response["Error"]["Code"] == "InvalidRequest"

    def test_an_absent_source(self, s3: Any) -> None:
        with pytest.raises(ClientError) as raised:
            s3.copy_object(Bucket=BUCKET, Key="b", CopySource={"Bucket": BUCKET, "Key": "nothing"})
        assert raised.value.response["Error"]["Code"] == "NoSuchKey"


class TestListing:
    KEYS = ("a", "a-b", "a/1", "a/2", "a/b/c", "a0", "b/x", "ü", "\U0001f600")

    def test_order_is_that_of_utf8(self, s3: Any) -> None:
        put(s3, *self.KEYS)
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == sorted(self.KEYS, key=str.encode)

    def test_an_empty_bucket(self, s3: Any) -> None:
        page = s3.list_objects_v2(Bucket=BUCKET)
        assert (page["KeyCount"], page["IsTruncated"], "Contents" in page) == (0, False, False)

    @pytest.mark.parametrize("prefix", ["a", "a/", "a/b", "b/x", "nothing", "a/b/c"])
    def test_prefix(self, s3: Any, prefix: str) -> None:
        put(s3, *self.KEYS)
        expected = sorted((key for key in self.KEYS if key.startswith(prefix)), key=str.encode)
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)) == expected

    def test_delimiter_folds(self, s3: Any) -> None:
        put(s3, *self.KEYS)
        page = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/")
        assert prefixes_of(page) == ["a/", "b/"]
        assert keys_of(page) == sorted(("a", "a-b", "a0", "ü", "\U0001f600"), key=str.encode)
        assert page["KeyCount"] == 7
        page = s3.list_objects_v2(Bucket=BUCKET, Delimiter="/", Prefix="a/")
        assert (prefixes_of(page), keys_of(page)) == (["a/b/"], ["a/1", "a/2"])

    def test_another_delimiter(self, s3: Any) -> None:
        put(s3, *self.KEYS)
        page = s3.list_objects_v2(Bucket=BUCKET, Delimiter="-", Prefix="a")
        assert (prefixes_of(page), keys_of(page)) == (["a-"], ["a", "a/1", "a/2", "a/b/c", "a0"])

    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    @pytest.mark.parametrize("delimiter", ["", "/"])
    def test_pages_together_are_the_whole(self, s3: Any, size: int, delimiter: str) -> None:
        put(s3, *self.KEYS)
        folded = {"Delimiter": delimiter} if delimiter else {}
        whole = s3.list_objects_v2(Bucket=BUCKET, **folded)
        pages = list(
            s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": size}, **folded)
        )
        assert [key for page in pages for key in keys_of(page)] == keys_of(whole)
        assert [prefix for page in pages for prefix in prefixes_of(page)] == prefixes_of(whole)
        assert all(page["KeyCount"] <= size for page in pages)

    def test_start_after(self, s3: Any) -> None:
        put(s3, *self.KEYS)
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET, StartAfter="a/1"))[:3] == ["a/2", "a/b/c", "a0"]

    def test_what_an_item_tells(self, s3: Any) -> None:
        put(s3, "k")
        item = s3.list_objects_v2(Bucket=BUCKET)["Contents"][0]
        head = s3.head_object(Bucket=BUCKET, Key="k")
        assert (item["Size"], item["ETag"], item["StorageClass"]) == (1, head["ETag"], "STANDARD")
        assert item["LastModified"].replace(microsecond=0) == head["LastModified"]

    def test_the_older_listing(self, s3: Any) -> None:
        put(s3, "a", "b", "c")
        first = s3.list_objects(Bucket=BUCKET, MaxKeys=2)
        assert (keys_of(first), first["IsTruncated"]) == (["a", "b"], True)
        assert keys_of(s3.list_objects(Bucket=BUCKET, Marker="b")) == ["c"]


class TestMultipart:
    def test_parts_become_the_object(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big", ContentType="text/plain", Metadata={"m": "1"})
        named = {"Bucket": BUCKET, "Key": "big", "UploadId": upload["UploadId"]}
        bodies = [b"a" * PART, b"b" * PART, b"c"]
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**named, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(bodies, 1)
        ]
        assert [part["Size"] for part in s3.list_parts(**named)["Parts"]] == [PART, PART, 1]
        assert keys_of(s3.list_objects_v2(Bucket=BUCKET)) == []
        answer = s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        joined = b"".join(hashlib.md5(body).digest() for body in bodies)
        assert answer["ETag"] == f'"{hashlib.md5(joined).hexdigest()}-3"'
        got = s3.get_object(Bucket=BUCKET, Key="big")
        assert got["Body"].read() == b"".join(bodies)
        assert (got["ETag"], got["ContentType"], got["Metadata"]) == (answer["ETag"], "text/plain", {"m": "1"})

    def test_aborted_leaves_nothing(self, s3: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "KeyError for a part of an aborted upload")
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big")
        named = {"Bucket": BUCKET, "Key": "big", "UploadId": upload["UploadId"]}
        s3.upload_part(**named, PartNumber=1, Body=b"x")
        s3.abort_multipart_upload(**named)
        with pytest.raises(ClientError) as raised:
            s3.upload_part(**named, PartNumber=2, Body=b"y")
        assert error_of(raised) == ("NoSuchUpload", 404)

    def test_a_small_part_before_the_last(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big")
        named = {"Bucket": BUCKET, "Key": "big", "UploadId": upload["UploadId"]}
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**named, PartNumber=number, Body=b"x")["ETag"]}
            for number in (1, 2)
        ]
        with pytest.raises(ClientError) as raised:
            s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        assert error_of(raised) == ("EntityTooSmall", 400)

    def test_a_part_that_never_came(self, s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="big")
        named = {"Bucket": BUCKET, "Key": "big", "UploadId": upload["UploadId"]}
        with pytest.raises(ClientError) as raised:
            s3.complete_multipart_upload(
                **named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": '"' + "0" * 32 + '"'}]}
            )
        assert error_of(raised) == ("InvalidPart", 400)


def rule(**members: Any) -> dict[str, Any]:
    return {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 9}, **members}


class TestLifecycle:
    def put(self, s3: Any, *rules: dict[str, Any], **arguments: Any) -> None:
        s3.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": list(rules)}, **arguments)

    def test_there_is_none_at_first(self, s3: Any) -> None:
        with pytest.raises(ClientError) as raised:
            s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)
        assert error_of(raised) == ("NoSuchLifecycleConfiguration", 404)
        s3.delete_bucket_lifecycle(Bucket=BUCKET)

    def test_what_was_put_is_got_and_a_put_replaces_all(self, s3: Any) -> None:
        tagged = {"And": {"Prefix": "b/", "Tags": [{"Key": "customer", "Value": "11007"}]}}
        rules = [
            rule(Transitions=[{"Days": 3, "StorageClass": "GLACIER"}]),
            rule(ID="s", Filter=tagged, Status="Disabled"),
            rule(ID="t", Filter={"Prefix": ""}, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 7}),
        ]
        for _ in range(2):
            self.put(s3, *rules)
            assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == rules
        self.put(s3, rules[1])
        assert s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == rules[1:2]
        for _ in range(2):
            s3.delete_bucket_lifecycle(Bucket=BUCKET)
        with pytest.raises(ClientError):
            s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)

    @pytest.mark.parametrize(
        ("rules", "code"),
        [
            pytest.param([], "MalformedXML", id="none"),
            pytest.param([rule(ID=str(number)) for number in range(1001)], "MalformedXML", id="1001"),
            pytest.param([rule(), rule()], "InvalidArgument", id="same-id"),
            pytest.param([rule(ID="x" * 256)], "InvalidArgument", id="long-id"),
            pytest.param([rule(Prefix="a/")], "MalformedXML", id="filter-and-prefix"),
            pytest.param([rule(Filter={"Prefix": "a/", "ObjectSizeGreaterThan": 1})], "MalformedXML", id="no-and"),
            pytest.param([rule(Expiration={"Days": 0})], "InvalidArgument", id="zero-days"),
            pytest.param([rule(Expiration={"Days": 9, "Date": "2026-11-22"})], "MalformedXML", id="days-and-date"),
            pytest.param(
                [rule(Transitions=[{"Days": 9, "StorageClass": "GLACIER"}])], "InvalidArgument", id="never-there"
            ),
            pytest.param(
                [rule(Transitions=[{"Days": 3, "StorageClass": "STANDARD_IA"}])], "InvalidArgument", id="too-early"
            ),
            pytest.param(
                [rule(Filter={"Tag": {"Key": "k", "Value": "v"}}, AbortIncompleteMultipartUpload={})],
                "InvalidRequest",
                id="abort-with-tags",
            ),
        ],
    )
    def test_what_s3_refuses(self, s3: Any, rules: list[Any], code: str, request: pytest.FixtureRequest) -> None:
        if is_moto(request):
            pytest.skip("moto accepts most of what S3 refuses; glue.lifecycle_rules has guards of its own")
        with pytest.raises(ClientError) as raised:
            self.put(s3, *rules)
        assert error_of(raised) == (code, 400)

    def test_an_action_is_needed(self, s3: Any, request: pytest.FixtureRequest) -> None:
        if is_moto(request):
            pytest.skip("moto accepts a rule that does nothing")
        idle = rule()
        del idle["Expiration"]
        with pytest.raises(ClientError) as raised:
            self.put(s3, idle)
        assert error_of(raised) == ("InvalidRequest", 400)


class TestTransfers:
    def test_files_up_and_down(self, s3: Any, tmp_path: Path) -> None:
        (tmp_path / "up").write_bytes(b"some bytes")
        s3.upload_file(str(tmp_path / "up"), BUCKET, "k", ExtraArgs={"Metadata": {"m": "1"}})
        s3.download_file(BUCKET, "k", str(tmp_path / "down"))
        assert (tmp_path / "down").read_bytes() == b"some bytes"
        assert s3.head_object(Bucket=BUCKET, Key="k")["Metadata"] == {"m": "1"}

    def test_file_objects_up_and_down(self, s3: Any) -> None:
        s3.upload_fileobj(io.BytesIO(b"some bytes"), BUCKET, "k")
        into = io.BytesIO()
        s3.download_fileobj(BUCKET, "k", into)
        assert into.getvalue() == b"some bytes"

    def test_an_absent_key(self, s3: Any, tmp_path: Path) -> None:
        with pytest.raises(ClientError) as raised:
            s3.download_file(BUCKET, "nothing", str(tmp_path / "down"))
        assert error_of(raised) == ("404", 404)
        assert not (tmp_path / "down").exists()


class TestClientShape:
    def test_waiters(self, s3: Any) -> None:
        put(s3, "k")
        s3.get_waiter("object_exists").wait(Bucket=BUCKET, Key="k")
        s3.get_waiter("bucket_exists").wait(Bucket=BUCKET)

    def test_pageable_operations(self, s3: Any) -> None:
        assert s3.can_paginate("list_objects_v2")
        assert not s3.can_paginate("get_object")

    def test_a_name_no_model_knows(self, s3: Any) -> None:
        with pytest.raises(AttributeError):
            _ = s3.make_coffee

    def test_an_operation_that_is_not_there_says_so_by_name(self, s3: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "implements it")
        with pytest.raises(ClientError, match="PutBucketRequestPayment") as raised:
            s3.put_bucket_request_payment(Bucket=BUCKET, RequestPaymentConfiguration={"Payer": "BucketOwner"})
        assert error_of(raised) == ("NotImplemented", 501)
