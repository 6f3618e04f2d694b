"""UsageStore in one SQLite file: for the processes of one machine."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from threading import RLock

from service.usage import Charge, DayUsage, KeyUsage, Reservation

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS days (
        day TEXT NOT NULL,                  -- 2026-11-22
        tenant TEXT NOT NULL,
        query_count INTEGER NOT NULL,
        scanned_bytes INTEGER NOT NULL,
        used_bytes INTEGER NOT NULL,
        PRIMARY KEY (day, tenant)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS keys (
        day TEXT NOT NULL,
        tenant TEXT NOT NULL,
        key_id TEXT NOT NULL,
        query_count INTEGER NOT NULL,
        scanned_bytes INTEGER NOT NULL,
        PRIMARY KEY (day, tenant, key_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS open_charges (
        query_id TEXT PRIMARY KEY,
        day TEXT NOT NULL,
        tenant TEXT NOT NULL,
        estimated_bytes INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS open_charges_day ON open_charges (day)",
)


class SqliteUsageStore:
    """See the module and service.usage."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = RLock()
        self._connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        for statement in _SCHEMA:
            self._connection.execute(statement)

    def reserve(self, charge: Charge, *, limit_bytes: int | None, needed_bytes: int) -> Reservation:
        with self._writing():
            used_bytes = self.used_bytes(charge.tenant, charge.day)
            counted_bytes = self._open_bytes(charge)
            if counted_bytes is not None:
                return Reservation(True, used_bytes - counted_bytes)
            if limit_bytes is not None and used_bytes + needed_bytes > limit_bytes:
                return Reservation(False, used_bytes)
            self._connection.execute(
                "INSERT INTO open_charges VALUES (?, ?, ?, ?)",
                (charge.query_id, charge.day.isoformat(), charge.tenant, charge.estimated_bytes),
            )
            self._count(charge, 0, 0, charge.estimated_bytes)
            return Reservation(True, used_bytes)

    def settle(self, charge: Charge, key_id: str, scanned_bytes: int) -> None:
        with self._writing():
            estimated_bytes = self._closed(charge)
            if estimated_bytes is None:
                return
            self._count(charge, 1, scanned_bytes, scanned_bytes - estimated_bytes)
            self._connection.execute(
                "INSERT INTO keys VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET"
                " query_count = query_count + 1, scanned_bytes = scanned_bytes + excluded.scanned_bytes",
                (charge.day.isoformat(), charge.tenant, key_id, scanned_bytes),
            )

    def withdraw(self, charge: Charge) -> None:
        with self._writing():
            estimated_bytes = self._closed(charge)
            if estimated_bytes is not None:
                self._count(charge, 0, 0, -estimated_bytes)

    def used_bytes(self, tenant: str, day: date) -> int:
        with self._lock:
            row = self._connection.execute(
                "SELECT used_bytes FROM days WHERE day = ? AND tenant = ?", (day.isoformat(), tenant)
            ).fetchone()
        return 0 if row is None else int(row["used_bytes"])

    def by_day(self, first: date, last: date, tenant: str | None) -> Sequence[DayUsage]:
        return [
            DayUsage(
                date.fromisoformat(row["day"]),
                row["tenant"],
                row["query_count"],
                row["scanned_bytes"],
                row["used_bytes"],
            )
            for row in self._rows("SELECT * FROM days WHERE day BETWEEN ? AND ?", first, last, tenant)
        ]

    def by_key(self, first: date, last: date, tenant: str | None) -> Sequence[KeyUsage]:
        return [
            KeyUsage(
                date.fromisoformat(row["day"]), row["tenant"], row["key_id"], row["query_count"], row["scanned_bytes"]
            )
            for row in self._rows("SELECT * FROM keys WHERE day BETWEEN ? AND ?", first, last, tenant)
        ]

    def open_charges(self, first: date, last: date) -> Sequence[Charge]:
        return [
            Charge(row["query_id"], row["tenant"], date.fromisoformat(row["day"]), row["estimated_bytes"])
            for row in self._rows("SELECT * FROM open_charges WHERE day BETWEEN ? AND ?", first, last, None)
        ]

    def forget(self, before: date) -> None:
        with self._writing():
            for table in ("days", "keys", "open_charges"):
                self._connection.execute(f"DELETE FROM {table} WHERE day < ?", (before.isoformat(),))  # noqa: S608 - own names

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _open_bytes(self, charge: Charge) -> int | None:
        row = self._connection.execute(
            "SELECT estimated_bytes FROM open_charges WHERE query_id = ?", (charge.query_id,)
        ).fetchone()
        return None if row is None else int(row["estimated_bytes"])

    def _closed(self, charge: Charge) -> int | None:
        """The estimate of a charge that was open until now; None when it was not."""
        estimated_bytes = self._open_bytes(charge)
        self._connection.execute("DELETE FROM open_charges WHERE query_id = ?", (charge.query_id,))
        return estimated_bytes

    def _count(self, charge: Charge, query_count: int, scanned_bytes: int, used_bytes: int) -> None:
        self._connection.execute(
            "INSERT INTO days VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " query_count = query_count + excluded.query_count, scanned_bytes = scanned_bytes + excluded.scanned_bytes,"
            " used_bytes = used_bytes + excluded.used_bytes",
            (charge.day.isoformat(), charge.tenant, query_count, scanned_bytes, used_bytes),
        )

    def _rows(self, sql: str, first: date, last: date, tenant: str | None) -> list[sqlite3.Row]:
        arguments: list[str] = [first.isoformat(), last.isoformat()]
        if tenant is not None:
            sql += " AND tenant = ?"
            arguments.append(tenant)
        with self._lock:
            return self._connection.execute(sql, arguments).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
