"""Every example of every shipped table fits its table, and what does not fit is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from glue.column_type import parse_type
from glue.spec_examples import check_example, fits
from glue.table_spec import SpecExample, load_table_specs

SPECS = load_table_specs()
EVENTS = SPECS["events"]
RECORD = json.loads(EVENTS.examples[0].line)


@pytest.mark.parametrize("reference", SPECS)
def test_the_shipped_tables_have_examples_that_fit(reference: str) -> None:
    spec = SPECS[reference]
    assert spec.examples
    for example in spec.examples:
        assert check_example(spec, example).problems == ()
    raised = {name for example in spec.examples for name in example.raised or {}}
    assert raised <= {field.name for field in spec.raised}
    values = [check_example(spec, example).raised for example in spec.examples]
    assert any(value is not None for found in values for value in found.values())


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"customerid": "11000"}, "customerid: '11000' is no bigint"),
        ({"servicname": "x"}, "servicname is no column; did you mean servicename?"),
        ({"createdtimestamp": None}, "createdtimestamp is missing"),
        ({"datatags": {"a": 1}}, "datatags: {'a': 1} is no map<string,string>"),
        ({"data": "{"}, "data is not JSON"),
        ({"service": "other"}, "service differs from servicename"),
        ({"createdtimestamp": 10**18}, "createdtimestamp: "),
    ],
)
def test_a_record_that_does_not_fit_is_told(change: dict[str, object], problem: str) -> None:
    checked = check_example(EVENTS, SpecExample(json.dumps({**RECORD, **change})))
    assert any(problem in found for found in checked.problems), checked.problems


def test_what_was_expected_otherwise_is_told() -> None:
    example = replace(EVENTS.examples[0], raised={"status": 503, "levl": "x"}, partition="dt=2026-11-22/hr=10/min=06")
    assert check_example(EVENTS, example).problems == (
        "lands in dt=2026-11-22/hr=10/min=05, not in dt=2026-11-22/hr=10/min=06",
        "status is 502, not 503",
        "levl is not raised; did you mean level?",
    )
    assert check_example(EVENTS, SpecExample("{")).problems[0].startswith("the record is not JSON")
    assert check_example(EVENTS, SpecExample("[]")).problems == ("the record is not a JSON object",)


@pytest.mark.parametrize(
    ("column_type", "value", "is_fit"),
    [
        ("int", 2**31, False),
        ("int", True, False),
        ("double", 1, True),
        ("boolean", 1, False),
        ("string", 1, False),
        ("array<int>", [1, None], True),
        ("array<int>", ["1"], False),
        ("map<string,int>", {"a": 1}, True),
        ("map<string,int>", [], False),
        ("struct<a:int>", {"A": 1, "b": 2}, True),
        ("struct<a:int>", {"a": "1"}, False),
        ("date", "2026-11-22", True),
    ],
)
def test_values_fit_types(column_type: str, value: object, is_fit: bool) -> None:
    assert fits(parse_type(column_type), value) is is_fit
    assert fits(parse_type(column_type), None)
