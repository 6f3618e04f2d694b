"""The example of docs/tables.md is a table that `data-hist tables check` takes, and every key it may have is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from glue.spec_examples import check_example
from glue.table_spec import TableSpec, load_table_file
from tests.e2e.test_own_tables import GUIDE, spec_of_the_guide
from tests.project.data_dictionary import DOCUMENT, document


def test_the_guides_table_is_good(tmp_path: Path) -> None:
    (tmp_path / "trail.yaml").write_text(spec_of_the_guide())
    spec = load_table_file(tmp_path / "trail.yaml", tmp_path)
    assert [check_example(spec, example).problems for example in spec.examples] == [()]


def test_every_key_of_a_spec_is_in_the_guide() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    members = {field.name for field in dataclasses.fields(TableSpec)} - {"catalogue_columns", "bucket", "topic"}
    assert [name for name in sorted(members) if f"`{name}`" not in text] == []


def test_the_data_dictionary_is_that_of_the_specs() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document() + "\n", (
        "python -m tests.project.data_dictionary writes it"
    )
