from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest

from cli.main import run


def own_table(folder: Path, **replaced: str) -> Path:
    text = (resources.files("glue") / "tables" / "logs.yaml").read_text().replace("name: logs\n", "name: shop\n")
    for old, new in replaced.items():
        text = text.replace(old, new)
    file = folder / "shop.yaml"
    file.write_text(text)
    return file


def test_the_shipped_tables_are_good(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["tables", "check", "--json"]) == 0
    document = json.loads(capfdbinary.readouterr()[0])
    assert document["is_good"]
    (events,) = [table for table in document["tables"] if table["table"] == "events"]
    assert events["examples"][0]["raised"]["status"] == 502


def test_a_file_is_checked_with_its_examples(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["tables", "check", str(own_table(tmp_path))]) == 0
    out, err = (text.decode() for text in capfdbinary.readouterr())
    assert out.splitlines()[0].startswith(
        "shop  s3://data-hist-lake/secor/logs/  9 columns, 4 raised fields, 1 example"
    )
    assert 'level "WARN"' in out
    assert err == ""
    assert run(["tables", "check", str(own_table(tmp_path, **{"raised: {level: WARN": "raised: {level: INFO"}))]) == 2
    assert "wrong: shop: example 1: level is" in capfdbinary.readouterr()[1].decode()
    assert run(["tables", "check", str(own_table(tmp_path, granularity="granularty"))]) == 2
    assert "shop.yaml: layout.granularty: unknown" in capfdbinary.readouterr()[1].decode()
    assert run(["tables", "check", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: No such file" in capfdbinary.readouterr()[1].decode()


def test_a_folder_of_ones_own_is_read_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    own_table(specs)
    monkeypatch.setenv("DATA_HIST_TABLES_DIR", str(specs))
    assert run(["tables", "--json", "--data-dir", str(tmp_path / "data")]) == 0
    names = [table["name"] for table in json.loads(capfdbinary.readouterr()[0])["tables"]]
    assert "shop" in names
    own_table(specs, granularity="granularty")
    assert run(["tables", "--data-dir", str(tmp_path / "data")]) == 2
    assert "did you mean granularity?" in capfdbinary.readouterr()[1].decode()
