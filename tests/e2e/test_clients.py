"""What awswrangler, dbt-athena, the aws command and pyarrow do, against the endpoint: their own calls, in our words.

PyAthena has a module of its own (test_pyathena.py). docs/clients.md tells which suites and flows of these clients pass.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.e2e.aws_endpoint import client, endpoint_over
from tests.unit.embedded.athena_world import ENDED, RESULTS, World

DATA = f"s3://{RESULTS}/data/"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_PAGER": "",
}


class Clients:
    """Real boto3 clients of one endpoint, and the loop every client of Athena has."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.athena = client("athena", url)
        self.glue = client("glue", url)
        self.s3 = client("s3", url)

    def execution(self, sql: str, database: str = "c") -> dict[str, Any]:
        """The execution of a statement, when it has ended well."""
        query_execution_id = self.athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": database},
            ResultConfiguration={"OutputLocation": f"s3://{RESULTS}/answers/"},
        )["QueryExecutionId"]
        while True:
            found: dict[str, Any] = self.athena.get_query_execution(QueryExecutionId=query_execution_id)[
                "QueryExecution"
            ]
            if found["Status"]["State"] in ENDED:
                assert found["Status"]["State"] == "SUCCEEDED", found["Status"].get("StateChangeReason")
                return found
            time.sleep(0.01)

    def rows(self, sql: str, database: str = "c") -> list[tuple[str | None, ...]]:
        """The rows of a query's answer, its header among them."""
        pages = self.athena.get_paginator("get_query_results").paginate(
            QueryExecutionId=self.execution(sql, database)["QueryExecutionId"], PaginationConfig={"PageSize": 1000}
        )
        return [
            tuple(item.get("VarCharValue") for item in row["Data"])
            for page in pages
            for row in page["ResultSet"]["Rows"]
        ]

    def keys(self, prefix: str) -> list[str]:
        return [found["Key"] for found in self.s3.list_objects_v2(Bucket=RESULTS, Prefix=prefix).get("Contents", ())]


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    world = World(tmp_path_factory.mktemp("clients"))
    world.put("data/numbers/rows.csv", b"".join(b"%d,t%d\n" % (i, i) for i in range(10_000)), RESULTS)
    with endpoint_over(athena=world.athena, glue=world.glue, s3=world.s3) as url:
        made = Clients(url)
        made.execution("CREATE DATABASE c", "default")
        made.execution(
            "CREATE EXTERNAL TABLE c.numbers (a int, t string) ROW FORMAT DELIMITED FIELDS TERMINATED BY ','"
            f" LOCATION '{DATA}numbers/'"
        )
        yield made
    world.close()


def test_ten_thousand_rows_by_pages_have_one_header(clients: Clients) -> None:
    rows = clients.rows("SELECT a FROM numbers ORDER BY a")
    assert rows[0] == ("a",)
    assert rows[1:] == [(str(i),) for i in range(10_000)]


def test_the_database_of_the_context_may_be_quoted(clients: Clients) -> None:
    """awswrangler's describe_table, show_create_table and repair_table hand it over in backticks."""
    assert clients.rows("DESCRIBE `numbers`;", "`c`")[0] == (f"{'a':<20}\t{'int':<20}\t{'':<20}",)
    assert clients.rows("SHOW CREATE TABLE `numbers`;", "`c`")[0] == ("CREATE EXTERNAL TABLE `c.numbers`(",)
    clients.execution(f"CREATE EXTERNAL TABLE found (a int) PARTITIONED BY (p string) LOCATION '{DATA}found/'")
    clients.s3.put_object(Bucket=RESULTS, Key="data/found/p=x/rows", Body=b"1\n")
    clients.execution("MSCK REPAIR TABLE `found`;", "`c`")
    assert clients.rows("SELECT a, p FROM found", "`c`") == [("a", "p"), ("1", "x")]


def test_a_statement_without_rows_leaves_no_object(clients: Clients) -> None:
    """PyAthena and awswrangler take an empty manifest for an empty answer."""
    done = clients.execution(f"UNLOAD (SELECT * FROM numbers LIMIT 0) TO '{DATA}nothing/' WITH (format = 'PARQUET')")
    bucket, key = done["Statistics"]["DataManifestLocation"].removeprefix("s3://").split("/", 1)
    assert clients.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b""
    assert clients.keys("data/nothing/") == []
    clients.execution(
        f"CREATE TABLE hollow WITH (format = 'PARQUET', external_location = '{DATA}hollow/') AS"
        " SELECT * FROM numbers WHERE a < 0"
    )
    assert clients.keys("data/hollow/") == []
    assert clients.rows("SELECT * FROM hollow") == [("a", "t")]


def test_unloaded_timestamps_are_int96(clients: Clients) -> None:
    """As Athena writes them: pyarrow gives nanoseconds, fastparquet a timestamp and no number."""
    clients.execution(
        "UNLOAD (SELECT TIMESTAMP '2017-01-01 00:00:00.123' AS ts,"
        " ARRAY[TIMESTAMP '2500-01-01 00:00:00'] AS many, 1 AS n)"
        f" TO '{DATA}instants/' WITH (format = 'PARQUET', compression = 'SNAPPY')"
    )
    (key,) = clients.keys("data/instants/")
    file = pyarrow.parquet.ParquetFile(io.BytesIO(clients.s3.get_object(Bucket=RESULTS, Key=key)["Body"].read()))
    assert [file.schema.column(i).physical_type for i in range(3)] == ["INT96", "INT96", "INT32"]
    assert file.metadata.row_group(0).column(0).compression == "SNAPPY"
    assert file.read(columns=["ts"])["ts"].cast("timestamp[ms]").to_pylist() == [
        datetime(2017, 1, 1, 0, 0, 0, 123_000)  # noqa: DTZ001 - Athena's timestamps have no zone
    ]
    clients.execution(
        "CREATE EXTERNAL TABLE instants (ts timestamp, many array<timestamp>, n int)"
        f" STORED AS PARQUET LOCATION '{DATA}instants/'"
    )
    assert clients.rows("SELECT * FROM instants")[1:] == [("2017-01-01 00:00:00.123", "[2500-01-01 00:00:00.000]", "1")]


def test_a_presigned_url_is_fetched_without_a_client(clients: Clients) -> None:
    clients.s3.put_object(Bucket=RESULTS, Key="data/signed.txt", Body=b"signed")
    url = clients.s3.generate_presigned_url("get_object", Params={"Bucket": RESULTS, "Key": "data/signed.txt"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"signed"


def test_the_statements_of_a_dbt_project(clients: Clients) -> None:
    """Seed, partitioned table, incremental insert, view, test and a second run, as dbt-athena has them."""
    clients.execution("create schema if not exists `project`", "default")
    clients.s3.put_object(Bucket=RESULTS, Key="dbt/people/people.csv", Body=b"id,name\n1,ann\n2,bob\n3,\n")
    clients.execution(
        "create external table `project`.`people_tmp` (`id` string, `name` string)"
        " ROW FORMAT SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde'"
        f" LOCATION 's3://{RESULTS}/dbt/people/' TBLPROPERTIES ('skip.header.line.count' = '1')"
    )
    made = (
        'create table "awsdatacatalog"."project"."people" with (table_type = \'hive\', is_external = true,'
        f" external_location = 's3://{RESULTS}/dbt/people_{{}}', partitioned_by = ARRAY['name'], format = 'parquet') as"
        ' select cast(id as bigint) as id, name from "awsdatacatalog"."project"."people_tmp"'
    )
    done = clients.execution(made.format("first"), "project")
    assert done["SubstatementType"] == "CREATE_TABLE_AS_SELECT"
    clients.execution('insert into "awsdatacatalog"."project"."people" ("id", "name") (select 4, \'dan\')', "project")
    clients.execution(
        'create or replace view "project"."loud" as select id, upper(name) as name from "project"."people"', "project"
    )
    assert clients.rows('select count(*) as failures from (select id from "project"."loud" where id is null) t')[
        1:
    ] == [("0",)]
    assert clients.rows('select name from "project"."loud" order by 1')[1:] == [("ANN",), ("BOB",), ("DAN",), (None,)]
    listed = clients.rows("select table_name, table_type from information_schema.tables where table_schema = 'project'")
    assert ("loud", "VIEW") in listed
    clients.glue.delete_table(DatabaseName="project", Name="people")
    clients.s3.delete_objects(
        Bucket=RESULTS, Delete={"Objects": [{"Key": key} for key in clients.keys("dbt/people_first/")]}
    )
    clients.execution(made.format("first"), "project")
    assert clients.rows('select count(*) from "project"."people"')[1:] == [("3",)]


def test_awswrangler(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    wrangler = pytest.importorskip("awswrangler", reason="awswrangler is not among the locked packages")
    import pandas

    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": clients.url}.items():
        monkeypatch.setenv(name, value)
    wrangler.catalog.create_database("wrangled")
    frame = pandas.DataFrame({"id": [1, 2, 3], "name": ["a", "b", None], "part": ["x", "x", "y"]})
    written = wrangler.s3.to_parquet(
        frame, f"{DATA}wrangled/", dataset=True, database="wrangled", table="t", partition_cols=["part"]
    )
    assert len(written["partitions_values"]) == 2
    for way in ({"ctas_approach": True}, {"ctas_approach": False}, {"ctas_approach": False, "unload_approach": True}):
        read = wrangler.athena.read_sql_query(
            "select * from t", database="wrangled", s3_output=f"s3://{RESULTS}/wrangled/{len(str(way))}/", **way
        )
        assert sorted(read["id"]) == [1, 2, 3]
    assert (
        "part" in wrangler.athena.describe_table("t", database="wrangled", s3_output=f"s3://{RESULTS}/w/").to_string()
    )


def test_the_aws_command(clients: Clients, tmp_path: Path) -> None:
    command = shutil.which("aws")
    if command is None:
        pytest.skip("the aws command is not installed")

    def aws(*arguments: str) -> str:
        return subprocess.run(
            [command, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": clients.url},
        ).stdout.strip()

    (tmp_path / "one.csv").write_text("1,a\n")
    aws("s3", "cp", "--recursive", str(tmp_path), f"s3://{RESULTS}/cli/")
    assert "one.csv" in aws("s3", "ls", "--recursive", f"s3://{RESULTS}/cli/")
    assert "numbers" in aws(
        "glue", "get-tables", "--database-name", "c", "--query", "TableList[].Name", "--output", "text"
    )
    started = aws(
        "athena", "start-query-execution", "--query-string", "SELECT 1 AS one", "--result-configuration",
        f"OutputLocation=s3://{RESULTS}/cli-answers/", "--query", "QueryExecutionId", "--output", "text",
    )  # fmt: skip
    while aws("athena", "get-query-execution", "--query-execution-id", started, "--query",
              "QueryExecution.Status.State", "--output", "text") not in ENDED:  # fmt: skip
        time.sleep(0.05)
    assert aws("athena", "get-query-results", "--query-execution-id", started, "--query",
               "ResultSet.Rows[].Data[].VarCharValue", "--output", "text").split() == ["one", "1"]  # fmt: skip
    aws("s3", "rm", "--recursive", f"s3://{RESULTS}/cli/")
    assert clients.keys("cli/") == []
