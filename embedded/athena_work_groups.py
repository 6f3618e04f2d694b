"""Workgroups: where results go, how much a query may scan, who may change that; and the tags of resources.

`primary` always exists, enforces nothing and has no output location. A workgroup made by a client enforces its
configuration unless the client says otherwise. Source: Athena API reference, WorkGroupConfiguration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedded.athena_client import ENGINE_VERSION, AthenaClient, Clock, with_token
from embedded.aws_shape import ACCOUNT_ID, REGION_NAME, Answer, Request, operation

PRIMARY = "primary"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS work_groups (name TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tags (resource TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (resource, key));
"""


@dataclass(frozen=True)
class WorkGroup:
    """A workgroup as GetWorkGroup tells it."""

    name: str
    state: str
    configuration: Mapping[str, Any]
    description: str
    created_at: datetime

    @property
    def is_enforced(self) -> bool:
        return bool(self.configuration.get("EnforceWorkGroupConfiguration"))

    @property
    def result_configuration(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.configuration.get("ResultConfiguration") or {}
        return found

    @property
    def maximum_scanned_bytes(self) -> int | None:
        return self.configuration.get("BytesScannedCutoffPerQuery")

    def summary(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "State": self.state,
            "Description": self.description,
            "CreationTime": self.created_at,
            "EngineVersion": self.configuration.get("EngineVersion", dict(ENGINE_VERSION)),
        }

    def document(self) -> dict[str, Any]:
        return {
            "Name": self.name,
            "State": self.state,
            "Configuration": dict(self.configuration),
            "Description": self.description,
            "CreationTime": self.created_at,
        }


_DEFAULT_CONFIGURATION: Mapping[str, Any] = {
    "ResultConfiguration": {},
    "EnforceWorkGroupConfiguration": True,
    "PublishCloudWatchMetricsEnabled": True,
    "RequesterPaysEnabled": False,
}


class WorkGroupOperations(AthenaClient):
    """The workgroup and tag operations."""

    def __init__(self, *, glue: Any, path: Path, clock: Clock) -> None:
        super().__init__(glue=glue, path=path, clock=clock)
        with self._lock, self._database:
            self._database.executescript(_SCHEMA)
        if self._find(PRIMARY) is None:
            configuration = {
                **_DEFAULT_CONFIGURATION,
                "EnforceWorkGroupConfiguration": False,
                "PublishCloudWatchMetricsEnabled": False,
                "EngineVersion": dict(ENGINE_VERSION),
            }
            self._store(WorkGroup(PRIMARY, "ENABLED", configuration, "", clock()))

    # ------------------------------------------------------------------------------------------------ storage

    def _find(self, name: str) -> WorkGroup | None:
        with self._lock:
            row = self._database.execute("SELECT document FROM work_groups WHERE name = ?", (name,)).fetchone()
        return _from_document(row[0]) if row else None

    def _store(self, group: WorkGroup) -> None:
        document = {**group.document(), "CreationTime": group.created_at.timestamp()}
        with self._lock, self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO work_groups VALUES (?, ?)", (group.name, json.dumps(document))
            )

    def work_group(self, operation_name: str, name: str) -> WorkGroup:
        """Raises InvalidRequestException for one that does not exist."""
        found = self._find(name)
        if found is None:
            raise self.invalid(operation_name, f"WorkGroup {name} is not found.", "WORKGROUP_NOT_FOUND")
        return found

    # --------------------------------------------------------------------------------------------- operations

    @operation("CreateWorkGroup")
    def create_work_group(self, request: Request) -> Answer:
        name = request["Name"]
        with self._lock:
            if self._find(name) is not None:
                raise self.invalid("CreateWorkGroup", "WorkGroup is already created")
            configuration = {**_DEFAULT_CONFIGURATION, **request.get("Configuration", {})}
            configuration["EngineVersion"] = _engine_version(configuration.get("EngineVersion"))
            self._store(WorkGroup(name, "ENABLED", configuration, request.get("Description", ""), self._clock()))
            self._set_tags(_arn(name), request.get("Tags", ()))
        return {}

    @operation("GetWorkGroup")
    def get_work_group(self, request: Request) -> Answer:
        return {"WorkGroup": self.work_group("GetWorkGroup", request["WorkGroup"]).document()}

    @operation("ListWorkGroups")
    def list_work_groups(self, request: Request) -> Answer:
        with self._lock:
            rows = self._database.execute("SELECT document FROM work_groups ORDER BY name").fetchall()
        groups, token = self.page("ListWorkGroups", [_from_document(row[0]) for row in rows], request)
        return with_token({"WorkGroups": [group.summary() for group in groups]}, token)

    @operation("UpdateWorkGroup")
    def update_work_group(self, request: Request) -> Answer:
        with self._lock:
            group = self.work_group("UpdateWorkGroup", request["WorkGroup"])
            updates = dict(request.get("ConfigurationUpdates", {}))
            configuration = _updated(group.configuration, updates)
            self._store(
                WorkGroup(
                    group.name,
                    request.get("State", group.state),
                    configuration,
                    request.get("Description", group.description),
                    group.created_at,
                )
            )
        return {}

    @operation("DeleteWorkGroup")
    def delete_work_group(self, request: Request) -> Answer:
        name = request["WorkGroup"]
        if name == PRIMARY:
            raise self.invalid("DeleteWorkGroup", "Cannot delete the primary workgroup.")
        with self._lock:
            self.work_group("DeleteWorkGroup", name)
            if not request.get("RecursiveDeleteOption") and not self._is_empty(name):
                raise self.invalid("DeleteWorkGroup", f"WorkGroup {name} is not empty")
            with self._database:
                self._database.execute("DELETE FROM work_groups WHERE name = ?", (name,))
                self._database.execute("DELETE FROM tags WHERE resource = ?", (_arn(name),))
            self._forget_contents(name)
        return {}

    def _is_empty(self, _name: str) -> bool:
        """Whether a workgroup holds nothing that its deletion would take along."""
        return True

    def _forget_contents(self, _name: str) -> None:
        """Deletes what belongs to a workgroup."""

    @operation("ListEngineVersions")
    def list_engine_versions(self, request: Request) -> Answer:
        versions, token = self.page("ListEngineVersions", [dict(ENGINE_VERSION)], request, default=10)
        return with_token({"EngineVersions": versions}, token)

    # ---------------------------------------------------------------------------------------------------- tags

    def _set_tags(self, resource: str, tags: Any) -> None:
        with self._lock, self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO tags VALUES (?, ?, ?)",
                [(resource, tag.get("Key", ""), tag.get("Value", "")) for tag in tags],
            )

    def _check_resource(self, operation_name: str, arn: str) -> None:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        if kind == "datacatalog" or (kind == "workgroup" and self._find(name) is not None):
            return
        raise self.error(operation_name, "ResourceNotFoundException", f"Resource {arn} is not found", ResourceName=arn)

    @operation("TagResource")
    def tag_resource(self, request: Request) -> Answer:
        self._check_resource("TagResource", request["ResourceARN"])
        self._set_tags(request["ResourceARN"], request["Tags"])
        return {}

    @operation("UntagResource")
    def untag_resource(self, request: Request) -> Answer:
        self._check_resource("UntagResource", request["ResourceARN"])
        with self._lock, self._database:
            self._database.executemany(
                "DELETE FROM tags WHERE resource = ? AND key = ?",
                [(request["ResourceARN"], key) for key in request["TagKeys"]],
            )
        return {}

    @operation("ListTagsForResource")
    def list_tags_for_resource(self, request: Request) -> Answer:
        self._check_resource("ListTagsForResource", request["ResourceARN"])
        with self._lock:
            rows = self._database.execute(
                "SELECT key, value FROM tags WHERE resource = ? ORDER BY key", (request["ResourceARN"],)
            ).fetchall()
        tags, token = self.page("ListTagsForResource", rows, request, default=75)
        return with_token({"Tags": [{"Key": key, "Value": value} for key, value in tags]}, token)


def _arn(work_group: str) -> str:
    return f"arn:aws:athena:{REGION_NAME}:{ACCOUNT_ID}:workgroup/{work_group}"


def _engine_version(given: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        **ENGINE_VERSION,
        **(
            {"SelectedEngineVersion": given["SelectedEngineVersion"]}
            if given and given.get("SelectedEngineVersion")
            else {}
        ),
    }


def _from_document(text: str) -> WorkGroup:
    document = json.loads(text)
    return WorkGroup(
        document["Name"],
        document["State"],
        document["Configuration"],
        document["Description"],
        datetime.fromtimestamp(document["CreationTime"], UTC),
    )


_RESULT_MEMBERS = ("OutputLocation", "EncryptionConfiguration", "ExpectedBucketOwner", "AclConfiguration")


def _updated(configuration: Mapping[str, Any], updates: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with WorkGroupConfigurationUpdates applied."""
    changed = dict(configuration)
    results = dict(changed.get("ResultConfiguration") or {})
    result_updates = updates.get("ResultConfigurationUpdates", {})
    for member in _RESULT_MEMBERS:
        if result_updates.get(f"Remove{member}"):
            results.pop(member, None)
        if member in result_updates:
            results[member] = result_updates[member]
    changed["ResultConfiguration"] = results
    if updates.get("RemoveBytesScannedCutoffPerQuery"):
        changed.pop("BytesScannedCutoffPerQuery", None)
    for member, value in updates.items():
        if member == "EngineVersion":
            changed[member] = _engine_version(value)
        elif member not in ("ResultConfigurationUpdates", "RemoveBytesScannedCutoffPerQuery"):
            changed[member] = value
    return changed
