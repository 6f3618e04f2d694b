"""What a crawl would make of a lake, by the documented rules: over the embedded S3 and over moto."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from glue.crawl_prediction import CrawlPrediction, PredictedTable, predict
from glue.crawler_configuration import CrawlerConfiguration, InvalidConfiguration
from glue.crawler_preset import preset
from glue.table_spec import load_table_specs
from tests.contract.aws_implementations import IMPLEMENTATIONS, s3_client
from tests.shared_data import shared_data

BUCKET = "lake"
A_B, C_D = {"A": 1, "B": 2}, {"C": 3, "D": 4}


@pytest.fixture(params=IMPLEMENTATIONS)
def s3(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_client(request.param, tmp_path, monkeypatch) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def embedded_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_client("embedded", tmp_path, monkeypatch) as client:
        client.create_bucket(Bucket=BUCKET)
        yield client


def put(s3: Any, key: str, *rows: Any, body: bytes | None = None) -> None:
    text = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    s3.put_object(Bucket=BUCKET, Key=key, Body=text if body is None else body)


def crawler(*paths: str, exclusions: tuple[str, ...] = (), sample_size: int | None = None, **grouping: Any) -> Any:
    targets = [
        {"Path": f"s3://{BUCKET}/{path}", "Exclusions": list(exclusions), "SampleSize": sample_size} for path in paths
    ]
    return CrawlerConfiguration.from_crawler(
        {
            "Name": "c",
            "DatabaseName": "d",
            "Targets": {"S3Targets": targets},
            "Configuration": json.dumps({"Version": 1.0, "Grouping": grouping}),
        }
    )


COMBINE = {"TableGroupingPolicy": "CombineCompatibleSchemas"}


def by_name(prediction: CrawlPrediction) -> dict[str, PredictedTable]:
    return {table.name: table for table in prediction.tables}


def only(prediction: CrawlPrediction) -> PredictedTable:
    (table,) = prediction.tables
    return table


def types(table: PredictedTable) -> dict[str, str]:
    return {column.name: column.hive() for column in table.columns}


class TestPartitions:
    def test_the_guides_sales(self, s3: Any) -> None:
        for month, day in (("Jan", 1), ("Jan", 2), ("Feb", 1), ("Feb", 2)):
            put(s3, f"sales/year=2019/month={month}/day={day}/data.json", A_B)
        table = only(predict(s3, crawler("sales/")))
        assert (table.name, table.location, table.format) == ("sales", "s3://lake/sales/", "json")
        assert table.partition_keys == ("year", "month", "day")
        assert {partition.values for partition in table.partitions} == {
            ("2019", month, day) for month in ("Jan", "Feb") for day in ("1", "2")
        }
        assert table.partitions[0].location == "s3://lake/sales/year=2019/month=Feb/day=1/"
        assert types(table) == {"a": "int", "b": "int"}

    def test_the_guides_folder_with_tables_that_are_alike(self, s3: Any) -> None:
        for path in ("table1/partition1", "table1/partition2", "table2/partition4"):
            put(s3, f"folder1/{path}/file.txt", A_B)
        table = only(predict(s3, crawler("folder1/")))
        assert table.partition_keys == ("partition_0", "partition_1")
        assert ("table1", "partition2") in {partition.values for partition in table.partitions}
        two = by_name(predict(s3, crawler("folder1/table1/", "folder1/table2")))
        assert {name: found.partition_keys for name, found in two.items()} == {
            "table1": ("partition_0",),
            "table2": ("partition_0",),
        }

    def test_the_guides_schemas_that_are_not_alike(self, s3: Any) -> None:
        put(s3, "table1/year=2017/data1.json", A_B)
        put(s3, "table1/year=2018/data2.json", C_D)
        apart = by_name(predict(s3, crawler("table1/")))
        assert {name: types(table) for name, table in apart.items()} == {
            "year_2017": {"a": "int", "b": "int"},
            "year_2018": {"c": "int", "d": "int"},
        }
        assert "match by 0%" in apart["year_2017"].reason
        one = only(predict(s3, crawler("table1/", **COMBINE)))
        assert types(one) == {"a": "int", "b": "int", "c": "int", "d": "int"}
        assert one.partition_keys == ("year",)

    def test_more_than_70_percent_have_to_match(self, s3: Any) -> None:
        ten = {f"c{number}": number for number in range(10)}
        put(s3, "t/p=1/x", ten)
        put(s3, "t/p=2/x", {name: value for name, value in ten.items() if name not in ("c0", "c1", "c2")})
        assert len(predict(s3, crawler("t/")).tables) == 2  # 7 of 10
        put(s3, "t/p=2/x", {name: value for name, value in ten.items() if name not in ("c0", "c1")})
        assert len(predict(s3, crawler("t/")).tables) == 1  # 8 of 10

    def test_at_most_five_different_schemas(self, s3: Any) -> None:
        base = {f"c{number}": number for number in range(10)}
        for number in range(5):
            put(s3, f"t/p={number}/x", {**base, f"extra{number}": 1})
        assert only(predict(s3, crawler("t/"))).partition_keys == ("p",)
        put(s3, "t/p=5/x", {**base, "extra5": 1})
        six = predict(s3, crawler("t/"))
        assert len(six.tables) == 6
        assert "6 different schemas" in six.tables[0].reason
        assert len(predict(s3, crawler("t/", **COMBINE)).tables) == 1

    def test_another_format_or_compression_is_another_table(self, s3: Any) -> None:
        put(s3, "t/p=1/a.json", A_B)
        put(s3, "t/p=2/a.json.gz", body=gzip.compress(b'{"A":1,"B":2}\n'))
        found = by_name(predict(s3, crawler("t/", **COMBINE)))
        assert {name: table.compression for name, table in found.items()} == {"p_1": "none", "p_2": "gzip"}

    def test_folders_of_different_depth(self, s3: Any) -> None:
        put(s3, "t/p=1/x", A_B)
        put(s3, "t/p=2/q=3/x", A_B)
        put(s3, "t/x", A_B)
        found = by_name(predict(s3, crawler("t/")))
        assert {name: table.partition_keys for name, table in found.items()} == {"t": (), "p_1": (), "p_2": ("q",)}

    def test_the_table_level(self, s3: Any) -> None:
        for topic in ("events", "logs"):
            put(s3, f"secor/{topic}/dt=1/hr=2/x", A_B)
        assert only(predict(s3, crawler("secor/"))).partition_keys == ("partition_0", "dt", "hr")
        found = by_name(predict(s3, crawler("secor/", TableLevelConfiguration=3)))
        assert {name: table.partition_keys for name, table in found.items()} == {
            "events": ("dt", "hr"),
            "logs": ("dt", "hr"),
        }

    def test_a_hash_folder_is_a_key_without_a_name(self, s3: Any) -> None:
        for folder in ("ab12", "cd34"):
            put(s3, f"{folder}/secor/events/dt=1/x", A_B)
        assert only(predict(s3, crawler(""))).partition_keys == ("partition_0", "partition_1", "partition_2", "dt")


class TestReading:
    def test_exclusions_markers_and_empty_objects(self, s3: Any) -> None:
        put(s3, "t/p=1/x", A_B)
        put(s3, "t/p=1/_SUCCESS", body=b"marker")
        put(s3, "t/p=1/sub/.x.crc", body=b"\0")
        put(s3, "t/p=2_$folder$", body=b"")
        found = predict(s3, crawler("t/", exclusions=("**/_SUCCESS", "**.crc")))
        assert (found.object_count, found.excluded_count, found.empty_count) == (1, 2, 1)
        assert only(found).partition_keys == ("p",)
        everything = predict(s3, crawler("t/"))
        assert everything.unknown_count == 2

    def test_a_sample_size_and_a_bound(self, s3: Any) -> None:
        for folder in range(3):
            for number in range(4):
                put(s3, f"t/p={folder}/{number}", {"a": number} if number < 2 else {"a": "text"})
        assert types(only(predict(s3, crawler("t/", **COMBINE)))) == {"a": "string"}
        few = predict(s3, crawler("t/", sample_size=2))
        assert (few.sampled_objects, few.object_count, types(only(few))) == (6, 12, {"a": "int"})
        bounded = predict(s3, crawler("t/"), maximum_samples=2)
        assert (bounded.sampled_objects, len(only(bounded).partitions)) == (2, 3)

    def test_large_objects_are_read_in_part(self, embedded_s3: Any) -> None:
        row = json.dumps({"a": 1, "text": "x" * 1000}).encode() + b"\n"
        put(embedded_s3, "t/plain", body=row * 3000)
        put(embedded_s3, "t/late", body=b" " * 2_000_000 + row)
        put(embedded_s3, "t/never", body=b'{"a": "' + b"x" * 11_000_000)
        found = predict(embedded_s3, crawler("t/"))
        assert types(only(found)) == {"a": "int", "text": "string"}
        assert found.unknown == ["s3://lake/t/never"]
        assert found.read_bytes < 1_100_000 + 2_100_000 + 10_500_000

    def test_damaged_gzip_is_read_as_far_as_it_goes(self, s3: Any) -> None:
        whole = gzip.compress(b'{"a": 1}\n' * 10_000)
        put(s3, "t/cut.gz", body=whole[: len(whole) // 2])
        put(s3, "t/two.gz", body=gzip.compress(b'{"a": 1}\n') + gzip.compress(b'{"b": 2}\n'))
        put(s3, "t/junk.gz", body=b"\x1f\x8bjunk")
        found = predict(s3, crawler("t/", **COMBINE))
        assert types(only(found)) == {"a": "int", "b": "int"}
        assert found.unknown == ["s3://lake/t/junk.gz"]

    def test_parquet_tells_its_columns(self, s3: Any) -> None:
        rows = {
            "N": pyarrow.array([1], pyarrow.int32()),
            "at": pyarrow.array([0], pyarrow.timestamp("ms")),
            "price": pyarrow.array([None], pyarrow.decimal128(10, 2)),
            "tags": pyarrow.array([[("k", "v")]], pyarrow.map_(pyarrow.string(), pyarrow.string())),
            "inner": pyarrow.array([{"Deep": [1.5]}]),
        }
        target = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(rows), target)
        put(s3, "t/x.parquet", body=target.getvalue())
        put(s3, "t/cut.parquet", body=target.getvalue()[:-10])
        table = only(predict(s3, crawler("t/", **COMBINE)))
        assert (table.format, types(table)) == (
            "parquet",
            {
                "n": "int",
                "at": "timestamp",
                "price": "decimal(10,2)",
                "tags": "map<string,string>",
                "inner": "struct<deep:array<double>>",
            },
        )

    @pytest.mark.parametrize(("body", "kind"), [(b"ORC\x01\x02", "orc"), (b"Obj\x01\x02", "avro")])
    def test_formats_that_are_recognised_only(self, embedded_s3: Any, body: bytes, kind: str) -> None:
        put(embedded_s3, "t/x", body=body)
        found = predict(embedded_s3, crawler("t/"))
        assert (only(found).format, only(found).columns) == (kind, ())
        assert f"columns of {kind} are not predicted" in found.warnings[0]


class TestNames:
    def test_folders_become_names(self, embedded_s3: Any) -> None:
        put(embedded_s3, "My-Topic.v1/x", A_B)
        put(embedded_s3, "b/My-Topic.v1/x", A_B)
        first, second = predict(embedded_s3, crawler("My-Topic.v1", "b/My-Topic.v1")).tables
        assert first.name == "my_topic_v1"
        assert second.name.startswith("my_topic_v1_")
        assert len(second.name) == len("my_topic_v1_") + 32
        taken = {"my_topic_v1": "s3://lake/elsewhere/"}
        assert only(predict(embedded_s3, crawler("My-Topic.v1"), taken_names=taken)).name != "my_topic_v1"
        same = {"my_topic_v1": "s3://lake/My-Topic.v1"}
        assert only(predict(embedded_s3, crawler("My-Topic.v1"), taken_names=same)).name == "my_topic_v1"

    def test_long_names_are_cut(self, embedded_s3: Any) -> None:
        put(embedded_s3, f"{'x' * 200}/x", A_B)
        assert only(predict(embedded_s3, crawler("x" * 200))).name == "x" * 128

    def test_a_name_that_is_key_and_column_is_told(self, embedded_s3: Any) -> None:
        put(embedded_s3, "t/dt=1/x", {"dt": "1", "id.orig_h": "x"})
        warnings = predict(embedded_s3, crawler("t/")).warnings
        assert "column and a partition key" in " ".join(warnings)
        assert "dots.in.keys" in " ".join(warnings)


def test_nothing_there(s3: Any) -> None:
    found = predict(s3, crawler("nothing/"))
    assert (found.tables, found.object_count) == ([], 0)


@pytest.mark.parametrize(
    "members",
    [
        {"Targets": {"JdbcTargets": [{"Path": "db"}]}},
        {"Targets": {"S3Targets": [{"Path": "hdfs://x/"}]}},
        {"Targets": {"S3Targets": [{"Path": "s3://x", "SampleSize": 250}]}},
        {"Targets": {"S3Targets": [{"Path": "s3://"}]}},
        {"Configuration": "{"},
        {"Configuration": '{"Version": 2.0}'},
        {"Configuration": '{"Version": 1.0, "Grouping": []}'},
        {"Configuration": '{"Version": 1.0, "Grouping": {"TableLevelConfiguration": 0}}'},
    ],
)
def test_crawlers_that_cannot_be_read(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfiguration):
        CrawlerConfiguration.from_crawler({"Name": "c", **members})


@pytest.mark.real_data
class TestRealData:
    """Real files in a lake's folders: the prediction is what a person would make of them."""

    def put_files(self, s3: Any, folder: str, pattern: str, key: str) -> int:
        files = sorted(shared_data(folder).glob(pattern))
        for number, path in enumerate(files):
            s3.put_object(Bucket=BUCKET, Key=key.format(number=number, stem=path.name), Body=path.read_bytes())
        return len(files)

    def test_github(self, embedded_s3: Any) -> None:
        self.put_files(embedded_s3, "github-events-2021", "*-hours.json", "github/dt=2021-07-21/{stem}")
        table = only(predict(embedded_s3, crawler("github/")))
        found = types(table)
        assert (table.partition_keys, table.format) == (("dt",), "json")
        assert (found["id"], found["public"], found["repo"]) == (
            "string",
            "boolean",
            "struct<id:int,name:string,url:string>",
        )
        assert found["payload"].startswith("struct<ref:string,ref_type:string")
        assert list(found) == ["id", "type", "actor", "repo", "payload", "public", "created_at", "org"]

    def test_cloudtrail(self, embedded_s3: Any) -> None:
        count = self.put_files(
            embedded_s3,
            "cloudtrail-invictus",
            "*_CloudTrail_*.json",
            "AWSLogs/218007301253/CloudTrail/us-east-1/2023/07/{number:02d}/{stem}",
        )
        path = "AWSLogs/218007301253/CloudTrail/us-east-1/"
        apart = predict(embedded_s3, crawler(path))
        table = only(predict(embedded_s3, crawler(path, **COMBINE)))
        assert table.partition_keys == ("partition_0", "partition_1", "partition_2")
        assert len(table.partitions) == count
        assert list(types(table)) == ["records"]  # the whole file is one value
        assert types(table)["records"].startswith("array<struct<eventVersion:string,userIdentity:struct<")
        assert len(apart.tables) > 1  # nested fields differ from file to file: a table per folder

    def test_nab(self, embedded_s3: Any) -> None:
        count = self.put_files(embedded_s3, "nab-cloudwatch", "*.csv", "nab/{stem}")
        table = only(predict(embedded_s3, crawler("nab/")))
        assert (table.format, table.csv_delimiter, table.has_csv_header) == ("csv", ",", True)
        assert (types(table), table.partition_keys) == ({"timestamp": "string", "value": "double"}, ())
        assert table.object_count == count

    def test_zeek(self, embedded_s3: Any) -> None:
        for kind in ("ntp", "rdp", "smtp", "weird"):
            self.put_files(embedded_s3, "zeek-events", f"{kind}.json.gz", f"zeek/{kind}/dt=2018-03-24/{{stem}}")
        apart = by_name(predict(embedded_s3, crawler("zeek/")))
        assert set(apart) == {"ntp", "rdp", "smtp", "weird"}
        assert {table.partition_keys for table in apart.values()} == {("dt",)}
        assert types(apart["weird"])["notice"] == "boolean"
        assert types(apart["ntp"])["id.orig_p"] == "int"
        together = only(predict(embedded_s3, crawler("zeek/", **COMBINE)))
        assert together.partition_keys == ("partition_0", "dt")
        assert len(together.columns) > max(len(table.columns) for table in apart.values())


def test_the_preset_reads_a_lake_as_the_table_it_is() -> None:
    for spec in load_table_specs().values():
        configuration = CrawlerConfiguration.from_crawler(preset(spec, "role"))
        assert [target.uri() for target in configuration.targets] == [spec.location]
        assert configuration.table_level == configuration.targets[0].level
        assert (configuration.update_behavior, configuration.delete_behavior) == ("LOG", "LOG")
        assert configuration.inherits_from_table
