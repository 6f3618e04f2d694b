"""TRY and TRY_CAST over whole batches of rows: a failing row is NULL, the others keep their values, memory stays whole.

DuckDB repeats a failing batch row by row; CASE and COALESCE directly below its TRY then write past a vector's end.
"""

from __future__ import annotations

import pytest

from tests.sql_executor import execute

ROWS = "SELECT n, element_at(ARRAY['abc', '2021-02-28', '7', ''], n % 4 + 1) AS t FROM UNNEST(sequence(0, 1999)) u(n)"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("TRY(COALESCE(TRY_CAST(t AS integer), 1 / (n % 4 - 1), 5))", ["-1", None, "7", "0"]),
        ("TRY(CASE WHEN n < 0 THEN 1 WHEN t = '7' THEN 2 WHEN t = '' THEN 3 ELSE CAST(t AS integer) END)",
         [None, None, "2", "3"]),
        ("TRY_CAST(json_extract_scalar(t, '$') AS date)", [None, None, None, None]),
        ("TRY_CAST(nullif(t, '') AS date)", [None, "2021-02-28", None, None]),
        ("TRY_CAST(nullif(t, '') AS timestamp)", [None, "2021-02-28 00:00:00.000", None, None]),
        ("TRY_CAST(nullif(t, 'abc') AS double)", [None, None, "7.0E0", None]),
        ("TRY(from_iso8601_date(t))", [None, "2021-02-28", "0007-01-01", None]),
    ],
)  # fmt: skip
def test_rows_that_fail_are_null_and_no_other(expression: str, expected: list[str | None]) -> None:
    _, rows = execute(f"SELECT CAST({expression} AS varchar) FROM ({ROWS}) ORDER BY n")
    assert [row[0] for row in rows] == expected * 500
