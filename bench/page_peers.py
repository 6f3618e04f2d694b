"""The same page of the same result from us and from others: DuckDB by hand, Datasette, ROAPI, and Athena's own way.

Rows are ten columns of mixed types. Over HTTP every server answers the same 1000 rows from the middle and from the end
of a million, as JSON arrays or objects, whichever it knows; the client is a raw socket. Athena's own way is measured at
the client, where its cost lies: boto3 and PyAthena parsing one GetQueryResults answer of 1000 rows that is handed to
them without a network, beside orjson parsing our page.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import orjson
from botocore.awsrequest import AWSResponse

from bench.aws import client_of
from bench.harness import Row, Table, data_hist, free_port, interleaved, server, timed, versions
from bench.http import MILLION_ROWS, finished_query, next_request, page_tokens, port_of
from bench.peers.environment import PeersNotInstallable, peer_folder, peer_versions
from bench.wire import get, median_milliseconds

GOAL = 40
_NAMES = (
    "id",
    "customerid",
    "servicename",
    "createdtimestamp",
    "latency",
    "is_error",
    "path",
    "bytes",
    "region",
    "code",
)
_MIDDLE, _LAST = 500_000, 999_000


def pages_of_peers() -> Table:
    """Milliseconds of a page of 1000 rows from us and from others."""
    table = Table(
        "Pages of other ways",
        "A page of 1000 rows x 10 columns from the middle and from the end of 1,000,000. Ratio: over our page."
        " Parsing: CPU of"
        " the client for one page, nothing sent; ratio over orjson on our page. Datasette pages by key over"
        " SQLite; DuckDB by"
        " hand and ROAPI take LIMIT and OFFSET over the same rows in Parquet (ROAPI with sort=id: it has no"
        " order else).",
        goal=f"rows per second over HTTP at least {GOAL} x those of boto3's GetQueryResults parse",
        versions=versions("duckdb", "starlette", "boto3", "PyAthena", "orjson"),
    )
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        base, _ = stack.enter_context(data_hist(folder / "ours"))
        with httpx.Client(base_url=base, timeout=120) as client:
            query_id = finished_query(client, MILLION_ROWS.format(outer=99))
            tokens = page_tokens(client, query_id, 1000)
            parquet = folder / "result.parquet"
            whole = f"/v0/data_hist/download/{query_id}?format=parquet"
            with client.stream("GET", whole) as answer, parquet.open("wb") as file:
                for part in answer.raise_for_status().iter_raw():
                    file.write(part)
            body = {"query_id": query_id, "results_per_page": 1000, "paging_token": tokens[500]}
            our_page = client.post("/v0/data_hist/next", json=body).content
        candidates: dict[str, Callable[[], float]] = {}
        for place, token in (("middle", tokens[500]), ("end", tokens[999])):
            candidates[f"data-hist, {place}"] = median_milliseconds(port_of(base), [next_request(query_id, token)] * 50)
        for name, open_peer in (("DuckDB by hand", _by_hand), ("Datasette", _datasette), ("ROAPI", _roapi)):
            try:
                candidates |= stack.enter_context(open_peer(folder, parquet, table))
            except (PeersNotInstallable, RuntimeError, OSError) as error:
                table.left_out[name] = str(error)
        medians = interleaved(candidates, rounds=5)
        parsing = interleaved(_parsers(our_page), rounds=5)
    ours = medians["data-hist, middle"]
    table.rows = [Row(name, value, "ms/page", value / ours) for name, value in medians.items()]
    quickest = parsing["orjson, our page"]
    whole = ours + quickest
    table.rows.append(Row("data-hist, middle, received and parsed by orjson", whole, "ms/page", whole / ours))
    table.rows += [Row(f"parsing: {name}", value, "ms/page", value / quickest) for name, value in parsing.items()]
    gain = parsing["boto3, GetQueryResults"] / ours
    others = ", ".join(
        f"{name.removesuffix(', middle')} {value / ours:.0f} x as long"
        for name, value in medians.items()
        if name.endswith("middle") and name != "data-hist, middle"
    )
    table.finding = f"{gain:.0f} x boto3's parse; {others}"
    table.met = gain >= GOAL
    return table


@contextlib.contextmanager
def _by_hand(_: Path, parquet: Path, __: Table) -> Iterator[dict[str, Callable[[], float]]]:
    port = free_port()
    command = [sys.executable, "-m", "bench.peers.duckdb_server", str(port), str(parquet)]
    with server(command, url=f"http://127.0.0.1:{port}/health/ready"):
        _check_rows(port, f"/page?offset={_LAST}")
        yield {
            f"DuckDB by hand, {place}": median_milliseconds(port, [get(f"/page?offset={offset}")] * 5)
            for place, offset in (("middle", _MIDDLE), ("end", _LAST))
        }


@contextlib.contextmanager
def _datasette(folder: Path, parquet: Path, table: Table) -> Iterator[dict[str, Callable[[], float]]]:
    """Datasette over SQLite: LIMIT and OFFSET as SQL (as by hand), and its own paging by key."""
    commands = peer_folder()
    path = folder / "result.db"
    with duckdb.connect() as source, contextlib.closing(sqlite3.connect(path)) as target:
        target.execute(f"CREATE TABLE result (id INTEGER PRIMARY KEY, {', '.join(_NAMES[1:])})")
        cursor = source.execute(f"SELECT * FROM read_parquet('{parquet}')")
        while rows := cursor.fetchmany(50_000):
            target.executemany(f"INSERT INTO result VALUES ({', '.join('?' * len(_NAMES))})", rows)
        target.commit()
    port = free_port()
    command = [
        str(commands / "datasette"),
        "serve",
        str(path),
        "-p",
        str(port),
        "--setting",
        "max_returned_rows",
        "1000",
    ]
    command += ["--setting", "default_cache_ttl", "0"]
    with server(command, url=f"http://127.0.0.1:{port}/-/versions.json"):
        table.versions |= peer_versions("datasette")
        _check_rows(port, _datasette_path(_LAST))
        yield {
            f"Datasette, {place}": median_milliseconds(port, [get(_datasette_path(offset))] * 5)
            for place, offset in (("middle", _MIDDLE), ("end", _LAST))
        }


@contextlib.contextmanager
def _roapi(_: Path, parquet: Path, table: Table) -> Iterator[dict[str, Callable[[], float]]]:
    commands = peer_folder()
    port, other_port, third_port = free_port(), free_port(), free_port()
    command = [str(commands / "roapi"), "--table", f"result={parquet}", "--addr-http", f"127.0.0.1:{port}"]
    command += ["--addr-postgres", f"127.0.0.1:{other_port}", "--addr-flight-sql", f"127.0.0.1:{third_port}"]
    with server(command, url=f"http://127.0.0.1:{port}/api/tables/result?limit=1"):
        table.versions |= peer_versions("roapi")
        answer = httpx.post(f"http://127.0.0.1:{port}/api/sql", content=_roapi_sql(_LAST), timeout=60)
        _check_ids("ROAPI", [row["id"] for row in answer.raise_for_status().json()])
        yield {
            f"ROAPI, {place}": median_milliseconds(port, [_roapi_request(offset)] * 3)
            for place, offset in (("middle", _MIDDLE), ("end", _LAST))
        }


def _datasette_path(offset: int) -> str:
    return f"/result/result.json?_size=1000&_shape=arrays&_nocount=1&_next={offset - 1}"


def _roapi_sql(offset: int) -> bytes:
    return f"SELECT * FROM result ORDER BY id LIMIT 1000 OFFSET {offset}".encode()


def _roapi_request(offset: int) -> bytes:
    sql = _roapi_sql(offset)
    return b"POST /api/sql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b" % (len(sql), sql)


def _check_rows(port: int, path: str) -> None:
    """The last page of a peer must be the last 1000 rows. Raises RuntimeError."""
    answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=60).raise_for_status().json()
    rows = answer if isinstance(answer, list) else answer["rows"]
    ids = [row["id"] if isinstance(row, dict) else row[0] for row in rows]
    _check_ids(path, ids)


def _check_ids(peer: str, ids: list[int]) -> None:
    if ids != list(range(_LAST, _LAST + 1000)):
        raise RuntimeError(f"{peer} does not answer the last rows but {ids[:2]}...{ids[-2:]}")


def _parsers(our_page: bytes) -> dict[str, Callable[[], float]]:
    """Measurements of what a client spends on one page that has arrived."""
    rows = orjson.loads(our_page)["result_set"]
    columns = [
        {"CatalogName": "hive", "Name": name, "Label": name, "Type": "varchar", "Nullable": "UNKNOWN"}
        for name in _NAMES
    ]
    data = [{"Data": [{} if cell is None else {"VarCharValue": str(cell)} for cell in row]} for row in rows]
    answer = orjson.dumps({"ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": columns}}, "UpdateCount": 0})
    athena = _answering(answer)
    found = athena.get_query_results(QueryExecutionId="x" * 36)
    if len(found["ResultSet"]["Rows"]) != len(rows):
        raise RuntimeError("boto3 did not parse the page")
    return {
        "orjson, our page": timed(lambda: orjson.loads(our_page), repeat=20),
        "boto3, GetQueryResults": timed(lambda: athena.get_query_results(QueryExecutionId="x" * 36)),
        "PyAthena, GetQueryResults to Python values": timed(lambda: _pyathena_rows(athena)),
    }


def _answering(content: bytes) -> Any:
    """A boto3 Athena client that gets this answer to everything, without a network."""
    client = client_of("athena", 9)

    def answer(request: Any, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.1"}, _Raw(content))

    client.meta.events.register("before-send.athena.GetQueryResults", answer)
    return client


class _Raw:
    """The body of an answer, as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._content

    def read(self, *_: Any, **__: Any) -> bytes:
        return self._content


def _pyathena_rows(athena: Any) -> list[tuple[Any, ...]]:
    """What PyAthena's cursor does with a page: each cell converted by its column's type."""
    from pyathena.converter import DefaultTypeConverter

    converter = DefaultTypeConverter()
    result = athena.get_query_results(QueryExecutionId="x" * 36)["ResultSet"]
    kinds = [column["Type"] for column in result["ResultSetMetadata"]["ColumnInfo"]]
    return [
        tuple(converter.convert(kind, cell.get("VarCharValue")) for kind, cell in zip(kinds, row["Data"], strict=True))
        for row in result["Rows"]
    ]
