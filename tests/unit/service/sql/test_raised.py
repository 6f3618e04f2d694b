"""The expression of a raised field, and that the rows of a tenant come with it."""

from __future__ import annotations

import pytest

from glue.raised_field import RaisedField
from glue.table_spec import load_table_specs
from service.errors import ColumnNotFound
from service.sql import grammar
from service.sql.raised import raised_column
from tests.unit.service.sql.planning import plan, run

EVENTS = load_table_specs()["events"]


@pytest.mark.parametrize(
    ("column_type", "paths", "expected"),
    [
        ("int", ["$.a"], 'coalesce("x", TRY_CAST(json_extract_scalar("data", \'$.a\') AS INTEGER)) AS "x"'),
        ("string", ["$.a"], 'coalesce("x", json_extract_scalar("data", \'$.a\')) AS "x"'),
        (
            "string",
            ["$.a", "$.b.c"],
            'coalesce("x", json_extract_scalar("data", \'$.a\'), json_extract_scalar("data", \'$.b.c\')) AS "x"',
        ),
        (
            "array<struct<a:int>>",
            ["$.a"],
            'coalesce("x", TRY_CAST(json_extract("data", \'$.a\') AS ARRAY(ROW("a" INTEGER)))) AS "x"',
        ),
        (
            "decimal(9,2)",
            ['$["it\'s"]'],
            'coalesce("x", TRY_CAST(json_extract_scalar("data", \'$["it\'\'s"]\') AS DECIMAL(9, 2))) AS "x"',
        ),
        (
            "timestamp",
            ["$.at"],
            'coalesce("x", TRY_CAST(json_extract_scalar("data", \'$.at\') AS TIMESTAMP), '
            "CAST(at_timezone(TRY(from_iso8601_timestamp(regexp_extract(json_extract_scalar(\"data\", '$.at'), "
            "'^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*$'))), 'UTC') AS TIMESTAMP)"
            ') AS "x"',
        ),
    ],
)
def test_the_expression_of_a_type(column_type: str, paths: list[str], expected: str) -> None:
    field = RaisedField("x", column_type, tuple(paths), "")
    assert grammar.write(raised_column(EVENTS, field)) == expected


def test_a_raised_field_is_a_column_like_others() -> None:
    planned = plan("SELECT event_type, status FROM events WHERE status IS NULL ORDER BY 1")
    assert run(planned.sql) == [(None, None)] * 3
    with pytest.raises(ColumnNotFound) as caught:
        plan("SELECT evnt_type FROM events")
    assert "event_type" in caught.value.suggestions


def test_faults_are_told_where_the_caller_wrote() -> None:
    planned = plan("SELECT servicename,\n  status FROM events")
    offset = planned.sql.index("status")
    place = planned.place_as_asked(1, offset + 1)
    assert place is not None
    assert (place.line, place.column) == (2, 3)
