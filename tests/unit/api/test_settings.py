"""Settings: read once, checked, told apart from typing errors, and documented word for word."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from api.engines import athena_work_groups
from api.settings import Settings, SettingsError, documented_settings, unknown_settings
from service.engines.athena import WorkGroup

CONFIGURATION = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"


def test_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path(".data"))


def test_values_are_read() -> None:
    settings = Settings.from_environment(
        {
            "DATA_HIST_DATA_DIR": "/var/lib/data-hist",
            "DATA_HIST_PORT": " 0 ",
            "DATA_HIST_ACCESS_LOG": "Off",
            "DATA_HIST_MAX_BYTES_SCANNED": "0",
            "DATA_HIST_ENGINE_MEMORY": "512MB",
            "DATA_HIST_LOG_LEVEL": "",
        }
    )
    assert settings.data_dir == Path("/var/lib/data-hist")
    assert settings.port == 0
    assert settings.access_log is False
    assert settings.max_bytes_scanned is None
    assert settings.log_level == "info"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DATA_HIST_PORT", "http", "whole number from 0 to 65535"),
        ("DATA_HIST_PORT", "70000", "whole number from 0 to 65535"),
        ("DATA_HIST_PORT", "-1", "whole number"),
        ("DATA_HIST_ACCESS_LOG", "maybe", "on or off"),
        ("DATA_HIST_ENGINE_MEMORY", "lots", "size with its unit"),
        ("DATA_HIST_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("DATA_HIST_HOST", "not a host", "address"),
        ("DATA_HIST_MAX_CONCURRENT_QUERIES", "0", "from 1 to 256"),
        ("DATA_HIST_DATA_DIR", "a\0b", "folder"),
        ("DATA_HIST_ATHENA_WORK_GROUP", "a b", "work group"),
        ("DATA_HIST_TRINO_URL", "trino:8080", "http"),
        ("DATA_HIST_TRINO_URL", "https://user:secret@trino", "no user"),
        ("DATA_HIST_TRINO_URL", "https://trino/path", "no path"),
        ("DATA_HIST_TRINO_SESSION_PROPERTIES", "query_max_run_time", "name=value"),
        ("DATA_HIST_TRINO_CLIENT_TAGS", "two words", "names without spaces"),
    ],
)
def test_a_bad_value_names_the_variable(variable: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as error:
        Settings.from_environment({variable: value})
    assert variable in str(error.value)


def test_operators_have_the_work_group_of_all_until_they_have_their_own() -> None:
    settings = Settings(athena_work_group="all", output_location="s3://results/")
    assert athena_work_groups(settings) == (WorkGroup("all", "s3://results/"),) * 2
    apart = dataclasses.replace(
        settings, athena_work_group_operator="operators", output_location_operator="s3://results-operator/"
    )
    assert athena_work_groups(apart)[1] == WorkGroup("operators", "s3://results-operator/")
    managed = dataclasses.replace(apart, managed_results=True)
    assert athena_work_groups(managed) == (WorkGroup("all", None), WorkGroup("operators", None))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ENGINE": "trino"}, "DATA_HIST_TRINO_URL"),
        ({"MANAGED_RESULTS": "on"}, "DATA_HIST_ENGINE=athena"),
        ({"TRINO_URL": "http://trino:8080", "TRINO_PASSWORD_FILE": "/run/secret"}, "https"),
        ({"TRINO_URL": "https://trino", "TRINO_PASSWORD_FILE": "/a", "TRINO_TOKEN_FILE": "/b"}, "set one"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(environment: dict[str, str], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        Settings.from_environment({f"DATA_HIST_{name}": value for name, value in environment.items()})


def test_lists_and_pairs_are_read() -> None:
    settings = Settings.from_environment(
        {
            "DATA_HIST_TRINO_CLIENT_TAGS": "batch, nightly",
            "DATA_HIST_TRINO_SESSION_PROPERTIES": "query_max_run_time=10m,hive.x=a=b",
        }
    )
    assert settings.trino_client_tags == ("batch", "nightly")
    assert settings.trino_session_properties == {"query_max_run_time": "10m", "hive.x": "a=b"}


def test_all_bad_values_are_told_together() -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"DATA_HIST_PORT": "x", "DATA_HIST_ACCESS_LOG": "x"})
    assert len(str(error.value).splitlines()) == 2


def test_a_typing_error_is_seen() -> None:
    sentences = unknown_settings({"DATA_HIST_PROT": "1", "DATA_HIST_URL": "x", "PATH": "x", "DATA_HIST_PORT": "1"})
    assert sentences == ["DATA_HIST_PROT is not a setting; did you mean DATA_HIST_PORT?"]


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_loopback(host: str, is_loopback: bool) -> None:
    assert Settings(host=host).is_loopback is is_loopback


def test_documentation_and_code_are_equal() -> None:
    rows = [
        tuple(cell.strip().strip("`") for cell in line.strip().strip("|").split("|"))
        for line in CONFIGURATION.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `DATA_HIST_")
    ]
    documented = [
        (name, default, meaning.replace("`", "")) for name, default, meaning in rows if name != "DATA_HIST_URL"
    ]
    expected = [(name, default, meaning.replace("`", "")) for name, default, meaning in documented_settings()]
    assert documented[: len(expected)] == expected


def test_several_replicas_need_an_engine_and_secrets_that_all_have() -> None:
    shared = {"DATA_HIST_STORE": "dynamodb", "DATA_HIST_ENGINE": "athena"}
    with pytest.raises(SettingsError, match="DATA_HIST_SECRET_FILE or DATA_HIST_SECRET"):
        Settings.from_environment(shared)
    with pytest.raises(SettingsError, match="DATA_HIST_ENGINE"):
        Settings.from_environment({"DATA_HIST_STORE": "dynamodb", "DATA_HIST_SECRET": "s" * 32})
    with pytest.raises(SettingsError, match="set one"):
        Settings.from_environment({"DATA_HIST_SECRET": "s" * 32, "DATA_HIST_SECRET_FILE": "/run/secrets/x"})
    settings = Settings.from_environment({**shared, "DATA_HIST_SECRET": "s" * 32})
    assert "s" * 32 not in repr(settings)
