"""How a command ends badly: one exception, with a sentence for people, a code for programs and an exit status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.exit_codes import ExitCode


class Failure(Exception):
    """Ends the command. `code` is one word (as in the contract's problems), `members` go beside it into the JSON."""

    def __init__(
        self,
        message: str,
        *,
        exit_code: ExitCode = ExitCode.USAGE,
        code: str = "InvalidUsage",
        members: Mapping[str, Any] | None = None,
        lines: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code
        self.members = dict(members or {})
        self.lines = lines  # shown under the sentence: the SQL and a caret

    def document(self) -> dict[str, Any]:
        """What `--json` prints on standard output."""
        return {"error": {"code": self.code, "detail": self.message, "exit_code": int(self.exit_code), **self.members}}
