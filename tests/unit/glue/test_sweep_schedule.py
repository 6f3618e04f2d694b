"""The sweeper of the service: it goes on after a failure, tells what left, and stops when asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from glue.retention_sweep import SweepReport
from glue.sweep_schedule import DataSweeper
from glue.table_spec import TableSpec, load_table_specs

TABLES = list(load_table_specs().values())


def test_a_table_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def sweep_one(spec: TableSpec, _is_stopping: Callable[[], bool]) -> SweepReport:
        if spec is TABLES[0]:
            raise OSError("disk full")
        return SweepReport(spec.reference, False, dropped_partitions=2, failed=[("dt=x", "Throttling: later")])

    sweeper = DataSweeper(sweep_one, TABLES)
    with caplog.at_level(logging.INFO):
        sweeper.sweep()
    assert sweeper.counts["dropped_partitions"] == 2 * (len(TABLES) - 1)
    assert sweeper.counts["failed"] == len(TABLES)
    assert "disk full" in caplog.text
    assert "have left: dropped partitions 2" in caplog.text


def test_what_would_leave_is_told_and_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    sweeper = DataSweeper(lambda spec, _: SweepReport(spec.reference, True, dropped_partitions=2), TABLES)
    with caplog.at_level(logging.INFO):
        sweeper.sweep()
    assert sweeper.counts["dropped_partitions"] == 0
    assert "would leave: dropped partitions 2" in caplog.text


def test_it_sweeps_again_until_it_is_closed() -> None:
    rounds = threading.Semaphore(0)

    def sweep_one(spec: TableSpec, _is_stopping: Callable[[], bool]) -> SweepReport:
        rounds.release()
        return SweepReport(spec.reference, False)

    sweeper = DataSweeper(sweep_one, TABLES[:1], interval_seconds=0.001)
    sweeper.start()
    for _ in range(3):
        assert rounds.acquire(timeout=30)
    sweeper.close()
    sweeper.close()
