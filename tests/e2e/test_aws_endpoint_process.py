"""The endpoint as users start it: one port, real clients, a query from its object in S3 to its result in S3."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyathena
import pyathena.error
import pytest

from tests.e2e.aws_endpoint import client, endpoint_process


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("endpoint")


@pytest.fixture(scope="module")
def url(data_dir: Path) -> Iterator[str]:
    with endpoint_process(data_dir) as found:
        for bucket in ("data-hist-lake", "data-hist-results"):
            client("s3", found).create_bucket(Bucket=bucket)
        yield found


def finished(athena: Any, sql: str) -> dict[str, Any]:
    """The query execution once it has ended."""
    query_id = athena.start_query_execution(
        QueryString=sql, ResultConfiguration={"OutputLocation": "s3://data-hist-results/e2e/"}
    )["QueryExecutionId"]
    for _ in range(2000):
        execution: dict[str, Any] = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        if execution["Status"]["State"] not in {"QUEUED", "RUNNING"}:
            return execution
        time.sleep(0.01)
    raise AssertionError("the query did not end")


def test_from_objects_to_an_answer(url: str) -> None:
    s3, glue, athena = (client(name, url) for name in ("s3", "glue", "athena"))
    glue.create_database(DatabaseInput={"Name": "history"})
    descriptor = {
        "Columns": [{"Name": "customerid", "Type": "bigint"}, {"Name": "servicename", "Type": "string"}],
        "Location": "s3://data-hist-lake/events/",
        "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe"},
    }
    glue.create_table(
        DatabaseName="history",
        TableInput={
            "Name": "events",
            "TableType": "EXTERNAL_TABLE",
            "StorageDescriptor": descriptor,
            "PartitionKeys": [{"Name": "dt", "Type": "string"}],
        },
    )
    for day in ("2026-11-21", "2026-11-22"):
        rows = [{"customerid": 11000 + number, "servicename": f"svc's {day}"} for number in range(3)]
        body = gzip.compress("\n".join(map(json.dumps, rows)).encode())
        s3.put_object(Bucket="data-hist-lake", Key=f"events/dt={day}/1_0_0.gz", Body=body)
        location = f"s3://data-hist-lake/events/dt={day}/"
        glue.create_partition(
            DatabaseName="history",
            TableName="events",
            PartitionInput={"Values": [day], "StorageDescriptor": {**descriptor, "Location": location}},
        )
    execution = finished(
        athena, "SELECT customerid, servicename FROM history.events WHERE dt = '2026-11-22' ORDER BY 1"
    )
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    rows = athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["Rows"]
    assert [[cell["VarCharValue"] for cell in row["Data"]] for row in rows] == [
        ["customerid", "servicename"],
        *([str(11000 + number), "svc's 2026-11-22"] for number in range(3)),
    ]
    key = execution["ResultConfiguration"]["OutputLocation"].removeprefix("s3://data-hist-results/")
    csv = s3.get_object(Bucket="data-hist-results", Key=key)["Body"].read().decode()
    assert csv.splitlines()[1] == '"11000","svc\'s 2026-11-22"'


def test_pyathena_reads_rows_and_types(url: str) -> None:
    connection = pyathena.connect(
        s3_staging_dir="s3://data-hist-results/pyathena/",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="anybody",
        aws_secret_access_key="anything",
        poll_interval=0.01,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 AS one, 'a' AS letter, true AS yes, DECIMAL '1.50' AS price, CAST(NULL AS varchar) AS nothing"
        )
        assert cursor.fetchall() == [(1, "a", True, Decimal("1.50"), None)]
        assert [column[:2] for column in cursor.description or []] == [
            ("one", "integer"),
            ("letter", "varchar"),
            ("yes", "boolean"),
            ("price", "decimal"),
            ("nothing", "varchar"),
        ]
        with pytest.raises(pyathena.error.OperationalError, match="cannot be resolved"):
            cursor.execute("SELECT x FROM (VALUES 1) AS t (y)")


def test_a_syntax_error_is_the_callers(url: str) -> None:
    athena = client("athena", url)
    with pytest.raises(athena.exceptions.InvalidRequestException, match="mismatched input"):
        athena.start_query_execution(
            QueryString="SELEC 1", ResultConfiguration={"OutputLocation": "s3://data-hist-results/e2e/"}
        )


def test_too_long_a_query_is_the_callers(url: str) -> None:
    athena = client("athena", url)
    with pytest.raises(athena.exceptions.InvalidRequestException):
        athena.start_query_execution(
            QueryString="SELECT " + "1" * 262_144, ResultConfiguration={"OutputLocation": "s3://data-hist-results/"}
        )


def test_what_was_written_lies_in_the_data_directory(url: str, data_dir: Path) -> None:
    client("s3", url).create_bucket(Bucket="another-bucket")
    assert (data_dir / "s3" / "another-bucket").is_dir()
    assert (data_dir / "catalogue.sqlite").is_file()


def test_an_upload_that_breaks_off_leaves_no_object(url: str) -> None:
    s3 = client("s3", url)
    s3.create_bucket(Bucket="broken-off")
    address = urlsplit(url)
    for framing, body in (
        ("Content-Length: 1000", "ten bytes."),
        ("Transfer-Encoding: chunked", "a\r\nten bytes.\r\n"),
    ):
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=20) as connection:
            connection.sendall(f"PUT /broken-off/k HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{body}".encode())
            connection.shutdown(socket.SHUT_WR)
            assert not connection.recv(100).startswith(b"HTTP/1.1 2")
    assert s3.list_objects_v2(Bucket="broken-off")["KeyCount"] == 0


def test_a_body_of_unannounced_length_is_taken(url: str) -> None:
    s3 = client("s3", url)
    s3.create_bucket(Bucket="chunked")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    connection.request("PUT", "/chunked/k", iter([b"some ", b"bytes"]), encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert s3.get_object(Bucket="chunked", Key="k")["Body"].read() == b"some bytes"
