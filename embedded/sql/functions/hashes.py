"""Hash functions that neither Python nor DuckDB has: xxHash64, MurmurHash3 (x64, 128 bits) and SpookyHash V2.

Pure functions of bytes; numbers are unsigned; seed 0 throughout, as in Trino. Sources: the authors' descriptions
(xxhash.com, github.com/aappleby/smhasher, burtleburtle.net/bob/hash/spooky.html).
"""

from __future__ import annotations

import struct

_MASK = (1 << 64) - 1


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK


# --------------------------------------------------------------------------------------------- xxHash64

_X1, _X2, _X3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_X4, _X5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def _xx_round(accumulator: int, word: int) -> int:
    return _rotated((accumulator + word * _X2) & _MASK, 31) * _X1 & _MASK


def xxhash64(data: bytes) -> int:
    size = len(data)
    at = 0
    if size >= 32:
        lanes = [(_X1 + _X2) & _MASK, _X2, 0, -_X1 & _MASK]
        whole = size - size % 32
        for words in struct.iter_unpack("<4Q", data[:whole]):
            lanes = [_xx_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
        at = whole
        found = sum(_rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            found = ((found ^ _xx_round(0, lane)) * _X1 + _X4) & _MASK
    else:
        found = _X5
    found = (found + size) & _MASK
    while at + 8 <= size:
        found ^= _xx_round(0, int.from_bytes(data[at : at + 8], "little"))
        found = (_rotated(found, 27) * _X1 + _X4) & _MASK
        at += 8
    if at + 4 <= size:
        found ^= int.from_bytes(data[at : at + 4], "little") * _X1 & _MASK
        found = (_rotated(found, 23) * _X2 + _X3) & _MASK
        at += 4
    for byte in data[at:]:
        found = _rotated(found ^ (byte * _X5 & _MASK), 11) * _X1 & _MASK
    found = (found ^ (found >> 33)) * _X2 & _MASK
    found = (found ^ (found >> 29)) * _X3 & _MASK
    return found ^ (found >> 32)


# --------------------------------------------------------------------------------------------- MurmurHash3

_M1, _M2 = 0x87C37B91114253D5, 0x4CF5AD432745937F


def _murmur_final(value: int) -> int:
    value = (value ^ (value >> 33)) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ (value >> 33)) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ (value >> 33)


def murmur3_128(data: bytes) -> bytes:
    """16 bytes: both halves little endian."""
    size = len(data)
    one = two = 0
    whole = size - size % 16
    for first, second in struct.iter_unpack("<2Q", data[:whole]):
        one ^= _rotated(first * _M1 & _MASK, 31) * _M2 & _MASK
        one = ((_rotated(one, 27) + two) * 5 + 0x52DCE729) & _MASK
        two ^= _rotated(second * _M2 & _MASK, 33) * _M1 & _MASK
        two = ((_rotated(two, 31) + one) * 5 + 0x38495AB5) & _MASK
    tail = data[whole:]
    if len(tail) > 8:
        two ^= _rotated(int.from_bytes(tail[8:], "little") * _M2 & _MASK, 33) * _M1 & _MASK
    if tail:
        one ^= _rotated(int.from_bytes(tail[:8], "little") * _M1 & _MASK, 31) * _M2 & _MASK
    one ^= size
    two ^= size
    one = (one + two) & _MASK
    two = (two + one) & _MASK
    one, two = _murmur_final(one), _murmur_final(two)
    one = (one + two) & _MASK
    two = (two + one) & _MASK
    return struct.pack("<2Q", one, two)


# --------------------------------------------------------------------------------------------- SpookyHash V2

_SPOOKY = 0xDEADBEEFDEADBEEF
_SHORT_MIX = (50, 52, 30, 41, 54, 48, 38, 37, 62, 34, 5, 36)
_SHORT_END = (15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63)
_LONG_MIX = (11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46)
_LONG_END = (44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54)
_SHORT_BYTES = 192


def spooky_64(data: bytes) -> int:
    return _spooky_short(data) if len(data) < _SHORT_BYTES else _spooky_long(data)


def _mix_short(h: list[int]) -> None:
    for step, bits in enumerate(_SHORT_MIX):
        a, b, c = (step + 2) % 4, (step + 3) % 4, step % 4
        h[a] = (_rotated(h[a], bits) + h[b]) & _MASK
        h[c] ^= h[a]


def _spooky_short(data: bytes) -> int:
    h = [0, 0, _SPOOKY, _SPOOKY]
    size = len(data)
    at = 0
    while at + 32 <= size:
        words = struct.unpack_from("<4Q", data, at)
        h[2] = (h[2] + words[0]) & _MASK
        h[3] = (h[3] + words[1]) & _MASK
        _mix_short(h)
        h[0] = (h[0] + words[2]) & _MASK
        h[1] = (h[1] + words[3]) & _MASK
        at += 32
    if size - at >= 16:
        words = struct.unpack_from("<2Q", data, at)
        h[2] = (h[2] + words[0]) & _MASK
        h[3] = (h[3] + words[1]) & _MASK
        _mix_short(h)
        at += 16
    h[3] = (h[3] + (size << 56)) & _MASK
    tail = data[at:]
    if tail:
        h[2] = (h[2] + int.from_bytes(tail[:8], "little")) & _MASK
        h[3] = (h[3] + int.from_bytes(tail[8:], "little")) & _MASK
    else:
        h[2] = (h[2] + _SPOOKY) & _MASK
        h[3] = (h[3] + _SPOOKY) & _MASK
    for step, bits in enumerate(_SHORT_END):
        a, b = (step + 3) % 4, (step + 2) % 4
        h[a] ^= h[b]
        h[b] = _rotated(h[b], bits)
        h[a] = (h[a] + h[b]) & _MASK
    return h[0]


def _spooky_long(data: bytes) -> int:
    h = [0, 0, _SPOOKY] * 4
    whole = len(data) - len(data) % 96
    for words in struct.iter_unpack("<12Q", data[:whole]):
        for i, (word, bits) in enumerate(zip(words, _LONG_MIX, strict=True)):
            last = (i + 11) % 12
            h[i] = (h[i] + word) & _MASK
            h[(i + 2) % 12] ^= h[(i + 10) % 12]
            h[last] ^= h[i]
            h[i] = _rotated(h[i], bits)
            h[last] = (h[last] + h[(i + 1) % 12]) & _MASK
    rest = data[whole:]
    block = rest.ljust(95, b"\0") + bytes([len(rest)])
    for i, word in enumerate(struct.unpack("<12Q", block)):
        h[i] = (h[i] + word) & _MASK
    for _ in range(3):
        for i, bits in enumerate(_LONG_END):
            last, following = (i + 11) % 12, (i + 1) % 12
            h[last] = (h[last] + h[following]) & _MASK
            h[(i + 2) % 12] ^= h[last]
            h[following] = _rotated(h[following], bits)
    return h[0]
