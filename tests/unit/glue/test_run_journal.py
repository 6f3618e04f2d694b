"""A run that was killed goes on with what it had not finished; anything else begins anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from glue.run_journal import JournalInUse, RunJournal

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
RUN = {"table": "events", "from": None}


def journal_with_two_parts(path: Path) -> None:
    journal = RunJournal(path, RUN, now=NOW)
    assert journal.finished == {}
    journal.finish_part("one", {"count": 1})
    journal.finish_part("two", {"count": 2})
    journal.close()


def test_finished_parts_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "repair.jsonl"
    journal_with_two_parts(path)
    for _ in range(2):
        journal = RunJournal(path, RUN, now=NOW + timedelta(hours=1))
        assert journal.finished == {"one": {"count": 1}, "two": {"count": 2}}
        journal.close()


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_line_that_was_cut_off_is_a_part_to_be_done_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "repair.jsonl"
    journal_with_two_parts(path)
    path.write_bytes(path.read_bytes()[:-cut])
    journal = RunJournal(path, RUN, now=NOW)
    assert journal.finished == {"one": {"count": 1}}
    journal.finish_part("two", {"count": 2})
    journal.close()
    journal = RunJournal(path, RUN, now=NOW)
    assert set(journal.finished) == {"one", "two"}
    journal.close()


def test_another_run_an_old_one_and_a_finished_one_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "repair.jsonl"
    for run, now in (
        (RUN | {"from": "2026-01-01"}, NOW),
        (RUN, NOW + timedelta(days=1)),
        (RUN, NOW - timedelta(days=1)),
    ):
        journal_with_two_parts(path)
        journal = RunJournal(path, run, now=now)
        assert journal.finished == {}
        journal.end()
    journal_with_two_parts(path)
    journal = RunJournal(path, RUN, now=NOW)
    journal.end()
    assert not path.exists()


def test_nobody_else_writes_it_meanwhile(tmp_path: Path) -> None:
    journal = RunJournal(tmp_path / "repair.jsonl", RUN, now=NOW)
    with pytest.raises(JournalInUse):
        RunJournal(tmp_path / "repair.jsonl", RUN, now=NOW)
    journal.close()
    RunJournal(tmp_path / "repair.jsonl", RUN, now=NOW).close()
