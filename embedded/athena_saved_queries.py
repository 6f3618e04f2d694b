"""Named queries and prepared statements.

A prepared statement belongs to a workgroup and is what `EXECUTE name USING ...` runs; a named query is kept for people.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from embedded.athena_client import Clock, with_token
from embedded.athena_work_groups import PRIMARY, WorkGroupOperations
from embedded.aws_shape import Answer, Request, operation

MAXIMUM_PREPARED_STATEMENTS = 1000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS named_queries (sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    work_group TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, database TEXT NOT NULL,
    query TEXT NOT NULL, client_request_token TEXT);
CREATE TABLE IF NOT EXISTS prepared_statements (work_group TEXT NOT NULL, name TEXT NOT NULL, query TEXT NOT NULL,
    description TEXT NOT NULL, changed_at REAL NOT NULL, PRIMARY KEY (work_group, name));
"""
_NAMED = "SELECT id, name, description, database, query, work_group FROM named_queries"


class SavedQueryOperations(WorkGroupOperations):
    """The operations on named queries and prepared statements."""

    def __init__(self, *, glue: Any, path: Path, clock: Clock) -> None:
        super().__init__(glue=glue, path=path, clock=clock)
        with self._lock, self._database:
            self._database.executescript(_SCHEMA)

    def _is_empty(self, name: str) -> bool:
        with self._lock:
            found = self._database.execute(
                "SELECT EXISTS (SELECT 1 FROM named_queries WHERE work_group = ?)"
                " OR EXISTS (SELECT 1 FROM prepared_statements WHERE work_group = ?)",
                (name, name),
            ).fetchone()
        return not found[0]

    def _forget_contents(self, name: str) -> None:
        with self._lock, self._database:
            self._database.execute("DELETE FROM named_queries WHERE work_group = ?", (name,))
            self._database.execute("DELETE FROM prepared_statements WHERE work_group = ?", (name,))

    # ------------------------------------------------------------------------------------------- named queries

    @operation("CreateNamedQuery")
    def create_named_query(self, request: Request) -> Answer:
        group = self.work_group("CreateNamedQuery", request.get("WorkGroup", PRIMARY)).name
        token = request.get("ClientRequestToken")
        content = (group, request["Name"], request.get("Description", ""), request["Database"], request["QueryString"])
        with self._lock, self._database:
            if token is not None:
                known = self._database.execute(
                    "SELECT id, work_group, name, description, database, query FROM named_queries"
                    " WHERE client_request_token = ?",
                    (token,),
                ).fetchone()
                if known is not None and known[1:] == content:
                    return {"NamedQueryId": known[0]}
                if known is not None:
                    raise self.invalid("CreateNamedQuery", "Idempotent parameters do not match")
            query_id = str(uuid.uuid4())
            self._database.execute(
                "INSERT INTO named_queries (id, work_group, name, description, database, query, client_request_token)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (query_id, *content, token),
            )
        return {"NamedQueryId": query_id}

    def _named_query(self, query_id: str) -> dict[str, Any] | None:
        with self._lock:
            row = self._database.execute(f"{_NAMED} WHERE id = ?", (query_id,)).fetchone()
        if row is None:
            return None
        names = ("NamedQueryId", "Name", "Description", "Database", "QueryString", "WorkGroup")
        return dict(zip(names, row, strict=True))

    @operation("GetNamedQuery")
    def get_named_query(self, request: Request) -> Answer:
        found = self._named_query(request["NamedQueryId"])
        if found is None:
            raise self._no_named_query("GetNamedQuery", request["NamedQueryId"])
        return {"NamedQuery": found}

    @operation("BatchGetNamedQuery")
    def batch_get_named_query(self, request: Request) -> Answer:
        found, missing = [], []
        for query_id in request["NamedQueryIds"]:
            query = self._named_query(query_id)
            if query is not None:
                found.append(query)
            else:
                missing.append(
                    {
                        "NamedQueryId": query_id,
                        "ErrorCode": "INVALID_INPUT",
                        "ErrorMessage": f"NamedQuery {query_id} was not found",
                    }
                )
        return {"NamedQueries": found, "UnprocessedNamedQueryIds": missing}

    @operation("ListNamedQueries")
    def list_named_queries(self, request: Request) -> Answer:
        group = self.work_group("ListNamedQueries", request.get("WorkGroup", PRIMARY)).name
        with self._lock:
            rows = self._database.execute(
                "SELECT id FROM named_queries WHERE work_group = ? ORDER BY sequence DESC", (group,)
            ).fetchall()
        ids, token = self.page("ListNamedQueries", [row[0] for row in rows], request)
        return with_token({"NamedQueryIds": ids}, token)

    @operation("UpdateNamedQuery")
    def update_named_query(self, request: Request) -> Answer:
        with self._lock, self._database:
            changed = self._database.execute(
                "UPDATE named_queries SET name = ?, description = coalesce(?, description), query = ? WHERE id = ?",
                (request["Name"], request.get("Description"), request["QueryString"], request["NamedQueryId"]),
            )
            if changed.rowcount == 0:
                raise self._no_named_query("UpdateNamedQuery", request["NamedQueryId"])
        return {}

    @operation("DeleteNamedQuery")
    def delete_named_query(self, request: Request) -> Answer:
        with self._lock, self._database:
            deleted = self._database.execute("DELETE FROM named_queries WHERE id = ?", (request["NamedQueryId"],))
            if deleted.rowcount == 0:
                raise self._no_named_query("DeleteNamedQuery", request["NamedQueryId"])
        return {}

    def _no_named_query(self, operation_name: str, query_id: str) -> ClientError:
        return self.invalid(operation_name, f"NamedQuery {query_id} was not found")

    # ------------------------------------------------------------------------------------- prepared statements

    def prepared_statement(self, work_group: str, name: str) -> dict[str, Any] | None:
        """A prepared statement as GetPreparedStatement tells it, or None."""
        with self._lock:
            row = self._database.execute(
                "SELECT query, description, changed_at FROM prepared_statements WHERE work_group = ? AND name = ?",
                (work_group, name),
            ).fetchone()
        if row is None:
            return None
        return {
            "StatementName": name,
            "QueryStatement": row[0],
            "WorkGroupName": work_group,
            "Description": row[1],
            "LastModifiedTime": datetime.fromtimestamp(row[2], UTC),
        }

    def prepare_statement(self, operation_name: str, work_group: str, name: str, query: str, description: str) -> None:
        """Raises InvalidRequestException for a name that is taken and for one statement too many."""
        with self._lock, self._database:
            if self.prepared_statement(work_group, name) is not None:
                raise self.invalid(
                    operation_name, f"Prepared statement {name} already exists in WorkGroup {work_group}"
                )
            count = self._database.execute(
                "SELECT count(*) FROM prepared_statements WHERE work_group = ?", (work_group,)
            ).fetchone()[0]
            if count >= MAXIMUM_PREPARED_STATEMENTS:
                raise self.invalid(
                    operation_name, f"A workgroup holds at most {MAXIMUM_PREPARED_STATEMENTS} prepared statements"
                )
            self._database.execute(
                "INSERT INTO prepared_statements VALUES (?, ?, ?, ?, ?)",
                (work_group, name, query, description, self._clock().timestamp()),
            )

    def deallocate_statement(self, operation_name: str, work_group: str, name: str) -> None:
        """Raises ResourceNotFoundException for a statement that does not exist."""
        with self._lock, self._database:
            deleted = self._database.execute(
                "DELETE FROM prepared_statements WHERE work_group = ? AND name = ?", (work_group, name)
            )
            if deleted.rowcount == 0:
                raise self._no_prepared_statement(operation_name, work_group, name)

    def _no_prepared_statement(self, operation_name: str, work_group: str, name: str) -> ClientError:
        message = f"PreparedStatement {name} was not found in workGroup {work_group}"
        return self.error(operation_name, "ResourceNotFoundException", message, Message=message, ResourceName=name)

    @operation("CreatePreparedStatement")
    def create_prepared_statement(self, request: Request) -> Answer:
        group = self.work_group("CreatePreparedStatement", request["WorkGroup"]).name
        self.prepare_statement(
            "CreatePreparedStatement",
            group,
            request["StatementName"],
            request["QueryStatement"],
            request.get("Description", ""),
        )
        return {}

    @operation("GetPreparedStatement")
    def get_prepared_statement(self, request: Request) -> Answer:
        found = self.prepared_statement(request["WorkGroup"], request["StatementName"])
        if found is None:
            raise self._no_prepared_statement("GetPreparedStatement", request["WorkGroup"], request["StatementName"])
        return {"PreparedStatement": found}

    @operation("BatchGetPreparedStatement")
    def batch_get_prepared_statement(self, request: Request) -> Answer:
        found, missing = [], []
        for name in request["PreparedStatementNames"]:
            statement = self.prepared_statement(request["WorkGroup"], name)
            if statement is not None:
                found.append(statement)
            else:
                missing.append(
                    {
                        "StatementName": name,
                        "ErrorCode": "STATEMENT_NOT_FOUND",
                        "ErrorMessage": f"PreparedStatement {name} was not found in workGroup {request['WorkGroup']}",
                    }
                )
        return {"PreparedStatements": found, "UnprocessedPreparedStatementNames": missing}

    @operation("ListPreparedStatements")
    def list_prepared_statements(self, request: Request) -> Answer:
        group = self.work_group("ListPreparedStatements", request["WorkGroup"]).name
        with self._lock:
            rows = self._database.execute(
                "SELECT name, changed_at FROM prepared_statements WHERE work_group = ? ORDER BY name", (group,)
            ).fetchall()
        statements, token = self.page("ListPreparedStatements", rows, request)
        summaries = [
            {"StatementName": name, "LastModifiedTime": datetime.fromtimestamp(changed_at, UTC)}
            for name, changed_at in statements
        ]
        return with_token({"PreparedStatements": summaries}, token)

    @operation("UpdatePreparedStatement")
    def update_prepared_statement(self, request: Request) -> Answer:
        with self._lock, self._database:
            changed = self._database.execute(
                "UPDATE prepared_statements SET query = ?, description = coalesce(?, description), changed_at = ?"
                " WHERE work_group = ? AND name = ?",
                (
                    request["QueryStatement"],
                    request.get("Description"),
                    self._clock().timestamp(),
                    request["WorkGroup"],
                    request["StatementName"],
                ),
            )
            if changed.rowcount == 0:
                raise self._no_prepared_statement(
                    "UpdatePreparedStatement", request["WorkGroup"], request["StatementName"]
                )
        return {}

    @operation("DeletePreparedStatement")
    def delete_prepared_statement(self, request: Request) -> Answer:
        self.deallocate_statement("DeletePreparedStatement", request["WorkGroup"], request["StatementName"])
        return {}
