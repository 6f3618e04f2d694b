from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pytest

from glue.ledger import RowFacts
from glue.row_facts import CHUNK_BYTES, MAXIMUM_LINE_BYTES, read_facts
from glue.table_spec import load_table_specs

EVENTS = load_table_specs()["events"]
CREATED = 1_795_341_600_000


def line(**members: Any) -> bytes:
    members = {"customerid": 11000, "createdtimestamp": CREATED, "arrivaltimestamp": CREATED + 500, **members}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode() + b"\n"


def facts(content: bytes, **options: Any) -> RowFacts:
    return read_facts(io.BytesIO(content), EVENTS, **options)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda c: gzip.compress(c[:200]) + gzip.compress(c[200:])])
def test_rows_are_counted_and_their_times_are_read(pack: Any) -> None:
    lines = [line(), line(createdtimestamp=CREATED - 7, arrivaltimestamp=CREATED + 3_600_000, customerid=1), line()]
    assert facts(pack(b"".join(lines))) == RowFacts(
        3,
        minimum_createdtimestamp=CREATED - 7,
        maximum_createdtimestamp=CREATED,
        minimum_arrivaltimestamp=CREATED + 500,
        maximum_arrivaltimestamp=CREATED + 3_600_000,
        lateness={"5_minutes": 2, "6_hours": 1},
        customers=(1, 11000),
    )


def test_a_last_line_needs_no_line_end() -> None:
    assert facts(line() + line().strip()).row_count == 2
    assert facts(b"") == RowFacts(0)
    assert facts(gzip.compress(b"")) == RowFacts(0)


def test_malformed_and_blank_lines_are_counted_and_harm_nobody() -> None:
    content = (
        b"no json\n"
        + line()
        + b'\n  \r\n{"createdtimestamp": 1\n[1]\n"text"\n\xff\xfe\n'
        + b"[" * 10_000
        + b"\n"
        + line()
    )
    found = facts(content)
    assert (found.row_count, found.malformed_count, found.blank_count) == (2, 6, 2)
    assert (found.message_count, found.has_known_times) == (10, False)


@pytest.mark.parametrize(
    "doubtful",
    [
        line(createdtimestamp=...),
        line(createdtimestamp=None),
        line(createdtimestamp=str(CREATED)),
        line(createdtimestamp=float(CREATED)),
        line(createdtimestamp=True),
        line(createdtimestamp=2**63),
        line(CreatedTimestamp=7),
        b'{"createdtimestamp": 7, "createdtimestamp": 9}\n',
        b'{"CREATEDTIMESTAMP": 7}\n',
    ],
)
def test_a_row_whose_time_is_in_doubt_is_untimed(doubtful: bytes) -> None:
    found = facts(line() + doubtful)
    assert (found.row_count, found.untimed_count, found.has_known_times) == (2, 1, False)
    assert (found.minimum_createdtimestamp, found.maximum_createdtimestamp) == (CREATED, CREATED)


def test_a_payload_that_speaks_of_times_is_no_doubt() -> None:
    found = facts(line(data=json.dumps({"createdtimestamp": 7})))
    assert (found.untimed_count, found.has_known_times) == (0, True)


def test_arrivals_and_customers_that_are_none_are_left_out() -> None:
    found = facts(line(arrivaltimestamp="x", customerid=1.5) + line(arrivaltimestamp=None, customerid=None))
    assert (found.row_count, found.lateness, found.customers, found.minimum_arrivaltimestamp) == (2, {}, (), None)


def test_of_many_customers_some_are_named() -> None:
    found = facts(b"".join(line(customerid=number) for number in range(100)))
    assert (len(found.customers), found.has_more_customers) == (20, True)


def test_a_gzip_stream_that_breaks_off_gives_what_came_before() -> None:
    whole = gzip.compress(b"".join(line(data=str(number)) for number in range(20_000)))
    for cut in (2, 11, len(whole) // 2, len(whole) - 4):
        found = facts(whole[:cut])
        assert "gzip" in found.fault
        assert not found.is_whole
        assert found.row_count <= 20_000
    assert facts(whole[: len(whole) // 2]).row_count > 1000


def test_a_damaged_gzip_stream_is_a_fault() -> None:
    whole = bytearray(gzip.compress(b"".join(line(data=str(number)) for number in range(20_000))))
    whole[len(whole) // 2 : len(whole) // 2 + 8] = b"damaged!"
    assert "gzip" in facts(bytes(whole)).fault


def test_a_sample_is_no_total_and_its_end_no_fault() -> None:
    rows = b"".join(line(data=str(number)) for number in range(20_000))
    for beginning in (gzip.compress(rows)[:30_000], rows[:30_000]):
        found = facts(beginning, is_sample=True)
        assert (found.is_sample, found.fault, found.malformed_count) == (True, "", 0)
        assert 0 < found.row_count < 20_000
        assert not found.is_whole


@pytest.mark.parametrize("magic", [b"PAR1", b"Obj\x01", b"SEQ\x06", b"BZh9", b"\x28\xb5\x2f\xfd"])
def test_formats_that_are_no_lines_are_said_so(magic: bytes) -> None:
    found = facts(magic + b"\0" * 100)
    assert (found.row_count, found.malformed_count, found.is_whole) == (0, 0, False)
    assert "no lines" in found.fault


def test_a_line_without_end_is_one_malformed_line_in_flat_memory() -> None:
    content = line() + b"x" * (2 * MAXIMUM_LINE_BYTES) + b"\n" + line()
    assert (facts(content).row_count, facts(content).malformed_count) == (2, 1)
    bomb = gzip.compress(b"\0" * (3 * MAXIMUM_LINE_BYTES), compresslevel=1)
    assert facts(bomb).malformed_count == 1


def test_the_stream_is_read_in_portions_and_others_may_work_between() -> None:
    class Portions:
        largest = 0

        def __init__(self, content: bytes) -> None:
            self._stream = io.BytesIO(content)

        def read(self, amt: int) -> bytes:
            self.largest = max(self.largest, amt)
            return self._stream.read(min(amt, 1000))  # as a connection gives what has come

    pauses: list[int] = []
    stream = Portions(line(data="x" * 3000) * 1000)
    found = read_facts(stream, EVENTS, between_chunks=lambda: pauses.append(1))
    assert (found.row_count, found.malformed_count) == (1000, 0)
    assert stream.largest <= CHUNK_BYTES
    assert len(pauses) > 10


def test_facts_survive_being_stored() -> None:
    for found in (facts(line() * 3), facts(b"x"), RowFacts(0), RowFacts(1, minimum_createdtimestamp=0)):
        assert RowFacts.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert RowFacts.from_json({"row_count": 1, "of_a_later_release": 7}) == RowFacts(1)
