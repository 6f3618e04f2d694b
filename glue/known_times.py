"""Partitions whose times are known for sure: what planning may leave out without losing a row.

    ledger -> CLOSED partitions, every object of which has been read, with the least and greatest created time
    catalogue -> those of them that are registered where the layout says

A partition that is still open, reopened, or holds an object nobody has read whole, a malformed line or a row whose time
is in doubt is not among them. Nor is one that is registered elsewhere: the ledger's objects need not be the ones that a
query reads there. What arrives in a CLOSED partition all the same is seen once the tracker has told of it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from glue.completeness import PartitionState, partition_state
from glue.ledger import PartitionRecord
from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec
from glue.table_spec import TableSpec

MAXIMUM_LOOKED_AT = 3_000
_LOG = logging.getLogger(__name__)


class TimesLedger(Protocol):
    """What is needed of the ledger (glue.ledger.PartitionLedger)."""

    def partitions(self, table: str, time_range: PartitionRange | None = None) -> Iterator[PartitionRecord]: ...


class RegisteredPartitions(Protocol):
    """The part of boto3's Glue client that is used here."""

    def get_partitions(self, **arguments: Any) -> Any: ...


class KnownTimes:
    """See the module."""

    def __init__(self, ledger: TimesLedger, glue_client: RegisteredPartitions) -> None:
        self._ledger = ledger
        self._glue = glue_client

    def closed(self, spec: TableSpec, time_range: PartitionRange, now: datetime) -> list[PartitionRecord]:
        """The partitions of a range that are CLOSED and whose times are known, of the first ones of the range. None,
        where the ledger does not answer.
        """
        try:
            records = list(islice(self._ledger.partitions(spec.reference, time_range), MAXIMUM_LOOKED_AT))
        except (ClientError, BotoCoreError) as error:
            _LOG.warning("the ledger did not tell what is known of partitions of %s: %s", spec.reference, error)
            return []
        return [
            record
            for record in records
            if record.has_known_times
            and partition_state(spec, PartitionSpec.from_values(record.values, spec.layout.scheme), record, now)
            is PartitionState.CLOSED
        ]

    def in_place(self, spec: TableSpec, partitions: Sequence[PartitionSpec]) -> list[PartitionSpec]:
        """Those of these partitions (in order) that the catalogue has in the layout's own folder. None, where it does
        not answer.
        """
        if not partitions:
            return []
        wanted = {partition.values(): partition for partition in partitions}
        try:
            found = set(self._in_place(spec, wanted.keys(), PartitionRange(partitions[0], partitions[-1])))
        except (ClientError, BotoCoreError) as error:
            _LOG.warning("the catalogue did not tell where partitions of %s lie: %s", spec.reference, error)
            return []
        return [partition for values, partition in wanted.items() if values in found]

    def _in_place(self, spec: TableSpec, wanted: Any, time_range: PartitionRange) -> Iterator[tuple[str, ...]]:
        arguments: dict[str, Any] = {
            "DatabaseName": spec.database,
            "TableName": spec.name,
            "Expression": time_range.expression(),
            "ExcludeColumnSchema": True,
        }
        while True:
            page = self._glue.get_partitions(**arguments)
            for entry in page.get("Partitions", ()):
                values = tuple(entry["Values"])
                if values not in wanted:
                    continue
                own = spec.partition_location(PartitionSpec.from_values(values, spec.layout.scheme))
                if entry.get("StorageDescriptor", {}).get("Location", "").rstrip("/") == own.rstrip("/"):
                    yield values
            if not page.get("NextToken"):
                return
            arguments["NextToken"] = page["NextToken"]
