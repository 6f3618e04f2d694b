"""What the project relies on of Glue, held by the embedded Glue and by moto through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, moto_differs

DATABASE = "data_hist"
TABLE = "events"
NAMED = {"DatabaseName": DATABASE, "TableName": TABLE}
DESCRIPTOR = {
    "Columns": [{"Name": "customerid", "Type": "bigint"}, {"Name": "data", "Type": "string", "Comment": "payload"}],
    "Location": "s3://data-hist-lake/secor/events/",
    "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe", "Parameters": {"paths": "data"}},
}


def table_input(**members: Any) -> dict[str, Any]:
    keys = [{"Name": name, "Type": "string"} for name in ("dt", "hr", "min")]
    return {
        "Name": TABLE,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"classification": "json"},
        "StorageDescriptor": DESCRIPTOR,
        "PartitionKeys": keys,
        **members,
    }


def partition_input(*values: str, **members: Any) -> dict[str, Any]:
    path = "".join(f"{name}={value}/" for name, value in zip(("dt", "hr", "min"), values, strict=False))
    return {
        "Values": list(values),
        "StorageDescriptor": {**DESCRIPTOR, "Location": f"s3://data-hist-lake/secor/events/{path}"},
        **members,
    }


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def glue(implementation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with glue_client(implementation, tmp_path, monkeypatch) as client:
        client.create_database(DatabaseInput={"Name": DATABASE, "Description": "history"})
        client.create_table(DatabaseName=DATABASE, TableInput=table_input())
        yield client


def create(glue: Any, *values: tuple[str, ...]) -> None:
    answer = glue.batch_create_partition(**NAMED, PartitionInputList=[partition_input(*item) for item in values])
    assert not answer.get("Errors")


def values_of(answer: dict[str, Any]) -> list[tuple[str, ...]]:
    return [tuple(partition["Values"]) for partition in answer["Partitions"]]


def code_of(raised: pytest.ExceptionInfo[ClientError]) -> str:
    return str(raised.value.response["Error"]["Code"])


class TestDatabases:
    def test_what_was_made_is_got(self, glue: Any) -> None:
        database = glue.get_database(Name=DATABASE)["Database"]
        assert (database["Name"], database["Description"]) == (DATABASE, "history")
        assert database["CreateTime"].tzinfo is not None

    def test_made_twice(self, glue: Any) -> None:
        with pytest.raises(glue.exceptions.AlreadyExistsException, match="Database already exists"):
            glue.create_database(DatabaseInput={"Name": DATABASE})

    def test_an_absent_one(self, glue: Any) -> None:
        with pytest.raises(glue.exceptions.EntityNotFoundException, match="Database nothing not found"):
            glue.get_database(Name="nothing")
        with pytest.raises(glue.exceptions.EntityNotFoundException):
            glue.delete_database(Name="nothing")

    def test_listed(self, glue: Any) -> None:
        glue.create_database(DatabaseInput={"Name": "another"})
        assert {item["Name"] for item in glue.get_databases()["DatabaseList"]} == {"another", DATABASE}

    def test_updated(self, glue: Any) -> None:
        glue.update_database(Name=DATABASE, DatabaseInput={"Name": DATABASE, "Description": "other"})
        assert glue.get_database(Name=DATABASE)["Database"]["Description"] == "other"

    def test_deleted_with_its_tables(self, glue: Any) -> None:
        glue.delete_database(Name=DATABASE)
        with pytest.raises(glue.exceptions.EntityNotFoundException):
            glue.get_table(DatabaseName=DATABASE, Name=TABLE)

    def test_names_are_lower_case(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "keeps the case of names")
        glue.create_database(DatabaseInput={"Name": "MiXed"})
        assert glue.get_database(Name="MIXED")["Database"]["Name"] == "mixed"


class TestTables:
    def test_what_was_made_is_got(self, glue: Any) -> None:
        table = glue.get_table(DatabaseName=DATABASE, Name=TABLE)["Table"]
        expected = table_input()
        assert {name: table[name] for name in expected} == expected
        assert table["DatabaseName"] == DATABASE
        assert table["CreateTime"].tzinfo is not None

    def test_made_twice(self, glue: Any) -> None:
        with pytest.raises(glue.exceptions.AlreadyExistsException, match="Table already exists"):
            glue.create_table(DatabaseName=DATABASE, TableInput=table_input())

    def test_absent_ones(self, glue: Any) -> None:
        with pytest.raises(glue.exceptions.EntityNotFoundException, match="Table nothing not found"):
            glue.get_table(DatabaseName=DATABASE, Name="nothing")
        with pytest.raises(glue.exceptions.EntityNotFoundException, match="Database nowhere not found"):
            glue.create_table(DatabaseName="nowhere", TableInput=table_input())
        with pytest.raises(glue.exceptions.EntityNotFoundException):
            glue.delete_table(DatabaseName=DATABASE, Name="nothing")

    def test_wrong_arguments_are_boto3s_own_error(self, glue: Any) -> None:
        with pytest.raises(ParamValidationError, match='Missing required parameter in TableInput: "Name"'):
            glue.create_table(DatabaseName=DATABASE, TableInput={})
        with pytest.raises(ParamValidationError, match="Unknown parameter in TableInput"):
            glue.create_table(DatabaseName=DATABASE, TableInput={"Name": "t", "Nonsense": 1})

    def test_listed_by_expression(self, glue: Any) -> None:
        glue.create_table(DatabaseName=DATABASE, TableInput=table_input(Name="metrics"))
        glue.create_table(DatabaseName=DATABASE, TableInput=table_input(Name="events_old"))
        tables = glue.get_tables(DatabaseName=DATABASE, Expression="events.*")["TableList"]
        assert {table["Name"] for table in tables} == {"events", "events_old"}
        assert len(glue.get_tables(DatabaseName=DATABASE)["TableList"]) == 3

    def test_pages_together_are_the_whole(self, glue: Any) -> None:
        for number in range(5):
            glue.create_table(DatabaseName=DATABASE, TableInput=table_input(Name=f"t{number}"))
        pages = glue.get_paginator("get_tables").paginate(DatabaseName=DATABASE, PaginationConfig={"PageSize": 2})
        names = [table["Name"] for page in pages for table in page["TableList"]]
        assert sorted(names) == ["events", "t0", "t1", "t2", "t3", "t4"]

    def test_updated_and_its_versions(self, glue: Any) -> None:
        glue.update_table(DatabaseName=DATABASE, TableInput=table_input(Description="new"))
        assert glue.get_table(DatabaseName=DATABASE, Name=TABLE)["Table"]["Description"] == "new"
        versions = glue.get_table_versions(DatabaseName=DATABASE, TableName=TABLE)["TableVersions"]
        assert len(versions) == 2
        assert sorted("Description" in version["Table"] for version in versions) == [False, True]

    def test_without_an_archived_version(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores SkipArchive")
        glue.update_table(DatabaseName=DATABASE, TableInput=table_input(Description="new"), SkipArchive=True)
        assert len(glue.get_table_versions(DatabaseName=DATABASE, TableName=TABLE)["TableVersions"]) == 1

    def test_an_update_of_another_version_is_refused(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores VersionId")
        current = glue.get_table(DatabaseName=DATABASE, Name=TABLE)["Table"]["VersionId"]
        glue.update_table(DatabaseName=DATABASE, TableInput=table_input(), VersionId=current)
        with pytest.raises(glue.exceptions.ConcurrentModificationException):
            glue.update_table(DatabaseName=DATABASE, TableInput=table_input(), VersionId=current)

    def test_a_batch_of_deletions_tells_what_was_not_there(self, glue: Any) -> None:
        answer = glue.batch_delete_table(DatabaseName=DATABASE, TablesToDelete=[TABLE, "nothing"])
        assert [(item["TableName"], item["ErrorDetail"]["ErrorCode"]) for item in answer["Errors"]] == [
            ("nothing", "EntityNotFoundException")
        ]
        assert glue.get_tables(DatabaseName=DATABASE)["TableList"] == []


class TestPartitions:
    def test_what_was_made_is_got(self, glue: Any) -> None:
        accessed = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
        made = partition_input("2026-11-22", "10", "05", Parameters={"rows": "7"}, LastAccessTime=accessed)
        glue.create_partition(**NAMED, PartitionInput=made)
        got = glue.get_partition(**NAMED, PartitionValues=["2026-11-22", "10", "05"])["Partition"]
        assert {name: got[name] for name in made} == made
        assert (got["DatabaseName"], got["TableName"]) == (DATABASE, TABLE)
        assert got["CreationTime"].tzinfo is not None

    def test_made_twice(self, glue: Any) -> None:
        create(glue, ("d", "h", "m"))
        with pytest.raises(glue.exceptions.AlreadyExistsException, match="Partition already exists"):
            glue.create_partition(**NAMED, PartitionInput=partition_input("d", "h", "m"))

    def test_an_absent_one(self, glue: Any) -> None:
        with pytest.raises(glue.exceptions.EntityNotFoundException, match="Cannot find partition"):
            glue.get_partition(**NAMED, PartitionValues=["d", "h", "m"])
        with pytest.raises(glue.exceptions.EntityNotFoundException):
            glue.delete_partition(**NAMED, PartitionValues=["d", "h", "m"])

    def test_of_an_absent_table(self, glue: Any) -> None:
        with pytest.raises(glue.exceptions.EntityNotFoundException):
            glue.get_partitions(DatabaseName=DATABASE, TableName="nothing")

    def test_a_batch_tells_each_item_that_failed_and_makes_the_others(self, glue: Any) -> None:
        create(glue, ("d", "h", "1"))
        answer = glue.batch_create_partition(
            **NAMED, PartitionInputList=[partition_input("d", "h", minute) for minute in ("0", "1", "2")]
        )
        assert [(item["PartitionValues"], item["ErrorDetail"]["ErrorCode"]) for item in answer["Errors"]] == [
            (["d", "h", "1"], "AlreadyExistsException")
        ]
        assert sorted(values_of(glue.get_partitions(**NAMED))) == [("d", "h", "0"), ("d", "h", "1"), ("d", "h", "2")]

    def test_a_hundred_are_a_batch(self, glue: Any) -> None:
        create(glue, *((f"{number:03}", "h", "m") for number in range(100)))
        assert len(glue.get_partitions(**NAMED)["Partitions"]) == 100

    def test_a_hundred_and_one_are_too_many(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "accepts any number")
        with pytest.raises(ClientError, match="Member must have length less than or equal to 100") as raised:
            create(glue, *((f"{number:03}", "h", "m") for number in range(101)))
        assert code_of(raised) == "ValidationException"
        assert glue.get_partitions(**NAMED)["Partitions"] == []

    def test_a_batch_of_deletions(self, glue: Any) -> None:
        create(glue, ("d", "h", "1"), ("d", "h", "2"))
        answer = glue.batch_delete_partition(
            **NAMED, PartitionsToDelete=[{"Values": ["d", "h", "1"]}, {"Values": ["d", "h", "9"]}]
        )
        assert [(item["PartitionValues"], item["ErrorDetail"]["ErrorCode"]) for item in answer["Errors"]] == [
            (["d", "h", "9"], "EntityNotFoundException")
        ]
        assert values_of(glue.get_partitions(**NAMED)) == [("d", "h", "2")]

    def test_twenty_six_deletions_are_too_many(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "accepts any number")
        many = [{"Values": ["d", "h", str(number)]} for number in range(26)]
        with pytest.raises(ClientError, match="less than or equal to 25"):
            glue.batch_delete_partition(**NAMED, PartitionsToDelete=many)

    def test_some_got_by_their_values(self, glue: Any) -> None:
        create(glue, ("d", "h", "1"), ("d", "h", "2"))
        wanted = [{"Values": ["d", "h", "2"]}, {"Values": ["d", "h", "9"]}]
        assert values_of(glue.batch_get_partition(**NAMED, PartitionsToGet=wanted)) == [("d", "h", "2")]

    def test_updated_in_place_and_moved(self, glue: Any) -> None:
        create(glue, ("d", "h", "1"))
        values = ["d", "h", "1"]
        glue.update_partition(
            **NAMED, PartitionValueList=values, PartitionInput=partition_input("d", "h", "1", Parameters={"n": "1"})
        )
        assert glue.get_partition(**NAMED, PartitionValues=values)["Partition"]["Parameters"] == {"n": "1"}
        glue.update_partition(**NAMED, PartitionValueList=values, PartitionInput=partition_input("d", "h", "2"))
        assert values_of(glue.get_partitions(**NAMED)) == [("d", "h", "2")]

    def test_a_batch_of_updates(self, glue: Any) -> None:
        create(glue, ("d", "h", "1"))
        entries = [
            {
                "PartitionValueList": ["d", "h", minute],
                "PartitionInput": partition_input("d", "h", minute, Parameters={"n": minute}),
            }
            for minute in ("1", "9")
        ]
        answer = glue.batch_update_partition(**NAMED, Entries=entries)
        assert [item["PartitionValueList"] for item in answer["Errors"]] == [["d", "h", "9"]]
        got = glue.get_partition(**NAMED, PartitionValues=["d", "h", "1"])["Partition"]
        assert got["Parameters"] == {"n": "1"}

    def test_as_many_values_as_keys(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "accepts any number of values")
        with pytest.raises(glue.exceptions.InvalidInputException, match="number of partition keys do not match"):
            glue.create_partition(**NAMED, PartitionInput=partition_input("d", "h"))

    def test_pages_together_are_the_whole(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "answers all partitions in one page")
        made = [(f"2026-01-{day:02}", f"{hour:02}", "00") for day in range(1, 4) for hour in range(4)]
        create(glue, *made)
        pages = list(glue.get_paginator("get_partitions").paginate(**NAMED, PaginationConfig={"PageSize": 5}))
        assert [len(page["Partitions"]) for page in pages] == [5, 5, 2]
        assert [values for page in pages for values in values_of(page)] == made

    def test_segments_together_are_the_whole(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores Segment")
        made = [(f"2026-01-{day:02}", f"{hour:02}", "00") for day in range(1, 5) for hour in range(10)]
        create(glue, *made)
        segments = [
            values_of(glue.get_partitions(**NAMED, Segment={"SegmentNumber": number, "TotalSegments": 4}))
            for number in range(4)
        ]
        assert sorted(values for segment in segments for values in segment) == made
        assert all(segments)

    def test_more_than_a_thousand_a_page_are_refused(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores MaxResults")
        with pytest.raises(ClientError, match="less than or equal to 1000"):
            glue.get_partitions(**NAMED, MaxResults=1001)

    def test_without_columns(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "ignores ExcludeColumnSchema")
        create(glue, ("d", "h", "m"))
        partition = glue.get_partitions(**NAMED, ExcludeColumnSchema=True)["Partitions"][0]
        assert "Columns" not in partition["StorageDescriptor"]
        assert partition["StorageDescriptor"]["Location"].endswith("dt=d/hr=h/min=m/")

    @pytest.mark.parametrize(
        ("expression", "expected"),
        [
            ("dt = '2026-01-02'", {"2026-01-02 00", "2026-01-02 12"}),
            ("dt = '2026-01-02' AND hr = '12'", {"2026-01-02 12"}),
            ("dt <> '2026-01-02' and hr <> '12'", {"2026-01-01 00", "2026-01-03 00"}),
            ("dt > '2026-01-02'", {"2026-01-03 00", "2026-01-03 12"}),
            ("dt >= '2026-01-02' AND dt < '2026-01-03'", {"2026-01-02 00", "2026-01-02 12"}),
            ("dt <= '2026-01-01'", {"2026-01-01 00", "2026-01-01 12"}),
            ("dt BETWEEN '2026-01-02' AND '2026-01-03' AND hr IN ('00')", {"2026-01-02 00", "2026-01-03 00"}),
            ("dt NOT IN ('2026-01-01', '2026-01-02')", {"2026-01-03 00", "2026-01-03 12"}),
            ("dt NOT BETWEEN '2026-01-02' AND '2026-01-03'", {"2026-01-01 00", "2026-01-01 12"}),
            ("dt LIKE '%-03' AND hr LIKE '1_'", {"2026-01-03 12"}),
            ("dt NOT LIKE '2026-01-0_'", set()),
            ("(dt = '2026-01-01' OR dt = '2026-01-03') AND hr = '00'", {"2026-01-01 00", "2026-01-03 00"}),
            (
                "dt = '2026-01-01' OR dt = '2026-01-03' AND hr = '00'",
                {"2026-01-01 00", "2026-01-01 12", "2026-01-03 00"},
            ),
            ("dt IS NULL", set()),
            ("dt IS NOT NULL AND hr='12' AND dt<'2026-01-02'", {"2026-01-01 12"}),
            ("dt = 'it''s'", set()),
        ],
    )
    def test_expressions(self, glue: Any, expression: str, expected: set[str]) -> None:
        create(glue, *((f"2026-01-0{day}", hour, "00") for day in (1, 2, 3) for hour in ("00", "12")))
        got = values_of(glue.get_partitions(**NAMED, Expression=expression))
        assert {f"{date} {hour}" for date, hour, _ in got} == expected

    def test_a_blank_expression_is_none(self, glue: Any) -> None:
        create(glue, ("d", "h", "m"))
        assert values_of(glue.get_partitions(**NAMED, Expression=" ")) == [("d", "h", "m")]

    @pytest.mark.parametrize(
        ("expression", "message"),
        [
            ("service = 'x'", "Invalid partition expression!"),
            ("dt = ", "Unsupported expression 'dt = '"),
            ("dt", "Unsupported expression 'dt'"),
            ("dt = '2026", "Unsupported expression"),
            ("lower(dt) = 'x'", "Unsupported expression"),
            ("dt = 'x' OR 1=1; DROP TABLE partitions", "Unsupported expression"),
        ],
    )
    def test_expressions_that_are_none(self, glue: Any, expression: str, message: str) -> None:
        create(glue, ("d", "h", "m"))
        with pytest.raises(glue.exceptions.InvalidInputException) as raised:
            glue.get_partitions(**NAMED, Expression=expression)
        assert message in str(raised.value)

    def test_values_compare_by_the_type_of_their_key(self, glue: Any) -> None:
        keys = [{"Name": "year", "Type": "int"}, {"Name": "day", "Type": "date"}, {"Name": "price", "Type": "decimal"}]
        glue.create_table(DatabaseName=DATABASE, TableInput=table_input(Name="typed", PartitionKeys=keys))
        named = {"DatabaseName": DATABASE, "TableName": "typed"}
        for values in (["9", "2026-01-01", "1.5"], ["10", "2026-01-02", "10"], ["011", "2026-10-01", "-2"]):
            glue.create_partition(**named, PartitionInput={"Values": values, "StorageDescriptor": DESCRIPTOR})

        def chosen(expression: str) -> list[str]:
            return sorted(item[0] for item in values_of(glue.get_partitions(**named, Expression=expression)))

        assert chosen("year > 9") == ["011", "10"]
        assert chosen("year = 11") == ["011"]
        assert chosen("year IN (9, 10)") == ["10", "9"]
        assert chosen("day >= '2026-01-02'") == ["011", "10"]
        assert chosen("price < 2") == ["011", "9"]
        assert chosen("price >= 1.50") == ["10", "9"]
        with pytest.raises(glue.exceptions.InvalidInputException, match="is not an integer"):
            chosen("year = 'x'")
        with pytest.raises(glue.exceptions.InvalidInputException, match="is not a date"):
            chosen("day = '2026-13-01'")
        with pytest.raises(glue.exceptions.InvalidInputException, match="doesn't support operation 'LIKE'"):
            chosen("year LIKE '1%'")


class TestIndexesStatisticsAndTags:
    def test_partition_indexes(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "has no CreatePartitionIndex")
        glue.create_partition_index(**NAMED, PartitionIndex={"IndexName": "by_day", "Keys": ["dt"]})
        described = glue.get_partition_indexes(**NAMED)["PartitionIndexDescriptorList"]
        assert described == [
            {"IndexName": "by_day", "Keys": [{"Name": "dt", "Type": "string"}], "IndexStatus": "ACTIVE"}
        ]
        with pytest.raises(glue.exceptions.AlreadyExistsException):
            glue.create_partition_index(**NAMED, PartitionIndex={"IndexName": "by_day", "Keys": ["dt"]})
        with pytest.raises(glue.exceptions.InvalidInputException):
            glue.create_partition_index(**NAMED, PartitionIndex={"IndexName": "other", "Keys": ["nothing"]})
        for name in ("second", "third"):
            glue.create_partition_index(**NAMED, PartitionIndex={"IndexName": name, "Keys": ["dt", "hr"]})
        with pytest.raises(glue.exceptions.ResourceNumberLimitExceededException):
            glue.create_partition_index(**NAMED, PartitionIndex={"IndexName": "fourth", "Keys": ["dt"]})
        glue.delete_partition_index(**NAMED, IndexName="second")
        assert len(glue.get_partition_indexes(**NAMED)["PartitionIndexDescriptorList"]) == 2

    def test_column_statistics(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "has no column statistics")
        statistics = {
            "ColumnName": "customerid",
            "ColumnType": "bigint",
            "AnalyzedTime": datetime(2026, 1, 1, tzinfo=UTC),
            "StatisticsData": {
                "Type": "DECIMAL",
                "DecimalColumnStatisticsData": {
                    "MinimumValue": {"UnscaledValue": b"\x01", "Scale": 0},
                    "NumberOfNulls": 0,
                    "NumberOfDistinctValues": 3,
                },
            },
        }
        unknown = {**statistics, "ColumnName": "nothing"}
        answer = glue.update_column_statistics_for_table(**NAMED, ColumnStatisticsList=[statistics, unknown])
        assert [item["ColumnStatistics"]["ColumnName"] for item in answer["Errors"]] == ["nothing"]
        got = glue.get_column_statistics_for_table(**NAMED, ColumnNames=["customerid", "data"])
        assert got["ColumnStatisticsList"] == [statistics]
        assert [item["ColumnName"] for item in got["Errors"]] == ["data"]
        glue.delete_column_statistics_for_table(**NAMED, ColumnName="customerid")
        assert glue.get_column_statistics_for_table(**NAMED, ColumnNames=["customerid"])["ColumnStatisticsList"] == []

    def test_tags(self, glue: Any) -> None:
        arn = "arn:aws:glue:us-east-1:123456789012:database/tagged"
        glue.create_database(DatabaseInput={"Name": "tagged"}, Tags={"a": "1"})
        glue.tag_resource(ResourceArn=arn, TagsToAdd={"b": "2"})
        glue.untag_resource(ResourceArn=arn, TagsToRemove=["a"])
        assert glue.get_tags(ResourceArn=arn)["Tags"] == {"b": "2"}


class TestClientShape:
    def test_a_name_no_model_knows(self, glue: Any) -> None:
        with pytest.raises(AttributeError):
            _ = glue.make_coffee

    def test_an_operation_that_is_not_there_says_so_by_name(self, glue: Any, request: pytest.FixtureRequest) -> None:
        moto_differs(request, "raises NotImplementedError in the caller")
        with pytest.raises(ClientError, match="GetUserDefinedFunctions") as raised:
            glue.get_user_defined_functions(DatabaseName=DATABASE, Pattern="*")
        assert code_of(raised) == "UnsupportedOperationException"

    def test_arguments_are_by_name_only(self, glue: Any) -> None:
        with pytest.raises(TypeError, match="keyword arguments"):
            glue.get_database(DATABASE)
