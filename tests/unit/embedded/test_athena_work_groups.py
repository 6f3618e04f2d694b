"""Workgroups, their limits, tags, named queries and prepared statements of the embedded Athena."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.unit.embedded.athena_world import LAKE, RESULTS, World, event, zipped


def start_in(world: World, group: str, sql: str = "SELECT 1", **arguments: object) -> dict[str, object]:
    execution_id = world.athena.start_query_execution(QueryString=sql, WorkGroup=group, **arguments)["QueryExecutionId"]
    return world.wait(execution_id)


def test_primary_is_there_and_stays(world: World) -> None:
    group = world.athena.get_work_group(WorkGroup="primary")["WorkGroup"]
    assert group["State"] == "ENABLED"
    assert group["Configuration"]["EnforceWorkGroupConfiguration"] is False
    assert "OutputLocation" not in group["Configuration"]["ResultConfiguration"]
    with pytest.raises(ClientError, match="Cannot delete the primary workgroup"):
        world.athena.delete_work_group(WorkGroup="primary")


def test_a_workgroup_is_made_listed_changed_and_deleted(world: World) -> None:
    world.athena.create_work_group(Name="team", Description="d", Tags=[{"Key": "k", "Value": "v"}])
    with pytest.raises(ClientError, match="already created"):
        world.athena.create_work_group(Name="team")
    assert [g["Name"] for g in world.athena.list_work_groups()["WorkGroups"]] == ["primary", "team"]
    assert world.athena.get_work_group(WorkGroup="team")["WorkGroup"]["Configuration"]["EnforceWorkGroupConfiguration"]
    arn = "arn:aws:athena:us-east-1:123456789012:workgroup/team"
    assert world.athena.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "k", "Value": "v"}]
    world.athena.tag_resource(ResourceARN=arn, Tags=[{"Key": "k", "Value": "w"}, {"Key": "l", "Value": ""}])
    world.athena.untag_resource(ResourceARN=arn, TagKeys=["l"])
    assert world.athena.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "k", "Value": "w"}]
    world.athena.update_work_group(
        WorkGroup="team",
        ConfigurationUpdates={
            "EnforceWorkGroupConfiguration": False,
            "ResultConfigurationUpdates": {"OutputLocation": f"s3://{RESULTS}/team/"},
            "BytesScannedCutoffPerQuery": 10_000_000,
        },
    )
    after = world.reopened()
    try:
        configuration = after.athena.get_work_group(WorkGroup="team")["WorkGroup"]["Configuration"]
        assert configuration["ResultConfiguration"]["OutputLocation"] == f"s3://{RESULTS}/team/"
        assert configuration["BytesScannedCutoffPerQuery"] == 10_000_000
        after.athena.delete_work_group(WorkGroup="team", RecursiveDeleteOption=True)
        with pytest.raises(ClientError, match="WorkGroup team is not found"):
            after.athena.get_work_group(WorkGroup="team")
    finally:
        after.athena.close()


@pytest.mark.parametrize(("enforced", "folder"), [(True, "group"), (False, "client")])
def test_an_enforced_configuration_overrides_the_clients(world: World, enforced: bool, folder: str) -> None:
    world.athena.create_work_group(
        Name="team",
        Configuration={
            "EnforceWorkGroupConfiguration": enforced,
            "ResultConfiguration": {"OutputLocation": f"s3://{RESULTS}/group/"},
        },
    )
    given = {"ResultConfiguration": {"OutputLocation": f"s3://{RESULTS}/client/"}}
    execution = start_in(world, "team", **given)
    assert execution["ResultConfiguration"]["OutputLocation"].startswith(f"s3://{RESULTS}/{folder}/")  # type: ignore[index]  # a dict of the API
    assert execution["WorkGroup"] == "team"
    without = start_in(world, "team")
    assert without["ResultConfiguration"]["OutputLocation"].startswith(f"s3://{RESULTS}/group/")  # type: ignore[index]  # as above


def test_a_disabled_workgroup_refuses(world: World) -> None:
    world.athena.create_work_group(Name="team")
    world.athena.update_work_group(WorkGroup="team", State="DISABLED")
    with pytest.raises(ClientError, match="WorkGroup team is disabled"):
        world.start("SELECT 1", WorkGroup="team")
    with pytest.raises(ClientError, match="WorkGroup nope is not found"):
        world.start("SELECT 1", WorkGroup="nope")


def test_a_query_over_the_limit_of_bytes_is_cancelled(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", zipped(event(1)))
    world.put("secor/events/dt=2026-01-01/hr=00/min=05/large.json", b"{}\n" + b" " * 10_000_000)
    world.athena.create_work_group(
        Name="team", Configuration={"EnforceWorkGroupConfiguration": False, "BytesScannedCutoffPerQuery": 10_000_000}
    )
    execution = world.run("SELECT count(*) FROM events", WorkGroup="team")
    assert execution["Status"]["State"] == "CANCELLED"
    assert "Bytes scanned limit was exceeded" in execution["Status"]["StateChangeReason"]
    assert world.run("SELECT count(*) FROM events")["Status"]["State"] == "SUCCEEDED"


def test_executions_are_listed_by_workgroup(world: World) -> None:
    world.athena.create_work_group(Name="team", Configuration={"EnforceWorkGroupConfiguration": False})
    here = world.run("SELECT 1", WorkGroup="team")["QueryExecutionId"]
    there = world.run("SELECT 1")["QueryExecutionId"]
    assert world.athena.list_query_executions(WorkGroup="team")["QueryExecutionIds"] == [here]
    assert world.athena.list_query_executions()["QueryExecutionIds"] == [there]


def test_named_queries(world: World) -> None:
    made = {"Name": "n", "Database": "d", "QueryString": "SELECT 1", "ClientRequestToken": "t" * 32}
    query_id = world.athena.create_named_query(**made)["NamedQueryId"]
    assert world.athena.create_named_query(**made)["NamedQueryId"] == query_id
    with pytest.raises(ClientError, match="Idempotent parameters do not match"):
        world.athena.create_named_query(**{**made, "QueryString": "SELECT 2"})
    world.athena.update_named_query(NamedQueryId=query_id, Name="m", QueryString="SELECT 3")
    found = world.athena.get_named_query(NamedQueryId=query_id)["NamedQuery"]
    assert (found["Name"], found["QueryString"], found["WorkGroup"]) == ("m", "SELECT 3", "primary")
    assert world.athena.list_named_queries()["NamedQueryIds"] == [query_id]
    assert len(world.athena.batch_get_named_query(NamedQueryIds=[query_id, "nope"])["UnprocessedNamedQueryIds"]) == 1
    world.athena.delete_named_query(NamedQueryId=query_id)
    with pytest.raises(ClientError, match="was not found"):
        world.athena.get_named_query(NamedQueryId=query_id)


def test_prepared_statements(world: World) -> None:
    place = {"StatementName": "st", "WorkGroup": "primary"}
    world.athena.create_prepared_statement(**place, QueryStatement="SELECT ?")
    with pytest.raises(ClientError, match="already exists"):
        world.athena.create_prepared_statement(**place, QueryStatement="SELECT ?")
    world.athena.update_prepared_statement(**place, QueryStatement="SELECT ? + 1", Description="d")
    found = world.athena.get_prepared_statement(**place)["PreparedStatement"]
    assert (found["QueryStatement"], found["Description"]) == ("SELECT ? + 1", "d")
    assert [
        s["StatementName"] for s in world.athena.list_prepared_statements(WorkGroup="primary")["PreparedStatements"]
    ] == ["st"]
    batch = world.athena.batch_get_prepared_statement(WorkGroup="primary", PreparedStatementNames=["st", "no"])
    assert (len(batch["PreparedStatements"]), len(batch["UnprocessedPreparedStatementNames"])) == (1, 1)
    world.athena.delete_prepared_statement(**place)
    for call in (world.athena.get_prepared_statement, world.athena.delete_prepared_statement):
        with pytest.raises(world.athena.exceptions.ResourceNotFoundException):
            call(**place)


def test_results_are_reused_when_both_sides_agree(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", zipped(event(1)))
    reuse = {"ResultReuseConfiguration": {"ResultReuseByAgeConfiguration": {"Enabled": True, "MaxAgeInMinutes": 5}}}
    sql = "SELECT count(*) FROM events"
    first = world.run(sql, **reuse)
    second = world.run(sql, **reuse)
    assert first["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"] is False
    assert second["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"] is True
    assert second["Statistics"]["DataScannedInBytes"] == 0
    assert list(world.pages(second["QueryExecutionId"])) == list(world.pages(first["QueryExecutionId"]))
    assert world.run(sql)["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"] is False
    for changed in ("SELECT now() IS NULL", "SELECT rand() < 2"):
        for _ in range(2):
            assert world.run(changed, **reuse)["Statistics"]["ResultReuseInformation"]["ReusedPreviousResult"] is False
    assert LAKE != RESULTS
