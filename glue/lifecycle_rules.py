"""Lifecycle rules of the lake's buckets, from table specs: to Glacier after retention_days, gone after archive_days.

    specs -> wanted_rules -> plan_lifecycle (what the bucket has) -> apply_lifecycle (PutBucketLifecycleConfiguration)

A bucket has one lifecycle configuration, and a put replaces it whole. So rules are merged: those whose ID begins with
`data-hist.` are this project's, and are made what the specs say; every other rule is put back as it was. Doing it twice
equals doing it once: a plan without a difference puts nothing. Sources: S3 user guide, "Lifecycle configuration
elements", "Conflicts in lifecycle configurations"; API reference, PutBucketLifecycleConfiguration.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import error_code
from glue.data_retention import compacted_prefix
from glue.retention_override import ObjectTag, RetentionTerms
from glue.table_spec import TableSpec

ID_PREFIX = "data-hist."
RULE_LIMIT = 1000
ARCHIVE_CLASS = "GLACIER"
# Glacier Flexible Retrieval is paid for 90 days at least, and each object brings 40 kB of its own.
ARCHIVE_MINIMUM_DAYS = 90
_ABORT_DAYS = 7
_DEFAULT_MINIMUM = "all_storage_classes_128K"


class LifecycleClient(Protocol):
    """The part of boto3's S3 client that is used here."""

    def get_bucket_lifecycle_configuration(self, **arguments: Any) -> Any: ...
    def put_bucket_lifecycle_configuration(self, **arguments: Any) -> Any: ...
    def get_bucket_versioning(self, **arguments: Any) -> Any: ...


class CannotKeepRetention(ValueError):
    """A table whose retention no lifecycle rule can express; says which and why."""


class LifecycleChanged(Exception):
    """Somebody changed the bucket's lifecycle between the plan and now; plan again."""


@dataclass(frozen=True)
class LifecyclePlan:
    """What a bucket's lifecycle will be. `added`, `changed`, `removed` are IDs of this project's rules; `foreign` the
    others', which stay as they are.
    """

    bucket: str
    rules: tuple[Mapping[str, Any], ...]
    current: tuple[Mapping[str, Any], ...]
    minimum_object_size: str | None
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    foreign: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def has_changes(self) -> bool:
        """Whether there is anything to put."""
        return bool(self.added or self.changed or self.removed)

    @property
    def own_rules(self) -> tuple[Mapping[str, Any], ...]:
        """The rules of this project."""
        return tuple(rule for rule in self.rules if _is_own(rule))

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        names = ("bucket", "added", "changed", "removed", "foreign", "warnings", "has_changes")
        return {name: getattr(self, name) for name in names} | {"rules": list(self.own_rules)}


def wanted_rules(specs: Iterable[TableSpec]) -> list[dict[str, Any]]:
    """The rules of these tables, all of one bucket. Raises CannotKeepRetention."""
    specs = list(specs)
    rules = [rule for spec in specs for rule in _rules(spec)]
    for spec in specs:
        if spec.layout.has_md5_prefix and spec.retention_tag is None:
            raise CannotKeepRetention(
                f"{spec.reference}: its keys begin with a hash, so that no prefix holds them; the objects need a tag"
                " (retention_tag), which their writer has to set"
            )
    return rules


def plan_lifecycle(s3_client: LifecycleClient, bucket: str, specs: Iterable[TableSpec]) -> LifecyclePlan:
    """What applying these specs would change of a bucket. Raises CannotKeepRetention."""
    specs = [spec for spec in specs if spec.bucket == bucket]
    wanted = wanted_rules(specs)
    current, minimum = _configuration(s3_client, bucket)
    own = {rule["ID"]: rule for rule in current if _is_own(rule)}
    foreign = [rule for rule in current if not _is_own(rule)]
    if len(foreign) + len(wanted) > RULE_LIMIT:
        raise CannotKeepRetention(
            f"{bucket}: {len(wanted)} rules beside {len(foreign)} of others are more than the {RULE_LIMIT:,} that fit"
        )
    names = [rule["ID"] for rule in wanted]
    return LifecyclePlan(
        bucket=bucket,
        rules=(*foreign, *wanted),
        current=tuple(current),
        minimum_object_size=minimum,
        added=tuple(name for name in names if name not in own),
        changed=tuple(rule["ID"] for rule in wanted if rule["ID"] in own and not _is_same(rule, own[rule["ID"]])),
        removed=tuple(sorted(set(own) - set(names))),
        foreign=tuple(str(rule.get("ID", "(no ID)")) for rule in foreign),
        warnings=tuple(_warnings(s3_client, bucket, specs, foreign, minimum)),
    )


def apply_lifecycle(s3_client: LifecycleClient, plan: LifecyclePlan) -> bool:
    """The bucket has the plan's rules afterwards; whether anything was put.

    Raises LifecycleChanged when the bucket's rules are not those the plan was made for: a put would undo somebody's.
    """
    if not plan.has_changes:
        return False
    current, _ = _configuration(s3_client, plan.bucket)
    if list(map(_text, current)) != list(map(_text, plan.current)):
        raise LifecycleChanged(f"the lifecycle of {plan.bucket} was changed by somebody else meanwhile")
    arguments: dict[str, Any] = {}
    if plan.minimum_object_size is not None:
        arguments["TransitionDefaultMinimumObjectSize"] = plan.minimum_object_size  # a put without it resets it
    s3_client.put_bucket_lifecycle_configuration(
        Bucket=plan.bucket, LifecycleConfiguration={"Rules": [dict(rule) for rule in plan.rules]}, **arguments
    )
    return True


def _rules(spec: TableSpec) -> Iterable[dict[str, Any]]:
    prefixes = spec.layout.listing_prefixes(spec.topic)
    name = f"{ID_PREFIX}{spec.reference}"
    for number, prefix in enumerate(prefixes, start=1):
        rule = _rule(name if number == 1 else f"{name}.{number}", prefix, spec.retention_tag, spec.retention_terms)
        if spec.retention_tag is None:
            rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": _ABORT_DAYS}
        yield rule
    compacted = compacted_prefix(spec)  # written by this project, so untagged and without hash folders
    yield _rule(f"{name}.compacted", compacted, None, spec.retention_terms)
    for override in spec.retention_overrides:
        if override.prefix is not None:
            below = compacted + override.prefix
            yield _rule(f"{name}.override.{override.name}.compacted", below, None, override.terms)
        for number, prefix in enumerate(prefixes, start=1):
            if override.prefix is not None and spec.layout.has_md5_prefix:
                raise CannotKeepRetention(f"{spec.reference}: override {override.name}: its folders begin with a hash")
            suffix = "" if number == 1 else f".{number}"
            below = prefix + (override.prefix or "")
            yield _rule(f"{name}.override.{override.name}{suffix}", below, override.tag, override.terms)


def _rule(name: str, prefix: str, tag: ObjectTag | None, terms: RetentionTerms) -> dict[str, Any]:
    chosen: dict[str, Any] = {"Prefix": prefix}
    if tag is not None:
        tags = {"Key": tag.key, "Value": tag.value}
        chosen = {"And": {"Prefix": prefix, "Tags": [tags]}} if prefix else {"Tag": tags}
    rule: dict[str, Any] = {"ID": name, "Status": "Enabled", "Filter": chosen}
    if terms.archive_days is not None:
        rule["Transitions"] = [{"Days": terms.retention_days, "StorageClass": ARCHIVE_CLASS}]
    rule["Expiration"] = {"Days": terms.expiration_days}
    return rule


def _configuration(s3_client: LifecycleClient, bucket: str) -> tuple[list[Mapping[str, Any]], str | None]:
    try:
        answer = s3_client.get_bucket_lifecycle_configuration(Bucket=bucket)
    except ClientError as error:
        if error_code(error) != "NoSuchLifecycleConfiguration":
            raise
        return [], None
    return list(answer.get("Rules", ())), answer.get("TransitionDefaultMinimumObjectSize")


def _warnings(
    s3_client: LifecycleClient,
    bucket: str,
    specs: Sequence[TableSpec],
    foreign: Sequence[Mapping[str, Any]],
    minimum: str | None,
) -> Iterable[str]:
    for spec in specs:
        prefixes = spec.layout.listing_prefixes(spec.topic)
        for rule in foreign:
            days = rule.get("Expiration", {}).get("Days")
            is_met = any(_overlap(prefix, _prefix_of(rule)) for prefix in prefixes)
            if (
                rule.get("Status") == "Enabled"
                and days is not None
                and is_met
                and days < spec.retention_terms.expiration_days
            ):
                yield (
                    f"rule {rule.get('ID', '(no ID)')!r} of somebody else lets objects of {spec.reference} expire after"
                    f" {days} days: the earliest of all rules wins"
                )
        for other in specs:
            if other is spec or not other.retention_terms.is_longer_than(spec.retention_terms):
                continue
            if any(
                inner.startswith(outer) for inner in other.layout.listing_prefixes(other.topic) for outer in prefixes
            ):
                yield f"{other.reference} lies inside the folder of {spec.reference}, whose shorter retention wins"
        terms = spec.retention_terms
        if terms.archive_days is not None and terms.archive_days - terms.retention_days < ARCHIVE_MINIMUM_DAYS:
            yield f"{spec.reference}: Glacier is paid for {ARCHIVE_MINIMUM_DAYS} days at least"
    if minimum in (None, _DEFAULT_MINIMUM) and any(spec.archive_days is not None for spec in specs):
        yield "objects under 128 kB stay in STANDARD (S3's default); they expire all the same"
    if s3_client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled":
        yield f"{bucket} keeps versions: what expires stays as a noncurrent version until a rule of yours ends it"


def _is_own(rule: Mapping[str, Any]) -> bool:
    return str(rule.get("ID", "")).startswith(ID_PREFIX)


def _prefix_of(rule: Mapping[str, Any]) -> str:
    chosen = rule.get("Filter", {})
    return str(rule.get("Prefix", chosen.get("Prefix", chosen.get("And", {}).get("Prefix", ""))))


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _text(one) == _text(other)


def _text(rule: Mapping[str, Any]) -> str:
    return json.dumps(rule, sort_keys=True, default=str)
