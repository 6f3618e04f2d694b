"""Commands open the lake that the settings name, as the server does."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from cli.exit_codes import ExitCode
from cli.failure import Failure
from cli.lake import open_lake


def test_the_bucket_of_the_settings_is_the_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_HIST_LAKE_BUCKET", "another-lake")
    monkeypatch.setenv("DATA_HIST_OUTPUT_LOCATION", "s3://another-place/results/")
    with open_lake(tmp_path) as lake:
        assert lake.table("events").location == "s3://another-lake/secor/events/"
        assert {bucket["Name"] for bucket in lake.s3.list_buckets()["Buckets"]} == {"another-lake", "another-place"}


def test_a_wrong_setting_ends_the_command_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_HIST_LAKE_BUCKET", "No_Bucket!")
    with pytest.raises(Failure, match="DATA_HIST_LAKE_BUCKET"), open_lake(tmp_path):
        pass


def test_another_engine_means_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_HIST_ENGINE", "athena")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with open_lake(tmp_path) as lake:
        assert not lake.is_embedded
        assert lake.glue.meta.service_model.service_name == "glue"
    with open_lake(tmp_path, is_embedded=True) as lake:
        assert lake.is_embedded


def test_what_aws_refuses_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="AWS: AccessDeniedException: not for you") as caught, open_lake(tmp_path):
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not for you"}}, "GetTable")
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_table_that_is_none_is_told_with_its_neighbour(tmp_path: Path) -> None:
    with open_lake(tmp_path) as lake, pytest.raises(Failure, match="did you mean events"):
        lake.table("event")
