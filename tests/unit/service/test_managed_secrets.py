"""Signing secrets in AWS Secrets Manager, which moto plays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from api.replication import open_replication
from api.settings import Settings, SettingsError
from service.errors import InvalidPagingToken
from service.managed_secrets import (
    PAUSE_SECONDS,
    REFRESH_SECONDS,
    ManagedKeyRing,
    SecretReference,
    SecretUnreadable,
    read_secret,
)
from service.tokens import ResultPosition, TokenSigner
from tests.contract.aws_implementations import moto_client
from tests.fakes.world import FakeClock

OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with moto_client("secretsmanager", monkeypatch) as client:
        client.create_secret(Name="data-hist/signing", SecretString=OLD)
        client.create_secret(Name="all", SecretString=json.dumps({"tokens": NEW, "number": 5}))
        client.create_secret(Name="bytes", SecretBinary=bytes(range(200, 240)))
        yield client


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("reference", "content"),
    [
        ("secretsmanager:data-hist/signing", OLD.encode()),
        ("secretsmanager:all#tokens", NEW.encode()),
        ("secretsmanager:bytes", bytes(range(200, 240))),
    ],
)
def test_a_reference_leads_to_its_secret(manager: Any, reference: str, content: bytes) -> None:
    assert read_secret(manager, SecretReference.parse(reference)) == content


@pytest.mark.parametrize("reference", ["nothing", "all#number", "all#nothing", "data-hist/signing#x", "bytes#x"])
def test_what_is_no_secret_is_told_without_what_is_in_it(manager: Any, reference: str) -> None:
    with pytest.raises(SecretUnreadable) as refusal:
        read_secret(manager, SecretReference.parse(f"secretsmanager:{reference}"))
    assert OLD not in repr(refusal.value)
    assert NEW not in repr(refusal.value)


@pytest.mark.parametrize("text", ["secretsmanager:", "secretsmanager:a b", "secretsmanager:a#", "secretsmanager:a#b#c"])
def test_a_reference_has_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="secretsmanager:NAME"):
        SecretReference.parse(text)


def test_a_rotated_secret_is_seen_without_a_restart(manager: Any) -> None:
    clock = Clock()
    reference = SecretReference("data-hist/signing")
    ring = ManagedKeyRing(lambda: read_secret(manager, reference), monotonic=clock)
    signer = TokenSigner(ring)
    token = signer.result_token(ResultPosition(1, 2), tenant="alice", query_id="q")
    manager.put_secret_value(SecretId="data-hist/signing", SecretString=f"{NEW}\n{OLD}")
    clock.seconds += REFRESH_SECONDS
    ring.secrets()
    ring.wait()
    assert signer.result_position(token, tenant="alice", query_id="q") == ResultPosition(1, 2)
    assert signer.result_token(ResultPosition(1, 2), tenant="alice", query_id="q") != token
    assert [secret.value for secret in ring.secrets()] == [NEW.encode(), OLD.encode()]


def test_a_token_of_a_secret_that_is_not_known_yet_makes_it_look(manager: Any) -> None:
    clock = Clock()
    ring = ManagedKeyRing(lambda: read_secret(manager, SecretReference("data-hist/signing")), monotonic=clock)
    other = ManagedKeyRing(lambda: NEW.encode())
    token = TokenSigner(other).result_token(ResultPosition(1, 2), tenant="alice", query_id="q")
    manager.put_secret_value(SecretId="data-hist/signing", SecretString=f"{OLD}\n{NEW}")
    clock.seconds += PAUSE_SECONDS
    with suppress(InvalidPagingToken):  # the answer does not wait for the network, which may be quick
        TokenSigner(ring).result_position(token, tenant="alice", query_id="q")
    ring.wait()
    assert TokenSigner(ring).result_position(token, tenant="alice", query_id="q") == ResultPosition(1, 2)


def test_a_manager_that_is_away_leaves_the_secrets_known(manager: Any) -> None:
    clock = Clock()
    reads = [OLD.encode()]

    def read() -> bytes:
        if reads:
            return reads.pop()
        raise SecretUnreadable("away")

    ring = ManagedKeyRing(read, monotonic=clock)
    for _ in range(3):
        clock.seconds += REFRESH_SECONDS
        assert [secret.value for secret in ring.secrets()] == [OLD.encode()]
        ring.wait()


def test_a_connection_that_breaks_is_told(manager: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def get_secret_value(self, **_: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://x")

    with pytest.raises(SecretUnreadable, match="reached"):
        read_secret(Away(), SecretReference("x"))


def test_the_setting_is_a_reference(manager: Any, tmp_path: Path) -> None:
    for number, name in enumerate(("data-hist/signing", "all#tokens")):
        settings = Settings.from_environment({"DATA_HIST_SECRET": f"secretsmanager:{name}"})
        shared = open_replication(tmp_path / str(number), settings, s3=None, engine_name="x", clock=FakeClock())
        assert shared.key_ring.secrets()[0].value == (OLD, NEW)[number].encode()
        shared.store.close()
        shared.usage.close()
        shared.ownership.release()
    for name in ("nothing", "all#number"):
        settings = Settings.from_environment({"DATA_HIST_SECRET": f"secretsmanager:{name}"})
        with pytest.raises(SettingsError, match="secret"):
            open_replication(tmp_path / "bad", settings, s3=None, engine_name="x", clock=FakeClock())
    with pytest.raises(SettingsError) as refusal:
        Settings.from_environment({"DATA_HIST_SECRET": "secretsmanager:a b"})
    assert "a b" not in str(refusal.value)
