"""The engines under their contract: the embedded Athena in this process, the same over HTTP with real boto3 clients,
Trino's engine against recorded answers of a real server, and against a real server where there is one.

A real Trino: DATA_HIST_TEST_TRINO_URL=http://127.0.0.1:8080 (docs/engines.md tells how to start one).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from embedded.athena import Athena
from embedded.glue import Glue
from embedded.s3 import S3
from service.engine import Engine
from service.engines.athena import AthenaEngine, WorkGroup
from service.engines.trino import TrinoEngine
from service.engines.trino_protocol import TrinoServer
from service.model import QueryStatus
from tests.contract.engine import MANY, EngineContract, ignore, token
from tests.e2e.aws_endpoint import client, endpoint_over
from tests.fakes.trino import trino_server

RESULTS = "s3://results/out/"
TRINO_URL = os.environ.get("DATA_HIST_TEST_TRINO_URL", "")


@pytest.fixture
def s3(tmp_path: Path) -> S3:
    made = S3(tmp_path / "s3")
    made.create_bucket(Bucket="results")
    return made


@pytest.fixture
def athena(tmp_path: Path, s3: S3) -> Iterator[Athena]:
    with ExitStack() as stack:
        glue = Glue(tmp_path / "catalogue.sqlite")
        stack.callback(glue.close)
        made = Athena(glue=glue, s3=s3, path=tmp_path / "athena.sqlite", temporary_directory=tmp_path / "tmp")
        stack.callback(made.close)
        yield made


class TestEmbeddedEngine(EngineContract):
    @pytest.fixture
    def engine(self, athena: Athena, s3: S3) -> Iterator[Engine]:
        engine = AthenaEngine(
            athena, s3, database="default", work_group=WorkGroup(output_location=RESULTS), slowest_poll_seconds=0.1
        )
        yield engine
        engine.close()


class TestAthenaEngineOverHttp(EngineContract):
    @pytest.fixture
    def engine(self, athena: Athena, s3: S3) -> Iterator[Engine]:
        with endpoint_over(athena=athena, s3=s3) as url:
            engine = AthenaEngine(
                client("athena", url),
                client("s3", url),
                database="default",
                work_group=WorkGroup(output_location=RESULTS),
                slowest_poll_seconds=0.1,
            )
            yield engine
            engine.close()


def trino_engine(url: str, s3: Any) -> TrinoEngine:
    server = TrinoServer(url, "data-hist", "memory", "default")
    return TrinoEngine(server, s3, output_location=RESULTS, attempts=2)


class TrinoContract(EngineContract):
    """What Trino's engine promises beyond the contract."""

    def test_a_whole_result_is_found_again_by_another_process(self, engine: Engine, s3: S3) -> None:
        ended = self.finished(engine, MANY)
        successor = trino_engine(self.url(engine), s3)
        again = successor.wait(ended.engine_id, ignore)
        assert (again.status, again.result_location) == (QueryStatus.FINISHED, ended.result_location)
        assert again.statistics == ended.statistics
        assert successor.columns(ended.engine_id) == engine.columns(ended.engine_id)
        assert self.result(successor, again) == self.result(engine, ended)

    def test_a_statement_that_nobody_waits_for_never_runs(self, engine: Engine) -> None:
        table = "memory.default.never_made"
        engine.start(f"CREATE TABLE {table} AS SELECT 1 AS n", token=token())
        failure = engine.wait(engine.start(f"SELECT * FROM {table}", token=token(1)), ignore).failure
        assert failure is not None
        assert failure.engine_error_name == "TABLE_NOT_FOUND"

    @staticmethod
    def url(engine: Engine) -> str:
        assert isinstance(engine, TrinoEngine)
        return engine._server.url


class TestTrinoEngine(TrinoContract):
    @pytest.fixture
    def engine(self, s3: S3) -> Iterator[Engine]:
        with trino_server() as trino:
            trino.play_recorded()
            trino.scripts["SELECT * FROM memory.default.never_made"] = trino.scripts["SELECT * FROM nowhere"]
            engine = trino_engine(trino.base_url, s3)
            yield engine
            engine.close()


@pytest.mark.skipif(not TRINO_URL, reason="DATA_HIST_TEST_TRINO_URL names no Trino server")
class TestRealTrino(TrinoContract):
    @pytest.fixture
    def engine(self, s3: S3) -> Iterator[Engine]:
        engine = trino_engine(TRINO_URL, s3)
        yield engine
        engine.close()
