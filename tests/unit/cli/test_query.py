from __future__ import annotations

import pytest

from cli.client import ServiceProblem
from cli.exit_codes import ExitCode
from cli.query import caret_lines, failure_of


def test_a_caret_stands_under_the_fault() -> None:
    problem = ServiceProblem(
        400,
        {
            "code": "ColumnNotFound",
            "detail": "line 2:9: Column 'frm' cannot be resolved",
            "location": {"line": 2, "column": 9},
            "suggestions": ["from_unixtime"],
            "type": "/v0/problems/column-not-found",
        },
    )
    failure = failure_of(problem, "SELECT 1,\n\t       frm\nFROM events")
    assert failure.lines == ("          frm", "          ^")
    assert failure.message == "line 2:9: Column 'frm' cannot be resolved; did you mean from_unixtime?"
    assert failure.document()["error"] == {
        "code": "ColumnNotFound",
        "detail": failure.message,
        "exit_code": 1,
        "location": {"line": 2, "column": 9},
        "suggestions": ["from_unixtime"],
    }


def test_the_caret_of_a_long_line_stays_in_sight() -> None:
    sql = "SELECT " + "a, " * 500 + "wrong FROM events"
    text, caret = caret_lines(sql, {"location": {"line": 1, "column": sql.index("wrong") + 1}})
    assert len(text) <= 102
    assert text[caret.index("^") :].startswith("wrong")


@pytest.mark.parametrize("location", [None, {}, {"line": 9, "column": 1}, {"line": 1, "column": 99}, "here"])
def test_no_place_no_caret(location: object) -> None:
    assert caret_lines("SELECT 1", {"location": location}) == ()


@pytest.mark.parametrize(
    ("status", "document", "exit_code"),
    [
        (400, {"code": "InvalidQuerySyntax", "location": {"line": 1, "column": 1}}, ExitCode.QUERY_FAILED),
        (400, {"code": "QueryFailed", "query_id": "q"}, ExitCode.QUERY_FAILED),
        (400, {"code": "ScanLimitExceeded"}, ExitCode.QUERY_FAILED),
        (400, {"code": "InvalidRequest"}, ExitCode.USAGE),
        (404, {}, ExitCode.USAGE),
        (401, {"code": "AuthenticationRequired"}, ExitCode.NOT_ALLOWED),
        (403, {"code": "ScopeMissing"}, ExitCode.NOT_ALLOWED),
        (429, {"code": "TooManyQueries"}, ExitCode.NOT_REACHABLE),
        (503, {}, ExitCode.NOT_REACHABLE),
        (500, {}, ExitCode.QUERY_FAILED),
    ],
)
def test_the_exit_status_tells_whose_turn_it_is(status: int, document: dict[str, object], exit_code: ExitCode) -> None:
    assert failure_of(ServiceProblem(status, document)).exit_code == exit_code
