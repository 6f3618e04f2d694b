"""What every execution store has to do. A new one (DynamoDB) inherits ExecutionStoreContract and gives `open_store`.

`open_store` is called more than once per test: each call stands for another process over the same storage.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from service.errors import Blame, QueryFailure
from service.execution_records import submitted_at_microseconds
from service.executions import Ending, ExecutionStore, Plan, PlanInputs, StoredExecution, following
from service.model import OutputColumn, QueryExecution, QueryStatus, QueryWarning, Statistics

NOW = datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
OpenStore = Callable[[], ExecutionStore]


def execution(**members: object) -> StoredExecution:
    """A QUEUED execution of tenant alice, driven by process `p1`; members of either dataclass may be given."""
    own = {name: members.pop(name) for name in list(members) if name in StoredExecution.__dataclass_fields__}
    inner = QueryExecution(
        query_id=str(uuid4()),
        tenant="alice",
        status=QueryStatus.QUEUED,
        query="SELECT 'é\n'",
        retention_minutes=60,
        submitted_at=NOW,
    )
    stored = StoredExecution(replace(inner, **members), engine_sql="SELECT 1", engine_name="athena", owner="p1")  # type: ignore[arg-type]  # names are checked by replace
    return replace(stored, **own)  # type: ignore[arg-type]  # as above


def ending(status: QueryStatus = QueryStatus.FINISHED) -> Ending:
    return Ending(status, NOW + timedelta(seconds=5), columns=(OutputColumn("n", "bigint"),), is_spooled=True)


class ExecutionStoreContract:
    def test_what_was_stored_comes_back(self, open_store: OpenStore) -> None:
        stored = execution(
            key_id="k",
            json_columns=frozenset({1, 3}),
            planned_columns=(OutputColumn("a", "array(bigint)"),),
            plan_inputs=PlanInputs((11000,), ("x", 1, None, 1.5), 1, None),
            plan_valid_until=NOW,
            is_strict=True,
            idempotency_key="i",
            body_hash="h",
            statistics=Statistics(partitions_scanned=3, bytes_skipped=2**60),
        )
        assert open_store().insert(stored) == stored
        assert open_store().get(stored.query_id) == stored
        assert open_store().get(str(uuid4())) is None

    def test_an_idempotency_key_belongs_to_one_execution_of_its_tenant(self, open_store: OpenStore) -> None:
        store = open_store()
        first = store.insert(execution(idempotency_key="k"))
        assert store.insert(execution(idempotency_key="k")).query_id == first.query_id
        other = execution(idempotency_key="k", tenant="bob")
        assert store.insert(other).query_id == other.query_id
        assert store.insert(execution()).query_id != store.insert(execution()).query_id
        found = store.by_idempotency_key("alice", "k")
        assert found is not None
        assert found.query_id == first.query_id
        assert store.by_idempotency_key("carol", "k") is None

    def test_concurrent_inserts_of_one_key_agree(self, open_store: OpenStore) -> None:
        stores = [open_store() for _ in range(4)]
        winners: list[str] = []
        barrier = threading.Barrier(len(stores))

        def insert(store: ExecutionStore) -> None:
            mine = execution(idempotency_key="k")
            barrier.wait()
            winners.append(store.insert(mine).query_id)

        threads = [threading.Thread(target=insert, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 4
        assert len(set(winners)) == 1

    def test_the_first_terminal_state_is_final(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        failure = QueryFailure("X", "d", Blame.USER, True, 1, 2, ("a",), "N", 2, 3)
        warning = QueryWarning("MalformedRow", "d", "s3://b/k", 7)
        first = store.finish(
            query_id,
            "p1",
            replace(ending(QueryStatus.FAILED), error=failure, warnings=(warning,), warnings_truncated=True),
        )
        assert first.execution.error == failure
        assert first.execution.warnings == (warning,)
        assert first.execution.expires_at == NOW + timedelta(seconds=5, minutes=60)
        assert store.finish(query_id, "p1", ending()) == first
        assert store.request_cancel(query_id, NOW) == first
        assert store.record_started(query_id, "p1", "e2", QueryStatus.RUNNING, NOW) == first
        store.record_progress(query_id, "p1", QueryStatus.RUNNING, Statistics())
        assert store.claim_start(query_id, "p1") is None
        assert store.next_attempt(query_id, "p1", 1) is None
        assert open_store().get(query_id) == first

    def test_only_the_owner_claims_and_only_once_cancelled_not_at_all(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        assert store.claim_start(query_id, "p2") is None
        claimed = store.claim_start(query_id, "p1")
        assert claimed is not None
        assert claimed.is_starting
        store.release_start(query_id, "p1")
        released = store.get(query_id)
        assert released is not None
        assert not released.is_starting

    def test_a_plan_is_replaced_until_the_engine_may_know_it(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        plan = Plan("SELECT 2", frozenset({1}), (OutputColumn("b", "date"),), NOW, Statistics(partitions_scanned=2))
        assert store.record_plan(query_id, "p2", plan) is None
        planned = store.record_plan(query_id, "p1", plan)
        assert planned is not None
        assert planned.engine_sql == "SELECT 2"
        assert planned.plan_valid_until == NOW
        assert planned.execution.statistics.partitions_scanned == 2
        store.claim_start(query_id, "p1")
        assert store.record_plan(query_id, "p1", plan) is None

    def test_cancelling_before_the_engine_knows_ends_at_once(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        cancelled = store.request_cancel(query_id, NOW)
        assert cancelled is not None
        assert cancelled.execution.status is QueryStatus.CANCELLED
        assert store.claim_start(query_id, "p1") is None
        assert store.request_cancel(str(uuid4()), NOW) is None

    def test_a_wish_to_cancel_turns_any_ending_into_cancelled(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        store.claim_start(query_id, "p1")
        wished = store.request_cancel(query_id, NOW)
        assert wished is not None
        assert not wished.execution.is_terminal
        assert wished.is_cancel_requested
        started = store.record_started(query_id, "p1", "e1", QueryStatus.QUEUED, NOW)
        assert started.is_cancel_requested
        assert started.engine_id == "e1"
        assert store.finish(query_id, "p1", ending()).execution.status is QueryStatus.CANCELLED

    def test_only_the_owner_moves_an_execution_on(self, open_store: OpenStore) -> None:
        store, late = open_store(), open_store()
        query_id = store.insert(execution()).query_id
        store.claim_start(query_id, "p1")
        assert store.adopt(query_id, "p1", "p2")
        before = store.get(query_id)
        assert before is not None
        assert late.claim_start(query_id, "p1") is None
        assert late.record_started(query_id, "p1", "e-late", QueryStatus.RUNNING, NOW) == before
        late.record_progress(query_id, "p1", QueryStatus.RUNNING, Statistics(data_scanned_bytes=9))
        assert late.next_attempt(query_id, "p1", 1) is None
        late.release_start(query_id, "p1")
        assert late.finish(query_id, "p1", ending(QueryStatus.FAILED)) == before
        assert store.get(query_id) == before
        assert store.finish(query_id, "p2", ending()).execution.status is QueryStatus.FINISHED

    def test_an_attempt_is_put_back_once(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        assert store.next_attempt(query_id, "p1", 1) is not None
        assert store.next_attempt(query_id, "p1", 3) is None
        stored = store.get(query_id)
        assert stored is not None
        assert stored.attempt == 2

    def test_progress_and_a_new_attempt(self, open_store: OpenStore) -> None:
        store = open_store()
        stored = store.insert(execution())
        query_id = stored.query_id
        store.claim_start(query_id, "p1")
        store.record_started(query_id, "p1", "e1", QueryStatus.QUEUED, NOW)
        store.record_progress(query_id, "p1", QueryStatus.RUNNING, Statistics(data_scanned_bytes=5))
        running = store.get(query_id)
        assert running is not None
        assert running.execution.status is QueryStatus.RUNNING
        assert running.execution.statistics.data_scanned_bytes == 5
        again = store.next_attempt(query_id, "p1", 1)
        assert again is not None
        assert (again.attempt, again.engine_id, again.execution.status) == (2, None, QueryStatus.QUEUED)
        assert again.engine_token != stored.engine_token
        assert 32 <= len(again.engine_token) <= 128

    def test_unfinished_ones_change_owner_once(self, open_store: OpenStore) -> None:
        store, other = open_store(), open_store()
        first = store.insert(execution(submitted_at=NOW - timedelta(seconds=1)))
        second = store.insert(execution())
        done = store.insert(execution())
        store.finish(done.query_id, "p1", ending())
        assert [stored.query_id for stored in store.unfinished()] == [first.query_id, second.query_id]
        assert other.adopt(first.query_id, "p1", "p2")
        assert not store.adopt(first.query_id, "p1", "p3")
        assert not store.adopt(done.query_id, "p1", "p3")
        store.disown("p1")
        assert {stored.query_id: stored.owner for stored in store.unfinished()} == {
            first.query_id: "p2",
            second.query_id: None,
        }
        assert store.adopt(second.query_id, None, "p3")

    def test_spooled_is_remembered(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        store.finish(query_id, "p1", replace(ending(), is_spooled=False, statistics=Statistics(data_scanned_bytes=1)))
        store.record_spooled(query_id, 7, 70)
        stored = store.get(query_id)
        assert stored is not None
        assert stored.is_spooled
        statistics = stored.execution.statistics
        assert (statistics.rows_total, statistics.result_bytes, statistics.data_scanned_bytes) == (7, 70, 1)

    def test_listing_is_newest_first_by_tenant_with_filter_and_continuation(self, open_store: OpenStore) -> None:
        store = open_store()
        made = [store.insert(execution(submitted_at=NOW + timedelta(seconds=n // 2))) for n in range(6)]
        store.insert(execution(tenant="bob"))
        store.finish(made[0].query_id, "p1", ending(QueryStatus.FAILED))
        wanted = sorted(made, key=lambda one: (one.execution.submitted_at, one.query_id), reverse=True)
        seen: list[str] = []
        before = None
        while True:
            shown = store.listing("alice", status=None, limit=4, before=before)
            if not shown:
                break
            seen.extend(one.query_id for one in shown)
            before = (submitted_at_microseconds(shown[-1].execution), shown[-1].query_id)
        assert seen == [one.query_id for one in wanted]
        failed = store.listing("alice", status=QueryStatus.FAILED, limit=9, before=None)
        assert [one.query_id for one in failed] == [made[0].query_id]

    def test_expiry_expunging_and_forgetting(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution(idempotency_key="k")).query_id
        running = store.insert(execution()).query_id
        expires_at = store.finish(query_id, "p1", ending()).execution.expires_at
        assert expires_at is not None
        assert store.expired(expires_at - timedelta(microseconds=1), 10) == ()
        assert [one.query_id for one in store.expired(expires_at, 10)] == [query_id]
        assert store.forget(expires_at) == 0
        for _ in range(2):
            store.mark_expunged(query_id)
            assert store.expired(expires_at, 10) == ()
        expunged = store.get(query_id)
        assert expunged is not None
        assert not expunged.execution.has_result
        assert store.forget(expires_at - timedelta(microseconds=1)) == 0
        assert store.forget(expires_at) == 1
        assert store.forget(expires_at) == 0
        assert store.get(query_id) is None
        assert store.by_idempotency_key("alice", "k") is None
        assert store.get(running) is not None

    def test_one_of_many_takes_the_lead(self, open_store: OpenStore) -> None:
        store = open_store()
        assert store.leader("k") is None
        assert not store.lead("k", "a", "nobody")
        stores = [open_store() for _ in range(4)]
        won: list[str] = []
        barrier = threading.Barrier(len(stores))

        def lead(number: int) -> None:
            barrier.wait()
            if stores[number].lead("k", f"leader-{number}", None):
                won.append(f"leader-{number}")

        threads = [threading.Thread(target=lead, args=(number,)) for number in range(len(stores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert [one.leader("k") for one in stores] == won * 4
        assert store.lead("k", "next", won[0])
        assert not store.lead("k", "late", won[0])
        assert store.leader("k") == "next"
        assert store.leader("other") is None

    def test_a_result_that_others_need_does_not_expire(self, open_store: OpenStore) -> None:
        store = open_store()
        query_id = store.insert(execution()).query_id
        later = NOW + timedelta(days=3)
        assert store.keep_result(query_id, later, if_needed_after=NOW) is None  # it has no result yet
        expires_at = store.finish(query_id, "p1", ending()).execution.expires_at
        assert expires_at is not None
        assert store.keep_result(query_id, later, if_needed_after=expires_at) is None  # a sweeper may have found it
        for until in (later, NOW + timedelta(days=1), later):
            kept = store.keep_result(query_id, until, if_needed_after=NOW)
            assert kept is not None
            assert kept.bytes_needed_until == later
            assert kept.execution.expires_at == expires_at
        assert store.get(query_id) == kept
        assert store.expired(later - timedelta(microseconds=1), 10) == ()
        assert store.keep_result(query_id, later, if_needed_after=expires_at) is not None
        assert [one.query_id for one in store.expired(later, 10)] == [query_id]
        store.mark_expunged(query_id)
        assert store.keep_result(query_id, later, if_needed_after=NOW) is None
        assert store.keep_result(str(uuid4()), later, if_needed_after=NOW) is None
        assert store.forget(later) == 1

    def test_concurrent_needs_keep_the_longest(self, open_store: OpenStore) -> None:
        stores = [open_store() for _ in range(4)]
        query_id = stores[0].insert(execution()).query_id
        stores[0].finish(query_id, "p1", ending())
        barrier = threading.Barrier(len(stores))

        def keep(number: int) -> None:
            barrier.wait()
            until = NOW + timedelta(days=1 + number)
            assert stores[number].keep_result(query_id, until, if_needed_after=NOW) is not None

        threads = [threading.Thread(target=keep, args=(number,)) for number in range(len(stores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stored = stores[0].get(query_id)
        assert stored is not None
        assert stored.kept_until == NOW + timedelta(days=4)

    def test_a_follower_ends_with_its_leader_once(self, open_store: OpenStore) -> None:
        store = open_store()
        owner = following("leader")
        follower = store.insert(execution(owner=owner, reuse_key="k", data_version="7"))
        assert store.get(follower.query_id) == follower
        shared = replace(ending(), reused_from="leader", engine_id="engine-1", result_location="s3://r/1.csv")
        ended = store.finish(follower.query_id, owner, shared)
        assert (ended.execution.reused_from, ended.engine_id) == ("leader", "engine-1")
        assert ended.execution.has_result
        assert store.finish(follower.query_id, owner, ending(QueryStatus.FAILED)) == ended
        assert store.get(follower.query_id) == ended
        cancelled = store.insert(execution(owner=owner))
        store.request_cancel(cancelled.query_id, NOW)
        after = store.finish(cancelled.query_id, owner, shared)
        assert after.execution.status is QueryStatus.CANCELLED
        assert after.execution.reused_from is None
        taken = store.insert(execution(owner=owner))
        assert store.adopt(taken.query_id, owner, "p2")
        assert not store.finish(taken.query_id, owner, shared).execution.is_terminal

    def test_counts_by_status(self, open_store: OpenStore) -> None:
        store = open_store()
        store.insert(execution())
        store.finish(store.insert(execution(tenant="bob")).query_id, "p1", ending())
        assert dict(store.count_by_status()) == {QueryStatus.QUEUED: 1, QueryStatus.FINISHED: 1}
