"""Keys of S3 in a folder: any keys together, each its own object, in S3's order, never outside the bucket."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from embedded.s3 import S3

segments = st.sampled_from(
    ["", ".", "..", "a", "b", "a-", "a0", ".%~a", ".%-a", ".%+a", ".%", "%2e%2e", "a\0b", "~", "x" * 300]
) | st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=8)
keys = st.lists(segments, min_size=1, max_size=4).map("/".join).filter(lambda key: 0 < len(key.encode()) <= 1024)


@given(chosen=st.lists(keys, min_size=1, max_size=8, unique=True), data=st.data())
@settings(max_examples=150, deadline=None)
def test_keys_round_trip(chosen: list[str], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        s3 = S3(Path(folder) / "root")
        s3.create_bucket(Bucket="lake")
        for key in chosen:
            s3.put_object(Bucket="lake", Key=key, Body=key.encode())
            assert s3.path("lake", key).is_relative_to(Path(folder) / "root" / "lake")
        listed = [item["Key"] for item in s3.list_objects_v2(Bucket="lake").get("Contents", [])]
        assert listed == sorted(chosen, key=str.encode)
        assert [item.key for item in s3.list_files("lake", "")] == listed
        for key in chosen:
            assert s3.get_object(Bucket="lake", Key=key)["Body"].read() == key.encode()

        start_after = data.draw(st.sampled_from(chosen) | keys)
        page = s3.list_objects_v2(Bucket="lake", StartAfter=start_after)
        assert [item["Key"] for item in page.get("Contents", [])] == [key for key in listed if key > start_after]

        prefix = data.draw(st.sampled_from(chosen).flatmap(lambda key: st.integers(0, len(key)).map(lambda n: key[:n])))
        expected_keys, expected_prefixes = folded(listed, prefix)
        pages = list(
            s3.get_paginator("list_objects_v2").paginate(
                Bucket="lake", Prefix=prefix, Delimiter="/", PaginationConfig={"PageSize": 2}
            )
        )
        assert [item["Key"] for page in pages for item in page.get("Contents", [])] == expected_keys
        assert [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])] == expected_prefixes

        for key in chosen[1:]:
            s3.delete_object(Bucket="lake", Key=key)
        assert [item.key for item in s3.list_files("lake", "")] == chosen[:1]
        s3.delete_object(Bucket="lake", Key=chosen[0])
        assert list((Path(folder) / "root" / "lake").iterdir()) == []


@given(chosen=st.lists(keys, min_size=1, max_size=6, unique=True), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_key_goes_to_the_archive_and_back(chosen: list[str], data: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        s3 = S3(Path(folder) / "root")
        s3.create_bucket(Bucket="lake")
        for key in chosen:
            s3.put_object(Bucket="lake", Key=key, Body=key.encode())
        archived = set(data.draw(st.lists(st.sampled_from(chosen), unique=True)))
        for key in sorted(archived) * 2:
            assert s3.archive("lake", key, unless_newer_than=datetime.max.replace(tzinfo=UTC))
        listed = s3.list_objects_v2(Bucket="lake")["Contents"]
        assert [item["Key"] for item in listed] == sorted(chosen, key=str.encode)
        assert {item["Key"] for item in listed if item["StorageClass"] == "GLACIER"} == archived
        assert {item.key for item in s3.list_files("lake", "")} == set(chosen) - archived
        for key in archived:
            s3.restore_object(Bucket="lake", Key=key, RestoreRequest={"Days": 1})
            assert s3.get_object(Bucket="lake", Key=key)["Body"].read() == key.encode()
            s3.archive("lake", key, unless_newer_than=datetime.max.replace(tzinfo=UTC))
        for key in chosen:
            s3.delete_object(Bucket="lake", Key=key)
        assert list((Path(folder) / "root" / "lake").iterdir()) == []


def folded(listed: list[str], prefix: str) -> tuple[list[str], list[str]]:
    """S3's rule for a delimiter '/', by its definition."""
    found_keys: list[str] = []
    found_prefixes: list[str] = []
    for key in listed:
        if not key.startswith(prefix):
            continue
        at = key.find("/", len(prefix))
        if at < 0:
            found_keys.append(key)
        elif key[: at + 1] not in found_prefixes:
            found_prefixes.append(key[: at + 1])
    return found_keys, found_prefixes
