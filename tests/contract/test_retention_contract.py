"""Data leaves by its terms, over the embedded AWS and over moto: rules are merged, partitions swept in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.glue import Glue
from embedded.s3 import S3
from glue.bootstrap import ensure_buckets, ensure_catalogue
from glue.explain import explain_range
from glue.folder_watch import FolderReconciler
from glue.layout import CommitBatch
from glue.lifecycle_rules import CannotKeepRetention, LifecycleChanged, apply_lifecycle, plan_lifecycle, wanted_rules
from glue.partition_spec import PartitionSpec
from glue.reconcile import reconcile
from glue.registration import register_lake
from glue.retention_override import ObjectTag, RetentionOverride, RetentionTerms
from glue.retention_sweep import SweepReport, sweep
from glue.sqlite_ledger import SqliteLedger
from glue.table_spec import TableSpec
from glue.tracker import PartitionTracker
from tests.contract.aws_implementations import IMPLEMENTATIONS, glue_client, s3_client
from tests.unit.glue.retention_lake import DAY, EVENTS, table

# moto dates what is put by the real clock; so do these tests, and sweep in times to come
TODAY = datetime.now(UTC).replace(microsecond=0)
SPEC = table(retention_days=10, archive_days=30)
OLD, YOUNG, TO_COME = TODAY - 2 * DAY, TODAY + 5 * DAY, TODAY + 900 * DAY
BAD = datetime(1970, 1, 1, tzinfo=UTC)
ARCHIVING, EXPIRING = TODAY + 12 * DAY, TODAY + 32 * DAY


class Killed(BaseException):
    """The process ends here: nothing catches it."""


class Lake:
    def __init__(self, glue: Any, s3: Any, ledger: SqliteLedger, spec: TableSpec = SPEC) -> None:
        self.glue, self.s3, self.ledger, self.spec = glue, s3, ledger, spec
        ensure_buckets(s3, [spec.bucket])
        ensure_catalogue(glue, [spec])

    def fill(self, *moments: datetime) -> None:
        for moment in moments:
            for offset in (0, 1):
                self.put(moment, offset)
        register_lake(self.glue, self.s3, self.ledger, self.spec)

    def put(self, moment: datetime, offset: int = 0) -> str:
        key = self.spec.layout.key("events", PartitionSpec.from_datetime(moment), CommitBatch.single(0, offset))
        self.s3.put_object(Bucket=self.spec.bucket, Key=key, Body=b"0123456789")
        return key

    def sweep(self, now: datetime, *, apply: bool = True, archives: bool = True) -> SweepReport:
        archive = getattr(self.s3, "archive", None) if archives and isinstance(self.s3, S3) else None
        return sweep(self.glue, self.s3, self.ledger, self.spec, now=now, apply=apply, archive=archive)

    def registered(self) -> set[str]:
        answer = self.glue.get_partitions(DatabaseName=self.spec.database, TableName=self.spec.name)
        return {"/".join(entry["Values"]) for entry in answer["Partitions"]}

    def recorded(self) -> set[str]:
        return {"/".join(record.values) for record in self.ledger.partitions(self.spec.reference)}

    def stored(self) -> dict[str, list[str]]:
        """Values of each partition with objects -> their storage classes."""
        found: dict[str, list[str]] = {}
        for entry in self.s3.list_objects_v2(Bucket=self.spec.bucket).get("Contents", []):
            parsed = self.spec.layout.parse(entry["Key"])
            found.setdefault("/".join(parsed.partition.values()), []).append(entry["StorageClass"])
        return found

    def state(self) -> tuple[set[str], set[str], dict[str, list[str]]]:
        return self.registered(), self.recorded(), self.stored()


def values(*moments: datetime) -> set[str]:
    return {"/".join(PartitionSpec.from_datetime(moment).values()) for moment in moments}


@pytest.fixture(params=IMPLEMENTATIONS)
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    with (
        glue_client(request.param, tmp_path, monkeypatch) as glue,
        s3_client(request.param, tmp_path, monkeypatch) as s3,
    ):
        ledger = SqliteLedger(tmp_path / "ledger.sqlite")
        yield Lake(glue, s3, ledger)
        ledger.close()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Callable[..., Lake]]:
    """Makes embedded lakes, each in a folder of its own."""
    opened: list[Lake] = []

    def make(spec: TableSpec = SPEC) -> Lake:
        folder = tmp_path / str(len(opened))
        folder.mkdir()
        lake = Lake(Glue(folder / "catalogue.sqlite"), S3(folder / "s3"), SqliteLedger(folder / "ledger.sqlite"), spec)
        opened.append(lake)
        return lake

    yield make
    for lake in opened:
        lake.glue.close()
        lake.ledger.close()


class TestLifecycle:
    def rules(self, lake: Lake) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = lake.s3.get_bucket_lifecycle_configuration(Bucket=SPEC.bucket)["Rules"]
        return found

    def test_applied_twice_and_followed_when_specs_change(self, lake: Lake) -> None:
        logs = replace(SPEC, name="logs", topic="logs", archive_days=None)
        plan = plan_lifecycle(lake.s3, SPEC.bucket, [SPEC, logs])
        names = ("data-hist.events", "data-hist.events.compacted", "data-hist.logs", "data-hist.logs.compacted")
        assert (plan.added, plan.changed, plan.removed) == (names, (), ())
        assert [apply_lifecycle(lake.s3, plan) for _ in range(1)] == [True]
        again = plan_lifecycle(lake.s3, SPEC.bucket, [SPEC, logs])
        assert (again.has_changes, apply_lifecycle(lake.s3, again)) == (False, False)
        assert self.rules(lake)[0] == {
            "ID": "data-hist.events",
            "Status": "Enabled",
            "Filter": {"Prefix": "secor/events/"},
            "Transitions": [{"Days": 10, "StorageClass": "GLACIER"}],
            "Expiration": {"Days": 30},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
        assert self.rules(lake)[1]["Filter"] == {"Prefix": "compacted/events/"}
        assert "Transitions" not in self.rules(lake)[2]
        assert self.rules(lake)[2]["Expiration"] == {"Days": 10}
        longer = replace(SPEC, retention_days=11)
        plan = plan_lifecycle(lake.s3, SPEC.bucket, [longer])
        assert (plan.added, plan.changed, plan.removed) == ((), names[:2], names[2:])
        apply_lifecycle(lake.s3, plan)
        assert [rule["ID"] for rule in self.rules(lake)] == list(names[:2])

    def test_rules_of_others_stay_and_are_told_when_they_are_shorter(self, lake: Lake) -> None:
        foreign = [
            {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "secor/"}, "Expiration": {"Days": 7}},
            {"ID": "tmp", "Status": "Enabled", "Filter": {"Prefix": "tmp/"}, "Expiration": {"Days": 1}},
        ]
        lake.s3.put_bucket_lifecycle_configuration(Bucket=SPEC.bucket, LifecycleConfiguration={"Rules": foreign})
        plan = plan_lifecycle(lake.s3, SPEC.bucket, [SPEC])
        assert plan.foreign == ("theirs", "tmp")
        assert [warning for warning in plan.warnings if "'theirs'" in warning]
        assert not [warning for warning in plan.warnings if "'tmp'" in warning]
        apply_lifecycle(lake.s3, plan)
        assert self.rules(lake)[:2] == foreign
        apply_lifecycle(lake.s3, plan_lifecycle(lake.s3, SPEC.bucket, []))
        assert self.rules(lake) == foreign

    def test_somebody_elses_change_in_between_is_not_undone(self, lake: Lake) -> None:
        plan = plan_lifecycle(lake.s3, SPEC.bucket, [SPEC])
        theirs = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 7}}
        lake.s3.put_bucket_lifecycle_configuration(Bucket=SPEC.bucket, LifecycleConfiguration={"Rules": [theirs]})
        with pytest.raises(LifecycleChanged):
            apply_lifecycle(lake.s3, plan)
        assert self.rules(lake) == [theirs]

    def test_overrides_and_tags(self, lake: Lake) -> None:
        overrides = (
            RetentionOverride("bad-timestamps", RetentionTerms(3), prefix="dt=1970-01-01/"),
            RetentionOverride("acme", RetentionTerms(5, 9), tag=ObjectTag("customer", "11007")),
        )
        spec = replace(SPEC, retention_overrides=overrides)
        apply_lifecycle(lake.s3, plan_lifecycle(lake.s3, SPEC.bucket, [spec]))
        by_name = {rule["ID"]: rule for rule in self.rules(lake)}
        bad, acme = by_name["data-hist.events.override.bad-timestamps"], by_name["data-hist.events.override.acme"]
        assert (bad["Filter"], bad["Expiration"]) == ({"Prefix": "secor/events/dt=1970-01-01/"}, {"Days": 3})
        tags = [{"Key": "customer", "Value": "11007"}]
        assert acme["Filter"] == {"And": {"Prefix": "secor/events/", "Tags": tags}}
        assert not plan_lifecycle(lake.s3, SPEC.bucket, [spec]).has_changes

    def test_hash_folders_need_a_tag(self) -> None:
        hashed = replace(SPEC, layout=replace(SPEC.layout, has_md5_prefix=True))
        with pytest.raises(CannotKeepRetention, match="hash"):
            wanted_rules([hashed])
        rule, _ = wanted_rules([replace(hashed, retention_tag=ObjectTag("table", "events"))])
        assert rule["Filter"] == {"Tag": {"Key": "table", "Value": "events"}}
        assert "AbortIncompleteMultipartUpload" not in rule

    def test_more_rules_than_a_bucket_has_are_refused(self, lake: Lake) -> None:
        many = [replace(SPEC, name=f"t{number}", topic=f"t{number}") for number in range(1001)]
        with pytest.raises(CannotKeepRetention, match="1,000"):
            plan_lifecycle(lake.s3, SPEC.bucket, many)

    def test_a_table_inside_anothers_folder_is_told(self, lake: Lake) -> None:
        inner = replace(SPEC, name="logins", topic="login", layout=replace(SPEC.layout, prefix="secor/events"))
        plan = plan_lifecycle(lake.s3, SPEC.bucket, [SPEC, replace(inner, archive_days=90)])
        assert [warning for warning in plan.warnings if "logins lies inside the folder of events" in warning]


class TestSweep:
    def test_a_dry_run_changes_nothing_and_tells_what_apply_does(self, lake: Lake) -> None:
        lake.fill(OLD, YOUNG, TO_COME, BAD)
        before = lake.state()
        told = lake.sweep(ARCHIVING, apply=False)
        assert lake.state() == before
        done = lake.sweep(ARCHIVING)
        assert done.counts() == told.counts()
        assert done.dropped_partitions == done.forgotten_partitions == 3
        assert done.days == told.days
        assert [day.partition_count for day in done.days] == [1, 1, 1]
        assert done.failed == []
        assert not lake.sweep(ARCHIVING).has_work

    def test_the_old_leave_and_the_young_stay(self, lake: Lake) -> None:
        lake.fill(OLD, YOUNG, TO_COME, BAD)
        lake.sweep(ARCHIVING)
        registered, recorded, stored = lake.state()
        assert registered == recorded == values(YOUNG)
        leaving = ["GLACIER"] * 2 if isinstance(lake.s3, S3) else ["STANDARD"] * 2
        assert stored == {
            **dict.fromkeys(values(OLD, TO_COME, BAD), leaving),
            **dict.fromkeys(values(YOUNG), ["STANDARD"] * 2),
        }

    def test_before_that_nothing_leaves(self, lake: Lake) -> None:
        lake.fill(OLD, YOUNG, TO_COME, BAD)
        before = lake.state()
        assert not lake.sweep(TODAY + 9 * DAY).has_work
        assert lake.state() == before

    def test_where_the_lifecycle_moves_objects_only_the_catalogue_and_the_ledger_forget(self, lake: Lake) -> None:
        lake.fill(OLD)
        report = lake.sweep(EXPIRING, archives=False)
        assert (report.dropped_partitions, report.forgotten_partitions, report.deleted_objects) == (1, 1, 0)
        assert lake.state() == (set(), set(), dict.fromkeys(values(OLD), ["STANDARD"] * 2))

    def test_what_has_expired_is_gone(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded()
        lake.fill(OLD, YOUNG, TO_COME)
        lake.sweep(ARCHIVING)
        report = lake.sweep(EXPIRING)
        assert (report.deleted_objects, report.deleted_bytes, report.archived_objects) == (4, 40, 2)
        assert lake.state() == (set(), set(), dict.fromkeys(values(YOUNG), ["GLACIER"] * 2))
        assert lake.sweep(EXPIRING + 5 * DAY).deleted_objects == 2
        assert lake.state() == (set(), set(), {})
        assert list((lake.s3.root / SPEC.bucket).iterdir()) == []

    def test_without_an_archive_the_first_sweep_deletes(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded(table(retention_days=10, archive_days=None))
        lake.fill(OLD)
        assert lake.sweep(ARCHIVING).deleted_objects == 2
        assert lake.state() == (set(), set(), {})

    def test_one_that_came_late_keeps_its_partition(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded()
        lake.fill(OLD)
        lake.sweep(ARCHIVING)
        lake.s3._clock = lambda: ARCHIVING
        lake.put(OLD, offset=7)
        register_lake(lake.glue, lake.s3, lake.ledger, lake.spec)
        assert not lake.sweep(ARCHIVING + 9 * DAY).has_work
        assert lake.registered() == values(OLD)
        assert sorted(lake.stored()[values(OLD).pop()]) == ["GLACIER", "GLACIER", "STANDARD"]
        assert lake.sweep(ARCHIVING + 10 * DAY).archived_objects == 1

    def test_the_1970_folder_by_its_own_terms(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded(table(retention_days=10, archive_days=30, overrides=[("dt=1970-01-01/", RetentionTerms(3))]))
        lake.fill(OLD, BAD)
        assert lake.sweep(TODAY + 4 * DAY).deleted_objects == 2
        assert lake.state() == (values(OLD), values(OLD), dict.fromkeys(values(OLD), ["STANDARD"] * 2))

    def test_compacted_objects_leave_with_their_partition(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded()
        lake.fill(OLD)
        partition = PartitionSpec.from_datetime(OLD)
        folder = f"compacted/events/{partition.path()}/v2/"
        elsewhere = f"by-hand/{partition.path()}/"
        for key in (folder + "part.parquet", folder + "_manifest.json", elsewhere + "x"):
            lake.s3.put_object(Bucket=SPEC.bucket, Key=key, Body=b"x")
        for location, count in ((folder, 4), (elsewhere, 5), ("", 4)):
            entry = lake.spec.partition_input(partition)
            entry["StorageDescriptor"]["Location"] = f"s3://{SPEC.bucket}/{location}"
            lake.glue.update_partition(
                DatabaseName=SPEC.database,
                TableName=SPEC.name,
                PartitionValueList=list(partition.values()),
                PartitionInput=entry,
            )
            told = lake.sweep(ARCHIVING, apply=False)
            assert told.archived_objects == count
        lake.sweep(ARCHIVING)
        assert lake.sweep(EXPIRING).deleted_objects == 4  # what somebody put elsewhere by hand is theirs
        assert not lake.sweep(EXPIRING).has_work

    def test_a_partition_that_the_catalogue_keeps_keeps_its_objects(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded()
        lake.fill(OLD, BAD)
        kept = list(PartitionSpec.from_datetime(OLD).values())
        real = lake.glue

        class Stubborn:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def batch_delete_partition(self, **arguments: Any) -> Any:
                wanted = [item for item in arguments["PartitionsToDelete"] if item["Values"] != kept]
                real.batch_delete_partition(**{**arguments, "PartitionsToDelete": wanted})
                detail = {"ErrorCode": "InternalServiceException", "ErrorMessage": "try again"}
                return {"Errors": [{"PartitionValues": kept, "ErrorDetail": detail}]}

        lake.glue = Stubborn()
        report = lake.sweep(ARCHIVING)
        assert [partition for partition, _ in report.failed] == ["/".join(kept)]
        assert lake.state() == (
            values(OLD),
            values(OLD),
            {**dict.fromkeys(values(OLD), ["STANDARD"] * 2), **dict.fromkeys(values(BAD), ["GLACIER"] * 2)},
        )
        lake.glue = real
        assert lake.sweep(ARCHIVING).dropped_partitions == 1

    @pytest.mark.parametrize("moment", [ARCHIVING, EXPIRING], ids=["archiving", "expiring"])
    def test_killed_between_any_two_steps_the_next_sweep_ends_it(
        self, embedded: Callable[..., Lake], moment: datetime
    ) -> None:
        whole = embedded()
        whole.fill(OLD, YOUNG, TO_COME, BAD)
        whole.sweep(moment)
        for call in range(1, 200):
            lake = embedded()
            lake.fill(OLD, YOUNG, TO_COME, BAD)
            countdown = Countdown(call)
            glue, s3, ledger = (countdown.over(client) for client in (lake.glue, lake.s3, lake.ledger))
            try:
                sweep(glue, s3, ledger, lake.spec, now=moment, apply=True, archive=s3.archive)
            except Killed:
                registered, _, stored = lake.state()
                # what still answers has all its bytes
                assert all(stored[answering] == ["STANDARD"] * 2 for answering in registered)
                lake.sweep(moment)
                assert lake.state() == whole.state()
                assert not lake.sweep(moment).has_work
            else:
                assert call > 10
                return
        raise AssertionError("the sweep makes more calls than this test allows")

    def test_nobody_brings_back_what_has_left(self, embedded: Callable[..., Lake]) -> None:
        lake = embedded()
        lake.fill(OLD, YOUNG)
        # killed after the catalogue: the objects lie there, and the ledger knows them
        lake.glue.batch_delete_partition(
            DatabaseName=SPEC.database,
            TableName=SPEC.name,
            PartitionsToDelete=[{"Values": list(PartitionSpec.from_datetime(OLD).values())}],
        )
        for _ in range(2):
            report = reconcile(lake.glue, lake.s3, lake.ledger, lake.spec, apply=True, now=ARCHIVING)
            assert report.agrees
            tracker = PartitionTracker(lake.glue, lake.ledger, [lake.spec], clock=lambda: ARCHIVING)
            watch = FolderReconciler(lake.s3.root, [lake.spec], tracker, lake.ledger)
            watch.reconcile(watch.days(None))
            assert lake.registered() == values(YOUNG)
            lake.sweep(ARCHIVING)
        assert lake.recorded() == values(YOUNG)

    def test_an_empty_answer_is_explained(self, lake: Lake) -> None:
        lake.fill(OLD, YOUNG)
        lake.sweep(ARCHIVING)

        def codes(start: datetime, end: datetime) -> list[str]:
            reasons = explain_range(lake.glue, lake.s3, lake.ledger, lake.spec, start, end, now=ARCHIVING)
            return [reason.code for reason in reasons]

        minute = timedelta(minutes=1)
        assert codes(OLD - minute, OLD + minute)[0] == "expired"
        assert codes(OLD - minute, YOUNG - 2 * DAY)[0] == "before_first"
        assert "expired" in codes(OLD - minute, YOUNG - minute)
        assert "expired" not in codes(YOUNG - minute, YOUNG + minute)


class Countdown:
    """Ends the process at the n-th call that any of some clients gets, before the call is made."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def over(self, client: Any) -> Any:
        countdown = self

        class Counted:
            def __getattr__(self, name: str) -> Any:
                method = getattr(client, name)

                def call(*positional: Any, **named: Any) -> Any:
                    countdown.left -= 1
                    if countdown.left == 0:
                        raise Killed
                    return method(*positional, **named)

                return call

        return Counted()


def test_the_shipped_tables_keep_what_the_design_says() -> None:
    rule = wanted_rules([EVENTS])[0]
    assert (rule["Transitions"][0]["Days"], rule["Expiration"]["Days"]) == (365, 2555)
