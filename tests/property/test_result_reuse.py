"""Whatever happens to the files of the lake, a reused result is what a run of its own gives at that moment."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.composition import World, build_world
from api.settings import Settings
from embedded.data_version import STEP_NANOSECONDS
from service.model import OPERATOR, QueryRequest, QueryStatus, ReuseWish

PARTITIONS = ("dt=2026-11-20/hr=01/min=00", "dt=2026-11-20/hr=01/min=01", "dt=2026-11-21/hr=02/min=00")
NAMES = ("a.gz", "b.gz")
QUERIES = (
    QueryRequest("SELECT customerid, count(*) AS n, sum(createdtimestamp) AS s FROM events GROUP BY 1 ORDER BY 1"),
    QueryRequest(
        "SELECT customerid, data FROM events WHERE dt = '2026-11-20' ORDER BY 1, 2", retention_minutes=60, strict=False
    ),
)

Step = tuple[str, str, str, int]
SETTLE: Step = ("settle", "", "", 0)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["write", "overwrite", "move over", "delete", "touch", "unregister", "register"]),
            st.sampled_from(PARTITIONS),
            st.sampled_from(NAMES),
            st.integers(0, 3),
        ),
        st.just(SETTLE),
    ),
    max_size=5,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data_dir = tmp_path_factory.mktemp("lake") / "data"
    built = build_world(data_dir, Settings(data_dir=data_dir, request_events=False, watch="off", data_retention="off"))
    yield built
    built.close()


def content(number: int) -> bytes:
    """Files of one size whatever the number, so that only their bytes tell them apart."""
    rows = [
        {"customerid": customer, "service": "s", "servicename": "s", "data": f'{{"number": {number}}}',
         "createdtimestamp": 1795305900000 + number, "arrivaltimestamp": 1795305900000}
        for customer in (11000, 11001)
    ]  # fmt: skip
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), compresslevel=0, mtime=0)


def folder_of(world: World) -> Path:
    return world.lake.data_dir / "s3/data-hist-lake/secor/events"


def register(world: World, partition: str) -> None:
    table = world.glue.get_table(DatabaseName="data_hist", Name="events")["Table"]
    values = [part.partition("=")[2] for part in partition.split("/")]
    location = f"s3://data-hist-lake/secor/events/{partition}/"
    descriptor = {**table["StorageDescriptor"], "Location": location}
    world.glue.batch_create_partition(
        DatabaseName="data_hist",
        TableName="events",
        PartitionInputList=[{"Values": values, "StorageDescriptor": descriptor}],
    )


def unregister(world: World, partition: str) -> None:
    values = [part.partition("=")[2] for part in partition.split("/")]
    world.glue.batch_delete_partition(
        DatabaseName="data_hist", TableName="events", PartitionsToDelete=[{"Values": values}]
    )


def reset(world: World) -> None:
    shutil.rmtree(folder_of(world), ignore_errors=True)
    for partition in PARTITIONS:
        unregister(world, partition)
        register(world, partition)
        for number, name in enumerate(NAMES):
            write(folder_of(world) / partition / name, number)


def write(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(number))


def apply(world: World, step: Step) -> None:
    kind, partition, name, number = step
    path = folder_of(world) / partition / name
    if kind == "write":
        write(path, number)
    elif kind == "overwrite" and path.exists():
        times = path.stat()
        with path.open("r+b") as file:  # the same size, inode and, as `cp -p` leaves it, mtime
            file.write(content(number))
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif kind == "move over":
        write(path.with_name("_draft"), number)
        path.with_name("_draft").replace(path)
    elif kind == "delete":
        path.unlink(missing_ok=True)
    elif kind == "touch" and path.exists():
        path.touch()
    elif kind == "unregister":
        unregister(world, partition)
    elif kind == "register":
        register(world, partition)
    elif kind == "settle":
        time.sleep(1.2 * STEP_NANOSECONDS / 1e9)


async def answered(world: World, request: QueryRequest) -> tuple[Any, bool]:
    service = world.query_service
    execution = await service.submit(replace(request, wait_seconds=50), OPERATOR)
    assert execution.status is QueryStatus.FINISHED, execution.error
    page = await service.next_page(execution.query_id, OPERATOR)
    return json.loads(page.body)["result_set"], execution.reused_from is not None


def test_reuse_never_shows(world: World) -> None:
    reused = set()

    async def main() -> None:
        await world.query_service.start()

        async def compare() -> None:
            for request in QUERIES:
                shared, is_reused = await answered(world, request)
                own, is_own = await answered(world, replace(request, reuse=ReuseWish(is_allowed=False)))
                assert shared == own
                assert not is_own
                reused.add(is_reused)

        @settings(max_examples=5, deadline=None, database=None)
        @example([[SETTLE], [("overwrite", PARTITIONS[0], NAMES[0], 2)], [("overwrite", PARTITIONS[0], NAMES[0], 3)]])
        @example([[SETTLE], [("overwrite", PARTITIONS[1], NAMES[1], 0), SETTLE], [SETTLE]])
        @example(
            [[SETTLE], [("move over", PARTITIONS[2], NAMES[0], 3), SETTLE], [("touch", PARTITIONS[2], NAMES[0], 0)]]
        )
        @example([[SETTLE], [("delete", PARTITIONS[0], NAMES[1], 0)], [("write", PARTITIONS[0], NAMES[1], 1)]])
        @example([[SETTLE], [("unregister", PARTITIONS[0], NAMES[0], 0)], [("register", PARTITIONS[0], NAMES[0], 0)]])
        @given(histories=st.lists(steps, min_size=1, max_size=3))
        def interleave(histories: list[list[Step]]) -> None:
            reset(world)
            for history in histories:
                for step in history:
                    apply(world, step)
                asyncio.run_coroutine_threadsafe(compare(), loop).result(120)

        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, interleave)
        await world.query_service.close()

    asyncio.run(main())
    assert reused == {True, False}
