from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from glue.folder_watch import FolderReconciler, FolderWatch, LakeFolder, WatchMode
from glue.ledger import Inspection, RowFacts
from glue.partition_spec import PartitionSpec
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import load_table_specs
from glue.tracker import PartitionTracker
from tests.unit.glue.fakes import InMemoryGlue

SPECS = load_table_specs()
GENEROUS_SECONDS = 60.0


class World:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.glue = InMemoryGlue()
        self.ledger = SqliteLedger(folder / "ledger.sqlite")
        self.events = folder / "s3/data-hist-lake/secor/events"
        (folder / "s3/data-hist-lake").mkdir(parents=True)
        self.reconciler = self.new_reconciler()

    def new_reconciler(self) -> FolderReconciler:
        tracker = PartitionTracker(
            self.glue, self.ledger, SPECS.values(), clock=lambda: datetime.now(UTC), sleep=lambda seconds: None
        )
        return FolderReconciler(self.folder / "s3", SPECS.values(), tracker, self.ledger)

    def put(self, minute: int, name: str = "a.gz", content: bytes = b"0123456789") -> Path:
        path = self.events / f"dt=2026-11-22/hr=10/min={minute:02d}/{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def summary(self) -> tuple[int, int, int]:
        found = self.ledger.summary("events")
        return found.partition_count, found.object_count, found.size_bytes

    def compare(self) -> None:
        report, failed = self.reconciler.reconcile(self.reconciler.days(None))
        assert (report.failed, failed) == ([], set())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.ledger.close()


def until(is_so: Callable[[], Any]) -> None:
    deadline = time.monotonic() + GENEROUS_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_lies_in_the_folder_is_registered_and_recorded_once(world: World) -> None:
    for minute in range(3):
        world.put(minute)
        world.put(minute, "b.gz")
    for _ in range(2):
        world.compare()
        assert world.summary() == (3, 6, 60)
        assert len(world.glue.partitions) == 3
    first = next(iter(world.ledger.known_objects("events")))
    assert first.key == "secor/events/dt=2026-11-22/hr=10/min=00/a.gz"
    assert abs((datetime.now(UTC) - first.arrival).total_seconds()) < 600


def test_growth_renames_and_deletions_are_differences_like_any_other(world: World) -> None:
    path = world.put(0)
    world.compare()
    with path.open("ab") as file:
        file.write(b"more")
    world.compare()
    assert world.summary() == (1, 1, 14)
    moved = world.put(1, "other.gz").with_name("moved.gz")
    path.rename(moved)
    world.compare()
    assert [known.key.rpartition("/")[2] for known in world.ledger.known_objects("events")] == ["moved.gz", "other.gz"]
    shutil.rmtree(world.events)
    world.compare()
    assert world.summary() == (0, 0, 0)


def test_a_file_of_the_same_size_with_other_bytes_is_another_one(world: World) -> None:
    path = world.put(0)
    world.compare()
    partition = PartitionSpec.parse("dt=2026-11-22/hr=10/min=00")
    (known,) = world.ledger.known_objects("events")
    read = Inspection(partition, known.key, known.size_bytes, known.content_tag, RowFacts(7))
    assert world.ledger.record_inspections("events", [read]) == 0
    world.compare()
    assert [record.row_count for record in world.ledger.partitions("events")] == [7]
    path.write_bytes(b"9876543210")
    os.utime(path, ns=(1, 1))
    world.compare()
    assert [record.row_count for record in world.ledger.partitions("events")] == [None]


def test_what_is_no_object_is_left_alone(world: World, tmp_path: Path) -> None:
    world.put(0, "_SUCCESS")
    world.put(0, ".hidden.gz")
    world.put(0, "empty.gz", b"")
    (world.put(0, "x").with_name("link.gz")).symlink_to(world.put(1))
    world.put(0, "x").unlink()
    os.close(os.open(os.fsencode(world.events / "dt=2026-11-22/hr=10/min=00") + b"/\xff.gz", os.O_CREAT))
    (world.events / "dt=2026-13-45").mkdir()
    (world.events / "dt=2026-13-45/a.gz").write_bytes(b"x")
    (world.events / "README").write_bytes(b"x")
    report, _ = world.reconciler.reconcile([LakeFolder("events", ())])
    assert world.summary() == (1, 1, 10)
    assert report.foreign_count == 2
    again, _ = world.reconciler.reconcile([LakeFolder("events", ())])
    assert not any(again.counts().values())


def test_a_failed_folder_is_named_so_that_it_is_tried_again(world: World) -> None:
    world.put(0)
    world.put(1)
    world.glue.failures = {("2026-11-22", "10", "01"): ["AccessDeniedException"]}
    folders = [LakeFolder("events", ("dt=2026-11-22", "hr=10", f"min=0{minute}")) for minute in range(2)]
    report, failed = world.reconciler.reconcile(folders)
    assert (report.recorded_count, failed) == (1, {folders[1]})
    assert world.reconciler.reconcile(failed)[1] == set()
    assert world.ledger.summary("events").object_count == 2


@pytest.mark.parametrize(
    ("below", "names"),
    [
        ("dt=2026-11-22/hr=10/min=05/a.gz", ("dt=2026-11-22", "hr=10", "min=05")),
        ("dt=2026-11-22/hr=10/min=05", ("dt=2026-11-22", "hr=10", "min=05")),
        ("dt=2026-11-22", ("dt=2026-11-22",)),
        ("dt=2026-11-22/hr=10/min=05/.a.gz.part", None),
    ],
)
def test_an_event_says_where_to_look(world: World, below: str, names: tuple[str, ...] | None) -> None:
    found = world.reconciler.folders_of(str(world.events / below))
    assert found == ([] if names is None else [LakeFolder("events", names)])
    assert {folder.table for folder in world.reconciler.folders_of(str(world.events.parent))} == set(SPECS)
    assert world.reconciler.folders_of(str(world.events) + "-old/dt=2026-11-22") == []


@pytest.mark.parametrize("mode", ["auto", "poll"])
def test_the_watch_finds_what_comes_grows_moves_and_goes(world: World, mode: WatchMode) -> None:
    before = world.put(0, "before.gz")
    watch = FolderWatch(world.reconciler, mode=mode, interval_seconds=0.05)
    watch.start()
    try:
        until(lambda: world.summary() == (1, 1, 10))  # it was put while nobody watched
        path = world.put(1)
        until(lambda: world.summary() == (2, 2, 20))
        with path.open("ab") as file:
            file.write(b"more")
        until(lambda: world.summary() == (2, 2, 24))
        path.rename(path.with_name("renamed.gz"))
        until(lambda: any(known.key.endswith("renamed.gz") for known in world.ledger.known_objects("events")))
        before.unlink()
        until(lambda: world.summary() == (1, 1, 14))
        shutil.copytree(world.events / "dt=2026-11-22", world.events / "dt=2026-11-23")
        until(lambda: world.summary() == (2, 2, 28))
        shutil.rmtree(world.events)
        until(lambda: world.summary() == (0, 0, 0))
        assert watch.is_polling == (mode == "poll")
    finally:
        watch.close()
    assert watch.report.failed == []


def test_the_comparison_at_start_is_bounded_newest_first(world: World) -> None:
    world.put(0)
    shutil.copytree(world.events / "dt=2026-11-22", world.events / "dt=2026-11-21")
    watch = FolderWatch(world.reconciler, mode="poll", start_days=1)
    watch.start()
    assert watch.wait_started(GENEROUS_SECONDS)
    watch.close()
    assert world.ledger.days("events") == ["2026-11-22"]


def test_a_catalogue_in_trouble_is_tried_again(world: World) -> None:
    world.put(0)
    world.glue.failures = {("2026-11-22", "10", "00"): ["AccessDeniedException"] * 3}
    watch = FolderWatch(world.reconciler, mode="auto")
    watch.start()
    try:
        until(lambda: world.summary() == (1, 1, 10))
    finally:
        watch.close()


def test_a_watch_that_is_off_does_nothing(world: World) -> None:
    watch = FolderWatch(world.reconciler, mode="off")
    watch.start()
    watch.close()
    assert world.summary() == (0, 0, 0)
