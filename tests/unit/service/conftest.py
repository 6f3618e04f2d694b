from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from service.queries import QueryService
from tests.fakes.world import World

_Answer = TypeVar("_Answer")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def serve(world: World) -> Callable[[Callable[[QueryService], Awaitable[_Answer]]], _Answer]:
    """Runs a coroutine function against a started service and closes it afterwards."""

    def run(use: Callable[[QueryService], Awaitable[_Answer]]) -> _Answer:
        async def main() -> _Answer:
            service = world.service()
            await service.start()
            try:
                return await use(service)
            finally:
                await service.close()

        return asyncio.run(main())

    return run
