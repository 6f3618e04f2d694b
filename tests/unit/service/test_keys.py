from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import InvalidRequest, KeyNotFound
from service.keys import ApiKeys, tenant_of
from tests.fakes.world import FakeClock


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[ApiKeys]:
    made = ApiKeys(tmp_path / "keys.sqlite", clock=FakeClock())
    yield made
    made.close()


def test_a_key_makes_a_caller_until_it_is_revoked(keys: ApiKeys) -> None:
    assert keys.is_empty()
    created = keys.create(customers=[11000, 11001], scopes=["query"], name="billing", maximum_scan_bytes=10)
    caller = keys.authenticate(created.secret)
    assert caller is not None
    assert caller.customers == {11000, 11001}
    assert caller.scopes == {"query"}
    assert caller.key_id == created.key.key_id
    assert caller.maximum_scan_bytes == 10
    assert keys.any_active()
    revoked = keys.revoke(created.key.key_id)
    assert keys.revoke(created.key.key_id) == revoked
    assert keys.authenticate(created.secret) is None
    assert not keys.any_active()
    assert not keys.is_empty()
    assert [key.is_active for key in keys.list_keys()] == [False]


def test_wrong_secrets_are_nobody(keys: ApiKeys) -> None:
    created = keys.create(customers=None, scopes=["query", "operate"])
    for wrong in (
        "",
        ".",
        created.key.key_id,
        created.key.key_id + ".",
        created.secret[:-1],
        created.secret + "x",
        "é\udcff.x",
    ):
        assert keys.authenticate(wrong) is None


def test_the_secret_is_not_kept(keys: ApiKeys, tmp_path: Path) -> None:
    created = keys.create(customers=None)
    keys.close()
    secret_part = created.secret.split(".")[1].encode()
    assert all(secret_part not in path.read_bytes() for path in tmp_path.iterdir())
    assert len(secret_part) == 43


def test_keys_of_the_same_customers_share_a_tenant(keys: ApiKeys) -> None:
    first = keys.create(customers=[2, 1]).key
    second = keys.create(customers=[1, 2]).key
    operator = keys.create(customers=None).key
    named = keys.create(customers=[1], tenant="acme").key
    assert first.tenant == second.tenant == tenant_of([1, 2])
    assert operator.tenant == "operator"
    assert named.tenant == "acme"


def test_a_revocation_counts_in_other_processes_at_once(keys: ApiKeys, tmp_path: Path) -> None:
    created = keys.create(customers=None)
    other = ApiKeys(tmp_path / "keys.sqlite", clock=FakeClock())
    assert other.authenticate(created.secret) is not None
    keys.revoke(created.key.key_id)
    assert other.authenticate(created.secret) is None
    other.close()


def test_what_makes_no_sense_is_refused(keys: ApiKeys) -> None:
    for arguments in ({"customers": []}, {"customers": None, "scopes": []}, {"customers": None, "scopes": ["admin"]}):
        with pytest.raises(InvalidRequest):
            keys.create(**arguments)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(KeyNotFound):
        keys.revoke("nobody")
