"""What tenants have used: bytes of the lake by day, estimated while a query is on its way, exact once it has ended.

    reserve(charge) -> settle(query_id, scanned bytes)      the estimate is counted first, then corrected
                    -> withdraw(query_id)                   it was never stored: as if nothing had been

A day is one of UTC, that on which the query was submitted. UsageStore is the port; each step is one atomic write that
can be repeated: reserving, settling and withdrawing twice equals once. tests/contract/usage_store.py is what every
implementation has to pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

NO_KEY = ""
"""In place of a key's id, for callers that have none (an open service)."""


@dataclass(frozen=True)
class Charge:
    """What a query costs its tenant on a day: an estimate in bytes until it has ended."""

    query_id: str
    tenant: str
    day: date
    estimated_bytes: int


@dataclass(frozen=True)
class Reservation:
    """Whether a charge is counted, and what the tenant has used of the day beside it, in bytes."""

    is_accepted: bool
    used_bytes: int


@dataclass(frozen=True)
class DayUsage:
    """What a tenant used on a day. `used_bytes` is what counts against its budget: `scanned_bytes` of queries that
    ended, and estimates of those on their way. `query_count` is of queries that ended.
    """

    day: date
    tenant: str
    query_count: int
    scanned_bytes: int
    used_bytes: int


@dataclass(frozen=True)
class KeyUsage:
    """What one key of a tenant used on a day; queries that ended."""

    day: date
    tenant: str
    key_id: str
    query_count: int
    scanned_bytes: int


class UsageStore(Protocol):
    """See the module. All methods are safe from many threads and processes at once."""

    def reserve(self, charge: Charge, *, limit_bytes: int | None, needed_bytes: int) -> Reservation:
        """Counts the charge, unless the tenant would have used more than `limit_bytes` of the day with `needed_bytes`
        more. A charge that is counted already is accepted and changes nothing.
        """
        ...

    def settle(self, charge: Charge, key_id: str, scanned_bytes: int) -> None:
        """Puts what was scanned in the place of the estimate; nothing where the charge is not (any more) open."""
        ...

    def withdraw(self, charge: Charge) -> None:
        """Takes an open charge back; nothing where it is not (any more) open."""
        ...

    def used_bytes(self, tenant: str, day: date) -> int:
        """What the tenant has used of the day."""
        ...

    def by_day(self, first: date, last: date, tenant: str | None) -> Sequence[DayUsage]:
        """What one tenant, or all of them, used on the days from `first` to `last`; by day, then tenant."""
        ...

    def by_key(self, first: date, last: date, tenant: str | None) -> Sequence[KeyUsage]:
        """The same by key; by day, tenant, then key."""
        ...

    def open_charges(self, first: date, last: date) -> Sequence[Charge]:
        """The charges of these days that are neither settled nor withdrawn."""
        ...

    def forget(self, before: date) -> None:
        """Deletes what is known of earlier days."""
        ...

    def close(self) -> None:
        """Releases the storage."""
        ...
