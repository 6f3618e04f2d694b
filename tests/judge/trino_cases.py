"""The embedded engine beside a real Trino: the same statements, the answers compared text by text.

    DATA_HIST_TEST_TRINO_URL=http://127.0.0.1:8080 python -m tests.judge.trino_cases [--sample 500] [--show 20]

The statements are those of the shared collection `trino-cases` (tests/shared_data.py says where it lies); a sample is
the same each time. An answer is the rows as Athena writes them, or the name of the error.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded.s3 import S3
from embedded.sql.errors import TrinoError
from service.engines.trino import TrinoEngine
from service.engines.trino_protocol import TrinoServer
from service.model import QueryStatus
from service.result_csv import read_batches
from tests.shared_data import SHARED
from tests.sql_executor import execute


@dataclass(frozen=True)
class Answer:
    """What an engine made of a statement: types and rows, or an error's name."""

    types: tuple[str, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    error: str | None = None


def of_embedded(sql: str) -> Answer:
    """The embedded engine's answer."""
    try:
        types, rows = execute(sql)
    except TrinoError as error:
        return Answer(error=error.name)
    except Exception as error:  # a statement that breaks the engine is an answer to be counted
        return Answer(error=type(error).__name__)
    return Answer(tuple(types), tuple(map(tuple, rows)))


def of_trino(engine: TrinoEngine, sql: str, number: int) -> Answer:
    """Trino's answer, through the service's engine."""
    ended = engine.wait(engine.start(sql, token=f"judge-{os.getpid()}-{number}"), lambda execution: None)
    if ended.status is not QueryStatus.FINISHED:
        return Answer(error=(ended.failure.engine_error_name if ended.failure else None) or "CANCELLED")
    columns = engine.columns(ended.engine_id)
    rows: list[tuple[str | None, ...]] = []
    for batch in read_batches(lambda: engine.open_result(ended.engine_id, ended.result_location), len(columns)):
        rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return Answer(tuple(column.type for column in columns), tuple(rows))


def verdict(embedded: Answer, trino: Answer, *, is_ordered: bool) -> str:
    """How two answers compare: `same`, or what differs."""
    if embedded.error is not None or trino.error is not None:
        if embedded.error is None or trino.error is None:
            return "only one fails"
        return "same" if embedded.error == trino.error else "other error name"
    left, right = list(embedded.rows), list(trino.rows)
    if not is_ordered:
        left, right = sorted(left, key=repr), sorted(right, key=repr)
    if left != right:
        return "other values"
    return "same" if embedded.types == trino.types else "other types"


def cases(sample: int | None) -> Iterator[dict[str, Any]]:
    """The collection, or a sample of it."""
    lines = (SHARED / "data" / "trino-cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = lines if sample is None else random.Random(5).sample(lines, sample)
    yield from map(json.loads, chosen)


def main() -> int:
    """Prints the table of verdicts by group; 0 always: a judge reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--show", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        s3 = S3(Path(folder))
        s3.create_bucket(Bucket="results")
        server = TrinoServer(os.environ["DATA_HIST_TEST_TRINO_URL"], "judge", "memory", "default")
        engine = TrinoEngine(server, s3, output_location="s3://results/")
        chosen = list(cases(options.sample))
        trino = list(pool.map(lambda pair: of_trino(engine, pair[1]["sql"], pair[0]), enumerate(chosen)))
        engine.close()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    differing = []
    for case, right in zip(chosen, trino, strict=True):
        left = of_embedded(case["sql"])
        found = verdict(left, right, is_ordered=bool(case.get("ordered")) and not case.get("unordered"))
        counts[case["group"].split(":")[0]][found] += 1
        if found != "same":
            differing.append((found, case["sql"], left, right))
    for found, sql, left, right in differing[: options.show]:
        print(f"{found}: {sql[:300]}\n  embedded {left}\n  trino    {right}")
    total: collections.Counter[str] = sum(counts.values(), collections.Counter())
    for group, counter in [*sorted(counts.items()), ("all", total)]:
        rest = ", ".join(f"{name} {count}" for name, count in sorted(counter.items()) if name != "same")
        print(f"{group:18} {counter['same']:5} of {sum(counter.values()):5} same  {rest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
