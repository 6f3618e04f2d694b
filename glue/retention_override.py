"""Overrides of how long a table's data stays: which can be said, and which cannot be kept.

Rows of many customers share objects, and storage forgets objects, not rows. So an override applies where objects are
apart: below a **prefix** of the table's folder, or under an object **tag** that the writer sets. And S3 applies every
lifecycle rule that fits an object, so that the earliest transition and the earliest expiration win: an override can
shorten what the table says. It can lengthen it only where the two rules never fit the same object, which is when the
table itself is told by a tag (`retention_tag`) and the override by another value of the same tag.

    retention_days: 365
    archive_days: 2555
    retention_overrides:
      - {name: bad-timestamps, prefix: "dt=1970-01-01/", retention_days: 30}
      - {name: acme, tag: {key: customer, value: "11007"}, retention_days: 90, archive_days: 400}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PREFIX = re.compile(r"[0-9A-Za-z!_.*'()=:+-]+(/[0-9A-Za-z!_.*'()=:+-]+)*/")
_MEMBERS = frozenset({"name", "prefix", "tag", "customers", "retention_days", "archive_days"})
# S3: a tag's key has at most 128 characters, its value at most 256.
_TAG_KEY_LIMIT, _TAG_VALUE_LIMIT = 128, 256
_DAYS_LIMIT = 36_500


@dataclass(frozen=True)
class ObjectTag:
    """A tag of S3 objects."""

    key: str
    value: str


@dataclass(frozen=True)
class RetentionTerms:
    """How long data stays: queryable for `retention_days`, then in the archive until `archive_days` (None: no archive).

    Both count from the day an object came.
    """

    retention_days: int
    archive_days: int | None = None

    @property
    def expiration_days(self) -> int:
        """After how many days the bytes are gone."""
        return self.retention_days if self.archive_days is None else self.archive_days

    def is_longer_than(self, other: RetentionTerms) -> bool:
        """Whether anything of it comes later than with the other terms."""
        return self.retention_days > other.retention_days or self.expiration_days > other.expiration_days


@dataclass(frozen=True)
class RetentionOverride:
    """Other terms for the objects below a prefix of the table's folder, or with a tag; exactly one of the two."""

    name: str
    terms: RetentionTerms
    prefix: str | None = None
    tag: ObjectTag | None = None


def retention_terms(document: Mapping[str, Any]) -> RetentionTerms:
    """`retention_days` and `archive_days` of a document. Raises ValueError, KeyError."""
    retention, archive = document["retention_days"], document.get("archive_days")
    for name, days in (("retention_days", retention), ("archive_days", archive)):
        if days is not None and (not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= _DAYS_LIMIT):
            raise ValueError(f"{name} {days!r} is not a number of days from 1 to {_DAYS_LIMIT:,}")
    if archive is not None and archive <= retention:
        raise ValueError(f"archive_days {archive} is not after retention_days {retention}")
    return RetentionTerms(retention, archive)


def object_tag(document: object) -> ObjectTag:
    """A tag written `{key: .., value: ..}`. Raises ValueError."""
    if not isinstance(document, Mapping) or set(document) != {"key", "value"}:
        raise ValueError(f"a tag is written {{key: .., value: ..}}, not {document!r}")
    key, value = str(document["key"]), str(document["value"])
    if not 0 < len(key) <= _TAG_KEY_LIMIT or len(value) > _TAG_VALUE_LIMIT or key.startswith("aws:"):
        raise ValueError(f"{key[:200]!r}={value[:300]!r} is no tag of an S3 object")
    return ObjectTag(key, value)


def retention_overrides(
    documents: Iterable[Mapping[str, Any]], table_terms: RetentionTerms, table_tag: ObjectTag | None
) -> tuple[RetentionOverride, ...]:
    """The overrides of a table spec. Raises ValueError for what cannot be meant or kept; it says why."""
    found = [_override(document) for document in documents]
    names = [override.name for override in found]
    if len(set(names)) != len(names):
        raise ValueError("two retention_overrides have the same name")
    for override in found:
        is_apart = table_tag is not None and override.tag is not None and override.tag.key == table_tag.key
        if is_apart and override.tag == table_tag:
            raise ValueError(f"retention override {override.name}: its tag is the table's own")
        if override.terms.is_longer_than(table_terms) and not is_apart:
            raise ValueError(
                f"retention override {override.name} keeps data longer than the table: S3 applies the earliest of all"
                " rules that fit an object, so an override can only shorten (docs/retention.md)"
            )
    return tuple(found)


def _override(document: Mapping[str, Any]) -> RetentionOverride:
    if not isinstance(document, Mapping):
        raise ValueError(f"a retention override is a mapping, not {document!r}")
    name = str(document.get("name", ""))
    if not _NAME.fullmatch(name):
        raise ValueError(f"retention override {name!r}: a name has lower-case letters, digits and dashes only")
    unknown = set(document) - _MEMBERS
    if unknown:
        raise ValueError(f"retention override {name}: unknown {', '.join(sorted(unknown))}")
    if "prefix" not in document and "tag" not in document:
        raise ValueError(
            f"retention override {name} names no prefix and no tag: rows of customers share objects, and storage"
            " forgets objects, not rows (docs/retention.md)"
        )
    if "prefix" in document and "tag" in document:
        raise ValueError(f"retention override {name} names a prefix and a tag; one of them")
    prefix = document.get("prefix")
    if prefix is not None and not (_PREFIX.fullmatch(str(prefix)) and ".." not in str(prefix).split("/")):
        raise ValueError(
            f"retention override {name}: {prefix!r} is no folder below the table's, such as 'dt=1970-01-01/'"
        )
    try:
        # an override that says nothing of the archive has none: its data is gone after retention_days
        terms = retention_terms(document)
    except KeyError as error:
        raise ValueError(f"retention override {name}: {error.args[0]} is missing") from error
    except ValueError as error:
        raise ValueError(f"retention override {name}: {error}") from error
    return RetentionOverride(name, terms, prefix, object_tag(document["tag"]) if "tag" in document else None)
