"""Signing secrets that AWS Secrets Manager keeps (GetSecretValue), looked at again once in a while.

    secretsmanager:data-hist/signing           the secret's text, as service.signing_secrets reads it
    secretsmanager:data-hist/signing#tokens    a member of a secret that is a JSON object

Looking again takes a network's time, so it is done in a thread of its own and the secrets known so far are used
meanwhile, also when it fails. Rotate as with a file: the new secret behind the current one first, so that every replica
has it a minute later, then to the front.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from service.signing_secrets import Secret, secrets_of

PREFIX = "secretsmanager:"
REFRESH_SECONDS = 60.0
PAUSE_SECONDS = 5.0
_REFERENCE = re.compile(r"secretsmanager:(?P<name>[A-Za-z0-9/_+=.@:-]{1,2048})(#(?P<member>[\w.-]{1,128}))?")
_LOG = logging.getLogger(__name__)


class SecretUnreadable(Exception):
    """Secrets Manager does not give the secret, or it is not one. Never holds what is in it."""


@dataclass(frozen=True)
class SecretReference:
    """Where a secret is: its name or ARN, and the member of a JSON object where it is one."""

    name: str
    member: str | None = None

    @classmethod
    def parse(cls, text: str) -> SecretReference:
        """Reads `secretsmanager:NAME#MEMBER`. Raises ValueError."""
        match = _REFERENCE.fullmatch(text)
        if match is None:
            raise ValueError("must be secretsmanager:NAME, or secretsmanager:NAME#MEMBER")
        return cls(match["name"], match["member"])


def read_secret(secrets_manager: Any, reference: SecretReference) -> bytes:
    """What is kept there now. Raises SecretUnreadable."""
    try:
        answer = secrets_manager.get_secret_value(SecretId=reference.name)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        raise SecretUnreadable(f"Secrets Manager does not give {reference.name}: {code}") from error
    except BotoCoreError as error:
        raise SecretUnreadable(f"Secrets Manager cannot be reached: {type(error).__name__}") from error
    text = answer.get("SecretString")
    content: bytes = answer["SecretBinary"] if text is None else text.encode()
    if reference.member is None:
        return content
    try:
        member = orjson.loads(content)[reference.member]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        member = None
    if not isinstance(member, str):
        raise SecretUnreadable(f"{reference.name} is no JSON object with a text {reference.member!r}")
    return member.encode()


class ManagedKeyRing:
    """The secrets of one reference; see the module. Raises SecretUnreadable and ValueError when made."""

    def __init__(self, read: Callable[[], bytes], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._monotonic = monotonic
        self._lock = Lock()
        self._secrets: Sequence[Secret] = secrets_of(read())
        self._looked_at = monotonic()
        self._looking: Thread | None = None

    def secrets(self) -> Sequence[Secret]:
        self._look_again(REFRESH_SECONDS)
        return self._secrets

    def looked_up(self) -> Sequence[Secret]:
        self._look_again(PAUSE_SECONDS)
        return self._secrets

    def wait(self) -> None:
        """Until a look that was begun is over."""
        looking = self._looking
        if looking is not None:
            looking.join()

    def _look_again(self, after_seconds: float) -> None:
        if self._monotonic() - self._looked_at < after_seconds:
            return
        with self._lock:
            if self._looking is None or not self._looking.is_alive():
                self._looked_at = self._monotonic()
                self._looking = Thread(target=self._look, name="signing-secrets", daemon=True)
                self._looking.start()

    def _look(self) -> None:
        try:
            self._secrets = secrets_of(self._read())
        except (SecretUnreadable, ValueError) as error:
            _LOG.warning("the signing secrets could not be read again, those before are used: %s", error)
