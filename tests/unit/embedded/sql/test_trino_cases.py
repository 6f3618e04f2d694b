"""Trino's own answers, where the collection is present: how many are right, and how few are wrong."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from tests.shared_data import shared_data
from tests.sql_executor import execute

#: What is reached, with a little room; raise it when more is. `wrong` counts answers, not refusals.
LEAST_RIGHT_VALUES = 0.995
MOST_WRONG_ANSWERS = 5
LEAST_ERRORS_NAMED = 0.98


def _judge(data: Path) -> ModuleType:
    tools = data.parent.parent / "tools"
    path = tools / "score_trino_cases.py"
    if not path.exists():
        pytest.skip("the score tool is not there")
    sys.path.insert(0, str(tools))
    spec = importlib.util.spec_from_file_location("score_trino_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.real_data
def test_trino_cases() -> None:
    data = shared_data("trino-cases")
    judge = _judge(data)
    counted: Counter[str] = Counter()
    for line in (data / "cases.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        kind = "errors" if case["group"].startswith("error:") else "values"
        result, failure = None, None
        try:
            result = execute(case["sql"])
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        right, strict = judge.judge(case, result, failure)
        counted[kind] += 1
        counted[f"{kind} right"] += right
        counted[f"{kind} strict"] += strict
        counted["wrong"] += kind == "values" and failure is None and not right
    assert counted["values right"] >= LEAST_RIGHT_VALUES * counted["values"], counted
    assert counted["errors strict"] >= LEAST_ERRORS_NAMED * counted["errors"], counted
    assert counted["wrong"] <= MOST_WRONG_ANSWERS, counted
