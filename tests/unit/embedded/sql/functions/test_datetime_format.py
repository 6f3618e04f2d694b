"""The two roads of date formats agree: DuckDB's strftime and strptime, and Joda's rules written out in joda.py."""

from __future__ import annotations

import random

import pytest

from embedded.sql.errors import TrinoError
from embedded.sql.functions import joda
from embedded.sql.functions.datetime_format import native_parsing, native_printing
from tests.sql_executor import connection

_JODA_ELEMENTS = [
    "yyyy",
    "yy",
    "M",
    "MM",
    "MMM",
    "MMMM",
    "d",
    "dd",
    "H",
    "HH",
    "h",
    "hh",
    "K",
    "k",
    "m",
    "mm",
    "s",
    "ss",
    "SSS",
    "SSSSSS",
    "a",
    "E",
    "EEEE",
    "D",
    "DDD",
    "w",
    "ww",
    "e",
    "xxxx",
    "YYYY",
    "'T'",
    "/",
]


def _moments() -> list[int]:
    """Milliseconds since 1970, from the year 1 to the year 9999."""
    generator = random.Random(20)  # test data
    found = [generator.randint(-62_135_596_800_000, 253_402_300_799_999) for _ in range(200)]
    return [*found, 0, -1, 951_782_400_000, 1_582_934_400_000]


@pytest.mark.parametrize("pattern", [f"%{letter}" for letter in "abcdefHhIijklMmprSsTvWYyx%"])
def test_mysql_elements_print_alike(pattern: str) -> None:
    _print_alike(joda.mysql_pattern(pattern))


@pytest.mark.parametrize("pattern", _JODA_ELEMENTS)
def test_joda_elements_print_alike(pattern: str) -> None:
    _print_alike(joda.joda_pattern(pattern))


def _print_alike(pattern: joda.Pattern) -> None:
    sql = native_printing(pattern, "t", "CAST(0 AS BIGINT)", "'UTC'")
    if sql is None:
        return
    moments = _moments()
    query = f"SELECT {sql} FROM (SELECT make_timestamp(v * 1000) AS t FROM (SELECT unnest(?::BIGINT[]) AS v))"
    found = [text for (text,) in connection().execute(query, [moments]).fetchall()]
    assert found == [pattern.printed(moment, 0, "UTC") for moment in moments]


@pytest.mark.parametrize("format_", ["%Y-%m-%d %H:%i:%s", "%Y/%m/%d", "%Y%m%d%H%i%s", "%d.%m.%Y"])
def test_native_parsing_answers_only_what_joda_answers(format_: str) -> None:
    generator = random.Random(21)  # test data
    pattern = joda.mysql_pattern(format_)
    texts: list[str] = []
    for moment in _moments():
        text = pattern.printed(moment, 0, "UTC")
        damaged = list(text)
        damaged[generator.randrange(len(text))] = generator.choice("0123456789-: x")
        texts += [text, "".join(damaged), text[:-1], text + "1", " " + text]
    sql = native_parsing(pattern, "s")
    query = f"SELECT epoch_ms({sql}) FROM (SELECT unnest(?::VARCHAR[]) AS s)"
    answers = [millis for (millis,) in connection().execute(query, [texts]).fetchall()]
    assert sum(answer is not None for answer in answers) >= len(_moments())
    for text, answer in zip(texts, answers, strict=True):
        assert answer is None or pattern.parsed(text).local_millis == answer


@pytest.mark.parametrize("format_", ["%Y-%m-%d %H:%i:%s.%f", "%x-%v", "%Y %j", "%d %b %Y %r", "%W %M %e %Y %k"])
def test_what_is_printed_is_parsed(format_: str) -> None:
    pattern = joda.mysql_pattern(format_)
    for moment in _moments():
        text = pattern.printed(moment, 0, "UTC")
        assert pattern.printed(pattern.parsed(text).local_millis, 0, "UTC") == text


def test_errors_say_where_the_text_went_wrong() -> None:
    pattern = joda.mysql_pattern("%Y-%m-%d")
    for text, message in (
        ("x", 'Invalid format: "x"'),
        ("2020-1", 'Invalid format: "2020-1" is too short'),
        ("2020-01-02 03", 'Invalid format: "2020-01-02 03" is malformed at " 03"'),
        ("2020-02-30", 'Cannot parse "2020-02-30": Value 30 for dayOfMonth must be in the range [1,29]'),
    ):
        with pytest.raises(TrinoError) as caught:
            pattern.parsed(text)
        assert caught.value.message == message
