"""Trino functions: varbinary: encodings, hashes, parts of bytes, and texts from and to bytes.

Encodings decode as strictly as Java's and Guava's decoders and fail with INVALID_FUNCTION_ARGUMENT.
Manual: https://trino.io/docs/current/functions/binary.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import unicodedata
import zlib
from collections.abc import Callable

from embedded.sql.errors import TrinoError
from embedded.sql.functions.hashes import murmur3_128, spooky_64, xxhash64
from embedded.sql.functions.registry import Invocation, emits, python, scalar, sql_function

_INVALID = "INVALID_FUNCTION_ARGUMENT"
_LONGEST_BYTES = 2**31 - 1

# --------------------------------------------------------------------------------------------- parts

scalar("length(varbinary) -> bigint", "CAST(octet_length({0}) AS BIGINT)")


@emits("concat(varbinary...) -> varbinary")
def concat(call: Invocation) -> str:
    if len(call) < 2:
        raise call.error(_INVALID, "There must be two or more concatenation arguments")
    return "CAST(" + " || ".join(argument.sql for argument in call.arguments) + " AS BLOB)"


@sql_function("trino_bytes_substr", ["BLOB", "BIGINT", "BIGINT"], "BLOB")
def substr(data: bytes, start: int, length: int) -> bytes:
    """From a 1-based start, negative from the end; nothing when it lies before the first byte."""
    if start == 0 or length <= 0:
        return b""
    first = start - 1 if start > 0 else start + len(data)
    return data[first : first + length] if first >= 0 else b""


for _name in ("substr", "substring"):
    scalar(f"{_name}(varbinary, bigint) -> varbinary", "trino_bytes_substr({0}, {1}, 9223372036854775807)")
    scalar(f"{_name}(varbinary, bigint, bigint) -> varbinary", "trino_bytes_substr({0}, {1}, {2})")


def _padding(data: bytes, length: int, padding: bytes) -> bytes:
    """The bytes that are missing; negative lengths and empty paddings are refused even where nothing is missing."""
    if not 0 <= length <= _LONGEST_BYTES:
        raise TrinoError(_INVALID, f"Target length must be in the range [0..{_LONGEST_BYTES}]")
    if not padding:
        raise TrinoError(_INVALID, "Padding bytes must not be empty")
    missing = max(0, length - len(data))
    return (padding * (missing // len(padding) + 1))[:missing]


@python("lpad(varbinary, bigint, varbinary) -> varbinary")
def lpad(data: bytes, length: int, padding: bytes) -> bytes:
    return _padding(data, length, padding) + data[:length]


@python("rpad(varbinary, bigint, varbinary) -> varbinary")
def rpad(data: bytes, length: int, padding: bytes) -> bytes:
    return data[:length] + _padding(data, length, padding)


@python("reverse(varbinary) -> varbinary")
def reverse(data: bytes) -> bytes:
    return data[::-1]


# --------------------------------------------------------------------------------------------- texts

scalar("to_utf8(varchar(x)) -> varbinary", "encode({0})")

_REPLACEMENT = "\ufffd"


def _sequence_length(data: bytes, at: int) -> tuple[int, bool]:
    """Length of the UTF-8 sequence that starts here and whether it is valid; an invalid one is replaced as a whole."""
    first = data[at]
    if first < 0x80:
        return 1, True
    if first < 0xC0 or first >= 0xFE:
        return 1, False
    length = next(size for size, limit in ((2, 0xE0), (3, 0xF0), (4, 0xF8), (5, 0xFC), (6, 0xFE)) if first < limit)
    for offset in range(1, length):
        if at + offset >= len(data) or data[at + offset] & 0xC0 != 0x80:
            return offset, False
    try:
        data[at : at + length].decode()
    except UnicodeDecodeError:
        return length, False
    return length, True


def _decoded(data: bytes, replacement: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        parts: list[str] = []
        at = 0
        while at < len(data):
            length, is_valid = _sequence_length(data, at)
            parts.append(data[at : at + length].decode() if is_valid else replacement)
            at += length
        return "".join(parts)


@python("from_utf8(varbinary) -> varchar")
def from_utf8(data: bytes) -> str:
    return _decoded(data, _REPLACEMENT)


@python("from_utf8(varbinary, varchar(x)) -> varchar")
def from_utf8_with(data: bytes, replacement: str) -> str:
    if len(replacement) > 1:
        raise TrinoError(_INVALID, "Replacement character string must empty or a single character")
    return _decoded(data, replacement)


@python("from_utf8(varbinary, bigint) -> varchar")
def from_utf8_with_code_point(data: bytes, code_point: int) -> str:
    if code_point > 0x10FFFF or (code_point >= 0 and unicodedata.category(chr(code_point)) == "Cs"):
        raise TrinoError(_INVALID, "Invalid replacement character")
    return _decoded(data, chr(code_point) if code_point >= 0 else "")


# --------------------------------------------------------------------------------------------- encodings

scalar("to_hex(varbinary) -> varchar", "hex({0})")
scalar("to_base64(varbinary) -> varchar", "base64({0})")
scalar("to_base64url(varbinary) -> varchar", "translate(base64({0}), '+/', '-_')")


@python("to_base32(varbinary) -> varchar")
def to_base32(data: bytes) -> str:
    return base64.b32encode(data).decode()


def _decoder(name: str, decode: Callable[[str], bytes]) -> None:
    """Encoded text arrives as varchar or as the bytes of it."""
    sql_name = f"trino_{name}"

    @sql_function(sql_name, ["BLOB"], "BLOB")
    def decoded(encoded: bytes) -> bytes:
        return decode(encoded.decode("latin-1"))

    scalar(f"{name}(varchar(x)) -> varbinary", f"{sql_name}(encode({{0}}))")
    scalar(f"{name}(varbinary) -> varbinary", f"{sql_name}({{0}})")


_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")


def from_hex(text: str) -> bytes:
    if len(text) % 2:
        raise TrinoError(_INVALID, f"invalid input length {len(text)}")
    for character in text:
        if character not in _HEXADECIMAL:
            raise TrinoError(_INVALID, f'not a hexadecimal digit: "{character}" = {ord(character)}')
    return bytes.fromhex(text)


_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _from_base64(text: str, alphabet: str) -> bytes:
    """java.util.Base64's basic decoder: no blanks; the padding may be missing, but not be incomplete."""
    content = text.rstrip("=")
    padding = len(text) - len(content)
    for character in content:
        if character not in alphabet or character == "=":
            raise TrinoError(_INVALID, f"Illegal base64 character {ord(character):x}")
    rest = len(content) % 4
    if rest == 1:
        raise TrinoError(_INVALID, "Last unit does not have enough valid bits")
    if padding and padding != -len(content) % 4:
        raise TrinoError(_INVALID, "Input byte array has wrong 4-byte ending unit")
    translated = content.translate(str.maketrans(alphabet, _BASE64))
    return base64.b64decode(translated + "=" * (-rest % 4))


def from_base64(text: str) -> bytes:
    return _from_base64(text, _BASE64)


def from_base64url(text: str) -> bytes:
    return _from_base64(text, _BASE64[:62] + "-_")


_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def from_base32(text: str) -> bytes:
    """Guava's decoder: upper case only, padding optional."""
    content = text.rstrip("=")
    if len(content) % 8 in (1, 3, 6):
        raise TrinoError(_INVALID, f"Invalid input length {len(content)}")
    for character in content:
        if character not in _BASE32:
            shown = character if 0x20 < ord(character) < 0x7F else f"0x{ord(character):x}"
            raise TrinoError(_INVALID, f"Unrecognized character: {shown}")
    return base64.b32decode(content + "=" * (-len(content) % 8))


_decoder("from_hex", from_hex)
_decoder("from_base64", from_base64)
_decoder("from_base64url", from_base64url)
_decoder("from_base32", from_base32)

# --------------------------------------------------------------------------------------------- numbers as bytes


@python("to_big_endian_64(bigint) -> varbinary")
def to_big_endian_64(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


@python("to_big_endian_32(integer) -> varbinary")
def to_big_endian_32(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


def _big_endian(data: bytes, size: int) -> int:
    if len(data) != size:
        raise TrinoError(_INVALID, f"expected {size}-byte input, but got instead: {len(data)}")
    return int.from_bytes(data, "big", signed=True)


@python("from_big_endian_64(varbinary) -> bigint")
def from_big_endian_64(data: bytes) -> int:
    return _big_endian(data, 8)


@python("from_big_endian_32(varbinary) -> integer")
def from_big_endian_32(data: bytes) -> int:
    return _big_endian(data, 4)


@python("to_ieee754_32(real) -> varbinary")
def to_ieee754_32(value: float) -> bytes:
    return struct.pack(">f", value)


@python("to_ieee754_64(double) -> varbinary")
def to_ieee754_64(value: float) -> bytes:
    return struct.pack(">d", value)


def _ieee754(data: bytes, size: int, code: str) -> float:
    if len(data) != size:
        raise TrinoError(_INVALID, f"Input floating-point value must be exactly {size} bytes long")
    found: float = struct.unpack(code, data)[0]
    return found


@python("from_ieee754_32(varbinary) -> real")
def from_ieee754_32(data: bytes) -> float:
    return _ieee754(data, 4, ">f")


@python("from_ieee754_64(varbinary) -> double")
def from_ieee754_64(data: bytes) -> float:
    return _ieee754(data, 8, ">d")


# --------------------------------------------------------------------------------------------- hashes

scalar("md5(varbinary) -> varbinary", "unhex(md5({0}))")
scalar("sha1(varbinary) -> varbinary", "unhex(sha1({0}))")
scalar("sha256(varbinary) -> varbinary", "unhex(sha256({0}))")


@python("sha512(varbinary) -> varbinary")
def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


@python("crc32(varbinary) -> bigint")
def crc32(data: bytes) -> int:
    return zlib.crc32(data)


@python("xxhash64(varbinary) -> varbinary")
def xxhash64_bytes(data: bytes) -> bytes:
    return xxhash64(data).to_bytes(8, "big")


@python("murmur3(varbinary) -> varbinary")
def murmur3(data: bytes) -> bytes:
    return murmur3_128(data)


@python("spooky_hash_v2_64(varbinary) -> varbinary")
def spooky_hash_64(data: bytes) -> bytes:
    return spooky_64(data).to_bytes(8, "big")


@python("spooky_hash_v2_32(varbinary) -> varbinary")
def spooky_hash_32(data: bytes) -> bytes:
    return (spooky_64(data) & 0xFFFFFFFF).to_bytes(4, "big")


@python("hmac_md5(varbinary, varbinary) -> varbinary")
def hmac_md5(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


@python("hmac_sha1(varbinary, varbinary) -> varbinary")
def hmac_sha1(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, data, "sha1")


@python("hmac_sha256(varbinary, varbinary) -> varbinary")
def hmac_sha256(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


@python("hmac_sha512(varbinary, varbinary) -> varbinary")
def hmac_sha512(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, data, "sha512")
