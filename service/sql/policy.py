"""What a reader of history may ask: an allow-list over the syntax tree.

Every node must be of a known kind, and carry only the parts that its kind may carry; anything else is refused, so
that a construct nobody thought of is refused too. Tables, columns and forbidden columns are decided where names get
their meaning (service.sql.scope). Statement kinds other than SELECT, WITH, VALUES, EXPLAIN, SHOW, DESCRIBE are
refused by the reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlglot import exp

from service.errors import StatementNotAllowed
from service.model import Caller
from service.sql import grammar
from service.sql.statement import Statement, located

_QUERY_PARTS = frozenset({"with_", "order", "limit", "offset"})
_ANY: Final = None

# kind -> the parts it may have; None: any part (their own nodes are checked like all others)
ALLOWED: Final[Mapping[type[exp.Expr], frozenset[str] | None]] = {
    exp.Select: _QUERY_PARTS | {"expressions", "from_", "joins", "where", "group", "having", "windows", "distinct"},
    exp.Subquery: _QUERY_PARTS | {"this", "alias", "joins", "sample"},
    exp.Union: _QUERY_PARTS | {"this", "expression", "distinct"},
    exp.Intersect: _QUERY_PARTS | {"this", "expression", "distinct"},
    exp.Except: _QUERY_PARTS | {"this", "expression", "distinct"},
    exp.Values: _QUERY_PARTS | {"expressions", "alias"},
    exp.With: frozenset({"expressions", "recursive"}),
    exp.CTE: frozenset({"this", "alias"}),
    exp.From: frozenset({"this"}),
    exp.Join: frozenset({"this", "on", "using", "side", "kind"}),
    exp.Table: frozenset({"this", "db", "catalog", "alias", "joins", "sample"}),
    exp.TableAlias: frozenset({"this", "columns"}),
    exp.TableSample: frozenset({"method", "percent"}),
    exp.Lateral: frozenset({"this", "alias"}),
    exp.Unnest: frozenset({"expressions", "alias", "offset"}),
    exp.Where: frozenset({"this"}),
    exp.Group: frozenset({"expressions", "all", "distinct"}),
    exp.GroupingSets: frozenset({"expressions"}),
    exp.Rollup: frozenset({"expressions"}),
    exp.Cube: frozenset({"expressions"}),
    exp.Having: frozenset({"this"}),
    exp.Order: frozenset({"this", "expressions"}),
    exp.Ordered: frozenset({"this", "desc", "nulls_first"}),
    exp.Limit: frozenset({"expression"}),
    exp.Fetch: frozenset({"direction", "count", "limit_options"}),
    exp.LimitOptions: frozenset({"rows", "with_ties"}),
    exp.Offset: frozenset({"expression"}),
    exp.Distinct: frozenset({"expressions"}),
    exp.Star: frozenset(),
    exp.Column: frozenset({"this", "table", "db", "catalog"}),
    exp.Identifier: frozenset({"this", "quoted"}),
    exp.Placeholder: frozenset(),
    exp.Dot: frozenset({"this", "expression"}),
    exp.Bracket: frozenset({"this", "expressions"}),
    exp.Window: frozenset({"this", "alias", "order", "over", "partition_by", "spec"}),
    exp.WindowSpec: frozenset({"start", "start_side", "end", "end_side", "kind"}),
    exp.JSONExtract: frozenset({"this", "expression", "json_query", "option", "quote", "on_condition"}),
    exp.Cast: frozenset({"this", "to"}),
    exp.TryCast: frozenset({"this", "to", "safe"}),
    exp.GroupConcat: frozenset({"this", "separator", "on_overflow"}),
    exp.OverflowTruncateBehavior: _ANY,
    **dict.fromkeys(
        (
            *(exp.Alias, exp.Aliases, exp.Paren, exp.Tuple, exp.Literal, exp.Boolean, exp.Null, exp.Var),
            *(
                exp.And,
                exp.Or,
                exp.Not,
                exp.EQ,
                exp.NEQ,
                exp.GT,
                exp.GTE,
                exp.LT,
                exp.LTE,
                exp.NullSafeEQ,
                exp.NullSafeNEQ,
            ),
            *(exp.Is, exp.Between, exp.In, exp.Like, exp.Escape, exp.Exists, exp.Any, exp.All),
            *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.DPipe, exp.Interval, exp.IntervalSpan),
            *(exp.Case, exp.If, exp.DataType, exp.DataTypeParam, exp.ColumnDef, exp.HexString, exp.UnicodeString),
            *(exp.Array, exp.Anonymous, exp.Lambda, exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls),
            *(
                exp.ArgMax,
                exp.ArgMin,
                exp.Ceil,
                exp.Floor,
                exp.Chr,
                exp.Substring,
                exp.Overlay,
                exp.StrPosition,
                exp.Trim,
            ),
            *(exp.Normalize, exp.Extract, exp.AtTimeZone, exp.Initcap, exp.Decode),
            *(exp.JSONValue, exp.JSONObject, exp.JSONKeyValue, exp.FormatJson, exp.JSONExtractQuote, exp.OnCondition),
            *(exp.CurrentDate, exp.CurrentTime, exp.CurrentTimestamp, exp.Localtime, exp.Localtimestamp),
        ),
        _ANY,
    ),
}

_WHAT: Final[Mapping[type[exp.Expr], str]] = {
    exp.MatchRecognize: "MATCH_RECOGNIZE is not served",
    exp.FunctionSpecification: "WITH FUNCTION: functions cannot be defined here",
    exp.Pivot: "PIVOT is not part of Athena's SQL",
    exp.ILike: "ILIKE is not part of Athena's SQL; use lower(x) LIKE '...'",
    exp.Parameter: "only `?` stands for a parameter",
    exp.SessionParameter: "only `?` stands for a parameter",
    exp.Into: "SELECT ... INTO writes; history can only be read",
    exp.Lock: "FOR UPDATE locks; history can only be read",
    exp.Hint: "hints are not allowed",
    exp.Version: "history has one version; FOR ... AS OF is not served",
}

# Functions of engines that reach outside the query: files, settings, other queries, other catalogues. The engine has
# its own list of functions; these are refused even where an engine would know them.
_REACHING_OUT: Final = frozenset(
    [
        "getenv",
        "current_setting",
        "set_config",
        "query",
        "query_table",
        "glob",
        "read_blob",
        "read_csv",
        "read_csv_auto",
        "read_json",
        "read_json_auto",
        "read_json_objects",
        "read_ndjson",
        "read_ndjson_auto",
        "read_ndjson_objects",
        "read_parquet",
        "read_text",
        "read_xlsx",
        "parquet_scan",
        "parquet_metadata",
        "parquet_schema",
        "parquet_file_metadata",
        "parquet_kv_metadata",
        "parquet_bloom_probe",
        "sniff_csv",
        "duckdb_tables",
        "duckdb_settings",
        "duckdb_secrets",
        "duckdb_databases",
        "duckdb_columns",
        "duckdb_functions",
        "duckdb_logs",
        "which_secret",
        "nextval",
        "currval",
        "load_aws_credentials",
        "write_log",
        "checkpoint",
        "force_checkpoint",
        "pragma_table_info",
        "sql_auto_complete",
        "json_execute_serialized_sql",
        "json_serialize_sql",
        "json_deserialize_sql",
        "from_substrait",
        "from_substrait_json",
        "iceberg_scan",
        "delta_scan",
        "sqlite_scan",
        "postgres_scan",
        "postgres_query",
        "mysql_scan",
        "mysql_query",
        "arrow_scan",
        "arrow_scan_dumb",
        "pandas_scan",
        "python_map_function",
        "seq_scan",
        "test_all_types",
        "remote_query",
    ]
)


def check(statement: Statement, tree: exp.Expr) -> None:
    """Raises StatementNotAllowed, with the rule and the place, unless every node of the query is on the list."""
    for node in tree.walk():
        kind = type(node)
        if kind not in ALLOWED:
            raise _refusal(statement, node, _WHAT.get(kind, f"{_shown(node)} is not allowed"), "construct")
        parts = ALLOWED[kind]
        if parts is not None:
            for part, value in node.args.items():
                if part not in parts and value not in (None, False, [], "", ()) and not _is_harmless(node, part):
                    inner = value if isinstance(value, exp.Expr) else None
                    shown = type(inner) if inner is not None else kind
                    what = _WHAT.get(shown, f"{part.rstrip('_').upper()} is not allowed in a {kind.__name__.upper()}")
                    raise _refusal(statement, inner or node, what, "construct")
        if kind in _CHECKS:
            _CHECKS[kind](statement, node)


def check_explain(statement: Statement, caller: Caller) -> None:
    """Raises StatementNotAllowed for EXPLAIN ANALYZE by a caller who sees some customers only: engines tell how many
    rows each step read, and the first step reads everybody's.
    """
    if caller.customers is None or len(statement.words) < 2 or statement.words[1].text.upper() != "ANALYZE":
        return
    place = statement.place_of(statement.words[1])
    raise StatementNotAllowed(
        f"{place}: EXPLAIN ANALYZE counts rows before the tenant's condition; it is for operators' keys. Use EXPLAIN",
        rule="explain-analyze",
        **located(place),
    )


def _check_function(statement: Statement, node: exp.Expr) -> None:
    name = node.name.lower()
    if grammar.typed_literal_of(node) is not None:
        return
    if name in _REACHING_OUT or name.startswith(("duckdb_", "pragma_", "pg_", "system.")):
        raise _refusal(statement, node, f"Function '{name}' is not allowed", "function")


def _check_column_star(statement: Statement, node: exp.Expr) -> None:
    if any(node.args.get(part) for part in ("except_", "except", "replace", "rename")):
        raise _refusal(statement, node, "* with EXCEPT, REPLACE or RENAME is not part of Athena's SQL", "construct")


def _check_json(statement: Statement, node: exp.Expr) -> None:
    if not node.args.get("json_query"):
        raise _refusal(
            statement, node, "the operator -> is not part of Athena's SQL; use json_extract(x, '$.y')", "construct"
        )


def _check_join(statement: Statement, node: exp.Expr) -> None:
    if str(node.args.get("kind") or "").upper() not in ("", "INNER", "OUTER", "CROSS") or str(
        node.args.get("side") or ""
    ).upper() not in ("", "LEFT", "RIGHT", "FULL"):
        raise _refusal(statement, node, "only INNER, LEFT, RIGHT, FULL and CROSS joins are served", "construct")


def _check_distinct(statement: Statement, node: exp.Expr) -> None:
    if node.args.get("on") is not None:
        raise _refusal(statement, node, "DISTINCT ON is not part of Athena's SQL", "construct")


def _check_dot(statement: Statement, node: exp.Expr) -> None:
    if not isinstance(node.args.get("expression"), (exp.Identifier, exp.Star)):
        raise _refusal(statement, node, "functions of other schemas are not allowed", "function")


def _check_in(statement: Statement, node: exp.Expr) -> None:
    if any(node.args.get(part) is not None for part in ("unnest", "field", "is_global")):
        raise _refusal(statement, node, "IN takes a list or a query in parentheses", "construct")


_CHECKS = {
    exp.Anonymous: _check_function,
    exp.Star: _check_column_star,
    exp.JSONExtract: _check_json,
    exp.Join: _check_join,
    exp.Distinct: _check_distinct,
    exp.Dot: _check_dot,
    exp.In: _check_in,
}


def _is_harmless(node: exp.Expr, part: str) -> bool:
    """Parts in which sqlglot keeps notes of its own."""
    return (isinstance(node, exp.Column) and part == "join_mark") or part in ("_type", "comments")


def _shown(node: exp.Expr) -> str:
    key = node.key.replace("_", " ").upper()
    return f"'{key}'"


def _refusal(statement: Statement, node: exp.Expr, what: str, rule: str) -> StatementNotAllowed:
    at: exp.Expr | None = node
    place = statement.place_of(at)
    while place is None and at is not None and at.parent is not None:
        at = at.parent
        place = statement.place_of(at)
    return StatementNotAllowed(f"{place}: {what}" if place else what, rule=rule, **located(place))
