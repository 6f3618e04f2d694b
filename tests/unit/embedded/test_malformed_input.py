"""Damaged objects: all good rows are answered, the bad ones are counted with object, line and reason."""

from __future__ import annotations

import gzip
import json
import os
import random

import pytest

from tests.unit.embedded.athena_world import LAKE, World, event, lines, zipped

GOOD = [event(n) for n in range(5)]
WHOLE = lines(*GOOD)
RANDOM = random.Random(7)  # the same bytes in every run
NOISY = [event(n, data=RANDOM.randbytes(60).hex()) for n in range(50)]


def spoiled(*bad: object) -> bytes:
    """Two good rows, the bad ones, three good rows."""
    return lines(*GOOD[:2], *bad, *GOOD[2:])  # type: ignore[arg-type]


CASES = {
    "bad line": (spoiled(b'{"customerid":'), 5, [(3, "not JSON")]),
    "text": (spoiled(b"Traceback (most recent call last):"), 5, [(3, "not JSON")]),
    "wrong type": (spoiled(event(9, customerid="abc")), 5, [(3, "customerid: expected bigint")]),
    "too large": (spoiled(event(9, customerid=2**63)), 5, [(3, "out of range")]),
    "a fraction for an integer": (
        spoiled(event(9, customerid=1.5)),
        5,
        [(3, "customerid: expected bigint, found 1.5")],
    ),
    "a boolean for an integer": (
        spoiled(event(9, customerid=True)),
        5,
        [(3, "customerid: expected bigint, found True")],
    ),
    "a small fraction": (spoiled(b'{"customerid":1e-7}'), 5, [(3, "customerid: expected bigint")]),
    "a fraction as text": (spoiled(event(9, customerid="1.5")), 5, [(3, "1.5")]),
    "whole numbers": (
        spoiled(*(lines(event(9)).replace(b"11009", n)[:-1] for n in (b"11000.0", b"1.1e4", b'"7"'))),
        8,
        [],
    ),
    "byte order mark": (b"\xef\xbb\xbf" + WHOLE, 5, []),
    "byte order mark and a bad line": (b"\xef\xbb\xbf" + spoiled(b"oops"), 5, [(3, "not JSON")]),
    "object for a number": (spoiled(event(9, createdtimestamp={})), 5, [(3, "createdtimestamp: expected bigint")]),
    "text for a map": (spoiled(event(9, datatags="x")), 5, [(3, "datatags: expected map")]),
    "array": (spoiled(b"[1, 2]"), 5, [(3, "array where an object")]),
    "scalars": (spoiled(b"5", b'"x"'), 5, [(3, "scalar"), (4, "scalar")]),
    "not utf-8": (spoiled(b'{"customerid":1,"service":"\xff"}'), 5, [(3, "UTF-8")]),
    "nul": (spoiled(b"\0\0", b'{"service":"a\0b"}'), 5, [(3, "NUL"), (4, "NUL")]),
    "two objects in a line": (spoiled(b'{"customerid":1}{"customerid":2}'), 5, [(3, "not JSON")]),
    "a key twice": (spoiled(b'{"customerid":1,"customerid":2}'), 5, [(3, "duplicate key")]),
    "what the reader takes beside JSON": (
        spoiled(b'{"customerid":1,"data":"x",}', b'{"customerid":1,"data":[NaN,-Infinity,1e400,[1,],]}', b"oops"),
        7,
        [(5, "not JSON")],
    ),
    "csv": (b"a,b\n1,2\n", 0, [(1, "not JSON"), (2, "not JSON")]),
    "long line": (spoiled(b'{"data":"' + b"x" * (40 << 20) + b'"}'), 5, [(3, "longer than")]),
    "last line cut": (WHOLE[:-20], 4, [(5, "not JSON")]),
    "blank lines": (lines(GOOD[0], b"", b"   ", GOOD[1]), 2, []),
    "crlf": (WHOLE.replace(b"\n", b"\r\n"), 5, []),
}


@pytest.mark.parametrize("name", CASES)
def test_good_rows_are_answered_and_bad_ones_counted(world: World, name: str) -> None:
    body, good, bad = CASES[name]
    world.create_table()
    clean = world.add_events("2026-01-01", "00", "00", zipped(*GOOD))
    uri = world.add_events("2026-01-01", "00", "05", body, "part.json")
    for sql in (
        "SELECT count(*) FROM events",
        "SELECT count(customerid) FROM events",
        "SELECT count(data) FROM events",
    ):
        execution = world.run(sql)
        assert list(world.pages(execution["QueryExecutionId"]))[1] == (str(good + 5),)
        rows = world.athena.malformed_rows(execution["QueryExecutionId"])
        assert rows.count == len(bad)
        assert [(row.uri, row.line) for row in rows.samples] == [(uri, line) for line, _ in bad]
        for row, (_, reason) in zip(rows.samples, bad, strict=True):
            assert reason in row.reason
        assert not rows.truncated
    assert uri != clean


@pytest.mark.parametrize(
    "twice", [b'{"customerid":1,"data":"x","data":"y"}', b'{"customerid":1, "data":"x", "data":"x"}']
)
def test_a_text_that_stands_twice_is_malformed_and_never_fatal(world: World, twice: bytes) -> None:
    world.create_table()
    for minute in range(40):
        world.add_events("2026-01-01", "00", f"{minute:02d}", zipped(GOOD[0], twice, GOOD[1]))
    for _ in range(2):
        execution_id = world.run("SELECT count(data), count(*) FROM events")["QueryExecutionId"]
        assert list(world.pages(execution_id))[1] == ("80", "80")
        rows = world.athena.malformed_rows(execution_id)
        assert rows.count == 40
        assert {row.line for row in rows.samples} == {2}
        assert "duplicate key" in rows.samples[0].reason


@pytest.mark.parametrize(
    ("hive_type", "good", "bad"),
    [
        ("binary", '"YWJj"', '"!!"'),
        ("date", '"2026-01-01"', '"2026-02-30"'),
        ("timestamp", '"2026-01-01 10:00:00"', '"2026-01-01 25:00:00"'),
    ],
)
def test_a_value_that_only_the_reader_refuses_costs_its_own_row(
    world: World, hive_type: str, good: str, bad: str
) -> None:
    world.create_table(keys=(), columns={"id": "bigint", "v": hive_type})
    rows = [f'{{"id":{n},"v":{bad if n in (3, 700, 701, 999) else good}}}'.encode() for n in range(1000)]
    world.put("secor/events/a.json", lines(*rows, b"oops"))
    for _ in range(2):
        execution_id = world.run("SELECT count(*), count(v), sum(id) FROM events")["QueryExecutionId"]
        assert list(world.pages(execution_id))[1] == ("996", "996", str(499500 - 3 - 700 - 701 - 999))
        malformed = world.athena.malformed_rows(execution_id)
        assert [row.line for row in malformed.samples] == [4, 701, 702, 1000, 1001]


def test_a_field_that_stands_twice_in_a_struct_is_malformed(world: World) -> None:
    world.create_table(keys=(), columns={"a": "bigint", "s": "struct<x:int>", "m": "map<string,string>"})
    twice = [b'{"a":2,"s":{"x":1,"x":2}}', b'{"a":3,"m":{"x":"1"},"other":{"y":1,"y":2}}']
    world.put("secor/events/a.json", lines({"a": 1, "s": {"x": 5}}, *twice))
    found = [world.rows("SELECT a, s.x FROM events ORDER BY 1") for _ in range(3)]
    assert found[1:] == [[("1", "5"), ("3", None)]] * 2  # the first time the file is read by other means


@pytest.mark.parametrize("bent", [1.5, True, "1.5", 1e-7])
@pytest.mark.parametrize(
    "first",
    [
        "SELECT count(*) FROM events WHERE servicename = 'somebody else'",
        "SELECT count(*) FROM events a WHERE EXISTS (SELECT 1 FROM events b WHERE b.service = a.servicename)",
        "SELECT service FROM events LIMIT 1",
        "SELECT a.service FROM events a JOIN events b ON a.customerid = b.createdtimestamp",
        "SELECT count(*) FROM events WHERE customerid IN (1, 2)",
    ],
)
def test_a_bent_tenant_is_nobody_whatever_was_asked_first(world: World, bent: object, first: str) -> None:
    """A condition that leaves the bad row out must not make its file good."""
    world.create_table()
    world.add_events("2026-01-01", "00", "00", zipped(*GOOD))
    world.rows("SELECT count(*) FROM events")
    uri = world.add_events("2026-01-01", "00", "05", lines(*GOOD[:2], event(9, customerid=bent), *GOOD[2:]), "a.json")
    assert world.run(first)["Status"]["State"] == "SUCCEEDED"
    for _ in range(2):
        assert world.rows("SELECT customerid FROM events WHERE customerid < 11000") == []
        execution_id = world.run("SELECT count(*) FROM events")["QueryExecutionId"]
        assert list(world.pages(execution_id))[1] == ("10",)
        (row,) = world.athena.malformed_rows(execution_id).samples
        assert (row.uri, row.line) == (uri, 3)


def test_a_key_that_another_file_spells_otherwise_is_looked_at(world: World) -> None:
    """Alone, the first file is good: nothing is read under `CustomerId` in it. With the second it is."""
    world.create_table()
    odd = [event(1)] * 20 + [{"CustomerId": True}, {"CUSTOMERID": 1.5}]
    world.add_events("2026-01-01", "00", "00", lines(*odd), "a.json")
    assert world.rows("SELECT count(*) FROM events") == [("22",)]
    world.add_events("2026-01-01", "00", "05", lines({"CustomerId": 11005}, {"CUSTOMERID": 11006}), "b.json")
    for _ in range(2):
        execution_id = world.run("SELECT count(*), min(customerid), count(customerid) FROM events")["QueryExecutionId"]
        assert list(world.pages(execution_id))[1] == ("22", "11001", "22")
        assert [row.line for row in world.athena.malformed_rows(execution_id).samples] == [21, 22]


def test_a_file_with_a_byte_order_mark_and_its_own_spelling(world: World) -> None:
    world.create_table(keys=())
    world.put("secor/events/a.json", b"\xef\xbb\xbf" + lines({"CustomerId": 11000}))
    assert world.rows("SELECT customerid FROM events") == [("11000",)]


DAMAGED_GZIP = {
    "cut in the middle": (lambda data: data[: len(data) // 2], "ends early"),
    "cut at the trailer": (lambda data: data[:-5], "ends early"),
    "garbage behind": (lambda data: data + b"GARBAGE", "something else behind"),
    "flipped bits": (
        lambda data: data[:600] + bytes(byte ^ 0xFF for byte in data[600:640]) + data[640:],
        "corrupt gzip",
    ),
    "only a header": (lambda data: data[:12], "ends early"),
}


@pytest.mark.parametrize("name", DAMAGED_GZIP)
def test_damaged_gzip_gives_what_can_be_read(world: World, name: str) -> None:
    damage, reason = DAMAGED_GZIP[name]
    world.create_table()
    uri = world.add_events("2026-01-01", "00", "05", damage(zipped(*NOISY)))
    execution = world.run("SELECT customerid FROM events")
    found = [row[0] for row in list(world.pages(execution["QueryExecutionId"]))[1:]]
    assert found == [str(record["customerid"]) for record in NOISY][: len(found)]
    rows = world.athena.malformed_rows(execution["QueryExecutionId"])
    assert rows.count >= 1
    assert {row.uri for row in rows.samples} == {uri}
    assert reason in rows.samples[-1].reason + rows.samples[0].reason
    if name in ("cut at the trailer", "garbage behind"):
        assert len(found) == 50


def test_a_gzip_file_cut_between_rows_is_noticed(world: World) -> None:
    """DuckDB reads such a file without a word: the rows that are missing would be missed by nobody."""
    row = lines(event(1))
    whole = gzip.compress(row * 1000, compresslevel=1)
    world.create_table()
    world.add_events("2026-01-01", "00", "05", whole[: len(whole) // 2])
    execution = world.run("SELECT count(*) FROM events")
    assert world.athena.malformed_rows(execution["QueryExecutionId"]).count == 1


@pytest.mark.parametrize(("name", "body"), [("a.gz", lines(*GOOD)), ("a.gz", os.urandom(500)), ("a.zst", lines(*GOOD))])
def test_an_object_that_is_not_what_its_name_says(world: World, name: str, body: bytes) -> None:
    world.create_table()
    uri = world.add_events("2026-01-01", "00", "05", body, name)
    execution = world.run("SELECT count(*) FROM events")
    assert list(world.pages(execution["QueryExecutionId"]))[1] == ("0",)
    (row,) = world.athena.malformed_rows(execution["QueryExecutionId"]).samples
    assert (row.uri, row.line) == (uri, 0)


def test_binary_in_a_json_partition_does_not_stop_the_query(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "00", zipped(*GOOD))
    world.add_events("2026-01-01", "00", "05", os.urandom(5000), "image.png")
    execution = world.run("SELECT count(*) FROM events")
    assert list(world.pages(execution["QueryExecutionId"]))[1] == ("5",)
    assert world.athena.malformed_rows(execution["QueryExecutionId"]).count > 0


def test_more_bad_rows_than_samples(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", lines(*[b"oops"] * 250, *GOOD), "a.json")
    execution = world.run("SELECT count(*) FROM events")
    rows = world.athena.malformed_rows(execution["QueryExecutionId"])
    assert (rows.count, len(rows.samples), rows.truncated) == (250, 100, True)


def test_the_count_is_kept_with_the_execution(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", lines(b"oops", *GOOD), "a.json")
    execution_id = world.run("SELECT count(*) FROM events")["QueryExecutionId"]
    before = world.athena.malformed_rows(execution_id)
    after = world.reopened()
    try:
        assert after.athena.malformed_rows(execution_id) == before
    finally:
        after.athena.close()


def test_only_files_of_the_query_are_counted(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", lines(b"oops", *GOOD), "a.json")
    world.add_events("2026-01-02", "00", "05", zipped(*GOOD))
    for _ in range(2):
        good = world.run("SELECT count(*) FROM events WHERE dt = '2026-01-02'")["QueryExecutionId"]
        assert world.athena.malformed_rows(good).count == 0
        both = world.run("SELECT a.customerid FROM events a JOIN events b ON a.customerid = b.customerid")[
            "QueryExecutionId"
        ]
        assert world.athena.malformed_rows(both).count == 1


def test_an_object_that_is_replaced_is_looked_at_again(world: World) -> None:
    world.create_table()
    uri = world.add_events("2026-01-01", "00", "05", lines(b"oops", *GOOD), "a.json")
    assert world.rows("SELECT count(*) FROM events") == [("5",)]
    world.put(uri.removeprefix(f"s3://{LAKE}/"), lines(*GOOD, event(6), event(7)))
    execution_id = world.run("SELECT count(*) FROM events")["QueryExecutionId"]
    assert list(world.pages(execution_id))[1] == ("7",)
    assert world.athena.malformed_rows(execution_id).count == 0


def test_a_table_can_refuse_malformed_rows(world: World) -> None:
    world.create_table(serde_properties={"ignore.malformed.json": "false"})
    world.add_events("2026-01-01", "00", "00", zipped(*GOOD))
    assert world.rows("SELECT count(*) FROM events") == [("5",)]
    uri = world.add_events("2026-01-01", "00", "05", spoiled(b"oops"), "a.json")
    reason = world.reason("SELECT count(*) FROM events")
    assert reason.startswith("HIVE_CURSOR_ERROR: Row is not a valid JSON Object")
    assert uri in reason
    assert "line 3" in reason


def test_an_error_of_the_query_itself_is_no_malformed_row(world: World) -> None:
    world.create_table()
    world.add_events("2026-01-01", "00", "05", zipped(*GOOD))
    assert world.reason("SELECT CAST(servicename AS bigint) FROM events").startswith("INVALID_CAST_ARGUMENT")


def test_wrong_timestamps_are_left_out(world: World) -> None:
    world.create_table(keys=(), columns={"t": "timestamp", "n": "int"})
    body = b"".join(
        json.dumps(record).encode() + b"\n"
        for record in ({"t": "2020-01-01 00:00:00", "n": 1}, {"t": "soon", "n": 2}, {"n": 3})
    )
    world.put("secor/events/a.json", body)
    execution = world.run("SELECT n FROM events")
    assert list(world.pages(execution["QueryExecutionId"]))[1:] == [("1",), ("3",)]
    (row,) = world.athena.malformed_rows(execution["QueryExecutionId"]).samples
    assert row.line == 2


def test_a_file_that_duckdb_left_out_is_not_taken_for_good(world: World) -> None:
    """A condition that the catalogue can't decide, but DuckDB can by the paths: those files were never read."""
    world.create_table()
    world.add_events("2026-01-01", "00", "00", zipped(*GOOD))
    world.add_events("2026-01-01", "01", "00", spoiled(event(9, customerid="abc"), b"oops"), "a.json")
    assert world.rows("SELECT count(*) FROM events WHERE substr(hr, 2, 1) = '0'") == [("5",)]
    for sql in ("SELECT count(*) FROM events", "SELECT count(customerid) FROM events WHERE hr = '01'"):
        execution_id = world.run(sql)["QueryExecutionId"]
        assert list(world.pages(execution_id))[1] == ("10" if "WHERE" not in sql else "5",)
        assert world.athena.malformed_rows(execution_id).count == 2


def test_a_limit_does_not_make_files_good(world: World) -> None:
    world.create_table()
    body = lines(*(event(n) for n in range(5000)), event(1, customerid="abc"))
    world.add_events("2026-01-01", "00", "00", body, "a.json")
    assert len(world.rows("SELECT service FROM events LIMIT 1")) == 1
    assert world.rows("SELECT count(*) FROM events") == [("5000",)]
