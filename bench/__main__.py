"""`make bench` or `python -m bench [NAME...]`: measures, prints each table as it is ready, keeps bench/results/."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import import_module

from bench.harness import Table
from bench.report import keep, machine, markdown

BENCHMARKS: dict[str, str] = {
    "status": "bench.http:get_status",
    "status-rate": "bench.burst:status_rate",
    "status-busy": "bench.burst:status_while_busy",
    "burst": "bench.burst:thousand_queries",
    "pages": "bench.http:pages",
    "round-trip": "bench.round_trip:small_query",
    "scan": "bench.scan:embedded_over_bare",
    "planning": "bench.planning:by_partition_count",
    "glob": "bench.planning:beside_glob",
    "memory": "bench.memory:large_result",
    "spool": "bench.spool:spool_memory",
    "aws": "bench.aws:select_one",
    "translation": "bench.translation:medium_query",
    "concurrency": "bench.concurrency:eight_queries",
    "replicas": "bench.replicas:two_replicas",
    "replicas-pages": "bench.replicas:pages_of_another",
    "peers": "bench.page_peers:pages_of_peers",
    "keys": "bench.ingest:keys",
    "tracker": "bench.ingest:tracker",
    "landing": "bench.ingest:landing",
    "reconcile": "bench.reconcile:many_partitions",
    "compaction": "bench.compaction:compacted_over_raw",
}
"""Name -> the function that measures it. Imported when asked for, so that one can run where another cannot."""


def benchmark(name: str) -> Callable[[], Table]:
    """The function behind a name."""
    module, _, function = BENCHMARKS[name].partition(":")
    found: Callable[[], Table] = getattr(import_module(module), function)
    return found


def main(names: list[str]) -> int:
    """Runs benchmarks; 2 for a name that is none, 1 when one could not be measured."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or BENCHMARKS:
        before, started = machine(), time.monotonic()
        try:
            table = benchmark(name)()
        except Exception as error:
            failed.append(name)
            print(f"{name} could not be measured: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        seconds = time.monotonic() - started
        keep(name, table, seconds, before, BENCHMARKS)
        print(f"{markdown(table)}\n({name}: {seconds:.0f} s)\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
