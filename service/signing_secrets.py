"""The secrets that sign paging tokens: the current one signs, the ones before it still prove what they signed.

    text    one secret a line, the current one first; `#` begins a comment. Or a JSON list of texts, the same way
    bytes   the whole file is one secret, when it is not text of that kind (what a service without settings makes)

A secret is at least 32 bytes; its key id is a digest of it, so nobody gives out names and every replica knows the same.
A file is looked at again when it changes, and at once when a token names a secret that is not known: rotation needs no
restart. Rotate by adding the new secret behind the current one, then moving it to the front, then, when the longest
retention is over, taking the old one out: so no replica meets a token whose secret it has not been given.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

import orjson

SECRET_BYTES = 32
KEY_ID_BYTES = 4
MAXIMUM_SECRETS = 16
LOOK_AGAIN_SECONDS = 1.0


@dataclass(frozen=True)
class Secret:
    """One secret; `key_id` (KEY_ID_BYTES bytes) says which without telling it. Raises ValueError for a short one."""

    value: bytes = field(repr=False)
    key_id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if len(self.value) < SECRET_BYTES:
            raise ValueError(f"a secret must have at least {SECRET_BYTES} bytes, this one has {len(self.value)}")
        digest = hashlib.sha256(b"data-hist key id\0" + self.value).digest()
        object.__setattr__(self, "key_id", digest[:KEY_ID_BYTES])


class KeyRing(Protocol):
    """See the module."""

    def secrets(self) -> Sequence[Secret]:
        """The secrets, the current one first."""
        ...

    def looked_up(self) -> Sequence[Secret]:
        """The secrets as they are after another look: asked when a token names an unknown one."""
        ...


class FixedKeyRing:
    """Secrets that stay as they are."""

    def __init__(self, *values: bytes) -> None:
        self._secrets = tuple(map(Secret, values))
        if not self._secrets:
            raise ValueError("there is no secret")

    def secrets(self) -> Sequence[Secret]:
        return self._secrets

    def looked_up(self) -> Sequence[Secret]:
        return self._secrets


class KeyRingFile:
    """Secrets of a file that may be written again at any time. A file that cannot be used leaves the ones before."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = Lock()
        self._stamp = self._stamp_now()
        self._secrets = _read(path)
        self._looked_at = monotonic()
        self.problem: str | None = None

    def secrets(self) -> Sequence[Secret]:
        if self._monotonic() - self._looked_at >= LOOK_AGAIN_SECONDS:
            self.looked_up()
        return self._secrets

    def looked_up(self) -> Sequence[Secret]:
        with self._lock:
            self._looked_at = self._monotonic()
            try:
                stamp = self._stamp_now()
                if stamp != self._stamp:
                    self._secrets = _read(self._path)
                    self._stamp = stamp
                self.problem = None
            except (OSError, ValueError) as error:
                self.problem = f"the secrets in {self._path} cannot be used, those before still are: {error}"
            return self._secrets

    def _stamp_now(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return (found.st_mtime_ns, found.st_ino, found.st_size)


def secrets_of(content: bytes) -> tuple[Secret, ...]:
    """The secrets of a file's content or a variable's text. Raises ValueError."""
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        return (Secret(content),)
    if text.startswith("["):
        listed = orjson.loads(text)
        if not all(isinstance(value, str) for value in listed):
            raise ValueError("a list of secrets must be a list of texts")
        values = listed
    else:
        values = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not values:
        raise ValueError("there is no secret in it")
    if len(values) > MAXIMUM_SECRETS:
        raise ValueError(f"there are {len(values)} secrets in it, {MAXIMUM_SECRETS} are the most")
    return tuple(Secret(value.encode()) for value in values)


def load_or_create_secret(path: Path) -> bytes:
    """The secret in the file `path`, made at the first call (mode 0600). Safe when several processes start at once.

    Raises ValueError for a file that was cut.
    """
    with suppress(FileNotFoundError):
        return _whole(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(SECRET_BYTES))
    finally:
        os.close(descriptor)
    with suppress(FileExistsError):  # a process that was quicker has made it: its secret is the one
        os.link(draft, path)
    draft.unlink()
    return _whole(path)


def _read(path: Path) -> tuple[Secret, ...]:
    return secrets_of(path.read_bytes())


def _whole(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"{path} is too short to be a secret; delete it, and paging tokens given out so far end")
    return secret
