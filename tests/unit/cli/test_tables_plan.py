"""`data-hist tables plan|diff|apply` on a data directory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from glue.table_spec import ColumnSpec, load_table_specs

EVENTS = load_table_specs()["events"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A data directory, and a function that makes the specs say something else from then on."""
    data_dir = tmp_path / "data"

    class Specs:
        def are(self, **changes: Any) -> None:
            changed = {**load_table_specs(), "events": replace(EVENTS, **changes)}
            monkeypatch.setattr("api.lake.load_table_specs", lambda *_, **__: changed)

        def run(self, *arguments: str) -> int:
            return run(["tables", *arguments, "--data-dir", str(data_dir)])

    return Specs()


def test_a_plan_tells_what_apply_does_and_then_there_is_nothing_to_do(
    lake: Any, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert lake.run("plan", "events") == 6
    out, err = (text.decode() for text in capfdbinary.readouterr())
    assert out.splitlines()[:4] == [
        "events  to be created",
        "    + database data_hist",
        "    + table events  s3://data-hist-lake/secor/events/",
        "    + column resourceid  string",
    ]
    assert "1 to create" in err
    assert lake.run("apply", "events") == 0
    capfdbinary.readouterr()
    assert lake.run("plan", "events") == 0
    out, err = (text.decode() for text in capfdbinary.readouterr())
    assert (out, err) == ("", "nothing to do: the catalogue is as the specs say\n")
    assert lake.run("apply", "events") == 0


def test_a_start_does_what_is_safe_and_the_flag_what_breaks(
    lake: Any, capfdbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    lake.are(columns=(*EVENTS.columns, ColumnSpec("amount", "bigint", "What it cost.")))
    assert run(["tables", "--help"]) == 0
    assert lake.run("apply") == 0
    lake.are(columns=(*EVENTS.columns, ColumnSpec("amount", "int", ""), ColumnSpec("place", "string", "Where.")))
    capfdbinary.readouterr()
    assert lake.run("diff", "events") == 6
    out = capfdbinary.readouterr()[0].decode()
    assert "! ~ column amount  bigint -> int" in out
    assert "+ column place  string" in out
    assert '~ comment amount  "What it cost." -> ""' in out
    assert lake.run("show", "events") == 0  # opens the lake, which does what is safe
    assert "what would break something: ~column amount" in caplog.text
    capfdbinary.readouterr()
    assert lake.run("plan", "--json") == 6
    document = json.loads(capfdbinary.readouterr()[0])
    assert document["has_breaking"]
    (table,) = [table for table in document["tables"] if table["table"] == "events"]
    (change,) = table["changes"]
    assert (change["sign"], change["part"], change["name"]) == ("~", "column", "amount")
    assert "does not read as int" in change["breaks"]
    assert lake.run("apply", "events") == 6
    assert "--allow-breaking" in capfdbinary.readouterr()[1].decode()
    assert lake.run("apply", "events", "--allow-breaking", "--json") == 0
    (outcome,) = json.loads(capfdbinary.readouterr()[0])["tables"]
    assert outcome["left"] == []
    assert lake.run("diff") == 0
    assert "as the specs say" in capfdbinary.readouterr()[1].decode()


def test_an_unknown_table_is_told(lake: Any, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert lake.run("plan", "event") == 2
    assert "did you mean events?" in capfdbinary.readouterr()[1].decode()
