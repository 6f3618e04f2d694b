"""The waiting queue: one lane per tenant, served in turn, so that nobody waits behind somebody else's hundred queries.

In each lane first come is first served. `position` counts from 1: how many queries will be taken before and with this
one, if nothing else arrives.
"""

from __future__ import annotations

from collections import OrderedDict, deque


class FairQueue:
    """See the module. Not safe for several threads by itself: the scheduler's lock guards it."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[str]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def count(self, tenant: str) -> int:
        """How many queries of this tenant wait."""
        return len(self._lanes.get(tenant, ()))

    def push(self, tenant: str, query_id: str) -> None:
        """Adds a query at the end of its tenant's lane."""
        self._lanes.setdefault(tenant, deque()).append(query_id)

    def push_front(self, tenant: str, query_id: str) -> None:
        """Puts a query back: it is the next one to be taken."""
        self._lanes.setdefault(tenant, deque()).appendleft(query_id)
        self._lanes.move_to_end(tenant, last=False)

    def pop(self) -> tuple[str, str] | None:
        """Takes the next query as (tenant, query_id); its tenant goes to the end of the turn. None when nobody
        waits.
        """
        if not self._lanes:
            return None
        tenant, lane = next(iter(self._lanes.items()))
        query_id = lane.popleft()
        if lane:
            self._lanes.move_to_end(tenant)
        else:
            del self._lanes[tenant]
        return tenant, query_id

    def remove(self, tenant: str, query_id: str) -> bool:
        """Takes a query out of turn; False when it does not wait."""
        lane = self._lanes.get(tenant)
        if lane is None or query_id not in lane:
            return False
        lane.remove(query_id)
        if not lane:
            del self._lanes[tenant]
        return True

    def position(self, tenant: str, query_id: str) -> int | None:
        """The query's place in the order of taking, from 1; None when it does not wait."""
        lane = self._lanes.get(tenant)
        if lane is None:
            return None
        try:
            ahead_in_lane = lane.index(query_id)
        except ValueError:
            return None
        position = 0
        is_before = True
        for other, other_lane in self._lanes.items():
            if other == tenant:
                position += ahead_in_lane
                is_before = False
            else:
                # lanes before ours in turn are served once more often until it is our turn
                position += min(len(other_lane), ahead_in_lane + (1 if is_before else 0))
        return position + 1
