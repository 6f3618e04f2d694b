"""The partition ledger as queries read it: where AWS refuses it or is out of reach, the caller is told to come again.

A ledger in the data directory never does; one in DynamoDB may be throttled longer than its own retries last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from glue.ledger import Freshness, KnownObject, LedgerSummary, OffsetSeries, PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import MINUTE_SCHEME, PartitionScheme, PartitionSpec
from service.errors import LedgerUnavailable
from service.estimates import Ledger

_LOG = logging.getLogger(__name__)


class LedgerReader:
    """Reads a ledger; raises LedgerUnavailable for troubles of AWS."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def summary(self, table: str, time_range: PartitionRange | None = None) -> LedgerSummary:
        """As PartitionLedger.summary."""
        with _told():
            return self._ledger.summary(table, time_range)

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]:
        """As PartitionLedger.partitions."""
        with _told():
            yield from self._ledger.partitions(table, time_range)

    def data_version(self, table: str, time_range: PartitionRange | None = None) -> str:
        """As PartitionLedger.data_version."""
        with _told():
            return self._ledger.data_version(table, time_range)

    def freshness(self, table: str, scheme: PartitionScheme = MINUTE_SCHEME) -> Freshness:
        """As PartitionLedger.freshness."""
        with _told():
            return self._ledger.freshness(table, scheme)

    def neighbour(self, table: str, partition: PartitionSpec | None, *, newest: bool) -> tuple[str, ...] | None:
        """As PartitionLedger.neighbour."""
        with _told():
            return self._ledger.neighbour(table, partition, newest=newest)

    def newest_partitions(
        self, table: str, time_range: PartitionRange | None = None, *, limit: int, before: PartitionSpec | None = None
    ) -> list[PartitionRecord]:
        """As PartitionLedger.newest_partitions."""
        with _told():
            return self._ledger.newest_partitions(table, time_range, limit=limit, before=before)

    def offset_series(self, table: str, *, with_ends: bool = True) -> list[OffsetSeries]:
        """As PartitionLedger.offset_series."""
        with _told():
            return self._ledger.offset_series(table, with_ends=with_ends)

    def known_objects(self, table: str, time_range: PartitionRange | None = None) -> Iterator[KnownObject]:
        """As PartitionLedger.known_objects."""
        with _told():
            yield from self._ledger.known_objects(table, time_range)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        _LOG.warning("the partition ledger is refused: %s", error)
        code = str(error.response.get("Error", {}).get("Code", ""))
        raise LedgerUnavailable(f"The partition ledger cannot be read ({code}).") from error
    except BotoCoreError as error:
        _LOG.warning("the partition ledger cannot be reached: %s", error)
        raise LedgerUnavailable(f"The partition ledger cannot be reached ({type(error).__name__}).") from error
