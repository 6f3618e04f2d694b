"""Trino functions: parts of URLs, and their escaping.

A URL is what java.net.URI takes for one (RFC 2396 with its deviations); anything else has no parts: NULL. A part that
is not there is the empty string, a port that is not there NULL. Path, query and fragment come unescaped.
Manual: https://trino.io/docs/current/functions/url.html
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from embedded.sql.errors import TrinoError
from embedded.sql.functions.registry import python
from embedded.sql.types import varchar

_ALPHANUMERIC = "A-Za-z0-9"
_UNRESERVED = _ALPHANUMERIC + r"\-_.!~*'()"
_ESCAPED = "%[0-9A-Fa-f]{2}"


def _run(characters: str) -> re.Pattern[str]:
    """Any number of these, of escaped bytes and of characters beyond ASCII (see _is_other)."""
    return re.compile(rf"(?:[{characters}\u0080-\U0010ffff]|{_ESCAPED})*")


_PATH = _run(_UNRESERVED + ":@&=+$,;/")
_ANY = _run(_UNRESERVED + r";/?:@&=+$,\[\]")
_REGISTRY_NAME = _run(_UNRESERVED + "$,;:@&=+")
_USER = _run(_UNRESERVED + ";:&=+$,")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*")
_LABEL = rf"[{_ALPHANUMERIC}](?:[{_ALPHANUMERIC}\-]*[{_ALPHANUMERIC}])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER = r"0*(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = re.compile(rf"{_NUMBER}(?:\.{_NUMBER}){{3}}", re.ASCII)
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]+)(%[A-Za-z0-9_.\-~!*'()]+)?\]")
_LARGEST_PORT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Url:
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    query: str | None = None
    fragment: str = ""


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and all(ord(c) < 0x80 or _is_other(c) for c in text)


def _is_other(character: str) -> bool:
    """Java's "other" characters: beyond ASCII, neither control characters nor blanks."""
    return unicodedata.category(character) not in ("Cc", "Zs", "Zl", "Zp")


@lru_cache(maxsize=1024)
def _parsed(text: str) -> _Url | None:
    rest, has_fragment, fragment = text.partition("#")
    if has_fragment and not _matches(_ANY, fragment):
        return None
    scheme = ""
    colon = re.search(r"[/?:]", rest)
    if colon is not None and colon.group() == ":":
        scheme, rest = rest[: colon.start()], rest[colon.end() :]
        if _SCHEME.fullmatch(scheme) is None or not rest:
            return None
        if not rest.startswith("/"):
            return _Url(scheme, fragment=fragment) if _matches(_ANY, rest) else None
    before_query, has_query, query = rest.partition("?")
    host, port, path = "", None, before_query
    if before_query.startswith("//"):
        authority, slash, behind = before_query[2:].partition("/")
        path = slash + behind
        if authority:
            server = _server(authority)
            if server is None:
                return None
            host, port = server
        elif not (path or has_query or has_fragment):
            return None
    if not _matches(_PATH, path) or not _matches(_ANY, query):
        return None
    return _Url(scheme, host, port, path, query if has_query else None, fragment)


def _server(authority: str) -> tuple[str, int | None] | None:
    """Host and port; nothing of an authority that is only a registry's name; None when it is neither."""
    user, at, server = authority.rpartition("@") if authority.count("@") < 2 else ("", "", authority)
    if not at or _matches(_USER, user):
        bracketed = _IPV6.match(server)
        end = bracketed.end() if bracketed is not None else server.find(":") if ":" in server else len(server)
        host, behind = server[:end], server[end:]
        if _is_host(host) and re.fullmatch(r"(?::[0-9]*)?", behind):
            port = int(behind[1:]) if len(behind) > 1 else None
            if port is None or port <= _LARGEST_PORT:
                return host, port
    return ("", None) if _matches(_REGISTRY_NAME, authority) else None


def _is_host(host: str) -> bool:
    if host.startswith("["):
        import ipaddress

        try:
            ipaddress.IPv6Address(host[1:-1].partition("%")[0])
        except ValueError:
            return False
        return True
    if _IPV4.fullmatch(host):
        return True
    if _HOST_NAME.fullmatch(host) is None:
        return False
    labels = host.removesuffix(".").split(".")
    return len(labels) == 1 or labels[-1][0].isalpha()


_ESCAPED_BYTES = re.compile(rf"(?:{_ESCAPED})+")


def _unescaped(text: str) -> str:
    return _ESCAPED_BYTES.sub(
        lambda match: bytes.fromhex(match.group().replace("%", "")).decode(errors="replace"), text
    )


@python("url_extract_protocol(varchar(x)) -> varchar(x)")
def url_extract_protocol(url: str) -> str | None:
    parsed = _parsed(url)
    return None if parsed is None else parsed.scheme


@python("url_extract_host(varchar(x)) -> varchar(x)")
def url_extract_host(url: str) -> str | None:
    parsed = _parsed(url)
    return None if parsed is None else parsed.host


@python("url_extract_port(varchar(x)) -> bigint")
def url_extract_port(url: str) -> int | None:
    parsed = _parsed(url)
    return None if parsed is None else parsed.port


@python("url_extract_path(varchar(x)) -> varchar(x)")
def url_extract_path(url: str) -> str | None:
    parsed = _parsed(url)
    return None if parsed is None else _unescaped(parsed.path)


@python("url_extract_query(varchar(x)) -> varchar(x)")
def url_extract_query(url: str) -> str | None:
    parsed = _parsed(url)
    return None if parsed is None else _unescaped(parsed.query or "")


@python("url_extract_fragment(varchar(x)) -> varchar(x)")
def url_extract_fragment(url: str) -> str | None:
    parsed = _parsed(url)
    return None if parsed is None else _unescaped(parsed.fragment)


@python("url_extract_parameter(varchar(x), varchar(y)) -> varchar(x)")
def url_extract_parameter(url: str, name: str) -> str | None:
    """The first parameter of this name, as it is written; its value unescaped."""
    parsed = _parsed(url)
    if parsed is None or parsed.query is None:
        return None
    for argument in parsed.query.split("&"):
        key, _, value = argument.partition("=")
        if key == name:
            return _decoded(value)
    return None


_ENCODED_LENGTH = 12  # a code point takes up to 4 bytes, each written with 3 characters
_LITERAL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.*")


@python(
    "url_encode(varchar(x)) -> varchar",
    result=lambda bindings, _: varchar(min(2**31 - 1, bindings["x"] * _ENCODED_LENGTH)),
)
def url_encode(text: str) -> str:
    """As the value of a form parameter: blanks are `+`."""
    return "".join(
        character if character in _LITERAL else "+" if character == " " else _percent(character) for character in text
    )


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


@python("url_decode(varchar(x)) -> varchar(x)")
def url_decode(text: str) -> str:
    return _decoded(text)


def _decoded(text: str) -> str:
    """java.net.URLDecoder: `+` is a blank; bytes that are no UTF-8 become U+FFFD."""
    blanks = text.replace("+", " ")
    for match in re.finditer("%(.{0,2})", blanks, re.DOTALL):
        if len(match[1]) < 2:
            raise TrinoError("INVALID_FUNCTION_ARGUMENT", "URLDecoder: Incomplete trailing escape (%) pattern")
        if re.fullmatch("[0-9A-Fa-f]{2}", match[1]) is None:
            reason = f'Error at index 0 in: "{match[1]}"'
            message = f"URLDecoder: Illegal hex characters in escape (%) pattern - {reason}"
            raise TrinoError("INVALID_FUNCTION_ARGUMENT", message)
    return _unescaped(blanks)
