"""Queries of the embedded Athena from start to result: starting, states, results, errors."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.unit.embedded.athena_world import DATABASE, LAKE, RESULTS, World, event, zipped

SLOW = "SELECT sum(a.x * b.x) FROM (SELECT * FROM UNNEST(sequence(1, 9000)) AS t(x)) a, " + (
    "(SELECT * FROM UNNEST(sequence(1, 9000)) AS t(x)) b, (SELECT * FROM UNNEST(sequence(1, 9000)) AS t(x)) c"
)


def message(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Message"])


def test_a_select_runs_to_its_result(world: World) -> None:
    execution = world.run("SELECT 1 AS a, 'x' AS b, NULL AS c, '' AS d")
    assert execution["Status"]["State"] == "SUCCEEDED"
    assert execution["StatementType"] == "DML"
    assert execution["SubstatementType"] == "SELECT"
    assert execution["EngineVersion"]["EffectiveEngineVersion"] == "Athena engine version 3"
    assert world.result_object(execution) == b'"a","b","c","d"\n"1","x",,""\n'
    assert world.result_object(execution, ".metadata")
    statistics = execution["Statistics"]
    for name in ("EngineExecutionTimeInMillis", "QueryQueueTimeInMillis", "TotalExecutionTimeInMillis"):
        assert statistics[name] > 0


def test_who_listens_hears_of_every_end(world: World) -> None:
    told: list[tuple[str, str]] = []

    def listener(execution_id: str) -> None:
        status = world.athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]
        told.append((execution_id, status["State"]))

    world.athena.when_ended(listener)
    ended = [(world.run(sql)["QueryExecutionId"], state) for sql, state in _ENDS]
    deadline = time.monotonic() + 30
    while len(told) < len(ended) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told == ended


_ENDS = [("SELECT 1", "SUCCEEDED"), ("SELECT nothing FROM nowhere", "FAILED"), ("SHOW TABLES", "SUCCEEDED")]


def test_results_have_a_header_row_and_column_info(world: World) -> None:
    execution = world.run("SELECT 1 AS a, CAST('1.50' AS decimal(10,2)) AS b, real '1.5' AS c, ARRAY[1] AS d, 'x' AS e")
    answer = world.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])
    rows = answer["ResultSet"]["Rows"]
    assert [datum["VarCharValue"] for datum in rows[0]["Data"]] == ["a", "b", "c", "d", "e"]
    assert answer["UpdateCount"] == 0
    described = [
        (c["Type"], c["Precision"], c["Scale"], c["CaseSensitive"])
        for c in answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    ]
    assert described == [
        ("integer", 10, 0, False),
        ("decimal", 10, 2, False),
        ("float", 17, 0, False),
        ("array", 0, 0, False),
        ("varchar", 1, 0, True),
    ]


def test_pages_put_together_are_the_whole_result(world: World) -> None:
    text = "IF(x % 3 = 0, NULL, 'line' || chr(10) || '\"' || CAST(x AS varchar))"
    sql = f"SELECT x, {text} AS t FROM UNNEST(sequence(1, 2500)) AS u(x) ORDER BY x"
    execution_id = world.run(sql)["QueryExecutionId"]
    expected = [("x", "t")] + [(str(x), None if x % 3 == 0 else f'line\n"{x}') for x in range(1, 2501)]
    for size in (999, 1000):
        assert list(world.pages(execution_id, size)) == expected
    first = world.athena.get_query_results(QueryExecutionId=execution_id, MaxResults=1)
    assert len(first["ResultSet"]["Rows"]) == 1
    again = [
        world.athena.get_query_results(QueryExecutionId=execution_id, MaxResults=7, NextToken=first["NextToken"])
        for _ in range(2)
    ]
    assert again[0]["ResultSet"] == again[1]["ResultSet"]


def test_a_result_without_rows_has_only_its_header(world: World) -> None:
    execution = world.run("SELECT 1 AS a WHERE false")
    assert world.result_object(execution) == b'"a"\n'
    assert world.rows("SELECT 1 AS a WHERE false") == []


def test_a_single_null_is_a_row(world: World) -> None:
    assert world.rows("SELECT NULL AS a") == [(None,)]


def test_names_may_repeat(world: World) -> None:
    assert world.result_object(world.run("SELECT 1 AS a, 2 AS a")) == b'"a","a"\n"1","2"\n'


@pytest.mark.parametrize("token", ["nonsense", "AAAAAAAAAAAAAAAAAAAAAAAA", "x" * 1024])
def test_a_foreign_page_token_is_refused(world: World, token: str) -> None:
    execution_id = world.run("SELECT 1")["QueryExecutionId"]
    with pytest.raises(ClientError) as error:
        world.athena.get_query_results(QueryExecutionId=execution_id, NextToken=token)
    assert error.value.response["Error"]["Code"] == "InvalidRequestException"


def test_a_page_token_of_another_result_is_refused(world: World) -> None:
    ids = [world.run("SELECT * FROM UNNEST(sequence(1, 5))")["QueryExecutionId"] for _ in range(2)]
    token = world.athena.get_query_results(QueryExecutionId=ids[0], MaxResults=2)["NextToken"]
    with pytest.raises(ClientError):
        world.athena.get_query_results(QueryExecutionId=ids[1], NextToken=token)


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT * FORM x", "line 1:10: mismatched input 'FORM'"),
        ("PRAGMA version", "line 1:1: mismatched input 'PRAGMA'. Expecting: 'ALTER'"),
        ("COPY t TO 'x'", "mismatched input 'COPY'"),
        ("ATTACH 'x.db'", "mismatched input 'ATTACH'"),
        ("INSTALL httpfs", "mismatched input 'INSTALL'"),
        ("SELECT * EXCLUDE (a) FROM t", "mismatched input 'EXCLUDE'"),
        ("SELECT 1; SELECT 2", "mismatched input 'SELECT'. Expecting: <EOF>"),
        ("SHOW TABLES IN", "mismatched input '<EOF>'"),
    ],
)
def test_what_the_grammar_refuses_is_refused_at_the_start(world: World, sql: str, text: str) -> None:
    with pytest.raises(world.athena.exceptions.InvalidRequestException) as error:
        world.start(sql)
    assert text in message(error)
    assert error.value.response["AthenaErrorCode"] == "MALFORMED_QUERY"


def test_a_trailing_semicolon_is_fine(world: World) -> None:
    assert world.rows("SELECT 1 ; ") == [("1",)]


def test_what_only_the_catalogue_knows_is_a_failed_execution(world: World) -> None:
    execution = world.run("SELECT * FROM nope")
    assert execution["Status"]["State"] == "FAILED"
    error = execution["Status"]["AthenaError"]
    assert error["ErrorCategory"] == 2
    assert error["ErrorType"] == 1110
    assert error["ErrorMessage"] == execution["Status"]["StateChangeReason"]
    assert "Table 'awsdatacatalog.data_hist.nope' does not exist" in error["ErrorMessage"]
    with pytest.raises(ClientError, match="Final query state: FAILED"):
        world.athena.get_query_results(QueryExecutionId=execution["QueryExecutionId"])


def test_an_error_of_the_running_query_has_athenas_name(world: World) -> None:
    assert world.reason("SELECT 1 / x FROM (VALUES 0) AS t(x)").startswith("DIVISION_BY_ZERO")


@pytest.mark.parametrize(
    "sql",
    ["SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'", "SELECT * FROM read_text('/etc/passwd')"],
)
def test_nothing_reads_files_outside_the_lake(world: World, sql: str) -> None:
    try:
        execution = world.run(sql)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "InvalidRequestException"  # noqa: PT017 - refused at the start
        return
    assert execution["Status"]["State"] == "FAILED"


def test_parameters_are_validated_as_boto3_does(world: World) -> None:
    with pytest.raises(ParamValidationError, match="Missing required parameter"):
        world.athena.start_query_execution()
    with pytest.raises(ParamValidationError, match="valid min length: 1"):
        world.athena.start_query_execution(QueryString="")
    with pytest.raises(ClientError) as error:
        world.start("SELECT '" + "x" * 262_144 + "'")
    assert error.value.response["Error"]["Code"] == "InvalidRequestException"


def test_the_longest_query_runs_and_one_byte_more_does_not(world: World) -> None:
    frame = "SELECT length('{}')"
    longest = frame.format("x" * (262_144 - len(frame) + 2))
    assert len(longest) == 262_144
    assert world.rows(longest) == [(str(262_144 - len(frame) + 2),)]


def test_without_an_output_location_nothing_starts(world: World) -> None:
    with pytest.raises(ClientError, match="No output location provided"):
        world.athena.start_query_execution(QueryString="SELECT 1")


@pytest.mark.parametrize(
    "location", ["/tmp/x", "s3://", "s3://no-such-bucket/x/", f"s3://{RESULTS}/../{LAKE}/", "file:///tmp/"]
)
def test_an_output_location_must_be_in_a_bucket(world: World, location: str) -> None:
    with pytest.raises(ClientError, match="not a valid S3 path"):
        world.start("SELECT 1", ResultConfiguration={"OutputLocation": location})


def test_an_unknown_execution(world: World) -> None:
    for call in (world.athena.get_query_execution, world.athena.get_query_results, world.athena.stop_query_execution):
        with pytest.raises(ClientError, match="QueryExecution nope was not found"):
            call(QueryExecutionId="nope")
    answer = world.athena.batch_get_query_execution(QueryExecutionIds=["nope"])
    assert [item["QueryExecutionId"] for item in answer["UnprocessedQueryExecutionIds"]] == ["nope"]


def test_an_operation_that_is_not_there_names_itself(world: World) -> None:
    with pytest.raises(ClientError, match="StartSession"):
        world.athena.start_session(WorkGroup="primary", EngineConfiguration={"MaxConcurrentDpus": 2})


# ---------------------------------------------------------------------------------------------------- idempotence


def test_the_same_token_is_the_same_execution(world: World) -> None:
    token = "t" * 32
    first = world.start("SELECT 1", ClientRequestToken=token)
    assert world.start("SELECT 1", ClientRequestToken=token) == first
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        world.start("SELECT 2", ClientRequestToken=token)
    assert len(world.athena.list_query_executions()["QueryExecutionIds"]) == 1


def test_parameters_stand_for_question_marks(world: World) -> None:
    execution = world.run("SELECT ? AS a, ? AS b", ExecutionParameters=["'it''s'", "5"])
    assert execution["ExecutionParameters"] == ["'it''s'", "5"]
    assert list(world.pages(execution["QueryExecutionId"]))[1] == ("it's", "5")


# --------------------------------------------------------------------------------------------------- cancellation


def test_a_running_query_is_stopped(world: World) -> None:
    execution_id = world.start(SLOW)
    while (
        world.athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]["State"] == "QUEUED"
    ):
        time.sleep(0.002)
    world.athena.stop_query_execution(QueryExecutionId=execution_id)
    status = world.wait(execution_id)["Status"]
    assert status["State"] == "CANCELLED"
    assert status["StateChangeReason"] == "Query cancelled by user"
    world.athena.stop_query_execution(QueryExecutionId=execution_id)  # twice equals once
    assert world.rows("SELECT 1") == [("1",)]


def test_waiting_queries_are_queued_and_can_be_stopped(tmp_path: Path) -> None:
    world = World(tmp_path, max_concurrent_queries=1)
    running = world.start(SLOW)
    waiting = world.start("SELECT 1")
    state = world.athena.get_query_execution(QueryExecutionId=waiting)["QueryExecution"]["Status"]["State"]
    assert state == "QUEUED"
    world.athena.stop_query_execution(QueryExecutionId=waiting)
    assert world.wait(waiting)["Status"]["State"] == "CANCELLED"
    world.athena.stop_query_execution(QueryExecutionId=running)
    assert world.rows("SELECT 2", QueryExecutionContext={"Database": "default"}) == [("2",)]
    world.close()


def test_queries_run_beside_each_other(world: World) -> None:
    ids = [world.start(f"SELECT sum(x) + {n} FROM UNNEST(sequence(1, 9000)) AS t(x)") for n in range(8)]
    assert [list(world.pages(world.wait(i)["QueryExecutionId"]))[1] for i in ids] == [
        (str(9000 * 9001 // 2 + n),) for n in range(8)
    ]


# -------------------------------------------------------------------------------------------------------- restart


def test_executions_outlive_a_restart(world: World) -> None:
    done = world.run("SELECT 7 AS a", ClientRequestToken="k" * 32)["QueryExecutionId"]
    after = world.reopened()
    try:
        assert list(after.pages(done)) == [("a",), ("7",)]
        assert after.athena.list_query_executions()["QueryExecutionIds"] == [done]
        assert after.start("SELECT 7 AS a", ClientRequestToken="k" * 32) == done
    finally:
        after.athena.close()


def test_an_execution_that_a_crash_interrupted_is_failed(world: World) -> None:
    execution_id = world.start(SLOW)
    after = World(world.root)  # a second process opens the same file: the first one is taken for dead
    try:
        status = after.athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]["Status"]
        assert status["State"] == "FAILED"
        assert status["AthenaError"]["Retryable"] is True
        assert status["AthenaError"]["ErrorCategory"] == 1
    finally:
        after.athena.close()


# ------------------------------------------------------------------------------------------------------- listing


def test_executions_are_listed_newest_first_in_pages(world: World) -> None:
    ids = [world.run(f"SELECT {n}")["QueryExecutionId"] for n in range(5)]
    first = world.athena.list_query_executions(MaxResults=2)
    assert first["QueryExecutionIds"] == ids[:2:-1]
    second = world.athena.list_query_executions(MaxResults=3, NextToken=first["NextToken"])
    assert second["QueryExecutionIds"] == ids[2::-1]
    assert "NextToken" not in second
    found = world.athena.batch_get_query_execution(QueryExecutionIds=ids)["QueryExecutions"]
    assert [execution["Query"] for execution in found] == [f"SELECT {n}" for n in range(5)]
    paginator = world.athena.get_paginator("list_query_executions")
    assert [
        i for page in paginator.paginate(PaginationConfig={"PageSize": 2}) for i in page["QueryExecutionIds"]
    ] == ids[::-1]


def test_runtime_statistics(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", zipped(*(event(n) for n in range(3))))
    execution = world.run("SELECT customerid FROM events")
    statistics = world.athena.get_query_runtime_statistics(QueryExecutionId=execution["QueryExecutionId"])
    rows = statistics["QueryRuntimeStatistics"]["Rows"]
    assert rows["OutputRows"] == 3
    assert rows["InputBytes"] == execution["Statistics"]["DataScannedInBytes"] > 0


def test_metadata_of_databases_and_tables(world: World) -> None:
    world.create_table(serde_properties={"ignore.malformed.json": "true"})
    athena = world.athena
    assert athena.get_database(CatalogName="AwsDataCatalog", DatabaseName=DATABASE)["Database"]["Name"] == DATABASE
    assert [d["Name"] for d in athena.list_databases(CatalogName="awsdatacatalog")["DatabaseList"]] == [
        DATABASE,
        "default",
    ]
    found = athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName=DATABASE, TableName="EVENTS")[
        "TableMetadata"
    ]
    assert [key["Name"] for key in found["PartitionKeys"]] == ["dt", "hr", "min"]
    assert found["Parameters"]["location"] == f"s3://{LAKE}/secor/events/"
    assert found["Parameters"]["serde.param.ignore.malformed.json"] == "true"
    listed = athena.list_table_metadata(CatalogName="AwsDataCatalog", DatabaseName=DATABASE, Expression="ev.*")
    assert [table["Name"] for table in listed["TableMetadataList"]] == ["events"]
    with pytest.raises(athena.exceptions.MetadataException):
        athena.get_table_metadata(CatalogName="AwsDataCatalog", DatabaseName=DATABASE, TableName="nope")
    with pytest.raises(athena.exceptions.MetadataException):
        athena.get_database(CatalogName="AwsDataCatalog", DatabaseName="nope")
    assert athena.list_data_catalogs()["DataCatalogsSummary"] == [{"CatalogName": "AwsDataCatalog", "Type": "GLUE"}]
