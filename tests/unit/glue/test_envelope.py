from __future__ import annotations

import json
from decimal import Decimal

import orjson
import pytest

from glue.envelope import V0, check_record, epoch_milliseconds, record_line
from glue.table_spec import load_table_specs


def line() -> bytes:
    return record_line(
        created_milliseconds=1,
        arrived_milliseconds=2,
        service_name="iam-admin",
        customer=11000,
        tags={"region": "eu"},
        data_text='{"amount":1.10,"id":12345678901234567890123}',
    )


def test_a_record_is_one_line_with_the_payload_as_text() -> None:
    record = json.loads(line())
    assert line().count(b"\n") == 1
    assert tuple(record) == V0.names == tuple(column.name for column in load_table_specs()["events"].columns)
    assert record["data"] == '{"amount":1.10,"id":12345678901234567890123}'
    assert record["service"] == record["servicename"] == "iam-admin"
    assert check_record(record) == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"customerid": "11000"}, "customerid is not a whole number"),
        ({"customerid": True}, "customerid is not a whole number"),
        ({"createdtimestamp": 2**63}, "createdtimestamp is not a whole number of 64 bits"),
        ({"createdtimestamp": 1.5}, "createdtimestamp is not a whole number"),
        ({"datatags": {"a": 1}}, "datatags is not a map"),
        ({"datatags": "x"}, "datatags is not a map"),
        ({"data": {"a": 1}}, "data is not a text"),
        ({"data": "{"}, "data is not JSON"),
        ({"service": "other"}, "service differs"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], problem: str) -> None:
    problems = check_record({**json.loads(line()), **change})
    assert len(problems) == 1
    assert problem in problems[0]


def test_missing_fields_are_named() -> None:
    assert "customerid is missing" in check_record({})
    assert check_record([]) == ["the record is not a JSON object"]


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        (0, 0),
        (1_405_911_096, 1_405_911_096_000),
        (999_999_999_999, 999_999_999_999_000),
        (10**12, 10**12),
        (1_405_911_096_123, 1_405_911_096_123),
        (10**15 - 1, 10**15 - 1),
        (1_405_911_096_123_456, 1_405_911_096_123),
        (1_405_911_096_123_456_789, 1_405_911_096_123),
        (1_521_911_725.733, 1_521_911_725_733),
        (1_521_911_725.733635, 1_521_911_725_733),
        (1_405_911_096_123.0, 1_405_911_096_123),
        (Decimal("1405911096.9999"), 1_405_911_096_999),
        (-1, -1000),
        (-0.0005, -1),
        (Decimal("-0.0005"), -1),
    ],
)
def test_the_unit_of_an_epoch_is_told_by_its_size(value: int | float | Decimal, milliseconds: int) -> None:
    assert epoch_milliseconds(value) == milliseconds


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity")])
def test_no_time_is_no_time(value: float | Decimal) -> None:
    with pytest.raises(ValueError, match="not a time"):
        epoch_milliseconds(value)


def test_the_v1_envelope_names_the_same_parts_otherwise() -> None:
    fields = load_table_specs()["data_hist_v1.events"].record
    assert fields is not None
    line = record_line(
        created_milliseconds=1, arrived_milliseconds=2, service_name="iam", customer=11000, tags={"a": "b"},
        data_text="{}", fields=fields,
    )  # fmt: skip
    record = orjson.loads(line)
    assert list(record) == [
        "resource_id", "customer_id", "operation_id", "service_name", "created_at", "tags", "arrived_at", "data",
    ]  # fmt: skip
    assert check_record(record, fields) == []
    assert "customerid is missing" in check_record(record)
    assert check_record({**record, "customer_id": 1.5}, fields) == ["customer_id is not a whole number of 64 bits"]
