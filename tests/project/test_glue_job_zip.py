"""What the compaction job is built of; the tracker's function is spared what only the job needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

from deploy.glue_job_zip import CODE_NAME, JOB_MODULE, WHEELS_NAME, build
from deploy.lambda_zip import HANDLER_MODULE, NOT_IN_LAMBDA, imported_distributions, reachable_modules


def test_it_is_the_same_bytes_each_time_and_says_what_is_installed(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "any-1-py3-none-any.whl").write_bytes(b"wheel")
    first, again = build(tmp_path / "a", wheels), build(tmp_path / "b", wheels)
    assert list(first.values()) == list(again.values())
    with zipfile.ZipFile(tmp_path / "a" / CODE_NAME) as code:
        assert {"glue/compaction_job.py", "glue/compaction_objects.py", "glue/tables/events.yaml"} <= set(
            code.namelist()
        )
    with zipfile.ZipFile(tmp_path / "a" / WHEELS_NAME) as archive:
        assert archive.namelist() == ["wheels/any-1-py3-none-any.whl", "wheels/requirements.txt"]
        pins = archive.read("wheels/requirements.txt").decode().splitlines()
    names = {pin.partition("==")[0] for pin in pins}
    assert names >= {"boto3", "isal", "orjson", "pyarrow", "pyyaml"}
    assert not names & {"duckdb", "connexion", "typer"}


def test_the_trackers_function_goes_without_pyarrow() -> None:
    modules = reachable_modules(HANDLER_MODULE, without=NOT_IN_LAMBDA)
    assert "glue.compaction_settling" in modules
    assert "pyarrow" not in imported_distributions(modules.values())
    assert "pyarrow" in imported_distributions(reachable_modules(JOB_MODULE).values())
