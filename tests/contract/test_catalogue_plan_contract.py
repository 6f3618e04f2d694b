"""Tables follow their specs: the same plans and outcomes on the embedded catalogue and on moto's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from glue.bootstrap import ensure_catalogue
from glue.catalogue_plan import AppliedTable, CatalogueChange, apply_table, plan_table
from glue.layout import SecorLayout
from glue.partition_spec import PartitionScheme, PartitionSpec
from glue.raised_field import RaisedField
from glue.registration import register_partitions
from glue.table_spec import ColumnSpec, TableSpec, load_table_specs
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, moto_differs

EVENTS = load_table_specs()["events"]
NAMED = {"DatabaseName": "data_hist", "Name": "events"}
AMOUNT = ColumnSpec("amount", "int", "What it cost.")
WITH_AMOUNT = replace(EVENTS, columns=(*EVENTS.columns, AMOUNT))
PARTITIONS = [PartitionSpec.parse(f"dt=2026-11-22/hr=10/min={minute:02}") for minute in range(7)]


def retyped(column_type: str) -> TableSpec:
    return replace(EVENTS, columns=(*EVENTS.columns, replace(AMOUNT, type=column_type)))


@dataclass
class Catalogue:
    """A catalogue with the table `events` and some of its partitions, one of them at a location of its own."""

    glue: Any

    def make(self, spec: TableSpec = EVENTS) -> None:
        ensure_catalogue(self.glue, [spec])
        register_partitions(self.glue, spec, PARTITIONS)
        entry = spec.partition_input(PARTITIONS[0])
        entry["StorageDescriptor"]["Location"] = "s3://elsewhere/compacted/"
        entry["StorageDescriptor"]["SerdeInfo"] = {
            "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
        }
        entry["Parameters"] = {"compacted": "yes"}
        self.glue.update_partition(
            DatabaseName="data_hist", TableName="events", PartitionValueList=entry["Values"], PartitionInput=entry
        )

    def table(self) -> dict[str, Any]:
        table: dict[str, Any] = self.glue.get_table(**NAMED)["Table"]
        return table

    def column_types(self) -> dict[str, str]:
        return {column["Name"]: column["Type"] for column in self.table()["StorageDescriptor"]["Columns"]}

    def partitions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.glue.get_partitions(DatabaseName="data_hist", TableName="events")[
            "Partitions"
        ]
        return found

    def add_column(self, name: str, column_type: str) -> None:
        """What somebody else does to the table."""
        table = self.table()
        descriptor = table["StorageDescriptor"]
        descriptor["Columns"].append({"Name": name, "Type": column_type})
        members = ("Name", "StorageDescriptor", "PartitionKeys", "TableType", "Parameters", "Description")
        table_input = {member: table[member] for member in members}
        table_input["Parameters"] = {**table["Parameters"], "owner_team": "billing"}
        self.glue.update_table(DatabaseName="data_hist", TableInput=table_input)


@pytest.fixture(params=IMPLEMENTATIONS, name="implementation")
def _implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def catalogue(implementation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    with glue_client(implementation, tmp_path, monkeypatch) as client:
        yield Catalogue(client)


def apply(catalogue: Catalogue, spec: TableSpec, **arguments: Any) -> AppliedTable:
    return apply_table(catalogue.glue, spec, sleep=lambda _: None, **arguments)


def signs(changes: tuple[CatalogueChange, ...]) -> list[str]:
    return [f"{change.sign}{change.part} {change.name}".strip() for change in changes]


def test_an_empty_catalogue_gets_database_and_table(catalogue: Catalogue) -> None:
    plan = plan_table(catalogue.glue, EVENTS)
    assert plan.action == "create"
    assert signs(plan.changes)[:3] == ["+database data_hist", "+table events", "+column resourceid"]
    assert apply(catalogue, EVENTS).action == "create"
    assert list(catalogue.column_types())[-1] == "trace_id"
    assert plan_table(catalogue.glue, EVENTS).is_empty
    assert apply(catalogue, EVENTS).action == "none"
    assert not ensure_catalogue(catalogue.glue, [EVENTS]).has_changed


def test_columns_are_added_at_the_end_and_partitions_follow(catalogue: Catalogue) -> None:
    catalogue.make()
    before = {tuple(entry["Values"]): entry for entry in catalogue.partitions()}
    versions = len(catalogue.glue.get_table_versions(DatabaseName="data_hist", TableName="events")["TableVersions"])
    plan = plan_table(catalogue.glue, WITH_AMOUNT)
    assert plan.action == "update"
    assert signs(plan.changes) == ["+column amount", "~partitions 7"]
    outcome = apply(catalogue, WITH_AMOUNT)
    assert (outcome.partitions_updated, outcome.failed, outcome.left) == (7, [], ())
    assert list(catalogue.column_types())[-1] == "amount"  # behind the raised fields that were there already
    for entry in catalogue.partitions():
        old = before[tuple(entry["Values"])]
        assert entry["StorageDescriptor"]["Columns"] == catalogue.table()["StorageDescriptor"]["Columns"]
        for member in ("Location", "SerdeInfo"):
            assert entry["StorageDescriptor"][member] == old["StorageDescriptor"][member]
        assert entry.get("Parameters", {}) == old.get("Parameters", {})
    assert plan_table(catalogue.glue, WITH_AMOUNT).is_empty
    assert apply(catalogue, WITH_AMOUNT).action == "none"
    after = catalogue.glue.get_table_versions(DatabaseName="data_hist", TableName="events")["TableVersions"]
    assert len(after) <= versions + 1 or catalogue.glue.__class__.__module__.startswith("botocore")  # moto archives all


def test_a_type_that_widens_is_safe_and_any_other_needs_to_be_allowed(catalogue: Catalogue) -> None:
    catalogue.make(retyped("int"))
    assert apply(catalogue, retyped("bigint")).left == ()
    assert catalogue.column_types()["amount"] == "bigint"
    outcome = apply(catalogue, retyped("string"))
    assert signs(outcome.left) == ["~column amount"]
    assert "does not read as string" in outcome.left[0].breaks
    assert catalogue.column_types()["amount"] == "bigint"
    assert [change.breaks != "" for change in plan_table(catalogue.glue, retyped("string")).changes] == [True]
    assert apply(catalogue, retyped("string"), allow_breaking=True).left == ()
    assert catalogue.column_types()["amount"] == "string"
    assert {
        column["Type"]
        for entry in catalogue.partitions()
        for column in entry["StorageDescriptor"]["Columns"]
        if column["Name"] == "amount"
    } == {"string"}


def test_what_is_safe_is_done_beside_what_is_left(catalogue: Catalogue) -> None:
    catalogue.make(retyped("bigint"))
    raised = RaisedField("region", "string", ("$.region",), "Where.")
    spec = replace(retyped("int"), raised=(*EVENTS.raised, raised), description="Said better.")
    for _ in range(2):
        outcome = apply(catalogue, spec)
        assert signs(outcome.left) == ["~column amount"]
    assert outcome.action == "none"
    assert catalogue.column_types()["region"] == "string"
    assert catalogue.table()["Description"] == "Said better."
    report = ensure_catalogue(catalogue.glue, [spec])
    assert not report.has_changed
    assert signs(report.left["data_hist.events"]) == ["~column amount"]


def test_a_column_that_goes_is_told_from_one_that_others_added(catalogue: Catalogue) -> None:
    catalogue.make(WITH_AMOUNT)
    catalogue.add_column("billing_code", "string")
    plan = plan_table(catalogue.glue, EVENTS)
    assert signs(plan.changes) == ["-column amount", "~partitions 7"]  # these get the others' column
    assert signs(plan.kept) == ["+column billing_code", "+parameter owner_team"]
    assert "amount" in plan.breaking[0].breaks
    assert signs(apply(catalogue, EVENTS).left) == ["-column amount"]
    assert "amount" in catalogue.column_types()
    apply(catalogue, EVENTS, allow_breaking=True)
    assert "amount" not in catalogue.column_types()
    assert catalogue.column_types()["billing_code"] == "string"
    assert catalogue.table()["Parameters"]["owner_team"] == "billing"
    assert plan_table(catalogue.glue, EVENTS).is_empty


def test_others_columns_reach_the_partitions_too(catalogue: Catalogue) -> None:
    catalogue.make()
    catalogue.add_column("billing_code", "string")
    assert signs(plan_table(catalogue.glue, EVENTS).changes) == ["~partitions 7"]
    assert apply(catalogue, EVENTS).partitions_updated == 7
    assert {entry["StorageDescriptor"]["Columns"][-1]["Name"] for entry in catalogue.partitions()} == {"billing_code"}


def test_another_location_leaves_partitions_where_they_are(catalogue: Catalogue) -> None:
    catalogue.make()
    moved = EVENTS.in_bucket("new-lake")
    plan = plan_table(catalogue.glue, moved)
    assert signs(plan.breaking) == ["~location"]
    assert apply(catalogue, moved).left == plan.breaking
    assert apply(catalogue, moved, allow_breaking=True).partitions_updated == 0
    assert catalogue.table()["StorageDescriptor"]["Location"] == "s3://new-lake/secor/events/"
    assert all("new-lake" not in entry["StorageDescriptor"]["Location"] for entry in catalogue.partitions())


def test_other_partition_keys_make_the_table_anew(catalogue: Catalogue) -> None:
    catalogue.make()
    hourly = replace(
        EVENTS,
        partition_keys=EVENTS.partition_keys[:2],
        layout=SecorLayout(prefix="secor", scheme=PartitionScheme.from_secor(granularity="hour")),
    )
    plan = plan_table(catalogue.glue, hourly)
    assert plan.action == "replace"
    assert "partitions repair" in plan.breaking[0].breaks
    assert apply(catalogue, hourly).left == plan.breaking
    assert len(catalogue.partitions()) == 7
    assert apply(catalogue, hourly, allow_breaking=True).action == "replace"
    assert [key["Name"] for key in catalogue.table()["PartitionKeys"]] == ["dt", "hr"]
    assert catalogue.partitions() == []
    assert plan_table(catalogue.glue, hourly).is_empty


def test_comments_parameters_and_properties_follow(catalogue: Catalogue) -> None:
    catalogue.make()
    spec = replace(
        EVENTS,
        columns=(replace(EVENTS.columns[0], description="Said better."), *EVENTS.columns[1:]),
        serde_parameters={**EVENTS.serde_parameters, "mapping.service": "svc"},
    )
    assert signs(plan_table(catalogue.glue, spec).changes) == [
        "~comment resourceid", "+property mapping.service", "~partitions 6"
    ]  # fmt: skip
    apply(catalogue, spec)
    table = catalogue.table()
    assert table["StorageDescriptor"]["Columns"][0]["Comment"] == "Said better."
    assert table["StorageDescriptor"]["SerdeInfo"]["Parameters"]["mapping.service"] == "svc"
    for entry in catalogue.partitions():  # also those of JSON, not the one of Parquet
        is_json = "openx" in entry["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"]
        assert ("mapping.service" in (entry["StorageDescriptor"]["SerdeInfo"].get("Parameters") or {})) is is_json
    assert plan_table(catalogue.glue, spec).is_empty


def test_a_table_that_somebody_else_made_is_taken_over(catalogue: Catalogue) -> None:
    """A crawler's table: another SerDe, other spellings, none of our notes."""
    catalogue.glue.create_database(DatabaseInput={"Name": "data_hist"})
    columns = [{"Name": column.name, "Type": column.type} for column in EVENTS.columns[:4]]
    catalogue.glue.create_table(
        DatabaseName="data_hist",
        TableInput={
            "Name": "events",
            "StorageDescriptor": {
                "Columns": [*columns, {"Name": "partition_0", "Type": "string"}],
                "Location": EVENTS.location.rstrip("/"),
                "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                "SerdeInfo": {"SerializationLibrary": EVENTS.storage_descriptor("")["SerdeInfo"][
                    "SerializationLibrary"]},
            },
            "PartitionKeys": [{"Name": key.name, "Type": "string"} for key in EVENTS.partition_keys],
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"UPDATED_BY_CRAWLER": "events"},
        },
    )  # fmt: skip
    plan = plan_table(catalogue.glue, EVENTS)
    assert plan.breaking == ()
    assert signs(plan.kept) == ["+column partition_0", "+parameter UPDATED_BY_CRAWLER"]
    apply(catalogue, EVENTS)
    assert plan_table(catalogue.glue, EVENTS).is_empty
    assert list(catalogue.column_types())[4:6] == ["partition_0", "createdtimestamp"]


class Killed(Exception):
    pass


class DyingGlue:
    """Dies before the n-th writing call."""

    def __init__(self, glue: Any, lives: int) -> None:
        self._glue = glue
        self.lives = lives

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._glue, name)
        if not name.startswith(("create", "update", "delete", "batch")):
            return call

        def mortal(**arguments: Any) -> Any:
            if self.lives == 0:
                raise Killed
            self.lives -= 1
            return call(**arguments)

        return mortal


@pytest.mark.parametrize("change", ["columns", "keys"])
def test_killed_between_any_two_writes_the_next_apply_finishes(
    catalogue: Catalogue, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glue.catalogue_plan.PARTITIONS_PER_CALL", 3)
    hourly = SecorLayout(prefix="secor", scheme=PartitionScheme.from_secor(granularity="hour"))
    wanted = (
        WITH_AMOUNT if change == "columns" else replace(EVENTS, partition_keys=EVENTS.partition_keys[:2], layout=hourly)
    )
    for lives in range(10):
        if catalogue.glue.get_databases()["DatabaseList"]:
            catalogue.glue.delete_table(DatabaseName="data_hist", Name="events")
        catalogue.make()
        try:
            apply_table(DyingGlue(catalogue.glue, lives), wanted, allow_breaking=True)
        except Killed:
            assert apply_table(catalogue.glue, wanted, allow_breaking=True).failed == []
            assert plan_table(catalogue.glue, wanted).is_empty
            if change == "columns":
                assert {len(entry["StorageDescriptor"]["Columns"]) for entry in catalogue.partitions()} == {
                    len(wanted.data_columns)
                }
        else:
            break
    assert lives == (5 if change == "columns" else 2)


def test_somebody_elses_change_between_read_and_write_is_not_lost(
    catalogue: Catalogue, request: pytest.FixtureRequest
) -> None:
    moto_differs(request, "UpdateTable does not look at VersionId")
    catalogue.make()

    class Racing:
        """Somebody adds a column between our GetTable and our UpdateTable, once."""

        has_raced = False

        def __getattr__(self, name: str) -> Any:
            if name == "update_table" and not self.has_raced:
                self.has_raced = True
                catalogue.add_column("billing_code", "string")
            return getattr(catalogue.glue, name)

    apply_table(Racing(), WITH_AMOUNT, sleep=lambda _: None)
    assert {"billing_code", "amount"} <= set(catalogue.column_types())


def test_partitions_that_are_refused_are_told_and_taken_up_again(catalogue: Catalogue) -> None:
    catalogue.make()

    class Refusing:
        answers = ["ThrottlingException", "InvalidInputException"]

        def __getattr__(self, name: str) -> Any:
            return getattr(catalogue.glue, name)

        def batch_update_partition(self, **arguments: Any) -> Any:
            if not self.answers:
                return catalogue.glue.batch_update_partition(**arguments)
            code = self.answers.pop(0)
            raise ClientError({"Error": {"Code": code, "Message": "not now"}}, "BatchUpdatePartition")

    outcome = apply_table(Refusing(), WITH_AMOUNT, sleep=lambda _: None)
    assert outcome.partitions_updated == 0
    assert {reason for _, reason in outcome.failed} == {"InvalidInputException: not now"}
    assert len(outcome.failed) == 7
    assert signs(plan_table(catalogue.glue, WITH_AMOUNT).changes) == ["~partitions 7"]
    assert apply(catalogue, WITH_AMOUNT).partitions_updated == 7
