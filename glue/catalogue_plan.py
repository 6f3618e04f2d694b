"""What it takes to make the catalogue say what the table specs say: `data-hist tables plan|diff|apply`.

    spec, catalogue -> TablePlan (what differs, what of it breaks, what others put there) -> apply -> AppliedTable

Rules:
1. Tables evolve by addition: columns that the catalogue has not come behind those it has, types widen
   (glue.column_type), comments, parameters and SerDe properties follow the spec. Nothing is reordered.
2. What breaks somebody is done only when it is allowed, and says what breaks: a column that goes, another type, other
   partition keys (the table is made anew), another location, another SerDe or format. The rest is done all the same.
3. What others put on a table stays: columns that no spec of ours ever had, their parameters and SerDe properties. Which
   columns are ours is remembered in the table's parameter `data_hist.columns`.
4. Partitions follow: each gets the table's columns and keeps its own location, SerDe and parameters, else Athena reads
   new columns as NULL there or fails with HIVE_PARTITION_SCHEMA_MISMATCH. The parameter `data_hist.partitions` is a
   fingerprint of what they were last brought to, so that an apply that was killed is finished by the next one, and a
   table whose partitions are right is not listed. Table first, partitions second: a partition may be narrower than its
   table, never wider (Trino's coercions).
5. UpdateTable archives no version (a table has room for 100,000 of them) and names the version it read, so that nobody
   else's change is lost. Applying twice equals applying once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from botocore.exceptions import ClientError

from glue.aws_clients import RETRYABLE_CODES, GlueClient, error_code, error_message
from glue.column_type import InvalidColumnType, parse_type
from glue.table_spec import SPEC_HASH_PARAMETER, TableSpec

COLUMNS_PARAMETER = "data_hist.columns"
PARTITIONS_PARAMETER = "data_hist.partitions"
PARTITIONS_PER_CALL = 100
MAXIMUM_SHOWN_FAILURES = 20
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
_OWN_PARAMETERS = (SPEC_HASH_PARAMETER, COLUMNS_PARAMETER, PARTITIONS_PARAMETER)
# TableInput and PartitionInput of the Glue API, members that an answer of GetTable and GetPartitions has too.
_TABLE_INPUT = (
    "Name", "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention", "StorageDescriptor",
    "PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType", "Parameters", "TargetTable",
)  # fmt: skip
_PARTITION_INPUT = ("Values", "LastAccessTime", "StorageDescriptor", "Parameters", "LastAnalyzedTime")
_FORMATS = ("InputFormat", "OutputFormat")
_STALE_CODES = ("ConcurrentModificationException", "VersionMismatchException")

Action = Literal["create", "update", "replace", "none"]
Part = Literal[
    "database", "table", "description", "column", "comment", "parameter", "property", "serde", "format", "location",
    "partition keys", "partitions", "notes",
]  # fmt: skip


class CatalogueClient(GlueClient, Protocol):
    """The part of boto3's Glue client that evolving a catalogue needs."""

    def get_database(self, **arguments: Any) -> Any: ...
    def delete_table(self, **arguments: Any) -> Any: ...
    def get_partitions(self, **arguments: Any) -> Any: ...
    def batch_update_partition(self, **arguments: Any) -> Any: ...


@dataclass(frozen=True)
class CatalogueChange:
    """One difference between spec and catalogue: `+` comes, `~` changes, `-` goes.

    `breaks` says what breaks when it is done; "" nothing.
    """

    sign: Literal["+", "~", "-"]
    part: Part
    name: str = ""
    before: str | None = None
    after: str | None = None
    breaks: str = ""


@dataclass(frozen=True)
class TablePlan:
    """What apply would do to one table. `kept` is what others put there and apply leaves alone."""

    reference: str
    action: Action
    changes: tuple[CatalogueChange, ...] = ()
    kept: tuple[CatalogueChange, ...] = ()

    @property
    def breaking(self) -> tuple[CatalogueChange, ...]:
        """The changes that need to be allowed."""
        return tuple(change for change in self.changes if change.breaks)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "table": self.reference,
            "action": self.action,
            "changes": [_change_json(change) for change in self.changes],
            "kept": [_change_json(change) for change in self.kept],
        }


@dataclass
class AppliedTable:
    """What became of one table: done, left (breaking, not allowed), and partitions that the catalogue refused."""

    reference: str
    action: Action
    changes: tuple[CatalogueChange, ...] = ()
    left: tuple[CatalogueChange, ...] = ()
    partitions_updated: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "table": self.reference,
            "action": self.action,
            "changes": [_change_json(change) for change in self.changes],
            "left": [_change_json(change) for change in self.left],
            "partitions_updated": self.partitions_updated,
            "failed": [{"partition": partition, "reason": reason} for partition, reason in self.failed],
        }


def plan_table(glue_client: CatalogueClient, spec: TableSpec, *, counts_partitions: bool = True) -> TablePlan:
    """What apply would do to this table, read only. `counts_partitions` lists them where some may be behind."""
    current = _current(glue_client, spec)
    if current is None:
        changes = [CatalogueChange("+", "table", spec.name, after=spec.location)]
        if not _has_database(glue_client, spec.database):
            changes.insert(0, CatalogueChange("+", "database", spec.database))
        return TablePlan(spec.reference, "create", (*changes, *_all_columns(spec)))
    comparison = _Comparison(spec, current)
    changes = comparison.changes
    if comparison.partitions_may_be_behind and counts_partitions:
        count = sum(1 for entry in _partitions(glue_client, spec) if comparison.wanted_partition(entry) is not None)
        if count:
            changes = [*changes, CatalogueChange("~", "partitions", str(count))]
        elif not changes:
            changes = [CatalogueChange("~", "notes")]
    action: Action = "none"
    if changes:
        action = "replace" if any(change.part == "partition keys" and change.breaks for change in changes) else "update"
    return TablePlan(spec.reference, action, tuple(changes), tuple(comparison.kept))


def apply_table(
    glue_client: CatalogueClient,
    spec: TableSpec,
    *,
    allow_breaking: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> AppliedTable:
    """The catalogue says afterwards what the spec says, but for breaking changes that were not allowed (`left`) and
    partitions that it refused (`failed`). Raises ClientError for what it refuses as a whole.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _applied(glue_client, spec, allow_breaking, sleep)
        except ClientError as error:  # somebody changed the table since it was read: read it again
            if error_code(error) not in (*_STALE_CODES, "AlreadyExistsException") or attempt == _ATTEMPTS - 1:
                raise
            sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
    raise AssertionError("unreachable")


def is_as_noted(glue_client: GlueClient, spec: TableSpec) -> bool:
    """Whether the table's own notes say that nothing is to be done: one GetTable, nothing compared."""
    current = _current(glue_client, spec)
    if current is None:
        return False
    notes: Mapping[str, str] = current.get("Parameters") or {}
    is_told = notes.get(SPEC_HASH_PARAMETER) == spec.table_input()["Parameters"][SPEC_HASH_PARAMETER]
    return is_told and notes.get(PARTITIONS_PARAMETER) == _fingerprint(current["StorageDescriptor"])


def ensure_database(glue_client: GlueClient, name: str) -> None:
    """This database exists afterwards."""
    try:
        glue_client.create_database(DatabaseInput={"Name": name, "Description": "Historical Event Viewer Service"})
    except ClientError as error:
        if error_code(error) != "AlreadyExistsException":
            raise


def _applied(
    glue_client: CatalogueClient, spec: TableSpec, allow_breaking: bool, sleep: Callable[[float], None]
) -> AppliedTable:
    current = _current(glue_client, spec)
    if current is None:
        ensure_database(glue_client, spec.database)
        glue_client.create_table(DatabaseName=spec.database, TableInput=_new_table_input(spec))
        return AppliedTable(spec.reference, "create", (CatalogueChange("+", "table", spec.name), *_all_columns(spec)))
    comparison = _Comparison(spec, current, allow_breaking=allow_breaking)
    outcome = AppliedTable(spec.reference, "none")
    outcome.changes = tuple(change for change in comparison.changes if allow_breaking or not change.breaks)
    outcome.left = tuple(change for change in comparison.changes if not allow_breaking and change.breaks)
    if comparison.has_other_keys and allow_breaking:
        outcome.action = "replace"
        glue_client.delete_table(DatabaseName=spec.database, Name=spec.name)
        glue_client.create_table(DatabaseName=spec.database, TableInput=_new_table_input(spec))
        return outcome
    if comparison.table_input != comparison.current_input:
        outcome.action = "update"
        _update(glue_client, spec, comparison.table_input, current)
    if comparison.partitions_may_be_behind:
        _bring_partitions(glue_client, spec, comparison, outcome, sleep)
        if not outcome.failed:
            _note_partitions(glue_client, spec, comparison.fingerprint)
    return outcome


# -- reading


def _current(glue_client: GlueClient, spec: TableSpec) -> Mapping[str, Any] | None:
    try:
        table: Mapping[str, Any] = glue_client.get_table(DatabaseName=spec.database, Name=spec.name)["Table"]
    except ClientError as error:
        if error_code(error) != "EntityNotFoundException":
            raise
        return None
    return table


def _has_database(glue_client: CatalogueClient, name: str) -> bool:
    try:
        glue_client.get_database(Name=name)
    except ClientError as error:
        if error_code(error) != "EntityNotFoundException":
            raise
        return False
    return True


def _partitions(glue_client: CatalogueClient, spec: TableSpec) -> Iterator[Mapping[str, Any]]:
    arguments: dict[str, Any] = {"DatabaseName": spec.database, "TableName": spec.name}
    while True:
        page = glue_client.get_partitions(**arguments)
        yield from page.get("Partitions", ())
        if not page.get("NextToken"):
            return
        arguments["NextToken"] = page["NextToken"]


# -- comparing


class _Comparison:
    """One table of the catalogue beside its spec: the differences, and the TableInput that mends them.

    Without `allow_breaking` the TableInput leaves breaking differences as they are.
    """

    def __init__(self, spec: TableSpec, current: Mapping[str, Any], *, allow_breaking: bool = False) -> None:
        self.changes: list[CatalogueChange] = []
        self.kept: list[CatalogueChange] = []
        self._allows = allow_breaking
        self._wanted = spec.table_input()
        self._parameters: dict[str, str] = dict(current.get("Parameters") or {})
        self.current_input = {name: current[name] for name in _TABLE_INPUT if name in current}
        descriptor: Mapping[str, Any] = current.get("StorageDescriptor") or {}
        self._description(str(current.get("Description", "")))
        columns = self._columns(descriptor.get("Columns") or ())
        location = self._location(str(descriptor.get("Location", "")))
        formats, serde = self._reading(descriptor)
        self.has_other_keys = False
        keys = self._partition_keys(current.get("PartitionKeys") or ())
        self.table_input: dict[str, Any] = {
            **self.current_input,
            "Description": self._wanted["Description"],
            "TableType": self._wanted["TableType"],
            "PartitionKeys": keys,
            "StorageDescriptor": {
                **descriptor, **formats, "Columns": columns, "Location": location, "SerdeInfo": serde,
            },
        }  # fmt: skip
        self.fingerprint = _fingerprint(self.table_input["StorageDescriptor"])
        self.partitions_may_be_behind = (
            not self.has_other_keys and self._parameters.get(PARTITIONS_PARAMETER) != self.fingerprint
        )
        self.table_input["Parameters"] = self._merged_parameters()

    def wanted_partition(self, entry: Mapping[str, Any]) -> dict[str, Any] | None:
        """The PartitionInput that brings this partition to its table's columns; None when it is there."""
        table = self.table_input["StorageDescriptor"]
        descriptor: Mapping[str, Any] = entry.get("StorageDescriptor") or {}
        found = [(column["Name"], column.get("Type", "")) for column in descriptor.get("Columns") or ()]
        wanted = [(column["Name"], column.get("Type", "")) for column in table["Columns"]]
        serde: Mapping[str, Any] = descriptor.get("SerdeInfo") or {}
        if serde.get("SerializationLibrary") == table["SerdeInfo"].get("SerializationLibrary"):
            properties = {**(serde.get("Parameters") or {}), **(table["SerdeInfo"].get("Parameters") or {})}
            wanted_serde: Mapping[str, Any] = {**serde, "Parameters": properties}
        else:  # a partition that was written anew, typed
            wanted_serde = serde
        if found == wanted and (serde.get("Parameters") or {}) == (wanted_serde.get("Parameters") or {}):
            return None
        changed = {**descriptor, "Columns": table["Columns"]}
        if wanted_serde:
            changed["SerdeInfo"] = wanted_serde
        partition = {name: entry[name] for name in _PARTITION_INPUT if name in entry}
        return {**partition, "StorageDescriptor": changed}

    def _change(self, change: CatalogueChange) -> bool:
        """Notes a difference; whether it is to be done."""
        self.changes.append(change)
        return self._allows or not change.breaks

    def _description(self, found: str) -> None:
        if found != self._wanted["Description"]:
            self._change(CatalogueChange("~", "description", before=found, after=self._wanted["Description"]))

    def _columns(self, found: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        wanted = {column["Name"]: column for column in self._wanted["StorageDescriptor"]["Columns"]}
        own = set(filter(None, self._parameters.get(COLUMNS_PARAMETER, "").split(",")))
        columns: list[dict[str, str]] = []
        for column in found:
            name = column["Name"].lower()
            if name in wanted:
                columns.append(self._column(column, wanted.pop(name)))
            elif name in own:
                what = f"queries that name {name} fail; its values stay in the objects"
                if not self._change(CatalogueChange("-", "column", name, before=column.get("Type", ""), breaks=what)):
                    columns.append(dict(column))
            else:
                self.kept.append(CatalogueChange("+", "column", name, before=column.get("Type", "")))
                columns.append(dict(column))
        for name, column in wanted.items():
            self._change(CatalogueChange("+", "column", name, after=column["Type"]))
            columns.append(dict(column))
        return columns

    def _column(self, found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
        column = dict(wanted)
        name, before, after = wanted["Name"], found.get("Type", ""), wanted["Type"]
        if not _same_type(before, after):
            what = "" if _widens(before, after) else (
                f"what was written as {before} does not read as {after}: malformed rows, or"
                " HIVE_PARTITION_SCHEMA_MISMATCH in typed files"
            )  # fmt: skip
            if not self._change(CatalogueChange("~", "column", name, before, after, what)):
                column["Type"] = before
        else:
            column["Type"] = before  # another spelling of the same type
        if found.get("Comment", "") != wanted["Comment"]:
            self._change(CatalogueChange("~", "comment", name, found.get("Comment", ""), wanted["Comment"]))
        return column

    def _location(self, found: str) -> str:
        wanted: str = self._wanted["StorageDescriptor"]["Location"]
        if found.rstrip("/") == wanted.rstrip("/"):
            return found
        what = (
            "partitions that are registered keep their own locations; objects are looked for in the new one from now on"
        )
        return wanted if self._change(CatalogueChange("~", "location", "", found, wanted, what)) else found

    def _reading(self, descriptor: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Formats and SerDe. What another library wrote stays as it is in partitions that are registered."""
        wanted = self._wanted["StorageDescriptor"]
        what = "partitions that are registered keep theirs; new ones are read otherwise"
        formats: dict[str, str] = {}
        for name in _FORMATS:
            before, after = descriptor.get(name, ""), wanted[name]
            if before == after or self._change(CatalogueChange("~", "format", name, before, after, what)):
                formats[name] = after
        serde: Mapping[str, Any] = descriptor.get("SerdeInfo") or {}
        found, library = serde.get("SerializationLibrary", ""), wanted["SerdeInfo"]["SerializationLibrary"]
        if found != library and not self._change(CatalogueChange("~", "serde", "", found, library, what)):
            return formats, dict(serde)
        properties = self._properties("property", serde.get("Parameters") or {}, wanted["SerdeInfo"]["Parameters"])
        return formats, {**serde, "SerializationLibrary": library, "Parameters": properties}

    def _properties(self, part: Part, found: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
        for name, value in wanted.items():
            if name not in found:
                self._change(CatalogueChange("+", part, name, after=value))
            elif found[name] != value:
                self._change(CatalogueChange("~", part, name, found[name], value))
        self.kept += [
            CatalogueChange("+", part, name, before=value) for name, value in found.items() if name not in wanted
        ]
        return {**found, **wanted}

    def _partition_keys(self, found: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        wanted: list[dict[str, str]] = self._wanted["PartitionKeys"]
        before, after = (", ".join(f"{key['Name']} {key.get('Type', '')}" for key in keys) for keys in (found, wanted))
        if before != after:
            self.has_other_keys = True
            what = (
                "the table is made anew: its partitions leave the catalogue until `data-hist partitions repair`"
                " registers them again; objects stay"
            )
            self._change(CatalogueChange("~", "partition keys", "", before, after, what))
            return [dict(key) for key in found]
        for key, wanted_key in zip(found, wanted, strict=True):
            if key.get("Comment", "") != wanted_key["Comment"]:
                name = wanted_key["Name"]
                self._change(CatalogueChange("~", "comment", name, key.get("Comment", ""), wanted_key["Comment"]))
        return wanted

    def _merged_parameters(self) -> dict[str, str]:
        """The parameters; our notes among them say all only when nothing was left undone."""
        wanted = {name: value for name, value in self._wanted["Parameters"].items() if name not in _OWN_PARAMETERS}
        others = {name: value for name, value in self._parameters.items() if name not in _OWN_PARAMETERS}
        merged = self._properties("parameter", others, wanted)
        own = {name: self._parameters[name] for name in _OWN_PARAMETERS if name in self._parameters}
        columns = [column["Name"] for column in self.table_input["StorageDescriptor"]["Columns"]]
        foreign = {change.name for change in self.kept if change.part == "column"}
        notes = {**own, COLUMNS_PARAMETER: ",".join(name for name in columns if name not in foreign)}
        if self._allows or not any(change.breaks for change in self.changes):
            notes[SPEC_HASH_PARAMETER] = self._wanted["Parameters"][SPEC_HASH_PARAMETER]
        if notes != own and not self.changes:
            self._change(CatalogueChange("~", "notes"))
        return {**merged, **notes}


def _fingerprint(descriptor: Mapping[str, Any]) -> str:
    """What partitions take from their table."""
    columns = [(column["Name"], column.get("Type", "")) for column in descriptor["Columns"]]
    text = json.dumps([columns, descriptor["SerdeInfo"].get("Parameters")], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _same_type(one: str, other: str) -> bool:
    try:
        return one == other or parse_type(one) == parse_type(other)
    except InvalidColumnType:
        return False


def _widens(before: str, after: str) -> bool:
    try:
        return parse_type(before).widens_to(parse_type(after))
    except InvalidColumnType:
        return False


def _all_columns(spec: TableSpec) -> Iterable[CatalogueChange]:
    return [CatalogueChange("+", "column", column.name, after=column.type) for column in spec.data_columns]


def _change_json(change: CatalogueChange) -> dict[str, str]:
    members = {name: value for name, value in vars(change).items() if value is not None}
    return {name: value for name, value in members.items() if value != "" or name in ("before", "after")}


# -- writing


def _new_table_input(spec: TableSpec) -> dict[str, Any]:
    table_input = spec.table_input()
    table_input["Parameters"] |= {
        COLUMNS_PARAMETER: ",".join(column.name for column in spec.data_columns),
        PARTITIONS_PARAMETER: _fingerprint(table_input["StorageDescriptor"]),
    }
    return table_input


def _update(
    glue_client: GlueClient, spec: TableSpec, table_input: Mapping[str, Any], current: Mapping[str, Any]
) -> None:
    arguments: dict[str, Any] = {"DatabaseName": spec.database, "TableInput": dict(table_input), "SkipArchive": True}
    if current.get("VersionId"):
        arguments["VersionId"] = current["VersionId"]
    glue_client.update_table(**arguments)


def _note_partitions(glue_client: GlueClient, spec: TableSpec, fingerprint: str) -> None:
    """Every partition is as the table says now; unless the table was changed meanwhile, which the next plan finds."""
    current = _current(glue_client, spec)
    if current is None or _fingerprint(current["StorageDescriptor"]) != fingerprint:
        return
    table_input = {name: current[name] for name in _TABLE_INPUT if name in current}
    table_input["Parameters"] = {**(current.get("Parameters") or {}), PARTITIONS_PARAMETER: fingerprint}
    _update(glue_client, spec, table_input, current)


def _bring_partitions(
    glue_client: CatalogueClient,
    spec: TableSpec,
    comparison: _Comparison,
    outcome: AppliedTable,
    sleep: Callable[[float], None],
) -> None:
    waiting: list[dict[str, Any]] = []
    for entry in _partitions_behind(glue_client, spec, comparison):
        waiting.append(entry)
        if len(waiting) == PARTITIONS_PER_CALL:
            _update_partitions(glue_client, spec, waiting, outcome, sleep)
            waiting = []
    if waiting:
        _update_partitions(glue_client, spec, waiting, outcome, sleep)
    if outcome.partitions_updated:
        change = CatalogueChange("~", "partitions", str(outcome.partitions_updated))
        outcome.changes = (*outcome.changes, change)
        outcome.action = "update"


def _partitions_behind(
    glue_client: CatalogueClient, spec: TableSpec, comparison: _Comparison
) -> Iterator[dict[str, Any]]:
    for entry in _partitions(glue_client, spec):
        wanted = comparison.wanted_partition(entry)
        if wanted is not None:
            yield wanted


def _update_partitions(
    glue_client: CatalogueClient,
    spec: TableSpec,
    partitions: Sequence[dict[str, Any]],
    outcome: AppliedTable,
    sleep: Callable[[float], None],
) -> None:
    """At most 100 partitions in one call; those worth repeating are repeated, the others are in `failed`."""
    waiting = {tuple(partition["Values"]): partition for partition in partitions}
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
        failures = _update_call(glue_client, spec, waiting)
        outcome.partitions_updated += len(waiting) - len(failures)
        gone = {values for values, (code, _) in failures.items() if code == "EntityNotFoundException"}
        failures = {values: failure for values, failure in failures.items() if values not in gone}
        again = {values for values, (code, _) in failures.items() if code in RETRYABLE_CODES}
        for values, (code, message) in failures.items():
            if values not in again or attempt == _ATTEMPTS - 1:
                outcome.failed.append(("/".join(values), f"{code}: {message}"))
        waiting = {values: waiting[values] for values in again}
        if not waiting:
            return


def _update_call(
    glue_client: CatalogueClient, spec: TableSpec, partitions: Mapping[tuple[str, ...], dict[str, Any]]
) -> dict[tuple[str, ...], tuple[str, str]]:
    """One BatchUpdatePartition; code and message of each partition that was not updated."""
    entries = [{"PartitionValueList": list(values), "PartitionInput": entry} for values, entry in partitions.items()]
    try:
        answer = glue_client.batch_update_partition(DatabaseName=spec.database, TableName=spec.name, Entries=entries)
    except ClientError as error:
        return dict.fromkeys(partitions, (error_code(error), error_message(error)))
    return {
        tuple(item["PartitionValueList"]): (
            item["ErrorDetail"].get("ErrorCode", ""), item["ErrorDetail"].get("ErrorMessage", "")
        )
        for item in answer.get("Errors", ())
    }  # fmt: skip
