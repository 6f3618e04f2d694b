"""Python functions inside queries: whole columns travel at once, texts stay what they were, NULL never reaches them."""

from __future__ import annotations

from tests.sql_executor import connection, execute

_ROWS = 5000


def test_texts_survive_coalesce_and_sorting() -> None:
    # COALESCE once kept pointers into an answer that Arrow had freed
    long = "'America/Argentina/ComodRivadavia'"
    sql = (
        "SELECT count(*) FROM (SELECT COALESCE(CASE WHEN i % 7 = 0 THEN 'short' END, trino_zone(z)) AS found, i "
        f"FROM (SELECT i, CASE WHEN i >= 0 THEN {long} END AS z FROM range({_ROWS}) r(i)) ORDER BY i DESC) "
        f"WHERE found = CASE WHEN i % 7 = 0 THEN 'short' ELSE {long} END"
    )
    assert connection().execute(sql).fetchall() == [(_ROWS,)]


def test_numbers_of_a_structure_survive_coalesce() -> None:
    sql = (
        "SELECT sum(COALESCE(CASE WHEN i % 7 = 0 THEN {'p': CAST(0 AS BIGINT), 'o': CAST(0 AS INTEGER)} END, "
        "trino_text_time('00:00:01', 3, false)).p) // 1000000000000 "
        f"FROM range({_ROWS}) r(i)"
    )
    assert connection().execute(sql).fetchall() == [(sum(1 for i in range(_ROWS) if i % 7),)]


def test_null_in_null_out_beside_other_rows() -> None:
    _, rows = execute(
        "SELECT date_parse(t, '%e %M %Y') "
        "FROM (VALUES (1, '5 May 2020'), (2, NULL), (3, '6 May 2020')) v(i, t) ORDER BY i"
    )
    assert rows == [["2020-05-05 00:00:00.000"], [None], ["2020-05-06 00:00:00.000"]]
