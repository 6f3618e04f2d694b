"""Trino SQL in, Athena's text out: every line of corpus/*.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedded.sql.errors import TrinoError
from tests.sql_executor import execute

_CORPUS = Path(__file__).parent / "corpus"


def _cases() -> list[object]:
    found: list[object] = []
    for path in sorted(_CORPUS.glob("*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line.strip():
                found.append(pytest.param(json.loads(line), id=f"{path.stem}:{number}"))
    return found


@pytest.mark.parametrize("case", _cases())
def test_corpus(case: dict[str, object]) -> None:
    sql = str(case["sql"])
    parameters = tuple(case.get("parameters", ()))  # type: ignore[arg-type]  # a list of texts
    if "error" in case:
        with pytest.raises(TrinoError) as caught:
            execute(sql, parameters)
        assert caught.value.name == case["error"]
        assert str(case.get("message", "")) in str(caught.value)
        return
    types, rows = execute(sql, parameters)
    if "rows" in case:
        assert rows == case["rows"]
        assert types == case.get("types", types)
        return
    assert rows == [[case["text"]]]
    assert types == [case.get("type", types[0])]
