"""Hashes against the published values of their authors' implementations."""

from __future__ import annotations

import struct

import pytest

from embedded.sql.functions.hashes import murmur3_128, spooky_64, xxhash64


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"hashme", 0xF9D96E0E1165E892),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_xxhash64(data: bytes, expected: int) -> None:
    assert xxhash64(data) == expected


@pytest.mark.parametrize(
    ("data", "halves"),
    [
        (b"", (0, 0)),
        (b"The quick brown fox jumps over the lazy dog", (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)),
    ],
)
def test_murmur3(data: bytes, halves: tuple[int, int]) -> None:
    assert murmur3_128(data) == struct.pack("<2Q", *halves)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, 0x6BF50919), (1, 0x70DE1D26), (2, 0xA2B37298), (256, 0x38CEBF03), (294, 0x86579103), (511, 0xCC1C8250)],
)
def test_spooky_hash_of_the_authors_series(length: int, expected: int) -> None:
    """The series of the reference test: bytes 128, 129 .. 255, 0 ..; its last 32 bits."""
    assert spooky_64(bytes((128 + index) % 256 for index in range(length))) & 0xFFFFFFFF == expected


def test_spooky_hash_takes_every_length() -> None:
    data = bytes(range(256)) * 3
    assert len({spooky_64(data[:length]) for length in range(700)}) == 700
