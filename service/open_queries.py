"""How many unfinished queries each caller has in this process, and an end to it.

A query is taken note of when it is submitted and given back when it ended. One that ended elsewhere (another replica
took it up) is noticed when its caller reaches a limit: then what is noted is compared with the store.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import Lock

from service.errors import TooManyQueries
from service.model import Caller

RETRY_AFTER_SECONDS = 2.0

Limit = tuple[Hashable, int]
"""Whose queries, and how many of them may be unfinished at a time."""


@dataclass(frozen=True)
class QueryLimits:
    """How many queries a key, and all keys of a tenant together, may have unfinished; None is no limit. A key's own
    limit wins over `per_key`.
    """

    per_key: int | None = None
    per_tenant: int | None = None

    def of(self, caller: Caller) -> Sequence[Limit]:
        """The limits for this caller."""
        of_key = self.per_key if caller.maximum_queries is None else caller.maximum_queries
        limits: list[Limit] = []
        if of_key is not None:
            limits.append((("key", caller.tenant, caller.key_id), of_key))
        if self.per_tenant is not None:
            limits.append((("tenant", caller.tenant), self.per_tenant))
        return limits


class OpenQueries:
    """See the module. `is_unfinished` asks the store for a query; safe from many threads."""

    def __init__(self, is_unfinished: Callable[[str], bool]) -> None:
        self._is_unfinished = is_unfinished
        self._lock = Lock()
        self._open: dict[Hashable, set[str]] = {}
        self._owners: dict[str, tuple[Hashable, ...]] = {}

    def take(self, query_id: str, limits: Sequence[Limit]) -> None:
        """Takes note of a query about to be stored. Raises TooManyQueries when one of its limits is reached."""
        reached = self._taken(query_id, limits)
        if reached is not None:
            for other in tuple(self._open.get(reached[0], ())):
                if not self._is_unfinished(other):
                    self.give_back(other)
            reached = self._taken(query_id, limits)
        if reached is not None:
            raise TooManyQueries(
                f"{reached[1]} queries of this caller are not finished yet, which is its limit; wait for one to end",
                limit=reached[1],
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    def give_back(self, query_id: str) -> None:
        """Forgets a query that ended, or was not stored after all. Doing it again changes nothing."""
        with self._lock:
            for owner in self._owners.pop(query_id, ()):
                queries = self._open[owner]
                queries.discard(query_id)
                if not queries:
                    del self._open[owner]

    def count(self, owner: Hashable) -> int:
        """How many are noted for this owner."""
        with self._lock:
            return len(self._open.get(owner, ()))

    def _taken(self, query_id: str, limits: Sequence[Limit]) -> Limit | None:
        """None when it was taken note of, else the limit that was reached."""
        with self._lock:
            for owner, limit in limits:
                if len(self._open.get(owner, ())) >= limit:
                    return owner, limit
            self._owners[query_id] = tuple(owner for owner, _ in limits)
            for owner, _ in limits:
                self._open.setdefault(owner, set()).add(query_id)
        return None
