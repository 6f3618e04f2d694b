from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from glue.partition_spec import PartitionSpec
from glue.table_spec import InvalidTableSpec, load_table_specs

ENVELOPE_COLUMNS = {
    "resourceid": "string", "customerid": "bigint", "operationid": "string", "servicename": "string",
    "createdtimestamp": "bigint", "datatags": "map<string,string>", "arrivaltimestamp": "bigint",
    "service": "string", "data": "string",
}  # fmt: skip

OWN_TABLE = """
name: clicks
database: data_hist
description: Clicks of the shop.
envelope: v0
columns:
  - {name: basket, type: "decimal(10,2)", description: Value of the basket.}
location: {bucket: somewhere, prefix: raw/secor, topic: shop.clicks}
layout: {granularity: hour}
partition_keys:
  - {name: dt, type: string, description: day}
  - {name: hr, type: string, description: hour}
allowed_lateness_minutes: 15
allowed_clock_skew_minutes: 0
retention_days: 30
"""


def test_the_shipped_tables_wear_the_envelope() -> None:
    specs = load_table_specs()
    assert sorted(specs) == ["data_hist_v1.events", "events", "logs", "metrics"]
    for spec in (specs[name] for name in ("events", "logs", "metrics")):
        assert {column.name: column.type for column in spec.columns} == ENVELOPE_COLUMNS
        assert [key.name for key in spec.partition_keys] == ["dt", "hr", "min"]
        assert all(column.description for column in spec.all_columns)
        assert (spec.tenant_column, spec.time_column) == ("customerid", "createdtimestamp")
        assert spec.forbidden_columns == {"resourceid", "operationid"}
        assert (spec.allowed_lateness_minutes, spec.allowed_clock_skew_minutes, spec.retention_days) == (60, 5, 365)
        assert spec.location == f"s3://data-hist-lake/secor/{spec.name}/"


def test_table_input_has_what_other_readers_need() -> None:
    spec = load_table_specs(bucket="elsewhere")["events"]
    table_input = spec.table_input()
    assert table_input["TableType"] == "EXTERNAL_TABLE"
    assert table_input["Parameters"]["classification"] == "json"
    descriptor = table_input["StorageDescriptor"]
    assert descriptor["Location"] == "s3://elsewhere/secor/events/"
    assert descriptor["SerdeInfo"]["SerializationLibrary"] == "org.openx.data.jsonserde.JsonSerDe"
    partition = spec.partition_input(PartitionSpec.parse("dt=2026-11-22/hr=10/min=05"))
    assert partition["Values"] == ["2026-11-22", "10", "05"]
    assert partition["StorageDescriptor"]["Location"] == "s3://elsewhere/secor/events/dt=2026-11-22/hr=10/min=05/"
    assert partition["StorageDescriptor"]["Columns"] == descriptor["Columns"]


def test_a_new_table_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "clicks.yaml").write_text(OWN_TABLE)
    shipped = Path(__file__).parents[3] / "glue" / "tables" / "envelope-v0.yaml"
    (tmp_path / "envelope-v0.yaml").write_text(shipped.read_text())
    spec = load_table_specs(tmp_path)["clicks"]
    assert spec.location == "s3://somewhere/raw/secor/shop.clicks/"
    assert [column.name for column in spec.all_columns][-3:] == ["basket", "dt", "hr"]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("database: data_hist\n", "", "database is missing"),
        ("name: clicks", "name: Clicks", "lower-case"),
        ("granularity: hour", "granularity: minute", "partition keys"),
        ("allowed_lateness_minutes: 15", "allowed_lateness_minutes: soon", "not a number of minutes"),
        ("name: basket", "name: dt", "same name"),
        ("description: Clicks of the shop.", "description: [", "clicks.yaml"),
        ("envelope: v0", "envelope: v9", "envelope-v9"),
        ("retention_days: 30", "retention_days: 30\ntenant_column: nobody", "nobody"),
        ("retention_days: 30", "retention_days: 30\nraised: [{name: a, type: int, path: b, description: c}]", "path"),
        (
            "retention_days: 30",
            "retention_days: 30\nraised: [{name: a, type: in, path: $.b, description: c}]",
            "no type",
        ),
        (
            "retention_days: 30",
            "retention_days: 30\nraised: [{name: dt, type: int, path: $.b, description: c}]",
            "same",
        ),
    ],
)
def test_a_table_that_cannot_be_meant_names_its_file(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    shipped = Path(__file__).parents[3] / "glue" / "tables" / "envelope-v0.yaml"
    (tmp_path / "envelope-v0.yaml").write_text(shipped.read_text())
    (tmp_path / "clicks.yaml").write_text(OWN_TABLE.replace(old, new))
    with pytest.raises(InvalidTableSpec, match=complaint) as raised:
        load_table_specs(tmp_path)
    assert "clicks.yaml" in str(raised.value)


def test_a_table_of_another_writer_is_a_yaml_file(tmp_path: Path) -> None:
    from importlib import resources

    shipped = resources.files("glue") / "tables"
    for name in ("envelope-v0.yaml", "writer-firehose.yaml"):
        (tmp_path / name).write_text((shipped / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "deliveries.yaml").write_text(
        "{name: deliveries, database: data_hist, description: d, envelope: v0,"
        " location: {bucket: b, prefix: firehose, topic: deliveries}, layout: {writer: firehose, granularity: day},"
        " partition_keys: [{name: year, type: string, description: y}, {name: month, type: string, description: m},"
        " {name: day, type: string, description: d}],"
        " allowed_lateness_minutes: 60, allowed_clock_skew_minutes: 5, retention_days: 30}",
        encoding="utf-8",
    )
    spec = load_table_specs(tmp_path)["deliveries"]
    assert spec.layout.scheme.keys() == ("year", "month", "day")
    assert spec.layout.folder("deliveries", PartitionSpec.from_values(["2026", "11", "22"], spec.layout.scheme)) == (
        "firehose/deliveries/2026/11/22/"
    )


def test_a_table_of_another_database_is_referred_to_with_it() -> None:
    events = load_table_specs()["events"]
    assert events.reference == "events"
    assert replace(events, database="data_hist_v1").reference == "data_hist_v1.events"


def test_raised_fields_are_columns_between_the_data_and_the_partition_keys(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "glue" / "tables" / "envelope-v0.yaml"
    (tmp_path / "envelope-v0.yaml").write_text(shipped.read_text())
    raised = "raised:\n  - {name: price, type: 'decimal(9,2)', path: [$.price, $.a.price], description: Price.}\n"
    (tmp_path / "clicks.yaml").write_text(OWN_TABLE + raised)
    spec = load_table_specs(tmp_path)["clicks"]
    assert [column.name for column in spec.all_columns][-4:] == ["basket", "price", "dt", "hr"]
    assert spec.table_input()["StorageDescriptor"]["Columns"][-1] == {
        "Name": "price", "Type": "decimal(9,2)", "Comment": "Price."
    }  # fmt: skip
    assert spec.raised[0].paths == ("$.price", "$.a.price")
