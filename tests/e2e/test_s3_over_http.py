"""S3's contract once more, through real boto3 and the endpoint; then what only HTTP can get wrong."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from embedded.s3 import S3
from tests.contract.test_s3_contract import (  # noqa: F401  # collected here, with the fixture below
    TestBuckets,
    TestClientShape,
    TestCopy,
    TestDeletion,
    TestLifecycle,
    TestListing,
    TestMultipart,
    TestObjects,
    TestTransfers,
)
from tests.e2e.aws_endpoint import client, endpoint_over

BUCKET = "lake"


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with endpoint_over(s3=S3(tmp_path / "s3")) as found:
        yield found


@pytest.fixture
def s3(url: str) -> Iterator[Any]:
    found = client("s3", url)
    found.create_bucket(Bucket=BUCKET)
    yield found
    found.close()


def send(url: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request as it is written here; header names with _ for -."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


class TestTransfersOfSize:
    def test_a_file_of_20_megabytes_goes_up_in_parts_and_comes_down(self, s3: Any, tmp_path: Path) -> None:
        (tmp_path / "up").write_bytes(os.urandom(20_000_001))
        s3.upload_file(str(tmp_path / "up"), BUCKET, "a dir/big+file 100%.bin", ExtraArgs={"Metadata": {"m": "1"}})
        head = s3.head_object(Bucket=BUCKET, Key="a dir/big+file 100%.bin")
        assert head["ETag"].endswith('-3"')
        assert (head["ContentLength"], head["Metadata"]) == (20_000_001, {"m": "1"})
        s3.download_file(BUCKET, "a dir/big+file 100%.bin", str(tmp_path / "down"))
        assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()

    def test_many_requests_share_a_connection(self, s3: Any) -> None:
        for number in range(30):
            s3.put_object(Bucket=BUCKET, Key=f"k{number}", Body=b"x" * number)
        for number in range(30):
            assert len(s3.get_object(Bucket=BUCKET, Key=f"k{number}")["Body"].read()) == number

    def test_a_refused_upload_does_not_disturb_the_next_request(self, s3: Any) -> None:
        with pytest.raises(ClientError, match="NoSuchBucket"):
            s3.put_object(Bucket="nothing", Key="k", Body=b"x" * 3_000_000)
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
        assert s3.get_object(Bucket=BUCKET, Key="k")["Body"].read() == b"x"


class TestHeadersAndTypes:
    def test_stored_headers_come_back(self, s3: Any) -> None:
        stored = {
            "ContentType": "application/x-ndjson",
            "ContentEncoding": "gzip",
            "CacheControl": "no-store",
            "ContentDisposition": 'attachment; filename="a b.gz"',
            "ContentLanguage": "en",
        }
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", **stored)
        head = s3.head_object(Bucket=BUCKET, Key="k")
        assert {name: head[name] for name in stored} == stored

    @pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
    def test_checksums_are_answered(self, s3: Any, algorithm: str) -> None:
        answer = s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", ChecksumAlgorithm=algorithm)
        assert answer[f"Checksum{algorithm}"]

    def test_a_wrong_checksum_is_refused(self, s3: Any) -> None:
        wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket=BUCKET, Key="k", Body=b"x", ChecksumSHA256=wrong)

    def test_not_modified_since(self, s3: Any) -> None:
        s3.put_object(Bucket=BUCKET, Key="k", Body=b"x")
        written = s3.head_object(Bucket=BUCKET, Key="k")["LastModified"]
        with pytest.raises(ClientError) as raised:
            s3.get_object(Bucket=BUCKET, Key="k", IfModifiedSince=written)
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304


class TestBucketInTheHost:
    def test_virtual_host_style(self, s3: Any, url: str) -> None:
        port = urlsplit(url).port
        for host in (f"{BUCKET}.localhost:{port}", f"{BUCKET}.s3.us-east-1.amazonaws.com"):
            assert send(url, "PUT", "/a/b", b"body", Host=host)[0] == 200
            assert send(url, "GET", "/a/b", Host=host)[2] == b"body"
            status, _, body = send(url, "GET", "/?list-type=2", Host=host)
            assert (status, b"<Key>a/b</Key>" in body) == (200, True)

    def test_the_endpoint_itself_is_no_bucket(self, s3: Any, url: str) -> None:
        assert b"<Name>lake</Name>" in send(url, "GET", "/", Host="s3.us-east-1.amazonaws.com")[2]


class TestChunkedBodies:
    """What SDKs send that add a checksum to a stream: the encoding aws-chunked."""

    def encoded(self, body: bytes, trailer: str = "", piece: int = 7) -> bytes:
        pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
        chunks = b"".join(b"%x;chunk-signature=00\r\n%s\r\n" % (len(item), item) for item in pieces)
        return chunks + b"0\r\n" + (f"{trailer}\r\n".encode() if trailer else b"") + b"\r\n"

    def test_is_decoded_and_its_trailing_checksum_held(self, s3: Any, url: str) -> None:
        body = b"some bytes of a stream\r\n0\r\n"
        checksum = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        headers = {"Content_Encoding": "aws-chunked,gzip", "x_amz_trailer": "x-amz-checksum-crc32"}
        sent = self.encoded(body, f"x-amz-checksum-crc32:{checksum}")
        status, answered, _ = send(url, "PUT", f"/{BUCKET}/k", sent, **headers)
        assert (status, answered["x-amz-checksum-crc32"]) == (200, checksum)
        got = s3.get_object(Bucket=BUCKET, Key="k")
        assert (got["Body"].read(), got["ContentEncoding"]) == (body, "gzip")

        status, _, answer = send(
            url, "PUT", f"/{BUCKET}/k", self.encoded(b"other", f"x-amz-checksum-crc32:{checksum}"), **headers
        )
        assert (status, b"<Code>BadDigest</Code>" in answer) == (400, True)

    @pytest.mark.parametrize("sent", [b"5\r\nab", b"zz\r\n", b"", b"2\r\nabcd\r\n0\r\n\r\n", b"-1\r\n"])
    def test_broken_ones_are_refused_and_nothing_is_written(self, s3: Any, url: str, sent: bytes) -> None:
        status, _, answer = send(url, "PUT", f"/{BUCKET}/k", sent, Content_Encoding="aws-chunked")
        assert (status, b"<Code>IncompleteBody</Code>" in answer) == (400, True)
        assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


class TestBadRequests:
    @pytest.mark.parametrize(
        ("method", "path", "body", "code"),
        [
            ("POST", f"/{BUCKET}?delete", b"<Delete>", "MalformedXML"),
            ("POST", f"/{BUCKET}?delete", b"not xml", "MalformedXML"),
            (
                "POST",
                f"/{BUCKET}?delete",
                b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>',
                "MalformedXML",
            ),
            ("GET", f"/{BUCKET}?list-type=2&max-keys=x", b"", "InvalidArgument"),
            ("GET", f"/{BUCKET}?list-type=2&prefix=%ff", b"", "InvalidURI"),
            ("GET", f"/{BUCKET}/%ff", b"", "InvalidURI"),
            ("PATCH", f"/{BUCKET}/k", b"", "MethodNotAllowed"),
            ("GET", "/UPPER_case!/k", b"", "InvalidBucketName"),
            ("GET", f"/{BUCKET}?acl", b"", "NotImplemented"),
            ("PUT", f"/{BUCKET}?requestPayment", b"", "NotImplemented"),
            ("PUT", f"/{BUCKET}/{'k' * 1025}", b"", "KeyTooLongError"),
        ],
    )
    def test_are_told_in_s3s_words(self, s3: Any, url: str, method: str, path: str, body: bytes, code: str) -> None:
        status, headers, answer = send(url, method, path, body)
        assert 400 <= status <= 501
        assert headers["content-type"].startswith("application/xml")
        assert f"<Code>{code}</Code>".encode() in answer

    def test_an_operation_that_is_not_there_is_named(self, s3: Any) -> None:
        with pytest.raises(ClientError, match="GetBucketAcl") as raised:
            s3.get_bucket_acl(Bucket=BUCKET)
        assert raised.value.response["Error"]["Code"] == "NotImplemented"

    def test_the_path_of_a_key_is_never_the_path_of_a_file(self, s3: Any, url: str, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        for path in ("/lake/../../secret", "/lake/..%2f..%2fsecret", "/../secret", "/lake//../../secret"):
            assert b"secret" not in send(url, "GET", path)[2].replace(path.encode(), b"").replace(b"../secret", b"")
