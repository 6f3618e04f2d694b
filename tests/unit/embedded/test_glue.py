"""The embedded Glue beyond the contract: one file shared by threads and processes, seeks, types of keys, limits."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from embedded.glue import Glue
from embedded.glue_filter import Interval, PartitionFilter, PartitionKey, Seek
from embedded.glue_partition_values import KeyKind

NAMED = {"DatabaseName": "d", "TableName": "t"}
MINUTES = [PartitionKey(name, KeyKind.TEXT) for name in ("dt", "hr", "min")]


def table_input(**members: Any) -> dict[str, Any]:
    keys = [{"Name": "dt", "Type": "string"}, {"Name": "n", "Type": "int"}]
    return {"Name": "t", "PartitionKeys": keys, "StorageDescriptor": {"Location": "s3://lake/t/"}, **members}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.sqlite"


@pytest.fixture
def glue(path: Path) -> Iterator[Glue]:
    client = Glue(path)
    client.create_database(DatabaseInput={"Name": "d"})
    client.create_table(DatabaseName="d", TableInput=table_input())
    yield client
    client.close()


def create(glue: Glue, *values: tuple[str, str]) -> list[Any]:
    inputs = [{"Values": list(item)} for item in values]
    errors: list[Any] = glue.batch_create_partition(**NAMED, PartitionInputList=inputs)["Errors"]
    return errors


def create_in_another_process(path: Path, numbers: range) -> None:
    glue = Glue(path)
    for number in numbers:
        create(glue, ("x", str(number)))
    glue.close()


class TestTheFile:
    def test_outlives_the_object(self, glue: Glue, path: Path) -> None:
        create(glue, ("a", "1"))
        glue.close()
        assert [row.values for row in Glue(path).partitions("d", "t")] == [("a", "1")]

    def test_threads_write_and_read_it_together(self, glue: Glue) -> None:
        errors: list[Any] = []

        def write(offset: int) -> None:
            for number in range(20):
                errors.extend(create(glue, ("x", str(offset * 100 + number)), ("shared", str(number))))
                list(glue.partitions("d", "t", "dt = 'x'"))

        threads = [threading.Thread(target=write, args=(offset,)) for offset in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(glue.partitions("d", "t"))) == 4 * 20 + 20
        assert len(errors) == 3 * 20

    def test_processes_write_it_together(self, glue: Glue, path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=create_in_another_process, args=(path, range(start, start + 30)))
            for start in (0, 100)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        assert len(list(glue.partitions("d", "t"))) == 60

    def test_an_iterator_given_up_gives_its_connection_back(self, glue: Glue) -> None:
        create(glue, *(("x", str(number)) for number in range(50)))
        for _ in range(5):
            rows = glue.partitions("d", "t")
            next(rows)
            del rows
        glue.delete_table(DatabaseName="d", Name="t")

    def test_of_two_updates_from_one_version_one_wins(self, glue: Glue) -> None:
        outcomes: list[str] = []

        def update() -> None:
            try:
                glue.update_table(DatabaseName="d", TableInput=table_input(), VersionId="0")
                outcomes.append("written")
            except glue.exceptions.ConcurrentModificationException:
                outcomes.append("refused")

        threads = [threading.Thread(target=update) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["refused"] * 5 + ["written"]


class TestTheShortCutToATable:
    def test_tells_what_get_table_tells_however_it_changed(self, glue: Glue, path: Path) -> None:
        elsewhere = Glue(path)
        for location in ("s3://lake/t/", "s3://lake/other/", "s3://lake/t/"):
            descriptor = {"Location": location, "Columns": [{"Name": "a", "Type": "bigint"}]}
            elsewhere.update_table(DatabaseName="d", TableInput=table_input(StorageDescriptor=descriptor))
            assert glue.table("D", "T") == glue.get_table(DatabaseName="d", Name="t")["Table"]
            assert glue.table("d", "t")["StorageDescriptor"]["Location"] == location
        elsewhere.delete_table(DatabaseName="d", Name="t")
        assert glue.table("d", "t") is None
        elsewhere.create_table(DatabaseName="d", TableInput=table_input(Description="a new one"))
        assert glue.table("d", "t")["Description"] == "a new one"
        elsewhere.close()

    def test_knows_no_table_that_is_not_there(self, glue: Glue) -> None:
        assert glue.table("d", "none") is None
        assert glue.table("none", "t") is None


class TestKeys:
    def test_order_is_that_of_the_types(self, glue: Glue) -> None:
        create(glue, ("b", "2"), ("a", "10"), ("a", "9"), ("a", "-1"), ("a", "007"), ("a", "none"))
        assert [row.values for row in glue.partitions("d", "t")] == [
            ("a", "-1"),
            ("a", "007"),
            ("a", "9"),
            ("a", "10"),
            ("a", "none"),
            ("b", "2"),
        ]

    def test_values_that_compare_equal_are_different_partitions(self, glue: Glue) -> None:
        assert create(glue, ("a", "7"), ("a", "07")) == []
        assert len(list(glue.partitions("d", "t", "n = 7"))) == 2

    def test_partitions_are_sorted_anew_when_a_type_changes(self, glue: Glue) -> None:
        create(glue, ("a", "10"), ("a", "9"))
        keys = [{"Name": "dt", "Type": "string"}, {"Name": "n", "Type": "string"}]
        glue.update_table(DatabaseName="d", TableInput=table_input(PartitionKeys=keys))
        assert [row.values[1] for row in glue.partitions("d", "t")] == ["10", "9"]
        assert [row.values[1] for row in glue.partitions("d", "t", "n > '5'")] == ["9"]

    def test_the_number_of_keys_stays_while_there_are_partitions(self, glue: Glue) -> None:
        create(glue, ("a", "10"))
        with pytest.raises(glue.exceptions.InvalidInputException):
            glue.update_table(DatabaseName="d", TableInput=table_input(PartitionKeys=[{"Name": "dt"}]))

    def test_more_keys_than_sort_columns(self, glue: Glue) -> None:
        keys = [{"Name": f"key{number}", "Type": "int"} for number in range(12)]
        glue.create_table(DatabaseName="d", TableInput=table_input(Name="wide", PartitionKeys=keys))
        for last in ("9", "10"):
            glue.create_partition(DatabaseName="d", TableName="wide", PartitionInput={"Values": [*["1"] * 11, last]})
        found = list(glue.partitions("d", "wide", "key0 = 1 AND key10 = 1 AND key11 > 9"))
        assert [row.values[-1] for row in found] == ["10"]

    def test_a_partition_without_a_location_lies_where_its_table_lies(self, glue: Glue) -> None:
        create(glue, ("a", "1"))
        assert next(glue.partitions("d", "t")).location == "s3://lake/t/"


class TestSeeks:
    """Which stretches of the ordered partitions a question reads: its cost."""

    @pytest.mark.parametrize(
        ("expression", "seeks"),
        [
            ("dt = 'a' AND hr = '01'", [Seek(("a", "01"), Interval())]),
            ("hr = '01' AND dt = 'a'", [Seek(("a", "01"), Interval())]),
            ("dt = 'a' AND hr >= '22'", [Seek(("a",), Interval(("22", False), None))]),
            ("dt > 'a' AND dt <= 'c'", [Seek((), Interval(("a", True), ("c", True)))]),
            ("dt IN ('b', 'a')", [Seek(("a",), Interval()), Seek(("b",), Interval())]),
            ("NOT (dt <> 'a')", [Seek(("a",), Interval())]),
            ("dt LIKE '2026-01%'", [Seek((), Interval(("2026-01", False), ("2026-02", False)))]),
            ("hr = '01'", [Seek((), Interval())]),
            ("dt = 'a' AND dt = 'b'", []),
            (
                "(dt = 'a' AND hr >= '23') OR (dt = 'b' AND hr <= '00')",
                [
                    Seek((dt,), interval)
                    for dt in "ab"
                    for interval in (Interval(None, ("00", True)), Interval(("23", False), None))
                ],
            ),
        ],
    )
    def test_follow_the_leading_keys(self, expression: str, seeks: list[Seek]) -> None:
        assert list(PartitionFilter(expression, MINUTES).seeks) == seeks

    def test_are_few_however_long_the_lists(self) -> None:
        hours = ", ".join(f"'{number:02}'" for number in range(24))
        minutes = ", ".join(f"'{number:02}'" for number in range(60))
        found = PartitionFilter(f"dt = 'a' AND hr IN ({hours}) AND min IN ({minutes})", MINUTES).seeks
        assert len(found) == 24


class TestExpressions:
    def test_nesting_is_bounded(self, glue: Glue) -> None:
        with pytest.raises(glue.exceptions.InvalidInputException, match="Unsupported expression"):
            glue.partitions("d", "t", "(" * 900 + "dt = 'a'" + ")" * 900)
        with pytest.raises(glue.exceptions.InvalidInputException, match="Unsupported expression"):
            glue.partitions("d", "t", "NOT " * 400 + "dt = 'a'")
        assert list(glue.partitions("d", "t", "(" * 20 + "dt = 'a'" + ")" * 20)) == []

    def test_2048_characters_are_the_longest(self, glue: Glue) -> None:
        expression = "dt = '" + "x" * 2048 + "'"
        with pytest.raises(ClientError, match="less than or equal to 2048"):
            glue.get_partitions(**NAMED, Expression=expression)

    @pytest.mark.parametrize(
        "expression",
        ["'a' = dt", "('a') = dt", "dt = ('a')", "\"dt\" = 'a'", "`dt` = 'a'", "DT = 'a'", "dt != 'b'", "n < 2e0"],
    )
    def test_forms_of_a_condition(self, glue: Glue, expression: str) -> None:
        create(glue, ("a", "1"))
        if expression == "n < 2e0":
            with pytest.raises(glue.exceptions.InvalidInputException, match="is not an integer"):
                glue.partitions("d", "t", expression)
        else:
            assert len(list(glue.partitions("d", "t", expression))) == 1

    def test_like_knows_case_and_no_other_wildcards(self, glue: Glue) -> None:
        create(glue, ("aB", "1"), ("a*", "1"), ("a[b]", "1"))
        assert [row.values[0] for row in glue.partitions("d", "t", "dt LIKE 'a*'")] == ["a*"]
        assert [row.values[0] for row in glue.partitions("d", "t", "dt LIKE 'a[b]'")] == ["a[b]"]
        assert list(glue.partitions("d", "t", "dt LIKE 'ab'")) == []


class TestBadInput:
    @pytest.mark.parametrize("token", ["nonsense", "é", "W10=", "e30=", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMF0="])
    def test_tokens_of_nobody(self, glue: Glue, token: str) -> None:
        with pytest.raises(glue.exceptions.InvalidInputException, match="NextToken"):
            glue.get_partitions(**NAMED, NextToken=token)

    def test_a_segment_beyond_the_total(self, glue: Glue) -> None:
        with pytest.raises(glue.exceptions.InvalidInputException, match="SegmentNumber"):
            glue.get_partitions(**NAMED, Segment={"SegmentNumber": 2, "TotalSegments": 2})

    def test_table_patterns_that_are_none(self, glue: Glue) -> None:
        with pytest.raises(glue.exceptions.InvalidInputException, match="regular expression"):
            glue.get_tables(DatabaseName="d", Expression="(")

    def test_a_partition_without_values(self, glue: Glue) -> None:
        errors = glue.batch_create_partition(**NAMED, PartitionInputList=[{}, {"Values": ["a"]}])["Errors"]
        assert [item["ErrorDetail"]["ErrorCode"] for item in errors] == ["InvalidInputException"] * 2
        with pytest.raises(ParamValidationError, match="Values"):
            create(glue, ("", "1"))

    def test_names_stay_data(self, glue: Glue) -> None:
        name = "x'; DROP TABLE partitions; --"
        glue.create_table(DatabaseName="d", TableInput=table_input(Name=name, PartitionKeys=[{"Name": name}]))
        glue.create_partition(DatabaseName="d", TableName=name, PartitionInput={"Values": [name]})
        assert [row.values for row in glue.partitions("d", name)] == [(name,)]

    def test_version_ids_that_are_none(self, glue: Glue) -> None:
        with pytest.raises(glue.exceptions.InvalidInputException):
            glue.get_table_version(**NAMED, VersionId="x")
        with pytest.raises(glue.exceptions.EntityNotFoundException):
            glue.get_table_version(**NAMED, VersionId="7")
        with pytest.raises(glue.exceptions.InvalidInputException):
            glue.delete_table_version(**NAMED, VersionId="0")
