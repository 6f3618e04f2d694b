"""The port to a query engine: start, wait, stop, and the result as Athena writes it (a CSV object).

An engine's calls block; the scheduler gives each running query a thread. Engines speak of an execution by `engine_id`.
Implementations: service.engines.athena (boto3's Athena or the embedded one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from service.errors import QueryFailure
from service.model import OutputColumn, QueryStatus, QueryWarning, Statistics


class EngineBusy(Exception):
    """The engine runs as many queries as it may; the query stays in our queue and is tried again."""


class EngineExecutionLost(Exception):
    """The engine does not know this execution (any more): it restarted, or the id is older than its history."""


class EngineClosed(Exception):
    """The engine was closed while somebody waited; the execution itself goes on and can be re-attached to."""


@dataclass(frozen=True)
class StartContext:
    """For whom a statement is started, and what they accept.

    `tenant` is told to engines that can label their queries. `is_operator` chooses among work groups.
    `accepted_age_minutes`: a result that the engine made so long ago for the same statement will do; None: none will.
    """

    tenant: str = ""
    is_operator: bool = False
    accepted_age_minutes: int | None = None


NOBODY = StartContext()


@dataclass(frozen=True)
class EngineExecution:
    """One execution as the engine tells it. `failure` is set when FAILED; `reason` is the engine's own word, if any.

    `result_location` is where the engine wrote (or would write) the result: an s3 URI.
    """

    engine_id: str
    status: QueryStatus
    statistics: Statistics = field(default_factory=Statistics)
    failure: QueryFailure | None = None
    reason: str | None = None
    result_location: str | None = None


@dataclass(frozen=True)
class MalformedRows:
    """The rows an execution had to skip: how many, and samples as warnings; `is_truncated` when there were more."""

    count: int = 0
    warnings: tuple[QueryWarning, ...] = ()
    is_truncated: bool = False


class ByteStream(Protocol):
    """What open_result gives: a readable stream of bytes that must be closed."""

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


class Engine(Protocol):
    """See the module. Every method may raise EngineUnavailable."""

    @property
    def name(self) -> str:
        """The engine's name, kept with each execution."""
        ...

    def start(self, sql: str, *, token: str, context: StartContext = NOBODY) -> str:
        """Starts `sql` and returns the engine_id. A token runs its statement at most once, however often it is said.

        Raises EngineBusy, QueryFailed (the engine refused the statement).
        """
        ...

    def wait(self, engine_id: str, on_change: Callable[[EngineExecution], None]) -> EngineExecution:
        """Blocks until the execution is terminal; `on_change` hears of each change of state before that.

        Raises EngineExecutionLost, EngineClosed, EngineBusy (it was refused for want of room before it began).
        """
        ...

    def stop(self, engine_id: str) -> None:
        """Asks the engine to stop; only a terminal state seen by `wait` proves it. Stopping what has ended does
        nothing.
        """
        ...

    def columns(self, engine_id: str) -> tuple[OutputColumn, ...]:
        """Names (as the engine has them, duplicates included) and types of a succeeded execution's result."""
        ...

    def malformed_rows(self, engine_id: str) -> MalformedRows:
        """The rows that a terminal execution had to skip; nothing where the engine cannot tell."""
        ...

    def open_result(self, engine_id: str, location: str | None) -> ByteStream:
        """The result as CSV with a header row, Athena's quoting (null = nothing, '' = `""`).

        Raises QueryFailed (blame service) when it is not there.
        """
        ...

    def delete_result(self, engine_id: str, location: str) -> None:
        """Deletes the objects that this execution wrote (with their metadata) from storage; what is gone already is no
        error, and a result that was reused from another execution stays.
        """
        ...

    def close(self) -> None:
        """Ends all waiting with EngineClosed; executions go on where the engine can be asked for them again."""
        ...
