"""How many requests a caller may make: a sliding window for each key (or token, or gateway's subject), by `limits`.

The rate is the key's own, or the service's for all. Every answer to a caller with a rate tells how it stands, in the
fields of draft-ietf-httpapi-ratelimit-headers-10:

    RateLimit-Policy: "per-caller";q=600;w=60        quota and window in seconds
    RateLimit: "per-caller";r=599;t=12               what is left, and after how many seconds there is more

Counts are kept in this process: with several replicas behind a load balancer each allows the rate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import ceil
from typing import Any

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from api.exchange import Exchange
from api.problems import RateLimitExceeded
from service.model import Caller

POLICY = '"per-caller"'


SWEEP_SECONDS = 60.0


class _Counts(MemoryStorage):
    """The counts of all callers in memory, swept once in a while.

    MemoryStorage looks through all counts for expired ones as soon as the last such look is over, with every request:
    `timer` is how it knows. Counts that have expired count for nothing before they are swept, too.
    """

    def __init__(self) -> None:
        self._swept_at = time.monotonic()
        self._sweep: asyncio.Task[None] | None = None
        super().__init__()

    @property
    def timer(self) -> Any:
        """Itself: what MemoryStorage asks whether the last sweep is `done`, and may `cancel`."""
        return self

    @timer.setter
    def timer(self, sweep: asyncio.Task[None] | None) -> None:
        self._sweep = sweep  # a task that nobody holds may vanish

    def cancel(self) -> None:
        """Ends a sweep that is on its way."""
        if self._sweep is not None:
            self._sweep.cancel()

    def done(self) -> bool:
        """Whether it is time for another sweep."""
        if time.monotonic() - self._swept_at < SWEEP_SECONDS:
            return False
        self._swept_at = time.monotonic()
        return True


class RateLimits:
    """See the module. `default_rate` (`600/minute`) is for callers without a rate of their own; None is no limit."""

    def __init__(self, default_rate: str | None, *, clock: Callable[[], float] = time.time) -> None:
        self._default_rate = default_rate
        self._clock = clock
        self._limiter = SlidingWindowCounterRateLimiter(_Counts())
        self._items: dict[str, RateLimitItem] = {}

    async def admit(self, caller: Caller, exchange: Exchange) -> None:
        """Counts one request of this caller. Raises RateLimitExceeded when it was one too many."""
        rate = caller.rate_limit or self._default_rate
        if rate is None:
            return
        item = self._items.get(rate)
        if item is None:
            item = self._items[rate] = parse(rate)
        name = caller.key_id or caller.tenant
        is_admitted = await self._limiter.hit(item, name)
        state = await self._limiter.get_window_stats(item, name)
        more_in_seconds = max(1, ceil(state.reset_time - self._clock()))
        exchange.headers += (
            (b"ratelimit-policy", f"{POLICY};q={item.amount};w={item.get_expiry()}".encode()),
            (b"ratelimit", f"{POLICY};r={state.remaining};t={more_in_seconds}".encode()),
        )
        if not is_admitted:
            raise RateLimitExceeded(rate, retry_after_seconds=more_in_seconds)
