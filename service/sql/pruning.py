"""stub"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from glue.partition_range import PartitionRange
from service.sql.scope import Analysis, Scan


@dataclass(frozen=True)
class Pruned:
    predicates: dict[Scan, list[exp.Expr]]
    partition_ranges: dict[Scan, PartitionRange | None]
    valid_until: datetime | None = None


def prune(analysis: Analysis, *, now: datetime, from_ms: int | None, to_ms: int | None) -> Pruned:
    return Pruned({}, dict.fromkeys(analysis.scans))
