"""What claims are worth: whose rows, and what for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.claims import ClaimMapping, ClaimReader, InvalidMapping, claim, customers_of, load_mapping
from api.problems import CustomerMissing
from service.model import OPERATOR

READER = ClaimReader("customer_ids", "scope")
MAPPED = ClaimReader(
    "https://example.org/customer",
    "/realm_access/roles",
    ClaimMapping(
        {"users": frozenset({"query"}), "admins": frozenset({"query", "operate"})},
        frozenset({"admins"}),
        {"acme": frozenset({11000, 11001})},
    ),
)


@pytest.mark.parametrize(
    ("value", "customers"),
    [
        (11000, {11000}),
        ("11000", {11000}),
        ([11000, 11001], {11000, 11001}),
        (["11000", 11001], {11000, 11001}),
        ("11000 11001", {11000, 11001}),
        ("11000,11001", {11000, 11001}),
        ([11000, "acme"], {11000}),
        (None, set()),
        ("", set()),
        ([], set()),
        (True, set()),
        ([True, None, 1.5, {}], set()),
        ({"a": 11000}, set()),
        (0, set()),
        (-11000, set()),
        ("-11000", set()),
        ("+11000", set()),
        ("1.1e4", set()),
        ("\u0661\u0661", set()),  # digits of another script
        (2**63, set()),
        ("*", set()),
        ("11000 OR 1=1", {11000}),
        (1.0, set()),
    ],
)
def test_customers(value: Any, customers: set[int]) -> None:
    assert customers_of(value) == customers


def test_no_customer_is_nobody() -> None:
    for value in (None, [], "", "all", "*", True, {"all": True}):
        with pytest.raises(CustomerMissing):
            READER.caller({"sub": "alice", "customer_ids": value, "scope": "query operate"})
    with pytest.raises(CustomerMissing):
        READER.caller({"sub": "alice", "scope": "query"})


def test_too_many_customers_are_refused() -> None:
    with pytest.raises(CustomerMissing):
        customers_of(list(range(1, 2000)))


def test_words_are_worth_themselves_without_a_mapping() -> None:
    caller = READER.caller({"sub": "alice", "customer_ids": [11001, 11000], "scope": "openid query profile"})
    assert (caller.tenant, caller.customers) == ("customers:11000,11001", {11000, 11001})
    assert caller.scopes == {"query"}
    assert caller.key_id == "token:alice"
    assert READER.caller({"customer_ids": 11000, "scope": None}).scopes == frozenset()
    assert READER.caller({"customer_ids": 11000, "scope": ["query", "operate"]}).scopes == {"query", "operate"}


def test_words_are_worth_what_the_mapping_says() -> None:
    claims = {"sub": "bob", "realm_access": {"roles": ["users"]}, "https://example.org/customer": "acme"}
    caller = MAPPED.caller(claims)
    assert (caller.customers, caller.scopes) == ({11000, 11001}, {"query"})
    claims["realm_access"] = {"roles": ["query", "operate"]}  # no words of this mapping
    assert MAPPED.caller(claims).scopes == frozenset()
    claims["https://example.org/customer"] = "admins"
    with pytest.raises(CustomerMissing):
        MAPPED.caller(claims)


def test_all_customers_are_seen_by_name_only() -> None:
    caller = MAPPED.caller({"sub": "root", "realm_access": {"roles": ["admins"]}})
    assert (caller.tenant, caller.customers) == (OPERATOR.tenant, None)
    assert caller.scopes == {"query", "operate"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", {"b": 1}),
        ("/a/b", 1),
        ("/a/c", None),
        ("/a/b/c", None),
        ("/x~1y/~0", 2),
        ("https://x/y", 3),
        ("nothing", None),
    ],
)
def test_claims_are_named_or_pointed_at(name: str, value: Any) -> None:
    claims = {"a": {"b": 1}, "x/y": {"~": 2}, "https://x/y": 3}
    assert claim(claims, name) == value


@pytest.mark.parametrize(
    ("subject", "key_id"),
    [
        ("alice", "token:alice"),
        ("a\nb\x00c", "token:a_b_c"),
        (None, "token:unknown"),
        ("x" * 999, "token:" + "x" * 128),
    ],
)
def test_who_it_is_fits_a_line_of_the_log(subject: Any, key_id: str) -> None:
    assert READER.caller({"sub": subject, "customer_ids": 11000}).key_id == key_id


def test_a_mapping_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("scopes: {admins: [query, operate]}\nall_customers: [admins]\ncustomers: {acme: [11000]}\n")
    assert load_mapping(path) == ClaimMapping(
        {"admins": frozenset({"query", "operate"})}, frozenset({"admins"}), {"acme": frozenset({11000})}
    )
    path.write_text("customers: {acme: [11000]}\n")
    assert load_mapping(path).scopes == ClaimMapping().scopes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "scope: {a: [query]}",
        "scopes: [query]",
        "scopes: {a: query}",
        "scopes: {a: [admin]}",
        "customers: {acme: 11000}",
        "customers: {acme: ['11000']}",
        "customers: {acme: [0]}",
        "customers: {acme: [true]}",
        "all_customers: admins",
        "a: [",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_mapping_that_is_none_stops_the_start(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(InvalidMapping):
        load_mapping(path)
