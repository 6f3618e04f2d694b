"""The embedded Athena over somebody else's buckets and catalogue, through real boto3 clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.athena import Athena
from embedded.remote_store import RemoteStore
from tests.e2e.aws_endpoint import client, endpoint_over
from tests.unit.embedded.athena_world import LAKE, RESULTS, World, event, lines, zipped


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[World]:
    """The service elsewhere: buckets and a catalogue with a table of two partitions, one row of which is damaged."""
    world = World(tmp_path / "elsewhere")
    world.create_database()
    world.create_table()
    world.add_events("2026-01-01", "00", "05", zipped(*(event(n) for n in range(3))))
    world.add_events("2026-01-02", "00", "05", lines(event(7), b"oops"), "a.json")
    yield world
    world.close()


class Local(World):
    """An Athena here whose lake is elsewhere."""

    def __init__(self, root: Path, url: str) -> None:
        self.s3 = RemoteStore(client("s3", url), root / "cache")  # type: ignore[assignment]  # a store, not a client
        self.athena = Athena(
            glue=client("glue", url),
            s3=self.s3,
            path=root / "athena.sqlite",
            temporary_directory=root / "tmp",
            lake_root=root / "cache",
        )


def test_queries_and_writes_over_a_remote_lake(lake: World, tmp_path: Path) -> None:
    with endpoint_over(glue=lake.glue, s3=lake.s3) as url:
        here = Local(tmp_path / "here", url)
        try:
            for _ in range(2):
                assert here.rows("SELECT dt, count(*) FROM events GROUP BY 1 ORDER BY 1") == [
                    ("2026-01-01", "3"),
                    ("2026-01-02", "1"),
                ]
            execution = here.run("SELECT customerid FROM events WHERE dt = '2026-01-02'")
            assert here.athena.malformed_rows(execution["QueryExecutionId"]).count == 1
            assert lake.result_object(execution) == b'"customerid"\n"11007"\n'
            place = f"external_location = 's3://{LAKE}/made/'"
            here.rows(f"CREATE TABLE made WITH ({place}) AS SELECT dt, customerid FROM events")
            assert here.rows("SELECT count(*) FROM made") == [("4",)]
            assert len(list(lake.s3.list_files(LAKE, "made/"))) == 1
            assert lake.rows("SELECT count(*) FROM made") == [("4",)]
        finally:
            here.athena.close()
        after = Local(tmp_path / "another", url)
        try:
            assert after.rows("SELECT count(*) FROM made") == [("4",)]
            assert list(lake.s3.list_files(RESULTS, "out/"))
        finally:
            after.athena.close()
