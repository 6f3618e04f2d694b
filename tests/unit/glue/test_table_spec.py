from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from glue.partition_spec import PartitionSpec
from glue.table_spec import InvalidTableSpec, load_table_specs, table_specs_of_environment

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
    assert list(specs) == ["events", "data_hist_v1.events", "logs", "metrics"]
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
        ("granularity: hour", "granularity: minute", "partition_keys: dt, hr are not those of the layout: dt, hr, min"),
        ("granularity: hour", "granularty: hour", "layout.granularty: unknown; did you mean granularity?"),
        ("granularity: hour", "writer: firehos", "layout.writer: no writer 'firehos'; did you mean firehose?"),
        ("allowed_lateness_minutes: 15", "allowed_lateness_minutes: soon", "'soon' is not a whole number from 0 on"),
        ("database: data_hist", "databse: data_hist", "database is missing; is databse meant for it?"),
        ("retention_days: 30", "retention_days: 30\ncolunms: []", "colunms: unknown; did you mean columns?"),
        ('type: "decimal(10,2)"', "type: strin", r"columns\[0\].type: 'strin' is no type"),
        ('type: "decimal(10,2)", ', "", r"columns\[0\].type is missing"),
        ("retention_days: 30", "retention_days: 30\nretention_days: 40", "line 1[0-9]: 'retention_days' stands twice"),
        ("retention_days: 30", "retention_days: 0", "retention_days 0 is not a number of days"),
        (
            "retention_days: 30",
            "retention_days: 30\ntime_column: data",
            "time_column: 'data' is no column of type bigint",
        ),
        ("retention_days: 30", "retention_days: 30\nforbidden_columns: [custmerid]", "did you mean customerid?"),
        ("retention_days: 30", "retention_days: 30\nforbidden_columns: [customerid]", "queries need customerid"),
        ("retention_days: 30", "retention_days: 30\nexamples: [{record: 5}]", r"examples\[0\].record: is neither"),
        ("name: clicks", "- a list", "is not a mapping|expected"),
        ("name: basket", "name: dt", "same name"),
        ("description: Clicks of the shop.", "description: [", "clicks.yaml"),
        ("envelope: v0", "envelope: v9", "envelope: no envelope 'v9'; there are v0, v1"),
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


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "clicks.yaml").write_text(OWN_TABLE.replace("name: basket", "nam: basket").replace("15", "x"))
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(InvalidTableSpec) as raised:
        load_table_specs(tmp_path)
    lines = str(raised.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["broken.yaml", *["clicks.yaml"] * 3]
    assert any("columns[0].name is missing; is nam meant for it?" in line for line in lines)


def test_a_folder_of_ones_own_adds_tables_and_replaces_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "clicks.yaml").write_text(OWN_TABLE)
    (tmp_path / "ours.yaml").write_text(OWN_TABLE.replace("name: clicks", "name: logs"))
    (tmp_path / "notes.txt").write_text("not a table")
    specs = load_table_specs(tmp_path, bucket="the-lake")
    assert sorted(specs) == ["clicks", "data_hist_v1.events", "events", "logs", "metrics"]
    assert specs["logs"].description == "Clicks of the shop."
    assert (specs["clicks"].bucket, specs["events"].bucket) == ("somewhere", "the-lake")
    (tmp_path / "again.yaml").write_text(OWN_TABLE)
    with pytest.raises(InvalidTableSpec, match=r"clicks\.yaml: a second table named clicks; again\.yaml has it"):
        load_table_specs(tmp_path)
    with pytest.raises(InvalidTableSpec, match="no folder of tables"):
        load_table_specs(tmp_path / "nowhere")


def test_the_environment_names_folder_and_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clicks.yaml").write_text(OWN_TABLE)
    monkeypatch.setenv("DATA_HIST_TABLES_DIR", str(tmp_path))
    monkeypatch.setenv("DATA_HIST_LAKE_BUCKET", "the-lake")
    specs = table_specs_of_environment()
    assert specs["clicks"].name == "clicks"
    assert specs["events"].bucket == "the-lake"


def test_an_envelope_of_ones_own(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[3] / "glue" / "tables" / "envelope-v1.yaml").read_text()
    (tmp_path / "envelope-ours.yaml").write_text(
        shipped.replace("name: created_at", "name: at").replace(": created_at", ": at")
    )
    text = OWN_TABLE.replace("envelope: v0", "envelope: ours").replace("{granularity: hour}", "{}")
    (tmp_path / "clicks.yaml").write_text(text.partition("partition_keys:")[0] + text[text.index("allowed_lateness") :])
    spec = load_table_specs(tmp_path)["clicks"]
    assert spec.time_column == "at"
    assert spec.record is not None
    assert spec.record.created == "at"


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
