"""A small lake with its catalogue and an embedded Athena over it: what the tests of the embedded Athena stand on."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from embedded.athena import Athena
from embedded.glue import Glue
from embedded.s3 import S3

LAKE = "data-hist-lake"
RESULTS = "data-hist-results"
DATABASE = "data_hist"
OPENX = "org.openx.data.jsonserde.JsonSerDe"
EVENT_COLUMNS = {
    "resourceid": "string",
    "customerid": "bigint",
    "operationid": "string",
    "servicename": "string",
    "createdtimestamp": "bigint",
    "datatags": "map<string,string>",
    "arrivaltimestamp": "bigint",
    "service": "string",
    "data": "string",
}
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A record in the v0 envelope; numbers make customers 11000, 11001 ... and times a second apart."""
    record = {
        "resourceid": "",
        "customerid": 11000 + number,
        "operationid": "",
        "servicename": "iam-admin",
        "createdtimestamp": 1_767_225_600_000 + number * 1000,
        "datatags": {"kind": f"k{number % 3}"},
        "arrivaltimestamp": 1_767_225_601_000 + number * 1000,
        "service": "iam-admin",
        "data": json.dumps({"type": "PushEvent", "n": number}),
    }
    return {**record, **changes}


def lines(*records: Mapping[str, Any] | bytes) -> bytes:
    """Records as JSON lines; bytes stand as they are."""
    return b"".join(
        (record if isinstance(record, bytes) else json.dumps(record).encode()) + b"\n" for record in records
    )


def zipped(*records: Mapping[str, Any] | bytes) -> bytes:
    return gzip.compress(lines(*records))


class World:
    """An S3 folder, a Glue and an Athena below one folder; `reopened()` is the same after a restart."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.settings = settings
        self.s3 = S3(root / "s3")
        for bucket in (LAKE, RESULTS):
            self.s3.create_bucket(Bucket=bucket)
        self.glue = Glue(root / "catalogue.sqlite")
        self.athena = Athena(
            glue=self.glue,
            s3=self.s3,
            path=root / "athena.sqlite",
            temporary_directory=root / "tmp",
            memory_limit="500MB",
            **settings,
        )

    def close(self) -> None:
        self.athena.close()
        self.glue.close()

    def reopened(self) -> World:
        self.close()
        return World(self.root, **self.settings)

    # ---------------------------------------------------------------------------------------------------- the lake

    def create_database(self, name: str = DATABASE) -> None:
        self.glue.create_database(DatabaseInput={"Name": name})

    def create_table(
        self,
        name: str = "events",
        *,
        columns: Mapping[str, str] = EVENT_COLUMNS,
        keys: Mapping[str, str] | Sequence[str] = ("dt", "hr", "min"),
        serde: str = OPENX,
        serde_properties: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        location: str | None = None,
    ) -> None:
        key_types = dict(keys) if isinstance(keys, Mapping) else dict.fromkeys(keys, "string")
        self.glue.create_table(
            DatabaseName=DATABASE,
            TableInput={
                "Name": name,
                "TableType": "EXTERNAL_TABLE",
                "Parameters": dict(parameters or {}),
                "PartitionKeys": [{"Name": key, "Type": text} for key, text in key_types.items()],
                "StorageDescriptor": {
                    "Columns": [{"Name": column, "Type": text} for column, text in columns.items()],
                    "Location": location if location is not None else f"s3://{LAKE}/secor/{name}/",
                    "SerdeInfo": {"SerializationLibrary": serde, "Parameters": dict(serde_properties or {})},
                },
            },
        )

    def put(self, key: str, body: bytes, bucket: str = LAKE) -> None:
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def add_partition(self, *values: str, table: str = "events", location: str | None = None) -> str:
        """Registers a partition in Secor's layout. Returns the prefix of its keys."""
        prefix = f"secor/{table}/" + "".join(
            f"{key}={value}/" for key, value in zip(("dt", "hr", "min"), values, strict=False)
        )
        self.glue.batch_create_partition(
            DatabaseName=DATABASE,
            TableName=table,
            PartitionInputList=[
                {
                    "Values": list(values),
                    "StorageDescriptor": {"Location": location if location is not None else f"s3://{LAKE}/{prefix}"},
                }
            ],
        )
        return prefix

    def add_events(self, dt: str, hr: str, minute: str, body: bytes, name: str = "1_0_00000000000000000000.gz") -> str:
        """A partition with one object. Returns the object's uri."""
        prefix = self.add_partition(dt, hr, minute)
        self.put(prefix + name, body)
        return f"s3://{LAKE}/{prefix}{name}"

    # ------------------------------------------------------------------------------------------------- the queries

    def start(self, sql: str, **arguments: Any) -> str:
        arguments.setdefault("QueryExecutionContext", {"Database": DATABASE})
        arguments.setdefault("ResultConfiguration", {"OutputLocation": f"s3://{RESULTS}/out/"})
        return str(self.athena.start_query_execution(QueryString=sql, **arguments)["QueryExecutionId"])

    def wait(self, execution_id: str) -> dict[str, Any]:
        """The execution once it has ended; a test's own time limit ends the waiting otherwise."""
        while True:
            found: dict[str, Any] = self.athena.get_query_execution(QueryExecutionId=execution_id)["QueryExecution"]
            if found["Status"]["State"] in ENDED:
                return found
            time.sleep(0.002)

    def run(self, sql: str, **arguments: Any) -> dict[str, Any]:
        return self.wait(self.start(sql, **arguments))

    def rows(self, sql: str, **arguments: Any) -> list[tuple[str | None, ...]]:
        """All rows of a query, the header left out. Fails with Athena's reason."""
        execution = self.run(sql, **arguments)
        assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"].get("StateChangeReason")
        found = list(self.pages(execution["QueryExecutionId"]))
        is_query = execution["ResultConfiguration"]["OutputLocation"].endswith(".csv")
        return found[1:] if is_query else found

    def pages(self, execution_id: str, size: int = 1000) -> Iterable[tuple[str | None, ...]]:
        arguments: dict[str, Any] = {"QueryExecutionId": execution_id, "MaxResults": size}
        while True:
            page = self.athena.get_query_results(**arguments)
            for row in page["ResultSet"]["Rows"]:
                yield tuple(datum.get("VarCharValue") for datum in row["Data"])
            if "NextToken" not in page:
                return
            arguments["NextToken"] = page["NextToken"]

    def reason(self, sql: str, **arguments: Any) -> str:
        """Why a statement fails."""
        execution = self.run(sql, **arguments)
        assert execution["Status"]["State"] == "FAILED", execution["Status"]["State"]
        return str(execution["Status"]["StateChangeReason"])

    def result_object(self, execution: Mapping[str, Any], suffix: str = "") -> bytes:
        location = execution["ResultConfiguration"]["OutputLocation"] + suffix
        bucket, _, key = location.removeprefix("s3://").partition("/")
        return bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())
