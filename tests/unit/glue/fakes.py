"""Hand-written clients with boto3's shapes: as much of Glue and S3 as the ingest side can notice."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from glue.table_spec import reference_of

LAST_MODIFIED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def client_error(operation: str, code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class InMemoryS3:
    """Buckets of bytes; lists in key order, `page_size` keys a page."""

    def __init__(self, *, page_size: int = 1000) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.buckets: set[str] = set()
        self.page_size = page_size

    def create_bucket(self, *, Bucket: str) -> dict[str, Any]:  # noqa: N803  boto3's names
        if Bucket in self.buckets:
            raise client_error("CreateBucket", "BucketAlreadyOwnedByYou")
        self.buckets.add(Bucket)
        return {}

    def head_bucket(self, *, Bucket: str) -> dict[str, Any]:  # noqa: N803
        return {}

    def put_object(self, *, Bucket: str, Key: str, Body: Any, **_: Any) -> dict[str, Any]:  # noqa: N803
        self.objects[Bucket, Key] = Body if isinstance(Body, bytes) else Body.read()
        return {}

    def list_objects_v2(
        self,
        *,
        Bucket: str,  # noqa: N803
        Prefix: str = "",  # noqa: N803
        ContinuationToken: str = "",  # noqa: N803
        StartAfter: str = "",  # noqa: N803
    ) -> dict[str, Any]:
        after = max(ContinuationToken, StartAfter)
        keys = sorted(k for b, k in self.objects if b == Bucket and k.startswith(Prefix) and k > after)
        page = keys[: self.page_size]
        answer: dict[str, Any] = {"IsTruncated": len(keys) > len(page), "KeyCount": len(page)}
        if page:
            answer["Contents"] = [
                {"Key": k, "Size": len(self.objects[Bucket, k]), "LastModified": LAST_MODIFIED} for k in page
            ]
        if answer["IsTruncated"]:
            answer["NextContinuationToken"] = page[-1]
        return answer


class InMemoryGlue:
    """A catalogue; `failures` maps partition values to the errors their next creations meet."""

    def __init__(self) -> None:
        self.databases: set[str] = set()
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        self.table_versions: dict[tuple[str, str], int] = {}
        self.partitions: dict[tuple[str, ...], dict[str, Any]] = {}
        self.batch_sizes: list[int] = []
        self.failures: dict[tuple[str, ...], list[str]] = {}
        self.call_failures: list[str] = []

    def create_database(self, *, DatabaseInput: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        if DatabaseInput["Name"] in self.databases:
            raise client_error("CreateDatabase", "AlreadyExistsException")
        self.databases.add(DatabaseInput["Name"])
        return {}

    def get_table(self, *, DatabaseName: str, Name: str) -> dict[str, Any]:  # noqa: N803
        if (DatabaseName, Name) not in self.tables:
            raise client_error("GetTable", "EntityNotFoundException")
        return {"Table": self.tables[DatabaseName, Name]}

    def create_table(self, *, DatabaseName: str, TableInput: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self.tables[DatabaseName, TableInput["Name"]] = TableInput
        return {}

    def get_partitions(self, *, DatabaseName: str, TableName: str) -> dict[str, Any]:  # noqa: N803
        return {"Partitions": [entry for key, entry in self.partitions.items() if key[0] == TableName]}

    def update_table(
        self,
        *,
        DatabaseName: str,  # noqa: N803
        TableInput: dict[str, Any],  # noqa: N803
        SkipArchive: bool = False,  # noqa: N803
    ) -> dict[str, Any]:
        assert SkipArchive
        key = DatabaseName, TableInput["Name"]
        self.tables[key] = TableInput
        self.table_versions[key] = self.table_versions.get(key, 0) + 1
        return {}

    def batch_create_partition(
        self,
        *,
        DatabaseName: str,  # noqa: N803
        TableName: str,  # noqa: N803
        PartitionInputList: list[dict[str, Any]],  # noqa: N803
    ) -> dict[str, Any]:
        if self.call_failures:
            raise client_error("BatchCreatePartition", self.call_failures.pop(0), "not now")
        self.batch_sizes.append(len(PartitionInputList))
        table = reference_of(TableName, DatabaseName)
        errors = []
        for entry in PartitionInputList:
            values = tuple(entry["Values"])
            code = self.failures[values].pop(0) if self.failures.get(values) else ""
            if not code and (table, *values) in self.partitions:
                code = "AlreadyExistsException"
            if code:
                detail = {"ErrorCode": code, "ErrorMessage": f"{code} it is"}
                errors.append({"PartitionValues": list(values), "ErrorDetail": detail})
            else:
                self.partitions[table, *values] = entry
        return {"Errors": errors}
