from __future__ import annotations

import json

import pytest

from glue.compaction_job import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--days", "many"], "not a number of days"),
        (["--days", "-1"], "not a number of days"),
        (["--days", "nan"], "not a number of days"),
        (["--target_mb", "0"], "from 1 to 5000"),
        (["--workers", "\u0663"], "from 1 to 64"),
        (["--min_kb", "9" * 5000], "from 0 to 1000000"),
        (["--dry_run", "maybe"], "not true or false"),
        (["--from", "yesterday"], "not a time"),
        (["--to", "0001-01-01"], "years 2 to 9998"),
        (["--mode", "remove"], "invalid choice"),
        (["--dryrun", "true"], "did you mean --dry_run?"),
        (["--older_than", "7"], "did you mean --older_than_days?"),
        (["--tables_dir", "nowhere"], "no folder of tables"),
        (["--days", "1", "--to", "2026-11-22"], "choose"),
        (["--table", "evnts"], "there is no table 'evnts'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        exit_code = main(["--table", "events", *arguments])
    except SystemExit as ended:
        exit_code = int(str(ended.code))
    told = capsys.readouterr()
    assert (exit_code, told.out) == (2, "")
    assert complaint in told.err


def test_what_glue_adds_is_named_and_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--table", "none", "--TempDir", "s3://elsewhere/", "--job-bookmark-option=job-bookmark-disable"]) == 2
    assert json.loads(capsys.readouterr().out) == {"left_alone": ["--TempDir", "--job-bookmark-option"]}
