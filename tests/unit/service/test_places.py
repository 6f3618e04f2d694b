from __future__ import annotations

import pytest

from service.errors import Blame, QueryFailure
from service.places import carried_over, placed

ASKED = "SELECT count(*),\n  strpos(data, 1) AS x\nFROM events"
ENGINE = "SELECT count(*), strpos(data, 1) AS x FROM (SELECT * FROM events WHERE customerid IN (11000))"


@pytest.mark.parametrize(
    ("word", "expected"),
    [("strpos", (2, 3)), ("x", (2, 22)), ("count", (1, 8)), ("customerid", None), ("events", (3, 6)), ("SELECT", None)],
)
def test_a_place_is_carried_over_by_its_word(word: str, expected: tuple[int, int] | None) -> None:
    column = ENGINE.index(word) + 1
    assert carried_over(1, column, engine_sql=ENGINE, asked_sql=ASKED) == expected


@pytest.mark.parametrize("place", [(0, 1), (1, 0), (2, 1), (1, 10_000)])
def test_a_place_outside_the_text_is_none(place: tuple[int, int]) -> None:
    assert carried_over(*place, engine_sql=ENGINE, asked_sql=ASKED) is None


def test_the_text_tells_the_same_place_as_the_members() -> None:
    failure = QueryFailure("TypeMismatch", "line 1:18: Unexpected parameters", Blame.USER, line=1, column=18)
    carried = placed(failure, engine_sql=ENGINE, asked_sql=ASKED)
    assert (carried.line, carried.column, carried.detail) == (2, 3, "line 2:3: Unexpected parameters")
    lost = placed(QueryFailure("X", "line 9:9: Oops", Blame.USER, line=9, column=9), engine_sql=ENGINE, asked_sql=ASKED)
    assert (lost.line, lost.column, lost.detail) == (None, None, "Oops")
    same = placed(failure, engine_sql=ASKED, asked_sql=ASKED)
    assert same == failure
