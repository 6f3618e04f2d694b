"""Glue's contract once more, through real boto3 and the endpoint; then what only HTTP can get wrong."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from embedded.glue import Glue
from tests.contract.test_glue_contract import (  # noqa: F401  # collected here, with the fixture below
    DATABASE,
    TestClientShape,
    TestDatabases,
    TestIndexesStatisticsAndTags,
    TestPartitions,
    TestTables,
    table_input,
)
from tests.e2e.aws_endpoint import client, endpoint_over


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    glue = Glue(tmp_path / "catalogue.sqlite")
    with endpoint_over(glue=glue) as found:
        yield found
    glue.close()


@pytest.fixture
def glue(url: str) -> Iterator[Any]:
    found = client("glue", url)
    found.create_database(DatabaseInput={"Name": DATABASE, "Description": "history"})
    found.create_table(DatabaseName=DATABASE, TableInput=table_input())
    yield found
    found.close()


def call(url: str, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class TestBadRequests:
    @pytest.mark.parametrize(
        ("target", "body", "code"),
        [
            ("AWSGlue.GetDatabase", b"{", "SerializationException"),
            ("AWSGlue.GetDatabase", b"[]", "SerializationException"),
            ("AWSGlue.GetDatabase", b'{"Name": 7}', "SerializationException"),
            ("AWSGlue.GetDatabase", b'{"Name": "\\ud800"}', "SerializationException"),
            ("AWSGlue.GetDatabase", b"[" * 5000, "SerializationException"),
            ("AWSGlue.GetDatabase", b"{}", "ValidationException"),
            ("AWSGlue.GetDatabase", b'{"Name": null}', "ValidationException"),
            ("AWSGlue.GetDatabase", b"", "ValidationException"),
            ("AWSGlue.MakeCoffee", b"{}", "UnknownOperationException"),
            ("Logs_20140328.DescribeLogGroups", b"{}", "UnknownOperationException"),
            ("AmazonAthena.ListWorkGroups", b"{}", "UnknownOperationException"),
            ("AWSGlue.GetJobs", b"{}", "UnsupportedOperationException"),
            ("AWSGlue.GetDatabase", b'{"Name": "nothing"}', "EntityNotFoundException"),
        ],
    )
    def test_are_told_in_the_protocols_words(self, url: str, target: str, body: bytes, code: str) -> None:
        status, answer = call(url, target, body)
        assert (status in {400, 404}, answer["__type"]) == (True, code)
        assert answer["message"]

    def test_unknown_members_are_ignored_as_aws_does(self, url: str) -> None:
        assert call(url, "AWSGlue.GetDatabases", b'{"Nonsense": 1}') == (200, {"DatabaseList": []})


class TestIdentity:
    def test_clients_learn_who_they_are(self, url: str) -> None:
        assert client("sts", url).get_caller_identity()["Account"] == "123456789012"

    def test_nothing_else_of_sts(self, url: str) -> None:
        with pytest.raises(ClientError, match="AssumeRole") as raised:
            client("sts", url).assume_role(RoleArn="arn:aws:iam::123456789012:role/x", RoleSessionName="s" * 8)
        assert raised.value.response["Error"]["Code"] == "InvalidAction"
