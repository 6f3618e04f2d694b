"""How many queries may run on the engine at once, for all replicas of the service together.

The engine has a limit of its own (Athena: a quota of the account, or a work group's capacity), and a query that it
refuses for it waits in our queue. Slots keep the service below that, so that others of the account have their share.
UnlimitedSlots is for the engine's limit alone; service.leases has the slots of several replicas.
"""

from __future__ import annotations

from typing import Protocol


class EngineSlots(Protocol):
    """See the module."""

    def take(self, query_id: str) -> bool:
        """Whether the query may run: it has a slot, or got one. Raises StoreUnavailable."""
        ...

    def give_back(self, query_id: str) -> None:
        """Lets another query have the slot, as soon as the store can be told; without a slot it does nothing."""
        ...


class UnlimitedSlots:
    """The engine's own limit is the only one."""

    def take(self, query_id: str) -> bool:  # noqa: ARG002 - every query may run
        return True

    def give_back(self, query_id: str) -> None:
        """There is nothing to give back."""
