"""Secrets rotate without a restart, and what they signed before stays good for as long as they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.errors import InvalidPagingToken
from service.signing_secrets import FixedKeyRing, KeyRingFile, secrets_of
from service.tokens import ResultPosition, TokenSigner

OLD, NEW = "o" * 40, "n" * 40
POSITION = ResultPosition(1000, 70_000)


class Replica:
    """A signer with the secrets of a file, and a clock that stands still unless it is told to go on."""

    def __init__(self, path: Path) -> None:
        self.seconds = 0.0
        self.key_ring = KeyRingFile(path, monotonic=lambda: self.seconds)
        self._signer = TokenSigner(self.key_ring)

    def token(self) -> str:
        return self._signer.result_token(POSITION, tenant="t", query_id="q")

    def position(self, token: str) -> ResultPosition:
        return self._signer.result_position(token, tenant="t", query_id="q")


def write(path: Path, *secrets: str) -> None:
    """As a mounted secret changes: another file takes the name."""
    draft = path.with_suffix(".draft")
    draft.write_text("# the current one first\n" + "\n".join(secrets) + "\n")
    draft.replace(path)


def test_rotation_in_three_steps_breaks_no_token(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    write(path, OLD)
    first, second = Replica(path), Replica(path)
    of_old = first.token()
    write(path, OLD, NEW)
    first.seconds += 2
    assert first.token() == of_old
    write(path, NEW, OLD)
    first.seconds += 2
    of_new = first.token()
    assert of_new != of_old
    # the other replica has not looked since the start: the token makes it look
    assert second.position(of_new) == second.position(of_old) == POSITION
    write(path, NEW)
    for replica in (first, second):
        replica.seconds += 2
        assert replica.position(of_new) == POSITION
        with pytest.raises(InvalidPagingToken):
            replica.position(of_old)


def test_a_file_that_cannot_be_used_leaves_the_secrets_before(tmp_path: Path) -> None:
    path = tmp_path / "secrets"
    write(path, OLD)
    replica = Replica(path)
    token = replica.token()
    for content in ("short", "", "[1]"):
        path.write_text(content)
        replica.seconds += 2
        assert replica.token() == token
        assert replica.key_ring.problem is not None
        assert "short" not in replica.key_ring.problem
    path.unlink()
    replica.seconds += 2
    assert replica.position(token) == POSITION
    write(path, NEW)
    replica.seconds += 2
    assert replica.token() != token
    assert replica.key_ring.problem is None


@pytest.mark.parametrize(
    "content",
    [f"{NEW}\n{OLD}\n", f"\n# rotated\n  {NEW}  \r\n{OLD}", f'["{NEW}", "{OLD}"]'],
    ids=["lines", "comments and blanks", "JSON"],
)
def test_every_way_of_writing_secrets_is_the_same(content: str) -> None:
    assert secrets_of(content.encode()) == tuple(FixedKeyRing(NEW.encode(), OLD.encode()).secrets())


@pytest.mark.parametrize("content", [b"", b"# only a comment", b"too short", b"[]", b"[3]", b"[", b"\xff" * 31])
def test_what_is_no_secret_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        secrets_of(content)
    assert "too short" not in str(refusal.value)


def test_more_secrets_than_anybody_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="17 secrets"):
        secrets_of("\n".join(f"{number:040d}" for number in range(17)).encode())


def test_bytes_are_one_secret_and_no_secret_shows_itself() -> None:
    raw = os.urandom(31) + b"\xff"
    (secret,) = secrets_of(raw)
    assert secret.value == raw
    assert OLD not in repr(FixedKeyRing(OLD.encode()).secrets())
