"""Real data through the whole house: loaded by the command line, asked over HTTP by two tenants and an operator.

    customer 11000   GitHub's events of three hours (events), CloudWatch's metrics (metrics)
    customer 11001   CloudTrail of an attack simulation (events)
    customer 11002   Zeek's view of a network (events)

The key of `alice` sees 11000, that of `bob` 11001 and 11002, the operator's sees all. Every number is the data set's
EXPECTED.json or is counted here, in plain Python, from the files themselves.
"""

from __future__ import annotations

import csv
import gzip
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Server, data_hist, running_server
from tests.shared_data import expected, shared_data

pytestmark = [pytest.mark.real_data, pytest.mark.xdist_group("real-data")]

GITHUB, CLOUDTRAIL, NAB, ZEEK = "github-events-2021", "cloudtrail-invictus", "nab-cloudwatch", "zeek-events"
Row = dict[str, Any]


@dataclass(frozen=True)
class Tenant:
    """A caller with a key of their own."""

    url: str
    key: str

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/v0/data_hist", headers={"X-API-Key": self.key}, timeout=60)

    def execution(self, sql: str, **members: Any) -> Row:
        with self.client() as client:
            answer = client.post("/query", json={"query": sql, "wait_seconds": 50, **members})
            assert answer.status_code == 200, answer.text
            execution: Row = answer.json()
            for _ in range(4):  # tens of thousands of small objects, on a machine that runs other tests beside
                if not execution["is_terminal"]:
                    execution = client.get(f"/status/{execution['query_id']}", params={"wait_seconds": 50}).json()
            assert execution["status"] == "FINISHED", execution
            assert "warnings" not in execution, execution["warnings"]
            return execution

    def rows(self, sql: str, **members: Any) -> list[Row]:
        query_id = self.execution(sql, **members)["query_id"]
        rows: list[Row] = []
        body: Row = {"query_id": query_id}
        with self.client() as client:
            while True:
                answer = client.post("/next", json=body)
                assert answer.status_code == 200, answer.text
                rows += answer.json()["result_set"]
                if "paging_token" not in answer.json():
                    return rows
                body["paging_token"] = answer.json()["paging_token"]

    def tuples(self, sql: str, **members: Any) -> list[tuple[Any, ...]]:
        """The rows as tuples, in the order of the columns."""
        return [tuple(row.values()) for row in self.rows(sql, **members)]

    def value(self, sql: str, **members: Any) -> Any:
        """The one value of a result of one row and one column."""
        ((value,),) = self.tuples(sql, **members)
        return value


@dataclass(frozen=True)
class House:
    server: Server
    alice: Tenant
    bob: Tenant
    operator: Tenant
    loads: Mapping[str, list[tuple[tuple[str, ...], Row]]]


def _loads() -> list[tuple[str, tuple[str, ...]]]:
    """The command lines that bring each data set in."""
    github = str(shared_data(GITHUB) / "2021-07-21-few-hours.json")
    trail = [str(path) for path in sorted(shared_data(CLOUDTRAIL).glob("*_CloudTrail_*.json"))]
    zeek = [str(path) for path in sorted(shared_data(ZEEK).glob("*.json.gz"))]
    loads: list[tuple[str, tuple[str, ...]]] = [
        (GITHUB, ("load", "events", github, "--time", "created_at", "--service", "=github", "--customer", "=11000",
                  "--tags", "type,actor.login")),
        (CLOUDTRAIL, ("load", "events", *trail, "--records", "Records", "--time", "eventTime", "--service",
                      "eventSource", "--customer", "=11001", "--tags", "eventName,awsRegion")),
        (ZEEK, ("load", "events", *zeek, "--time", "ts", "--service", "_path", "--customer", "=11002")),
    ]  # fmt: skip
    for path in _nab_files():
        options = ("--time", "timestamp", "--service", f"={path.stem}", "--customer", "=11000")
        loads.append((NAB, ("load", "metrics", str(path), *options)))
    return loads


def _nab_files() -> list[Path]:
    return sorted(shared_data(NAB).glob("*.csv"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data_dir = tmp_path_factory.mktemp("real") / "data"
    loads: dict[str, list[tuple[tuple[str, ...], Row]]] = defaultdict(list)
    for name, arguments in _loads():
        loads[name].append((arguments, data_hist(*arguments, data_dir=data_dir)))
    alice = data_hist("keys", "create", "--customer", "11000", data_dir=data_dir)["key"]
    bob = data_hist("keys", "create", "--customer", "11001", "--customer", "11002", data_dir=data_dir)["key"]
    operator = data_hist("keys", "create", "--scope", "query", "--scope", "operate", data_dir=data_dir)["key"]
    with running_server(data_dir, DATA_HIST_REQUEST_EVENTS="off") as server:
        yield House(server, *(Tenant(server.url, key) for key in (alice, bob, operator)), loads)


# --- the same things, counted in plain Python ---------------------------------------------------------------------


@cache
def github() -> list[Row]:
    lines = (shared_data(GITHUB) / "2021-07-21-few-hours.json").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@cache
def trail() -> list[Row]:
    files = sorted(shared_data(CLOUDTRAIL).glob("*_CloudTrail_*.json"))
    return [record for path in files for record in json.loads(path.read_bytes())["Records"]]


@cache
def zeek() -> list[Row]:
    rows: list[Row] = []
    for path in sorted(shared_data(ZEEK).glob("*.json.gz")):
        rows += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    return rows


@cache
def metrics() -> dict[str, list[tuple[datetime, float]]]:
    """Points of each series: (time in UTC, value), in the file's order."""
    series = {}
    for path in _nab_files():
        with path.open(newline="") as file:
            series[path.stem] = [
                (datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC), float(row["value"]))
                for row in csv.DictReader(file)
            ]
    return series


def milliseconds(moment: str | datetime) -> int:
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


def ranked(counts: Counter[Any]) -> list[tuple[Any, ...]]:
    """Most first, then by name: `ORDER BY n DESC, name`."""
    return [
        (*key, n) if isinstance(key, tuple) else (key, n)
        for key, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


# --- loading ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "row_count"),
    [(GITHUB, 800), (CLOUDTRAIL, 2900), (NAB, 33_543), (ZEEK, 904 + 4122 + 1188 + 24_202)],
)
def test_every_row_is_loaded_and_a_second_time_none(house: House, name: str, row_count: int) -> None:
    reports = [report for _, report in house.loads[name]]
    assert sum(report["loaded"] for report in reports) == sum(report["rows"] for report in reports) == row_count
    assert sum(report["rejected"] for report in reports) == 0
    arguments, report = house.loads[name][0]
    again = data_hist(*arguments, data_dir=house.server.data_dir)
    assert again["loaded"] == 0
    assert again["already_loaded"] == report["files"]


def test_each_tenant_sees_its_own_rows_and_the_operator_all(house: House) -> None:
    count = "SELECT customerid, count(*) AS n FROM events GROUP BY customerid ORDER BY customerid"
    rows_of = {11000: len(github()), 11001: len(trail()), 11002: len(zeek())}
    assert house.alice.tuples(count) == [(11000, rows_of[11000])]
    assert house.bob.tuples(count) == [(11001, rows_of[11001]), (11002, rows_of[11002])]
    assert house.operator.tuples(count) == list(rows_of.items())
    points = "SELECT count(*) AS n FROM metrics"
    assert [tenant.value(points) for tenant in (house.alice, house.bob, house.operator)] == [33_543, 0, 33_543]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) AS n FROM events WHERE customerid = 11001 OR 1 = 1",
        "SELECT count(*) AS n FROM events a LEFT JOIN events b ON b.customerid <> 11000 WHERE b.customerid IS NULL",
        "WITH events AS (SELECT * FROM data_hist.events) SELECT count(*) AS n FROM events",
        'SELECT count(*) AS n FROM (SELECT * FROM "EVENTS" UNION ALL SELECT * FROM events WHERE customerid > 11000) x',
        "SELECT count(*) AS n FROM events WHERE EXISTS (SELECT 1 FROM events e WHERE e.customerid <> 11001)",
    ],
)
def test_no_way_of_asking_shows_another_tenants_rows(house: House, sql: str) -> None:
    assert house.alice.value(sql) == len(github())


# --- GitHub -------------------------------------------------------------------------------------------------------


def test_github_by_type_and_by_hour(house: House) -> None:
    truth = expected(GITHUB)
    by_type = (
        "SELECT json_extract_scalar(data, '$.type') AS type, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, 1"
    )
    assert house.alice.tuples(by_type) == [tuple(pair) for pair in truth["by_type"]]
    by_tag = "SELECT datatags['type'] AS type, count(*) AS n FROM events GROUP BY datatags['type'] ORDER BY n DESC, 1"
    assert house.alice.tuples(by_tag) == [tuple(pair) for pair in truth["by_type"]]
    by_hour = """
        SELECT date_format(from_unixtime(createdtimestamp / 1000), '%Y-%m-%dT%H') AS hour, count(*) AS n
        FROM events GROUP BY 1 ORDER BY 1"""
    assert house.alice.tuples(by_hour) == list(truth["by_hour"].items())
    truncated = """
        SELECT date_trunc('hour', from_unixtime(createdtimestamp / 1000.0)) AS hour, count(*) AS n
        FROM events GROUP BY 1 ORDER BY 1"""
    assert [row[1] for row in house.alice.tuples(truncated)] == list(truth["by_hour"].values())
    assert house.alice.value("SELECT count(DISTINCT dt || hr || min) FROM events") == truth["by_minute_count"]


def test_github_top_actors_and_repositories(house: House) -> None:
    truth = expected(GITHUB)
    for path, name in (("$.actor.login", "top_actors"), ("$.repo.name", "top_repos")):
        top = f"""
            SELECT json_extract_scalar(data, '{path}') AS name, count(*) AS n
            FROM events GROUP BY 1 ORDER BY n DESC, name LIMIT 10"""
        assert house.alice.tuples(top) == [tuple(pair) for pair in truth[name]]
    (counts,) = house.alice.tuples("""
        SELECT count(*), count(DISTINCT json_extract_scalar(data, '$.id')),
               count(DISTINCT json_extract_scalar(data, '$.actor.login')),
               count(DISTINCT json_extract_scalar(data, '$.repo.name')),
               count(json_extract(data, '$.org')),
               count_if(json_extract_scalar(data, '$.public') = 'true')
        FROM events""")
    assert counts == (
        truth["rows"], truth["unique_ids"], truth["actors"], truth["repos"], truth["with_org"],
        sum(event["public"] for event in github()),
    )  # fmt: skip


def test_github_commits_from_arrays_in_the_payload(house: House) -> None:
    pushes = [event for event in github() if event["type"] == "PushEvent"]
    (sums,) = house.alice.tuples("""
        SELECT sum(CAST(json_extract_scalar(data, '$.payload.size') AS bigint)) AS size,
               sum(json_array_length(json_extract(data, '$.payload.commits'))) AS commits,
               max(CAST(json_extract(data, '$.payload.distinct_size') AS integer)) AS most
        FROM events WHERE datatags['type'] = 'PushEvent'""")
    assert sums == (
        sum(event["payload"]["size"] for event in pushes),
        sum(len(event["payload"]["commits"]) for event in pushes),
        max(event["payload"]["distinct_size"] for event in pushes),
    )
    authors = Counter(commit["author"]["name"] for event in pushes for commit in event["payload"]["commits"])
    by_author = """
        SELECT json_extract_scalar(c.one, '$.author.name') AS author, count(*) AS n
        FROM events CROSS JOIN UNNEST(CAST(json_extract(data, '$.payload.commits') AS array(json))) AS c (one)
        WHERE datatags['type'] = 'PushEvent'
        GROUP BY 1 ORDER BY n DESC, author LIMIT 20"""
    assert house.alice.tuples(by_author) == ranked(authors)[:20]


def test_github_joins(house: House) -> None:
    """Actors who both pushed and created, by a self join; repositories whose share is largest, by a join of CTEs."""
    pushes, creations = (
        Counter(event["actor"]["login"] for event in github() if event["type"] == type_)
        for type_ in ("PushEvent", "CreateEvent")
    )
    both = sorted((actor, pushes[actor] * creations[actor]) for actor in pushes.keys() & creations.keys())
    self_join = """
        SELECT json_extract_scalar(a.data, '$.actor.login') AS actor, count(*) AS pairs
        FROM events a JOIN events b
          ON json_extract_scalar(a.data, '$.actor.id') = json_extract_scalar(b.data, '$.actor.id')
        WHERE a.datatags['type'] = 'PushEvent' AND b.datatags['type'] = 'CreateEvent'
        GROUP BY 1 ORDER BY 1"""
    assert both
    assert house.alice.tuples(self_join) == both

    of_type = Counter(event["type"] for event in github())
    of_pair = Counter((event["type"], event["actor"]["login"]) for event in github())
    shares = sorted(
        ((n / of_type[type_], type_, actor) for (type_, actor), n in of_pair.items() if of_type[type_] >= 20),
        key=lambda share: (-share[0], share[1], share[2]),
    )[:10]
    ctes = """
        WITH rows AS (SELECT datatags['type'] AS type, datatags['actor.login'] AS actor FROM events),
             types AS (SELECT type, count(*) AS total FROM rows GROUP BY type HAVING count(*) >= 20),
             pairs AS (SELECT type, actor, count(*) AS n FROM rows GROUP BY type, actor)
        SELECT CAST(p.n AS double) / t.total AS share, type, p.actor
        FROM pairs p JOIN types t USING (type) ORDER BY share DESC, type, actor LIMIT 10"""
    found = house.alice.tuples(ctes)
    assert [row[1:] for row in found] == [share[1:] for share in shares]
    assert [row[0] for row in found] == pytest.approx([share[0] for share in shares])


def test_github_windows(house: House) -> None:
    by_id = sorted(github(), key=lambda event: int(event["id"]))
    first: dict[str, str] = {}
    running: Counter[str] = Counter()
    totals = []
    for event in by_id:
        first.setdefault(event["type"], event["id"])
        running[event["type"]] += 1
        totals.append((event["id"], running[event["type"]]))
    firsts = """
        SELECT type, id FROM (
            SELECT datatags['type'] AS type, json_extract_scalar(data, '$.id') AS id,
                   row_number() OVER (PARTITION BY datatags['type']
                                      ORDER BY CAST(json_extract_scalar(data, '$.id') AS bigint)) AS place
            FROM events) WHERE place = 1 ORDER BY type"""
    assert house.alice.tuples(firsts) == sorted(first.items())
    running_sums = """
        SELECT id, sum(1) OVER (PARTITION BY type ORDER BY number ROWS UNBOUNDED PRECEDING) AS so_far
        FROM (SELECT json_extract_scalar(data, '$.id') AS id, datatags['type'] AS type,
                     CAST(json_extract_scalar(data, '$.id') AS bigint) AS number FROM events)
        ORDER BY number"""
    assert house.alice.tuples(running_sums) == totals

    times: dict[str, list[int]] = defaultdict(list)
    for event in github():
        times[event["actor"]["login"]].append(milliseconds(event["created_at"]))
    gaps = {actor: max(b - a for a, b in pairwise(sorted(at))) for actor, at in times.items() if len(at) > 1}
    lags = """
        SELECT actor, max(gap) AS longest FROM (
            SELECT datatags['actor.login'] AS actor,
                   createdtimestamp - lag(createdtimestamp) OVER (
                       PARTITION BY datatags['actor.login'] ORDER BY createdtimestamp) AS gap
            FROM events) WHERE gap IS NOT NULL GROUP BY actor ORDER BY actor"""
    assert house.alice.tuples(lags) == sorted(gaps.items())


def test_github_arrays_and_maps_as_results(house: House) -> None:
    repos: dict[str, set[str]] = defaultdict(set)
    for event in github():
        repos[event["actor"]["login"]].add(event["repo"]["name"])
    many = sorted((actor, sorted(names)) for actor, names in repos.items() if len(names) >= 3)
    arrays = """
        SELECT datatags['actor.login'] AS actor,
               array_sort(array_agg(DISTINCT json_extract_scalar(data, '$.repo.name'))) AS repositories
        FROM events GROUP BY 1 HAVING cardinality(array_agg(DISTINCT json_extract_scalar(data, '$.repo.name'))) >= 3
        ORDER BY 1"""
    assert many
    assert house.alice.tuples(arrays) == many
    histogram = house.alice.value("SELECT histogram(datatags['type']) AS types FROM events")
    assert histogram == dict(expected(GITHUB)["by_type"])
    (tags,) = house.alice.tuples("""
        SELECT datatags, map_keys(datatags) AS keys, json_extract(data, '$.repo') AS repo
        FROM events ORDER BY CAST(json_extract_scalar(data, '$.id') AS bigint) LIMIT 1""")
    earliest = min(github(), key=lambda event: int(event["id"]))
    assert tags[0] == {"type": earliest["type"], "actor.login": earliest["actor"]["login"]}
    assert sorted(tags[1]) == ["actor.login", "type"]
    assert tags[2] == earliest["repo"]


def test_the_data_is_the_whole_row(house: House) -> None:
    rows = house.alice.rows("SELECT data, createdtimestamp FROM events WHERE servicename = 'github'")
    told = sorted((json.loads(row["data"]) for row in rows), key=lambda event: int(event["id"]))
    assert told == sorted(github(), key=lambda event: int(event["id"]))
    assert all(row["createdtimestamp"] == milliseconds(json.loads(row["data"])["created_at"]) for row in rows)


# --- CloudTrail ---------------------------------------------------------------------------------------------------


def test_trail_by_service_and_who(house: House) -> None:
    truth = expected(CLOUDTRAIL)
    by_service = "SELECT servicename, count(*) AS n FROM events WHERE customerid = 11001 GROUP BY 1 ORDER BY n DESC, 1"
    assert house.bob.tuples(by_service) == [tuple(pair) for pair in truth["by_service"]]
    who = """
        SELECT coalesce(json_extract_scalar(data, '$.userIdentity.arn'),
                        json_extract_scalar(data, '$.userIdentity.invokedBy'),
                        json_extract_scalar(data, '$.userIdentity.principalId'),
                        json_extract_scalar(data, '$.userIdentity.accountId'),
                        json_extract_scalar(data, '$.userIdentity.type')) AS who, service, count(*) AS n
        FROM events WHERE customerid = 11001 GROUP BY 1, 2 ORDER BY n DESC, who, service"""
    assert house.bob.tuples(who) == [tuple(triple) for triple in truth["by_who_and_service"]]


def test_trail_errors(house: House) -> None:
    truth = expected(CLOUDTRAIL)
    by_code = """
        SELECT json_extract_scalar(data, '$.errorCode') AS code, count(*) AS n
        FROM events WHERE customerid = 11001 AND json_extract_scalar(data, '$.errorCode') IS NOT NULL
        GROUP BY 1 ORDER BY n DESC, code"""
    assert house.bob.tuples(by_code) == [tuple(pair) for pair in truth["errors_by_code"]]
    by_both = """
        WITH errors AS (SELECT servicename, json_extract_scalar(data, '$.errorCode') AS code FROM events
                        WHERE customerid = 11001)
        SELECT servicename, code, count(*) AS n FROM errors WHERE code IS NOT NULL
        GROUP BY servicename, code ORDER BY n DESC, servicename, code"""
    found = house.bob.tuples(by_both)
    assert sorted(found) == sorted(tuple(triple) for triple in truth["errors_by_service_and_code"])
    rates = """
        SELECT servicename, count(json_extract_scalar(data, '$.errorCode')) * 1.0 / count(*) AS rate
        FROM events WHERE customerid = 11001 GROUP BY 1 HAVING count(*) >= 100 ORDER BY 1"""
    all_of, errors_of = (
        Counter(record["eventSource"] for record in trail() if not only or "errorCode" in record) for only in (0, 1)
    )
    told = {name: float(rate) for name, rate in house.bob.tuples(rates)}
    assert told == pytest.approx({name: errors_of[name] / n for name, n in all_of.items() if n >= 100}, abs=0.06)


def test_trail_in_buckets_of_five_minutes(house: House) -> None:
    buckets = """
        SELECT date_format(from_unixtime(createdtimestamp / 300000 * 300), '%Y-%m-%dT%H:%i') AS bucket, count(*) AS n
        FROM events WHERE customerid = 11001 GROUP BY 1 ORDER BY 1"""
    assert house.bob.tuples(buckets) == list(expected(CLOUDTRAIL)["by_5min"].items())
    (ends,) = house.bob.tuples("""
        SELECT to_iso8601(from_unixtime(min(createdtimestamp) / 1000)), max(createdtimestamp),
               count(DISTINCT json_extract_scalar(data, '$.eventID'))
        FROM events WHERE customerid = 11001""")
    truth = expected(CLOUDTRAIL)
    assert datetime.fromisoformat(ends[0]) == datetime.fromisoformat(truth["first"])
    assert ends[1:] == (milliseconds(truth["last"]), truth["unique_eventIDs"])


def test_trail_of_a_range_of_time_reads_less(house: House) -> None:
    begin, end = "2023-07-10T12:05:00Z", "2023-07-10T12:10:00Z"
    count = "SELECT count(*) AS n FROM events WHERE customerid = 11001"
    whole, part = house.bob.execution(count), house.bob.execution(count, **{"from": begin, "to": end})
    assert part["statistics"]["data_scanned_bytes"] < whole["statistics"]["data_scanned_bytes"]
    assert part["statistics"]["partitions_skipped"] > 0
    inside = expected(CLOUDTRAIL)["by_5min"]["2023-07-10T12:05"]
    assert house.bob.value(count, **{"from": begin, "to": end}) == inside
    written_out = f"{count} AND from_unixtime(createdtimestamp / 1000) >= timestamp '2023-07-10 12:05:00'"
    written_out += " AND from_unixtime(createdtimestamp / 1000) < timestamp '2023-07-10 12:10:00'"
    assert house.bob.value(written_out) == inside
    assert house.bob.execution(written_out)["statistics"]["partitions_skipped"] > 0


def test_trail_nested_values(house: House) -> None:
    read_only = Counter(str(record["readOnly"]) for record in trail())
    sql = """
        SELECT CAST(json_extract(data, '$.readOnly') AS boolean) AS read_only, count(*) AS n
        FROM events WHERE customerid = 11001 GROUP BY 1 ORDER BY n DESC"""
    assert house.bob.tuples(sql) == [(True, read_only["True"]), (False, read_only["False"])]

    resources = Counter(
        resource.get("type") or "none" for record in trail() for resource in record.get("resources") or []
    )
    unnested = """
        SELECT coalesce(json_extract_scalar(r.one, '$.type'), 'none') AS type, count(*) AS n
        FROM events CROSS JOIN UNNEST(CAST(json_extract(data, '$.resources') AS array(json))) AS r (one)
        WHERE customerid = 11001 GROUP BY 1 ORDER BY n DESC, 1"""
    assert house.bob.tuples(unnested) == ranked(resources)

    parameters = Counter(name for record in trail() for name in record["requestParameters"] or {})
    names = """
        SELECT p.name, count(*) AS n
        FROM events CROSS JOIN UNNEST(map_keys(CAST(json_extract(data, '$.requestParameters') AS map(varchar, json))))
             AS p (name)
        WHERE customerid = 11001 GROUP BY p.name ORDER BY n DESC, p.name LIMIT 25"""
    assert house.bob.tuples(names) == ranked(parameters)[:25]

    mfa = Counter(
        record["userIdentity"].get("sessionContext", {}).get("attributes", {}).get("mfaAuthenticated", "absent")
        for record in trail()
    )
    told = house.bob.tuples("""
        SELECT coalesce(json_extract_scalar(data, '$.userIdentity.sessionContext.attributes.mfaAuthenticated'),
                        'absent') AS mfa, count(*) AS n
        FROM events WHERE customerid = 11001 GROUP BY 1 ORDER BY n DESC, 1""")
    assert told == ranked(mfa)


def test_trail_sessions_by_windows(house: House) -> None:
    """A session of an address ends after ten quiet minutes."""
    times: dict[str, list[int]] = defaultdict(list)
    for record in trail():
        times[record["sourceIPAddress"]].append(milliseconds(record["eventTime"]))
    sessions = {
        address: 1 + sum(b - a > 600_000 for a, b in pairwise(sorted(at))) for address, at in sorted(times.items())
    }
    sql = """
        WITH calls AS (
            SELECT json_extract_scalar(data, '$.sourceIPAddress') AS address, createdtimestamp AS at FROM events
            WHERE customerid = 11001),
        starts AS (
            SELECT address,
                   CASE WHEN at - lag(at, 1, -1000000) OVER (PARTITION BY address ORDER BY at) > 600000
                        THEN 1 ELSE 0 END AS is_start
            FROM calls)
        SELECT address, sum(is_start) AS sessions FROM starts GROUP BY address ORDER BY address"""
    assert house.bob.tuples(sql) == list(sessions.items())


# --- CloudWatch metrics -------------------------------------------------------------------------------------------

VALUE = "CAST(json_extract_scalar(data, '$.value') AS double)"


def test_metrics_of_each_series(house: House) -> None:
    truth = expected(NAB)
    sql = f"""
        SELECT servicename, count(*), min({VALUE}), max({VALUE}), sum({VALUE}), avg({VALUE}), stddev_pop({VALUE}),
               min(json_extract_scalar(data, '$.timestamp')), max(json_extract_scalar(data, '$.timestamp')),
               count(*) - count(DISTINCT createdtimestamp)
        FROM metrics GROUP BY servicename ORDER BY servicename"""
    rows = house.alice.tuples(sql)
    assert [row[0] for row in rows] == sorted(metrics())
    for name, count, least, most, total, mean, deviation, first, last, repeated in rows:
        series = truth[f"{name}.csv"]
        assert (count, least, most, first, last) == tuple(
            series[key] for key in ("rows", "min", "max", "first", "last")
        )
        assert (total, mean) == pytest.approx((series["sum"], series["avg"]))
        assert deviation == pytest.approx(statistics.pstdev(value for _, value in metrics()[name]))
        assert repeated == series["dup_ts"]


def test_metrics_by_day(house: House) -> None:
    truth = expected(NAB)
    rows = house.alice.tuples("SELECT servicename, dt, count(*) AS n FROM metrics GROUP BY 1, 2 ORDER BY 1, 2")
    days: dict[str, dict[str, int]] = defaultdict(dict)
    for name, day, count in rows:
        days[f"{name}.csv"][day] = count
    assert days == {name: series["days"] for name, series in truth.items()}


def test_metrics_in_hours_with_percentiles(house: House) -> None:
    name = "rds_cpu_utilization_cc0c53"
    hours: dict[str, list[float]] = defaultdict(list)
    for at, value in metrics()[name]:
        hours[at.strftime("%Y-%m-%dT%H:00:00.000")].append(value)
    sql = f"""
        SELECT date_trunc('hour', from_unixtime(createdtimestamp / 1000)) AS hour, avg({VALUE}) AS mean,
               max_by(createdtimestamp, {VALUE}) AS peak_at
        FROM metrics WHERE servicename = '{name}' GROUP BY 1 ORDER BY 1"""
    rows = house.alice.tuples(sql)
    assert [row[0].rstrip("Z").removesuffix(" UTC") for row in rows] == list(hours)
    assert [row[1] for row in rows] == pytest.approx([statistics.fmean(values) for values in hours.values()])
    value_at = {milliseconds(at): value for at, value in metrics()[name]}
    assert [value_at[row[2]] for row in rows] == [max(values) for values in hours.values()]

    values = sorted(value for _, value in metrics()[name])
    (percentiles,) = house.alice.tuples(f"""
        SELECT approx_percentile({VALUE}, 0.5), approx_percentile({VALUE}, 0.99),
               approx_percentile({VALUE}, ARRAY[0.1, 0.9])
        FROM metrics WHERE servicename = '{name}'""")
    for found, part in zip((*percentiles[:2], *percentiles[2]), (0.5, 0.99, 0.1, 0.9), strict=True):
        at = round(part * (len(values) - 1))
        room = len(values) // 50  # Trino's own digest is good for about 1 % of the rank
        assert values[max(0, at - room)] <= found <= values[min(len(values) - 1, at + room)]
    exact = f"""
        SELECT place, v FROM (SELECT {VALUE} AS v, row_number() OVER (ORDER BY {VALUE}) AS place
                              FROM metrics WHERE servicename = '{name}')
        WHERE place IN (1, 2016, 4032) ORDER BY place"""
    assert house.alice.tuples(exact) == [(1, values[0]), (2016, values[2015]), (4032, values[4031])]


def test_metrics_moving_average_and_gaps(house: House) -> None:
    name = "elb_request_count_8c0756"
    points = metrics()[name]
    moving = [
        (milliseconds(at), statistics.fmean(value for _, value in points[max(0, place - 11) : place + 1]))
        for place, (at, _) in enumerate(points)
    ]
    sql = f"""
        SELECT createdtimestamp, avg({VALUE}) OVER (ORDER BY createdtimestamp ROWS 11 PRECEDING) AS mean
        FROM metrics WHERE servicename = '{name}' ORDER BY createdtimestamp"""
    rows = house.alice.tuples(sql)
    assert [row[0] for row in rows] == [at for at, _ in moving]
    assert [row[1] for row in rows] == pytest.approx([mean for _, mean in moving])
    gaps = [(milliseconds(a), milliseconds(b) - milliseconds(a)) for (a, _), (b, _) in pairwise(points)]
    sql = f"""
        SELECT at, next - at AS gap FROM (
            SELECT createdtimestamp AS at, lead(createdtimestamp) OVER (ORDER BY createdtimestamp) AS next
            FROM metrics WHERE servicename = '{name}')
        WHERE next - at > 300000 ORDER BY at"""
    assert house.alice.tuples(sql) == [gap for gap in gaps if gap[1] > 300_000]


def test_metrics_two_series_joined(house: House) -> None:
    """CPU of two machines at the same moments: their correlation."""
    one, two = "ec2_cpu_utilization_24ae8d", "ec2_cpu_utilization_53ea38"
    left, right = (dict(metrics()[name]) for name in (one, two))
    shared = sorted(left.keys() & right.keys())
    sql = f"""
        SELECT count(*) AS n, corr({VALUE.replace("data", "a.data")}, {VALUE.replace("data", "b.data")}) AS r
        FROM metrics a JOIN metrics b ON a.createdtimestamp = b.createdtimestamp
        WHERE a.servicename = '{one}' AND b.servicename = '{two}'"""
    ((count, correlation),) = house.alice.tuples(sql)
    assert count == len(shared)
    assert correlation == pytest.approx(statistics.correlation([left[t] for t in shared], [right[t] for t in shared]))


def test_metrics_in_the_labelled_windows(house: House) -> None:
    """The anomaly windows that come with the data, as VALUES joined by time."""
    windows = expected(NAB, "combined_windows.subset.json")
    truth = []
    values = []
    for name, ranges in sorted(windows.items()):
        series = Path(name).stem
        for begin, end in ranges:
            first, last = (milliseconds(f"{text}+00:00") for text in (begin, end))
            values.append(f"('{series}', {first}, {last})")
            inside = [value for at, value in metrics()[series] if first <= milliseconds(at) <= last]
            truth.append((series, first, len(inside), max(inside)))
    sql = f"""
        SELECT w.series, w.first, count(*) AS n, max({VALUE}) AS most
        FROM (VALUES {", ".join(values)}) AS w (series, first, last)
        JOIN metrics m ON m.servicename = w.series AND m.createdtimestamp BETWEEN w.first AND w.last
        GROUP BY w.series, w.first ORDER BY w.series, w.first"""
    assert house.alice.tuples(sql) == sorted(truth)


# --- Zeek ---------------------------------------------------------------------------------------------------------


def test_zeek_of_each_path(house: House) -> None:
    truth = expected(ZEEK)
    sql = """
        SELECT servicename, count(*), min(json_extract_scalar(data, '$.ts')), max(json_extract_scalar(data, '$.ts'))
        FROM events WHERE customerid = 11002 GROUP BY 1 ORDER BY 1"""
    assert house.bob.tuples(sql) == [
        (name.removesuffix(".json.gz"), kind["rows"], kind["first_ts"], kind["last_ts"])
        for name, kind in sorted(truth.items())
    ]
    by_hour = (
        "SELECT servicename, dt || 'T' || hr, count(*) FROM events WHERE customerid = 11002 GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert house.bob.tuples(by_hour) == [
        (name.removesuffix(".json.gz"), hour, count)
        for name, kind in sorted(truth.items())
        for hour, count in kind["by_hour"].items()
    ]


def test_zeek_fields_with_dots(house: House) -> None:
    truth = expected(ZEEK)
    for name, kind in truth.items():
        path = name.removesuffix(".json.gz")
        top = f"""
            SELECT json_extract_scalar(data, '$["id.orig_h"]') AS host, count(*) AS n
            FROM events WHERE servicename = '{path}' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 5"""
        assert house.bob.tuples(top) == [tuple(pair) for pair in kind["top_orig_h"]]
    fields = """
        SELECT servicename, array_sort(array_agg(DISTINCT f.name)) AS fields
        FROM events CROSS JOIN UNNEST(map_keys(CAST(json_parse(data) AS map(varchar, json)))) AS f (name)
        WHERE customerid = 11002 GROUP BY servicename ORDER BY servicename"""
    assert house.bob.tuples(fields) == [
        (name.removesuffix(".json.gz"), kind["fields"]) for name, kind in sorted(truth.items())
    ]


def test_zeek_connections_seen_by_two_logs(house: House) -> None:
    paths: dict[str, Counter[str]] = defaultdict(Counter)
    for row in zeek():
        if "uid" in row:
            paths[row["uid"]][row["_path"]] += 1
    both = sorted(
        (uid, path, counts["weird"] * counts[path])
        for uid, counts in paths.items()
        for path in counts
        if path != "weird" and counts["weird"]
    )
    sql = """
        WITH seen AS (SELECT servicename AS path, json_extract_scalar(data, '$.uid') AS uid FROM events
                      WHERE customerid = 11002)
        SELECT w.uid, o.path, count(*) AS n FROM seen w JOIN seen o ON w.uid = o.uid
        WHERE w.path = 'weird' AND o.path <> 'weird' GROUP BY w.uid, o.path ORDER BY w.uid, o.path"""
    assert both
    assert house.bob.tuples(sql) == both


def test_zeek_arrays(house: House) -> None:
    smtp = [row for row in zeek() if row["_path"] == "smtp"]
    hops = Counter(address for row in smtp for address in row.get("path") or [])
    sql = """
        SELECT h.address, count(*) AS n
        FROM events CROSS JOIN UNNEST(CAST(json_extract(data, '$.path') AS array(varchar))) AS h (address)
        WHERE servicename = 'smtp' GROUP BY h.address ORDER BY n DESC, h.address LIMIT 10"""
    assert house.bob.tuples(sql) == ranked(hops)[:10]
    lengths = Counter(len(row["path"]) for row in smtp if row.get("path") is not None)
    sql = """
        SELECT cardinality(CAST(json_extract(data, '$.path') AS array(varchar))) AS length, count(*) AS n
        FROM events WHERE servicename = 'smtp' AND json_extract(data, '$.path') IS NOT NULL GROUP BY 1 ORDER BY 1"""
    assert house.bob.tuples(sql) == sorted(lengths.items())


def test_zeek_all_rows_page_by_page(house: House) -> None:
    """30,416 rows in 31 pages: every uid with its time, to the microsecond the source gave."""
    rows = house.bob.rows("""
        SELECT json_extract_scalar(data, '$.uid') AS uid, json_extract_scalar(data, '$.ts') AS ts,
               createdtimestamp AS at
        FROM events WHERE customerid = 11002""")
    assert Counter((row["uid"], row["ts"]) for row in rows) == Counter((row.get("uid"), row["ts"]) for row in zeek())
    assert all(row["at"] == milliseconds(row["ts"][:-4] + "Z") for row in rows)  # ms, cut and not rounded


# --- several data sets --------------------------------------------------------------------------------------------


def test_the_operator_joins_what_tenants_hold_apart(house: House) -> None:
    sql = """
        SELECT customerid, grouping(customerid) AS is_total, count(*) AS n, count(DISTINCT servicename) AS services
        FROM events GROUP BY ROLLUP (customerid) ORDER BY 2, 1"""
    services = [{"github"}, {r["eventSource"] for r in trail()}, {r["_path"] for r in zeek()}]
    counts = [len(github()), len(trail()), len(zeek())]
    assert house.operator.tuples(sql) == [
        *((11000 + n, 0, counts[n], len(services[n])) for n in range(3)),
        (None, 1, sum(counts), sum(map(len, services))),
    ]
    union = """
        SELECT 'events' AS kind, count(*) AS n FROM events
        UNION ALL SELECT 'metrics', count(*) FROM metrics ORDER BY 1"""
    assert house.operator.tuples(union) == [("events", sum(counts)), ("metrics", 33_543)]
