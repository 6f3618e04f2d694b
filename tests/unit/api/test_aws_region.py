"""A region that the environment names is found, whichever of the two variables names it."""

from __future__ import annotations

import pytest

from api.aws_region import respect_aws_region


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_PROFILE": "prod"}, None),
        ({"AWS_REGION": ""}, None),
        ({}, None),
    ],
)
def test_the_region_is_found(environment: dict[str, str], expected: str | None) -> None:
    for _ in range(2):
        respect_aws_region(environment)
        assert environment.get("AWS_DEFAULT_REGION") == expected


def test_boto3_makes_clients_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.session

    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    respect_aws_region()
    assert botocore.session.get_session().get_config_variable("region") == "eu-central-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
