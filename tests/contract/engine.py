"""What every engine promises (service.engine.Engine): one class of tests, inherited by each implementation.

A subclass gives an `engine`, and says with `runs_anything` whether it runs any SQL or only the statements listed here.
"""

from __future__ import annotations

import contextlib
import csv
import io
import threading
import zlib

import pytest

from service.engine import Engine, EngineClosed, EngineExecution, EngineExecutionLost
from service.errors import Blame, QueryFailed, QueryFailure
from service.model import QueryStatus

SCALARS = (
    "SELECT true AS a, tinyint '-128' AS b, smallint '32767' AS c, -2147483648 AS d, bigint '9223372036854775807' AS e,"
    " 1e0 AS f, 1e10 AS g, nan() AS h, -infinity() AS i, 0.00012e0 AS j, -0e0 AS k, real '1.5' AS l,"
    " real '3.4e38' AS m, decimal '1.10' AS n, CAST('ab' AS char(4)) AS o, X'3132ff' AS p"
)
SCALAR_VALUES = (
    ("boolean", "true"),
    ("tinyint", "-128"),
    ("smallint", "32767"),
    ("integer", "-2147483648"),
    ("bigint", "9223372036854775807"),
    ("double", "1.0"),
    ("double", "1.0E10"),
    ("double", "NaN"),
    ("double", "-Infinity"),
    ("double", "1.2E-4"),
    ("double", "-0.0"),
    ("real", "1.5"),
    ("real", "3.4E38"),
    ("decimal(3,2)", "1.10"),
    ("char(4)", "ab  "),
    ("varbinary", "31 32 ff"),
)
TIMES = (
    "SELECT date '2026-11-22' AS a, time '12:34:56.789' AS b, timestamp '2026-11-22 10:00:00.123' AS c,"
    " timestamp '2026-11-22 10:00:00.123456' AS d, timestamp '2026-07-01 10:00:00.123 Europe/Berlin' AS e,"
    " timestamp '2026-11-22 10:00:00.123 -03:30' AS f, interval '2' day AS g, interval '14' month AS h"
)
TIME_VALUES = (
    ("date", "2026-11-22"),
    ("time(3)", "12:34:56.789"),
    ("timestamp(3)", "2026-11-22 10:00:00.123"),
    ("timestamp(6)", "2026-11-22 10:00:00.123456"),
    ("timestamp(3) with time zone", "2026-07-01 10:00:00.123 Europe/Berlin"),
    ("timestamp(3) with time zone", "2026-11-22 10:00:00.123 -03:30"),
    ("interval day to second", "2 00:00:00.000"),
    ("interval year to month", "1-2"),
)
NESTED = (
    "SELECT ARRAY[1, NULL, 3] AS a, map(ARRAY['k'], ARRAY[1.5e0]) AS b,"
    " CAST(ROW(1, 'x') AS ROW(n integer, s varchar)) AS c, ROW(ARRAY[X'01'], 1e10) AS d,"
    """ json_format(CAST(map(ARRAY['a'], ARRAY['"']) AS JSON)) AS e, json '{"a": [1, null]}' AS f,"""
    " uuid '12151fd2-7586-11e9-8f9e-2a86e4085a59' AS g, ipaddress '2001:db8::1' AS h"
)
NESTED_VALUES = (
    ("array", "[1, null, 3]"),
    ("map", "{k=1.5}"),
    ("row", "{n=1, s=x}"),
    ("row", "{field0=[01], field1=1.0E10}"),
    ("varchar", '{"a":"\\""}'),
    ("json", '{"a":[1,null]}'),
    ("uuid", "12151fd2-7586-11e9-8f9e-2a86e4085a59"),
    ("ipaddress", "2001:db8::1"),
)
TEXTS = (
    "SELECT n, t FROM (VALUES (1, ''), (2, NULL), (3, 'a\"b'), (4, 'c\nd,e'), (5, 'é 😀'), (NULL, NULL)) AS v(n, t)"
    " ORDER BY n NULLS LAST"
)
ONE_NULL = "SELECT n FROM (VALUES 1, NULL, 3) AS v(n)"
NOTHING = "SELECT 1 AS one, 'x' AS two WHERE false"
SAME_NAMES = "SELECT 1 AS a, 2 AS a, 3 AS b"
MANY = "SELECT n, 'row ' || CAST(n AS varchar) AS t FROM UNNEST(sequence(1, 5000)) AS v(n) ORDER BY n"
LONG = (
    "SELECT count(*) AS n FROM UNNEST(sequence(1, 10000)) AS a(x) CROSS JOIN UNNEST(sequence(1, 10000)) AS b(y)"
    " CROSS JOIN UNNEST(sequence(1, 10000)) AS c(z) WHERE x * y * z = -1"
)
FAULTS = {
    "SELECT missing FROM (SELECT 1 AS one) AS t": ("ColumnNotFound", "COLUMN_NOT_FOUND", 1, 8),
    "SELECT * FROM nowhere": ("TableNotFound", "TABLE_NOT_FOUND", 1, 15),
    "SELECT no_such_function(1)": ("FunctionNotFound", "FUNCTION_NOT_FOUND", 1, 8),
    "SELECT 'a' + 1": ("TypeMismatch", "TYPE_MISMATCH", 1, 12),
    "SELECT 1 / (n - n) AS d FROM (VALUES 1) AS v(n)": ("QueryFailed", "DIVISION_BY_ZERO", None, None),
}
SYNTAX_FAULT = "SELECT 1 FORM t WHERE"
STATEMENTS = (SCALARS, TIMES, NESTED, TEXTS, ONE_NULL, NOTHING, SAME_NAMES, MANY, SYNTAX_FAULT, *FAULTS)

_BASES_ONLY = frozenset({"array", "map", "row", "varchar"})
"""Athena's API gives only the base name of nested types, and Trino the length of a varchar that is known."""


def token(number: int = 0) -> str:
    return f"contract-{number:032d}"


def ignore(_: EngineExecution) -> None:
    pass


class EngineContract:
    """See the module."""

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    # --- values

    def finished(self, engine: Engine, sql: str) -> EngineExecution:
        ended = engine.wait(engine.start(sql, token=token(zlib.crc32(sql.encode()))), ignore)
        assert (ended.status, ended.failure) == (QueryStatus.FINISHED, None)
        return ended

    def result(self, engine: Engine, ended: EngineExecution) -> bytes:
        with contextlib.closing(engine.open_result(ended.engine_id, ended.result_location)) as stream:
            return stream.read()

    def rows(self, engine: Engine, sql: str) -> list[list[str]]:
        """The result's rows with their header; null and '' look alike here."""
        return list(csv.reader(io.StringIO(self.result(engine, self.finished(engine, sql)).decode(), newline="")))

    @pytest.mark.parametrize(
        ("sql", "expected"),
        [(SCALARS, SCALAR_VALUES), (TIMES, TIME_VALUES), (NESTED, NESTED_VALUES)],
        ids=["scalars", "times", "nested"],
    )
    def test_every_type_has_the_text_of_the_table(
        self, engine: Engine, sql: str, expected: tuple[tuple[str, str], ...]
    ) -> None:
        ended = self.finished(engine, sql)
        header, values = csv.reader(io.StringIO(self.result(engine, ended).decode(), newline=""))
        columns = engine.columns(ended.engine_id)
        assert values == [value for _, value in expected]
        assert (
            header == [column.name for column in columns] == [chr(ord("a") + index) for index in range(len(expected))]
        )
        for column, (type_text, _) in zip(columns, expected, strict=True):
            if type_text in _BASES_ONLY:
                assert column.type.split("(")[0] == type_text
            elif type_text.startswith("timestamp(6)"):  # Athena's API tells milliseconds of every timestamp
                assert column.type in (type_text, "timestamp(3)")
            else:
                assert column.type == type_text

    def test_null_is_nothing_and_empty_text_is_quotes(self, engine: Engine) -> None:
        data = self.result(engine, self.finished(engine, TEXTS))
        assert data.decode() == ('"n","t"\n"1",""\n"2",\n"3","a""b"\n"4","c\nd,e"\n"5","é 😀"\n,\n')

    def test_a_row_of_one_null_is_an_empty_line(self, engine: Engine) -> None:
        lines = self.result(engine, self.finished(engine, ONE_NULL)).decode().splitlines()
        assert (lines[0], sorted(lines[1:])) == ('"n"', ["", '"1"', '"3"'])

    def test_no_rows_are_a_header(self, engine: Engine) -> None:
        assert self.rows(engine, NOTHING) == [["one", "two"]]

    def test_names_that_occur_twice_stay_as_they_are(self, engine: Engine) -> None:
        ended = self.finished(engine, SAME_NAMES)
        assert [column.name for column in engine.columns(ended.engine_id)] == ["a", "a", "b"]

    def test_rows_keep_their_order_and_can_be_read_twice(self, engine: Engine) -> None:
        ended = self.finished(engine, MANY)
        data = self.result(engine, ended)
        assert data.decode().splitlines() == ['"n","t"', *(f'"{n}","row {n}"' for n in range(1, 5001))]
        assert self.result(engine, ended) == data

    # --- running

    def test_a_token_is_one_execution(self, engine: Engine) -> None:
        first = engine.start(NOTHING, token=token(1))
        assert engine.start(NOTHING, token=token(1)) == first
        assert engine.start(NOTHING, token=token(2)) != first
        assert engine.wait(first, ignore).status is QueryStatus.FINISHED

    def test_statistics_are_told(self, engine: Engine) -> None:
        statistics = self.finished(engine, MANY).statistics
        assert statistics.total_execution_time_ms is not None
        assert statistics.data_scanned_bytes == 0  # no table was read

    @pytest.mark.parametrize("sql", FAULTS)
    def test_a_fault_of_the_sql_is_the_users_with_name_and_place(self, engine: Engine, sql: str) -> None:
        failure = engine.wait(engine.start(sql, token=token()), ignore).failure
        assert failure is not None
        assert (failure.code, failure.engine_error_name, failure.line, failure.column) == FAULTS[sql]
        assert (failure.blame, failure.retryable) == (Blame.USER, False)

    def test_a_syntax_fault_is_the_users_whenever_the_engine_sees_it(self, engine: Engine) -> None:
        failure: QueryFailure | None
        try:
            failure = engine.wait(engine.start(SYNTAX_FAULT, token=token()), ignore).failure
        except QueryFailed as refused:
            failure = refused.failure
        assert failure is not None
        assert (failure.code, failure.blame) == ("InvalidQuerySyntax", Blame.USER)
        assert failure.line == 1
        assert failure.column is not None

    def test_a_running_query_tells_its_state_and_stops_for_good(self, engine: Engine) -> None:
        engine_id = engine.start(LONG, token=token())
        seen: list[QueryStatus] = []

        def on_change(execution: EngineExecution) -> None:
            if not seen:
                engine.stop(engine_id)
            seen.append(execution.status)

        ended = engine.wait(engine_id, on_change)
        assert ended.status is QueryStatus.CANCELLED
        assert seen
        assert set(seen) <= {QueryStatus.QUEUED, QueryStatus.RUNNING}
        engine.stop(engine_id)  # twice is once

    def test_a_query_is_stopped_before_anybody_waits_for_it(self, engine: Engine) -> None:
        engine_id = engine.start(LONG, token=token())
        engine.stop(engine_id)
        assert engine.wait(engine_id, ignore).status is QueryStatus.CANCELLED

    def test_stopping_what_has_ended_changes_nothing(self, engine: Engine) -> None:
        ended = self.finished(engine, SAME_NAMES)
        engine.stop(ended.engine_id)
        assert self.result(engine, ended).decode() == '"a","a","b"\n"1","2","3"\n'

    def test_what_the_engine_does_not_know_is_lost(self, engine: Engine) -> None:
        unknown = "20200101_000000_00000_abcde"
        engine.stop(unknown)
        with pytest.raises(EngineExecutionLost):
            engine.wait(unknown, ignore)

    def test_a_deleted_result_is_lost_and_deleting_twice_is_once(self, engine: Engine) -> None:
        ended = self.finished(engine, SAME_NAMES)
        assert ended.result_location is not None
        for _ in range(2):
            engine.delete_result(ended.engine_id, ended.result_location)
        with pytest.raises(QueryFailed) as lost:
            engine.open_result(ended.engine_id, ended.result_location)
        assert (lost.value.code, lost.value.failure.blame) == ("ResultLost", Blame.SERVICE)

    def test_closing_ends_waiting(self, engine: Engine) -> None:
        engine_id = engine.start(LONG, token=token())
        closing = threading.Thread(target=engine.close)
        with pytest.raises(EngineClosed):
            engine.wait(engine_id, lambda execution: closing.is_alive() or closing.start())
        closing.join()
