from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.errors import InvalidRequest, KeyNotFound
from service.key_store import SqliteKeyStore
from service.keys import ApiKeys, tenant_of
from tests.fakes.world import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys(tmp_path: Path, clock: FakeClock) -> Iterator[ApiKeys]:
    made = ApiKeys(SqliteKeyStore(tmp_path / "keys.sqlite"), clock=clock)
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
    assert [key.revoked_at is not None for key in keys.list_keys()] == [True]


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
    other = ApiKeys(SqliteKeyStore(tmp_path / "keys.sqlite"), clock=FakeClock())
    assert other.authenticate(created.secret) is not None
    keys.revoke(created.key.key_id)
    assert other.authenticate(created.secret) is None
    other.close()


def test_an_expired_key_is_nobody_and_keeps_the_service_closed(keys: ApiKeys, clock: FakeClock) -> None:
    created = keys.create(customers=None, expires_at=clock.now + timedelta(hours=1))
    clock.advance(minutes=59)
    assert keys.authenticate(created.secret) is not None
    clock.advance(minutes=1)
    assert keys.authenticate(created.secret) is None
    assert not keys.any_active()
    assert not keys.is_empty()


def test_both_secrets_are_good_until_the_overlap_is_over(keys: ApiKeys, clock: FakeClock) -> None:
    created = keys.create(customers=[11000])
    rotated = keys.rotate(created.key.key_id, overlap=timedelta(hours=24))
    assert rotated.secret != created.secret
    assert rotated.key.key_id == created.key.key_id
    assert keys.authenticate(created.secret) == keys.authenticate(rotated.secret) == created.key.caller()
    clock.advance(hours=24)
    assert keys.authenticate(created.secret) is None
    assert keys.authenticate(rotated.secret) is not None


def test_a_rotation_without_overlap_ends_the_old_secret_now(keys: ApiKeys) -> None:
    created = keys.create(customers=[11000])
    rotated = keys.rotate(created.key.key_id, overlap=timedelta())
    assert keys.authenticate(created.secret) is None
    assert keys.authenticate(rotated.secret) is not None


def test_a_key_has_two_secrets_at_most(keys: ApiKeys) -> None:
    secrets = [keys.create(customers=[11000]).secret]
    for _ in range(2):
        secrets.append(keys.rotate(secrets[0].split(".")[0], overlap=timedelta(days=1)).secret)
    assert [keys.authenticate(secret) is not None for secret in secrets] == [False, True, True]


def test_revoking_ends_both_secrets(keys: ApiKeys) -> None:
    created = keys.create(customers=[11000])
    rotated = keys.rotate(created.key.key_id, overlap=timedelta(days=1))
    keys.revoke(created.key.key_id)
    assert keys.authenticate(created.secret) is None
    assert keys.authenticate(rotated.secret) is None


def test_rotation_does_not_prolong_a_key(keys: ApiKeys, clock: FakeClock) -> None:
    created = keys.create(customers=[11000], expires_at=clock.now + timedelta(hours=1))
    rotated = keys.rotate(created.key.key_id, overlap=timedelta(days=1))
    clock.advance(hours=1)
    assert keys.authenticate(created.secret) is None
    assert keys.authenticate(rotated.secret) is None
    with pytest.raises(InvalidRequest):
        keys.rotate(created.key.key_id, overlap=timedelta())


def test_use_is_noted_once_a_minute(keys: ApiKeys, clock: FakeClock) -> None:
    created = keys.create(customers=[11000])
    assert keys.list_keys()[0].last_used_at is None
    first = clock.now
    for seconds in (0, 59, 1):
        clock.advance(seconds=seconds)
        keys.authenticate(created.key.key_id + ".wrong")
        keys.authenticate(created.secret)
        assert keys.list_keys()[0].last_used_at == (first if seconds != 1 else clock.now)


def test_a_tenants_name_cannot_be_taken(keys: ApiKeys) -> None:
    for tenant in ("operator", tenant_of([11001])):
        with pytest.raises(InvalidRequest):
            keys.create(customers=[11000], tenant=tenant)
    assert keys.create(customers=[11000], tenant=tenant_of([11000])).key.tenant == "customers:11000"


def test_what_makes_no_sense_is_refused(keys: ApiKeys, clock: FakeClock) -> None:
    for arguments in (
        {"customers": []},
        {"customers": None, "scopes": []},
        {"customers": None, "scopes": ["admin"]},
        {"customers": None, "expires_at": clock.now},
    ):
        with pytest.raises(InvalidRequest):
            keys.create(**arguments)  # type: ignore[arg-type]  # the point of the test
    for act in (keys.revoke, lambda key_id: keys.rotate(key_id, overlap=timedelta())):
        with pytest.raises(KeyNotFound):
            act("nobody")
    created = keys.create(customers=None)
    with pytest.raises(InvalidRequest):
        keys.rotate(created.key.key_id, overlap=timedelta(seconds=-1))
