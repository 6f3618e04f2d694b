"""Trino functions: uuid and ipaddress: their casts, uuid(), and contains(network, address).

An IPv4 address is held as the IPv6 address that maps it and shown as IPv4.
Rules: Trino's UuidOperators, IpAddressOperators and IpAddressFunctions.
"""

# ruff: noqa: ARG001  (cast rules share one signature)

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from embedded.sql.errors import TrinoError
from embedded.sql.functions.conversion import fitting
from embedded.sql.functions.registry import cast, error_sql, python, scalar, sql_function
from embedded.sql.typed import Typed, once
from embedded.sql.types import TrinoType

if TYPE_CHECKING:
    from embedded.sql.analysis import Analyser

_INVALID = "INVALID_CAST_ARGUMENT"
_INVALID_ARGUMENT = "INVALID_FUNCTION_ARGUMENT"

# --------------------------------------------------------------------------------------------- uuid

scalar("uuid() -> uuid", "uuid()", volatile=True)

_UUID_BITS = (32, 16, 16, 16, 48)
_UUID_LENGTH = 36


@sql_function("trino_uuid_text", ["VARCHAR"], "VARCHAR")
def uuid_text(text: str) -> str:
    """The canonical text of what java.util.UUID.fromString reads: five hexadecimal numbers, each cut to its bits."""
    parts = text.split("-")
    numbers = [int(part, 16) for part in parts if re.fullmatch(r"\+?[0-9A-Fa-f]+", part)]
    if len(text) > _UUID_LENGTH or len(parts) != 5 or len(numbers) != 5 or max(numbers) >= 2**63:
        raise TrinoError(_INVALID, f"Cannot cast value to UUID: {text}")
    if len(text.encode()) != _UUID_LENGTH:
        raise TrinoError(_INVALID, f"Invalid UUID string length: {len(text.encode())}")
    pairs = zip(numbers, _UUID_BITS, strict=True)
    return "-".join(f"{number & (2**bits - 1):0{bits // 4}x}" for number, bits in pairs)


@cast(("varchar", "uuid"))
def varchar_to_uuid(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return once(
        value,
        "CAST(CASE WHEN regexp_full_match({0}, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}') "
        "THEN {0} ELSE trino_uuid_text({0}) END AS UUID)",
        "uuid_",
    )


@cast(("varbinary", "uuid"))
def varbinary_to_uuid(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    failed = error_sql(_INVALID, "'Invalid UUID binary length: ' || octet_length({0})", "UUID")
    return once(
        value,
        f"CASE WHEN octet_length({{0}}) = 16 THEN CAST(hex({{0}}) AS UUID) WHEN {{0}} IS NOT NULL THEN {failed} END",
        "uuid_",
    )


@cast(("uuid", "varchar"))
def uuid_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return fitting(value, "CAST({0} AS VARCHAR)", target)


@cast(("uuid", "varbinary"))
def uuid_to_varbinary(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"unhex(replace(CAST({value.sql} AS VARCHAR), '-', ''))"


# --------------------------------------------------------------------------------------------- ipaddress

_MAPPED = b"\0" * 10 + b"\xff\xff"


def _address(text: str) -> bytes:
    """4 or 16 bytes. Raises ValueError."""
    if "%" in text:
        raise ValueError(text)
    return ipaddress.ip_address(text).packed


@sql_function("trino_ip_of_text", ["VARCHAR"], "BLOB")
def ip_of_text(text: str) -> bytes:
    try:
        packed = _address(text)
    except ValueError:
        raise TrinoError(_INVALID, f"Cannot cast value to IPADDRESS: {text}") from None
    return packed if len(packed) == 16 else _MAPPED + packed


@cast(("varchar", "ipaddress"))
def varchar_to_ip(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"trino_ip_of_text({value.sql})"


@sql_function("trino_ip_of_bytes", ["BLOB"], "BLOB")
def ip_of_bytes(packed: bytes) -> bytes:
    if len(packed) not in (4, 16):
        raise TrinoError(_INVALID, f"Invalid IP address binary length: {len(packed)}")
    return packed if len(packed) == 16 else _MAPPED + packed


@cast(("varbinary", "ipaddress"))
def varbinary_to_ip(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return f"trino_ip_of_bytes({value.sql})"


@cast(("ipaddress", "varchar"))
def ip_to_varchar(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return fitting(value, "trino_ip_text({0})", target)


@cast(("ipaddress", "varbinary"))
def ip_to_varbinary(analyser: Analyser, value: Typed, target: TrinoType) -> str:
    return value.sql


@python("contains(varchar, ipaddress) -> boolean")
def contains(network: str, address: bytes) -> bool:
    """Whether the address lies in the network, given as address/bits; the host bits of an IPv4 network must be 0."""
    base_text, slash, bits_text = network.partition("/")
    if not slash:
        raise TrinoError(_INVALID_ARGUMENT, "Invalid CIDR")
    try:
        base = _address(base_text)
    except ValueError:
        raise TrinoError(_INVALID_ARGUMENT, "Invalid network IP address") from None
    if base[:12] == _MAPPED and len(base) == 16:
        base = base[12:]
    if re.fullmatch(r"[+-]?[0-9]{1,9}", bits_text) is None or int(bits_text) < 0:
        raise TrinoError(_INVALID_ARGUMENT, "Invalid prefix length")
    bits, width = int(bits_text), len(base) * 8
    if bits > width:
        raise TrinoError(_INVALID_ARGUMENT, "Prefix length exceeds address length")
    number = int.from_bytes(base, "big")
    if width == 32 and number & (2 ** (32 - bits) - 1):
        raise TrinoError(_INVALID_ARGUMENT, "Invalid CIDR")
    inside = address[12:] if address[:12] == _MAPPED else address
    return len(inside) * 8 == width and number >> (width - bits) == int.from_bytes(inside, "big") >> (width - bits)
