"""From the claims of a token to a caller: whose rows, and what for.

    customer claim   one customer or several: numbers, their digits, a list of them, or names that the mapping knows
    scope claim      words in one text (RFC 8693, `scope`) or a list (`roles`), each worth what the mapping says
    mapping          a YAML file:
                       scopes: {data-hist-users: [query], data-hist-admins: [query, operate]}
                       all_customers: [data-hist-admins]
                       customers: {acme: [11000, 11001]}

A claim is named by its name, or by a JSON pointer where it lies deeper (`/realm_access/roles`). Without a mapping the
words `query` and `operate` are worth themselves, and nobody sees all customers. Who has no customer gets nothing
(CustomerMissing): a claim that is missing never means "all".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from api.problems import CustomerMissing
from service.keys import SCOPES, tenant_of
from service.model import Caller

MAXIMUM_CUSTOMERS = 1_000
MAXIMUM_CUSTOMER = 2**63 - 1
MAXIMUM_NAME_CHARACTERS = 128
_SEPARATORS = re.compile(r"[\s,]+")
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class InvalidMapping(ValueError):
    """The mapping file is not what it should be; the text says where."""


@dataclass(frozen=True)
class ClaimMapping:
    """What words of a token are worth. `all_customers` are words of the scope claim."""

    scopes: Mapping[str, frozenset[str]] = field(
        default_factory=lambda: {scope: frozenset({scope}) for scope in SCOPES}
    )
    all_customers: frozenset[str] = frozenset()
    customers: Mapping[str, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClaimReader:
    """Reads callers from claims. The claims are verified already."""

    customer_claim: str
    scope_claim: str
    mapping: ClaimMapping = ClaimMapping()

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """The caller of these claims. Raises CustomerMissing. One without a scope that is known may do nothing."""
        words = list(_words(claim(claims, self.scope_claim)))
        scopes = frozenset(scope for word in words for scope in self.mapping.scopes.get(word, ()))
        key_id = named("token", claims.get("sub"))
        if self.mapping.all_customers.intersection(words):
            return Caller(tenant_of(None), None, scopes, key_id)
        customers = customers_of(claim(claims, self.customer_claim), self.mapping.customers)
        if not customers:
            raise CustomerMissing(f"The token names no customer (claim {self.customer_claim}).")
        return Caller(tenant_of(customers), customers, scopes, key_id)


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """The claim of this name, or at this JSON pointer (RFC 6901); None where there is none."""
    if not name.startswith("/"):
        return claims.get(name)
    found: Any = claims
    for step in name[1:].split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def customers_of(value: Any, names: Mapping[str, frozenset[int]] | None = None) -> frozenset[int]:
    """The customers in a claim or header; what is neither a number nor a known name counts for nothing."""
    customers: set[int] = set()
    for word in _words(value):
        if names and word in names:
            customers |= names[word]
        elif re.fullmatch(r"[0-9]{1,19}", word) and 0 < int(word) <= MAXIMUM_CUSTOMER:
            customers.add(int(word))
        if len(customers) > MAXIMUM_CUSTOMERS:
            raise CustomerMissing(
                f"Over {MAXIMUM_CUSTOMERS} customers are named; that many cannot be asked for at once."
            )
    return frozenset(customers)


def named(kind: str, name: object) -> str:
    """`token:alice`: what stands as `key_id` in log and history for callers that have no key."""
    text = _UNPRINTABLE.sub("_", str(name or "unknown"))
    return f"{kind}:{text[:MAXIMUM_NAME_CHARACTERS]}"


def _words(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield from (word for word in _SEPARATORS.split(value) if word)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, str):
                yield item
            elif isinstance(item, int) and not isinstance(item, bool):
                yield str(item)


def load_mapping(path: Path) -> ClaimMapping:
    """The mapping in a YAML file. Raises InvalidMapping, OSError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidMapping(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict) or not set(document) <= {"scopes", "all_customers", "customers"}:
        raise InvalidMapping(f"{path} has to be a mapping of scopes, all_customers and customers")
    scopes = {str(word): frozenset(_list(path, word, worth)) for word, worth in _members(path, document, "scopes")}
    unknown = sorted({str(scope) for worth in scopes.values() for scope in worth} - SCOPES)
    if unknown:
        raise InvalidMapping(f"{path}: there is no scope {unknown[0]!r}; there are {', '.join(sorted(SCOPES))}")
    customers = {}
    for name, numbers in _members(path, document, "customers"):
        customers[str(name)] = frozenset(_list(path, name, numbers))
        if not all(type(number) is int and 0 < number <= MAXIMUM_CUSTOMER for number in customers[str(name)]):
            raise InvalidMapping(f"{path}: the customers of {name!r} have to be numbers")
    everyone = frozenset(str(word) for word in _list(path, "all_customers", document.get("all_customers") or []))
    return ClaimMapping(scopes or ClaimMapping().scopes, everyone, customers)


def _members(path: Path, document: Mapping[str, Any], name: str) -> Iterable[tuple[Any, Any]]:
    members = document.get(name) or {}
    if not isinstance(members, dict):
        raise InvalidMapping(f"{path}: {name} has to be a mapping")
    return members.items()


def _list(path: Path, name: object, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidMapping(f"{path}: {name!r} has to be a list")
    return value
