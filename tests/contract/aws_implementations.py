"""The implementations of each AWS port: the embedded object, and moto behind a real boto3 client.

A contract test class runs against both. Where moto is known to be lax (no limits on batches, one page for all), the
test says so with `moto_differs`, a strict expectation of failure: when moto mends it, the test tells.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedded.glue import Glue
from embedded.s3 import S3

IMPLEMENTATIONS = ("embedded", "moto")


@contextmanager
def moto_client(service_name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A real boto3 client whose requests moto answers in this process; no network, no credentials of anybody."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # moto's and botocore's own
        import boto3
        from moto import mock_aws

        with mock_aws():
            yield boto3.client(service_name, region_name="us-east-1")


@contextmanager
def s3_client(implementation: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 client with nothing in it."""
    if implementation == "embedded":
        yield S3(folder / "s3")
    else:
        with moto_client("s3", monkeypatch) as client:
            yield client


@contextmanager
def glue_client(implementation: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Glue client with nothing in it."""
    if implementation == "embedded":
        glue = Glue(folder / "catalogue.sqlite")
        yield glue
        glue.close()
    else:
        with moto_client("glue", monkeypatch) as client:
            yield client


def is_moto(request: pytest.FixtureRequest) -> bool:
    """Whether the running test runs against moto."""
    callspec = getattr(request.node, "callspec", None)
    return callspec is not None and callspec.params.get("implementation") == "moto"


def moto_differs(request: pytest.FixtureRequest, reason: str) -> None:
    """Expects, strictly, that the running test fails on moto for this reason."""
    if is_moto(request):
        request.applymarker(pytest.mark.xfail(reason=f"moto: {reason}", strict=True))
