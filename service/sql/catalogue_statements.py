"""SHOW and DESCRIBE, answered from the table specs.

They become queries over constants (`SELECT ... FROM (VALUES ...)`), so that every engine answers the same, nothing of
an account's other databases shows, and the result reads like any other. SHOW PARTITIONS and SHOW CREATE TABLE are
facts of the engine's catalogue: they go to it, with the table's name as the specs know it.

    SHOW {DATABASES | SCHEMAS} [LIKE 'pattern']
    SHOW TABLES [{IN | FROM} database] [[LIKE] 'pattern']
    SHOW COLUMNS {IN | FROM} table [{IN | FROM} database]
    SHOW PARTITIONS table        SHOW CREATE TABLE table
    {DESCRIBE | DESC} [EXTENDED | FORMATTED] table
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from glue.table_spec import TableSpec
from service.errors import InvalidQuerySyntax, StatementNotAllowed, TableNotFound
from service.model import OutputColumn
from service.sql import grammar
from service.sql.scope import CATALOG
from service.sql.statement import Statement, StatementKind, located

_HIVE_TO_TRINO = {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary"}


def write(statement: Statement, tables: Mapping[str, TableSpec], database: str) -> tuple[str, tuple[OutputColumn, ...]]:
    """The SQL for the engine, and its columns. Raises InvalidQuerySyntax, StatementNotAllowed, TableNotFound."""
    return _Reader(statement, tables, database).statement()


class _Reader:
    def __init__(self, statement: Statement, tables: Mapping[str, TableSpec], database: str) -> None:
        self._statement = statement
        self._tables = tables
        self._database = database
        self._words = list(statement.words)
        self._position = 1

    def statement(self) -> tuple[str, tuple[OutputColumn, ...]]:
        if self._statement.kind is StatementKind.DESCRIBE:
            self._accept("EXTENDED", "FORMATTED")
            self._accept("TABLE")
            return self._describe(self._table())
        word = self._accept("DATABASES", "SCHEMAS", "TABLES", "COLUMNS", "PARTITIONS", "CREATE")
        if word in ("DATABASES", "SCHEMAS"):
            pattern = self._pattern()
            return self._answer(("database_name",), [[name] for name in _matching([self._database], pattern)])
        if word == "TABLES":
            if self._accept("IN", "FROM"):
                self._own_database()
            pattern = self._pattern()
            return self._answer(("tab_name",), [[name] for name in _matching(sorted(self._tables), pattern)])
        if word == "COLUMNS":
            if not self._accept("IN", "FROM"):
                self._unexpected("'FROM', 'IN'")
            spec = self._table(may_name_database_after=True)
            return self._answer(
                ("field",), [[c.name] for c in spec.all_columns if c.name not in spec.forbidden_columns]
            )
        if word == "PARTITIONS":
            spec = self._table()
            return f"SHOW PARTITIONS {spec.database}.{spec.name}", (OutputColumn("partition", "varchar"),)
        if word == "CREATE" and self._accept("TABLE"):
            spec = self._table()
            return f"SHOW CREATE TABLE {spec.database}.{spec.name}", (OutputColumn("createtab_stmt", "varchar"),)
        shown = " ".join(token.text.upper() for token in self._words[:3])
        place = self._statement.place_of(self._words[0])
        raise StatementNotAllowed(
            f"{place}: {shown[:60]} is not served; SHOW DATABASES, TABLES, COLUMNS, PARTITIONS and CREATE TABLE are",
            rule="show",
            **located(place),
        )

    def _describe(self, spec: TableSpec) -> tuple[str, tuple[OutputColumn, ...]]:
        rows = [
            [column.name, _HIVE_TO_TRINO.get(column.type, column.type), column.description]
            for column in spec.all_columns
            if column.name not in spec.forbidden_columns
        ]
        return self._answer(("col_name", "data_type", "comment"), rows)

    def _answer(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, tuple[OutputColumn, ...]]:
        self._end()
        shown = rows or [["" for _ in names]]
        values = exp.Values(
            expressions=[exp.Tuple(expressions=[exp.Literal.string(value) for value in row]) for row in shown],
            alias=exp.TableAlias(this=exp.to_identifier("answer"), columns=[exp.to_identifier(name) for name in names]),
        )
        select = exp.Select(expressions=[exp.column(name) for name in names], from_=exp.From(this=values))
        if not rows:
            select.set("where", exp.Where(this=exp.false()))
        return grammar.write(select), tuple(OutputColumn(name, "varchar") for name in names)

    # -- words

    def _accept(self, *words: str) -> str | None:
        token = self._peek()
        if token is None or token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
            return None
        if token.text.upper() not in words:
            return None
        self._position += 1
        return token.text.upper()

    def _peek(self) -> Token | None:
        return self._words[self._position] if self._position < len(self._words) else None

    def _name(self) -> tuple[list[str], Token]:
        first = self._peek()
        parts: list[str] = []
        while True:
            token = self._peek()
            if token is None or not re.fullmatch(r"[A-Za-z_][\w$]*|\w[\w$.-]*", token.text):
                self._unexpected("<identifier>")
            parts.append(token.text.lower())
            self._position += 1
            separator = self._peek()
            if separator is None or separator.token_type != TokenType.DOT:
                break
            self._position += 1
        if first is None:
            self._unexpected("<identifier>")
        return parts, first

    def _table(self, *, may_name_database_after: bool = False) -> TableSpec:
        parts, token = self._name()
        place = self._statement.place_of(token)
        if may_name_database_after and self._accept("IN", "FROM"):
            self._own_database()
        self._end()
        if (
            len(parts) > 3
            or (len(parts) > 1 and parts[-2] != self._database)
            or (len(parts) > 2 and parts[0] != CATALOG)
        ):
            raise StatementNotAllowed(
                f"{place}: '{'.'.join(parts)}' cannot be shown; the tables are in '{self._database}'",
                rule="own-database",
                **located(place),
            )
        spec = self._tables.get(parts[-1])
        if spec is None:
            close = difflib.get_close_matches(parts[-1], list(self._tables), 3, 0.5)
            hint = f"; did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
            raise TableNotFound(
                f"{place}: Table '{CATALOG}.{self._database}.{parts[-1]}' does not exist{hint}",
                name=".".join(parts),
                suggestions=close,
                **located(place),
            )
        return spec

    def _own_database(self) -> None:
        parts, token = self._name()
        if parts not in ([self._database], [CATALOG, self._database]):
            place = self._statement.place_of(token)
            raise StatementNotAllowed(
                f"{place}: Schema '{'.'.join(parts)}' cannot be shown; the tables are in '{self._database}'",
                rule="own-database",
                **located(place),
            )

    def _pattern(self) -> str | None:
        is_named = self._accept("LIKE") is not None
        token = self._peek()
        if token is None and not is_named:
            return None
        if token is None or token.token_type != TokenType.STRING:
            self._unexpected("<string>")
        self._position += 1
        return token.text

    def _end(self) -> None:
        if self._peek() is not None:
            self._unexpected("<EOF>")

    def _unexpected(self, expected: str) -> NoReturn:
        token = self._peek()
        place = self._statement.place_of(token if token is not None else self._words[-1])
        found = token.text[:60] if token is not None else "<EOF>"
        raise InvalidQuerySyntax(
            f"{place}: mismatched input '{found}'. Expecting: {expected}",
            **located(place),
        )


def _matching(names: Sequence[str], pattern: str | None) -> list[str]:
    """Athena's pattern: `*` is anything, `|` is or; LIKE's `%` is read as `*`."""
    if pattern is None:
        return list(names)
    alternatives = [
        ".*".join(re.escape(part) for part in re.split(r"[*%]", text)) for text in pattern.lower().split("|")
    ]
    return [name for name in names if any(re.fullmatch(alternative, name) for alternative in alternatives)]
