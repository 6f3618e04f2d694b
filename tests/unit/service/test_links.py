"""Download links: for one query and one format, for a while, and for nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from service.errors import (
    InvalidDownloadLink,
    InvalidPagingToken,
    InvalidRequest,
    QueryNotFinished,
    QueryNotFound,
    ResultExpired,
)
from service.model import Download, DownloadFormat, QueryRequest
from service.queries import QueryService
from service.tokens import LinkGrant
from tests.fakes.aws import Answer, answer
from tests.fakes.world import ALICE, BOB, World

Serve = Callable[[Callable[[QueryService], Any]], Any]


async def finished(service: QueryService, **members: Any) -> str:
    execution = await service.submit(QueryRequest("SELECT 1", wait_seconds=10, **members), ALICE)
    return execution.query_id


def content(download: Download) -> bytes:
    return b"".join(download.chunks)


@pytest.mark.parametrize("file_format", list(DownloadFormat))
def test_a_link_gives_what_a_key_gives(world: World, serve: Serve, file_format: DownloadFormat) -> None:
    world.athena.default = answer(columns=[("n", "bigint")], rows=[["1"], ["2"]])

    async def use(service: QueryService) -> None:
        query_id = await finished(service)
        link = await service.download_link(query_id, ALICE, file_format)
        for _ in range(2):
            linked, maker = await service.linked_download(query_id, link.token)
            direct = await service.download(query_id, ALICE, file_format)
            assert (linked.format, linked.content_type, linked.file_name) == (
                file_format,
                direct.content_type,
                direct.file_name,
            )
            assert content(linked) == content(direct)
        assert (maker.tenant, maker.customers, maker.key_id, maker.scopes) == ("alice", {11000}, "key-a", frozenset())

    serve(use)


def test_a_link_is_for_one_query_and_one_format(serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        first, second = await finished(service), await finished(service)
        token = (await service.download_link(first, ALICE, DownloadFormat.CSV)).token
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        altered = [
            base64.urlsafe_b64encode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]).rstrip(b"=").decode()
            for at in range(len(raw))
        ]
        for query_id, bad in [
            (second, token),
            *((first, other) for other in altered),
            (first, token + "A"),
            (first, token[:-1]),
            (first, token + "="),
            (first, ""),
            (first, "\u00e9"),
            (first, "a.b.c"),
        ]:
            with pytest.raises(InvalidDownloadLink):
                await service.linked_download(query_id, bad)
        assert content((await service.linked_download(first, token))[0])

    serve(use)


def test_what_is_not_a_link_tells_nothing_of_queries(serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        query_id = await finished(service)
        refusals = []
        for asked in (query_id, str(uuid4()), "no id", query_id.upper()):
            with pytest.raises(InvalidDownloadLink) as refusal:
                await service.linked_download(asked, "AAAA")
            refusals.append(refusal.value.detail)
        assert len(set(refusals)) == 1

    serve(use)


def test_a_link_ends_with_its_time(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        query_id = await finished(service)
        link = await service.download_link(query_id, ALICE, DownloadFormat.CSV, valid_minutes=5)
        assert (link.expires_at - world.clock.now).total_seconds() == 300
        world.clock.advance(seconds=299)
        await service.linked_download(query_id, link.token)
        world.clock.advance(seconds=1)
        with pytest.raises(InvalidDownloadLink, match="expired"):
            await service.linked_download(query_id, link.token)
        for minutes in (0, 16, -1):
            with pytest.raises(InvalidRequest):
                await service.download_link(query_id, ALICE, DownloadFormat.CSV, valid_minutes=minutes)

    serve(use)


def test_a_link_ends_with_the_result(world: World, serve: Serve) -> None:
    async def use(service: QueryService) -> None:
        query_id = await finished(service, retention_minutes=1)
        link = await service.download_link(query_id, ALICE, DownloadFormat.CSV)
        assert (link.expires_at - world.clock.now).total_seconds() == 60
        grant = LinkGrant(
            int(world.clock.now.timestamp()) + 900, DownloadFormat.CSV
        )  # as if it could outlive its result
        longer = service._signer.link_token(grant, query_id=query_id)
        world.clock.advance(seconds=60)
        with pytest.raises(ResultExpired):
            await service.linked_download(query_id, longer)
        service.sweep()
        with pytest.raises(ResultExpired):
            await service.linked_download(query_id, longer)
        with pytest.raises(ResultExpired):
            await service.download_link(query_id, ALICE, DownloadFormat.CSV)

    serve(use)


def test_only_who_may_read_a_result_can_make_a_link(world: World, serve: Serve) -> None:
    world.athena.answers["slow"] = Answer()

    async def use(service: QueryService) -> None:
        query_id = await finished(service)
        with pytest.raises(QueryNotFound):
            await service.download_link(query_id, BOB, DownloadFormat.CSV)
        running = await service.submit(QueryRequest("slow"), ALICE)
        with pytest.raises(QueryNotFinished):
            await service.download_link(running.query_id, ALICE, DownloadFormat.CSV)
        world.athena.answers["slow"].released.set()

    serve(use)


def test_a_link_is_no_paging_token_and_the_other_way_round(world: World, serve: Serve) -> None:
    world.athena.default = answer(columns=[("n", "bigint")], rows=[["1"], ["2"]])

    async def use(service: QueryService) -> None:
        query_id = await finished(service)
        link = await service.download_link(query_id, ALICE, DownloadFormat.CSV)
        page = await service.next_page(query_id, ALICE, results_per_page=1)
        with pytest.raises(InvalidPagingToken):
            await service.next_page(query_id, ALICE, paging_token=link.token)
        with pytest.raises(InvalidDownloadLink):
            await service.linked_download(query_id, json.loads(page.body)["paging_token"])

    serve(use)
