"""What kind of statement a text is: decides the grammar (Trino's or Hive's), the result object and Athena's type names.

Only the first words count, comments skipped, as Athena does before it chooses one of its two parsers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

DDL = "DDL"
DML = "DML"
UTILITY = "UTILITY"

_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]+|\(")


@dataclass(frozen=True, slots=True)
class StatementKind:
    """statement_type and substatement_type as GetQueryExecution shows them; family names who runs it."""

    statement_type: str
    substatement_type: str
    family: str

    @property
    def writes_csv(self) -> bool:
        return self.family == "query" or (self.family == "prepared" and self.substatement_type == "SELECT")

    @property
    def writes_data(self) -> bool:
        """Whether the statement leaves files of rows: its own result object is then only a manifest."""
        return self.substatement_type in ("INSERT", "UNLOAD", "CREATE_TABLE_AS_SELECT")


QUERY = StatementKind(DML, "SELECT", "query")
CREATE_TABLE_AS = StatementKind(DDL, "CREATE_TABLE_AS_SELECT", "table")

#: first words -> kind; the longest match wins.
_KINDS: dict[tuple[str, ...], StatementKind] = {
    ("SELECT",): QUERY,
    ("WITH",): QUERY,
    ("VALUES",): QUERY,
    ("TABLE",): QUERY,
    ("(",): QUERY,
    ("EXPLAIN",): StatementKind(UTILITY, "EXPLAIN", "explain"),
    ("EXPLAIN", "ANALYZE"): StatementKind(UTILITY, "EXPLAIN_ANALYZE", "explain"),
    ("SHOW", "DATABASES"): StatementKind(UTILITY, "SHOW_DATABASES", "show"),
    ("SHOW", "SCHEMAS"): StatementKind(UTILITY, "SHOW_DATABASES", "show"),
    ("SHOW", "TABLES"): StatementKind(UTILITY, "SHOW_TABLES", "show"),
    ("SHOW", "VIEWS"): StatementKind(UTILITY, "SHOW_VIEWS", "show"),
    ("SHOW", "COLUMNS"): StatementKind(UTILITY, "SHOW_COLUMNS", "show"),
    ("SHOW", "PARTITIONS"): StatementKind(UTILITY, "SHOW_PARTITIONS", "show"),
    ("SHOW", "TBLPROPERTIES"): StatementKind(UTILITY, "SHOW_TBLPROPERTIES", "show"),
    ("SHOW", "CREATE", "TABLE"): StatementKind(UTILITY, "SHOW_CREATE_TABLE", "show"),
    ("SHOW", "CREATE", "VIEW"): StatementKind(UTILITY, "SHOW_CREATE_VIEW", "show"),
    ("DESCRIBE",): StatementKind(UTILITY, "DESCRIBE_TABLE", "show"),
    ("DESC",): StatementKind(UTILITY, "DESCRIBE_TABLE", "show"),
    ("CREATE", "DATABASE"): StatementKind(DDL, "CREATE_DATABASE", "definition"),
    ("CREATE", "SCHEMA"): StatementKind(DDL, "CREATE_DATABASE", "definition"),
    ("DROP", "DATABASE"): StatementKind(DDL, "DROP_DATABASE", "definition"),
    ("DROP", "SCHEMA"): StatementKind(DDL, "DROP_DATABASE", "definition"),
    ("ALTER", "DATABASE"): StatementKind(DDL, "ALTER_DATABASE", "definition"),
    ("ALTER", "SCHEMA"): StatementKind(DDL, "ALTER_DATABASE", "definition"),
    ("CREATE", "EXTERNAL", "TABLE"): StatementKind(DDL, "CREATE_TABLE", "definition"),
    ("CREATE", "TABLE"): StatementKind(DDL, "CREATE_TABLE", "table"),
    ("DROP", "TABLE"): StatementKind(DDL, "DROP_TABLE", "definition"),
    ("CREATE", "VIEW"): StatementKind(DDL, "CREATE_VIEW", "view"),
    ("CREATE", "OR", "REPLACE", "VIEW"): StatementKind(DDL, "CREATE_VIEW", "view"),
    ("DROP", "VIEW"): StatementKind(DDL, "DROP_VIEW", "definition"),
    ("ALTER", "TABLE"): StatementKind(DDL, "ALTER_TABLE", "definition"),
    ("MSCK",): StatementKind(DDL, "MSCK_REPAIR_TABLE", "definition"),
    ("INSERT",): StatementKind(DML, "INSERT", "write"),
    ("UNLOAD",): StatementKind(DML, "UNLOAD", "write"),
    ("UPDATE",): StatementKind(DML, "UPDATE", "iceberg"),
    ("DELETE",): StatementKind(DML, "DELETE", "iceberg"),
    ("MERGE",): StatementKind(DML, "MERGE", "iceberg"),
    ("OPTIMIZE",): StatementKind(DML, "OPTIMIZE", "iceberg"),
    ("VACUUM",): StatementKind(DML, "VACUUM", "iceberg"),
    ("PREPARE",): StatementKind(UTILITY, "PREPARE", "prepared"),
    ("EXECUTE",): StatementKind(UTILITY, "EXECUTE", "prepared"),
    ("DEALLOCATE",): StatementKind(UTILITY, "DEALLOCATE", "prepared"),
}


def leading_words(text: str, count: int) -> tuple[str, ...]:
    """The first words of a statement in upper case; an opening parenthesis counts as a word and ends them."""
    words: list[str] = []
    position = 0
    while len(words) < count:
        position = _skip_blank(text, position)
        match = _WORD.match(text, position)
        if match is None:
            break
        words.append(match.group().upper())
        position = match.end()
        if words[-1] == "(":
            break
    return tuple(words)


def _skip_blank(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def kind_of(text: str) -> StatementKind | None:
    """The kind of a statement, or None for a text that begins like no statement Athena knows."""
    words = leading_words(text, 4)
    for count in range(len(words), 0, -1):
        kind = _KINDS.get(words[:count])
        if kind is not None:
            return kind
    return None


def without_terminator(text: str) -> str:
    """The statement without trailing blanks and its one semicolon."""
    stripped = text.rstrip()
    return stripped[:-1] if stripped.endswith(";") else text
