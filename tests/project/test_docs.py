"""What the documents promise is there: links resolve, make targets and commands exist, decisions are listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.project import sql_support

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])
LINK = re.compile(r"\[[^\]]+\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    missing = [target for target in LINK.findall(document.read_text()) if not (document.parent / target).exists()]
    assert missing == []


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {
        target for document in DOCUMENTS for target in re.findall(r"^\s*make ([a-z-]+)", document.read_text(), re.M)
    }
    assert named <= targets


def test_readme_opens_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert [line.split("#")[0].strip() for line in lines if line.startswith("    ")][:2] == ["make run", "make test"]


def test_every_decision_is_listed() -> None:
    listing = (ROOT / "docs/decisions/README.md").read_text()
    files = {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}
    assert files
    assert files == set(re.findall(r"\((0[^)]+\.md)\)", listing))


def test_every_room_is_on_the_map() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    readme = (ROOT / "README.md").read_text()
    assert {room for room in rooms if f"`{room}/`" not in readme} == set()


def test_no_file_names_this_machine() -> None:
    """Nothing in the tree depends on where one developer's checkout lies."""
    tracked = [
        path
        for path in ROOT.rglob("*")
        if path.suffix in {".py", ".md", ".cfg", ".toml", ".yaml", ".yml", ".lock", ".in"}
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    needle = "/" + "work" + "/"
    assert [str(path.relative_to(ROOT)) for path in tracked if needle in path.read_text()] == []


def test_no_document_holds_a_conflict() -> None:
    marks = re.compile(r"^(<{7} |>{7} )", re.M)
    assert [document.name for document in DOCUMENTS if marks.search(document.read_text())] == []


def test_the_sql_matrix_lists_what_the_registry_has() -> None:
    """When this fails: python -m tests.project.sql_support."""
    document = sql_support.DOCUMENT.read_text(encoding="utf-8")
    assert document == sql_support.written(document)
