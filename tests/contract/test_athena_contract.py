"""The contract of the Athena client as the project uses it, held by the embedded Athena and, where it can, by moto.

moto answers queries with canned rows and checks neither syntax nor tokens: what speaks of results runs embedded only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from embedded.athena import Athena
from embedded.glue import Glue
from embedded.s3 import S3
from tests.contract.aws_implementations import IMPLEMENTATIONS, moto_client

OUTPUT = {"OutputLocation": "s3://results/out/"}


@pytest.fixture(params=IMPLEMENTATIONS)
def athena(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    if request.param == "moto":
        with moto_client("athena", monkeypatch) as client:
            yield client
        return
    s3, glue = S3(tmp_path / "s3"), Glue(tmp_path / "catalogue.sqlite")
    s3.create_bucket(Bucket="results")
    made = Athena(glue=glue, s3=s3, path=tmp_path / "athena.sqlite", temporary_directory=tmp_path / "tmp")
    yield made
    made.close()
    glue.close()


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_query_is_started_and_described(athena: Any) -> None:
    execution_id = athena.start_query_execution(
        QueryString="SELECT 1", QueryExecutionContext={"Database": "default"}, ResultConfiguration=OUTPUT
    )["QueryExecutionId"]
    found = athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]
    assert found["QueryExecutionId"] == execution_id
    assert found["Query"] == "SELECT 1"
    assert found.get("WorkGroup", "primary") == "primary"  # moto leaves it out where the caller did
    assert found["QueryExecutionContext"]["Database"] == "default"
    assert found["ResultConfiguration"]["OutputLocation"] == f"s3://results/out/{execution_id}.csv"
    assert found["Status"]["State"] in ("QUEUED", "RUNNING", "SUCCEEDED")
    assert execution_id in athena.list_query_executions()["QueryExecutionIds"]


def test_a_query_is_stopped(athena: Any) -> None:
    execution_id = athena.start_query_execution(QueryString="SELECT 1", ResultConfiguration=OUTPUT)["QueryExecutionId"]
    for _ in range(2):
        athena.stop_query_execution(QueryExecutionId=execution_id)
    state = athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]["State"]
    assert state in ("CANCELLED", "SUCCEEDED")


def test_arguments_are_checked_before_anything_is_sent(athena: Any) -> None:
    with pytest.raises(ParamValidationError):
        athena.start_query_execution(QueryString="")
    with pytest.raises(ParamValidationError):
        athena.get_query_results()


def test_workgroups(athena: Any) -> None:
    athena.create_work_group(Name="team", Description="d", Configuration={"ResultConfiguration": OUTPUT})
    found = athena.get_work_group(WorkGroup="team")["WorkGroup"]
    assert (found["Name"], found["State"], found["Description"]) == ("team", "ENABLED", "d")
    assert found["Configuration"]["ResultConfiguration"]["OutputLocation"] == OUTPUT["OutputLocation"]
    assert {group["Name"] for group in athena.list_work_groups()["WorkGroups"]} == {"primary", "team"}
    athena.delete_work_group(WorkGroup="team")
    assert {group["Name"] for group in athena.list_work_groups()["WorkGroups"]} == {"primary"}


def test_a_workgroup_is_made_once(athena: Any) -> None:
    athena.create_work_group(Name="team", Configuration={})
    with pytest.raises(ClientError) as error:
        athena.create_work_group(Name="team", Configuration={})
    assert code_of(error) == "InvalidRequestException"


def test_named_queries(athena: Any) -> None:
    query_id = athena.create_named_query(Name="n", Database="d", QueryString="SELECT 1")["NamedQueryId"]
    found = athena.get_named_query(NamedQueryId=query_id)["NamedQuery"]
    assert (found["Name"], found["Database"], found["QueryString"]) == ("n", "d", "SELECT 1")
    assert athena.list_named_queries()["NamedQueryIds"] == [query_id]


def test_prepared_statements(athena: Any) -> None:
    athena.create_prepared_statement(StatementName="find", WorkGroup="primary", QueryStatement="SELECT ?")
    found = athena.get_prepared_statement(StatementName="find", WorkGroup="primary")["PreparedStatement"]
    assert (found["StatementName"], found["QueryStatement"], found["WorkGroupName"]) == ("find", "SELECT ?", "primary")


def test_the_pages_of_a_list(athena: Any) -> None:
    ids = [
        athena.start_query_execution(QueryString=f"SELECT {n}", ResultConfiguration=OUTPUT)["QueryExecutionId"]
        for n in range(3)
    ]
    pages = athena.get_paginator("list_query_executions").paginate()
    assert sorted(found for page in pages for found in page["QueryExecutionIds"]) == sorted(ids)
