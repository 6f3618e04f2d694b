"""How Athena names what went wrong with a query: categories and types of AthenaError, texts of StateChangeReason.

Source of the numbers: Athena user guide, "Athena error catalog".
"""

from __future__ import annotations

from collections.abc import Mapping

from embedded.athena_executions import ExecutionFailure
from embedded.sql.errors import TrinoError

SYSTEM = 1
USER = 2
OTHER = 3

CANCELLED_TYPE = 1011
INTERNAL_TYPE = 100

_TYPES: Mapping[str, int] = {
    "SYNTAX_ERROR": 1006,
    "PARSE_ERROR": 1006,
    "COLUMN_NOT_FOUND": 1006,
    "AMBIGUOUS_NAME": 1006,
    "TYPE_MISMATCH": 1006,
    "TABLE_NOT_FOUND": 1110,
    "SCHEMA_NOT_FOUND": 1110,
    "CATALOG_NOT_FOUND": 1110,
    "FUNCTION_NOT_FOUND": 1303,
    "INVALID_FUNCTION_ARGUMENT": 1106,
    "INVALID_CAST_ARGUMENT": 1106,
    "DIVISION_BY_ZERO": 1106,
    "NUMERIC_VALUE_OUT_OF_RANGE": 1106,
    "HIVE_BAD_DATA": 1001,
    "HIVE_CURSOR_ERROR": 1001,
    "HIVE_INVALID_METADATA": 1007,
    "HIVE_PARTITION_SCHEMA_MISMATCH": 1007,
    "NOT_SUPPORTED": 1200,
    "EXCEEDED_LOCAL_MEMORY_LIMIT": 1000,
    "TOO_MANY_OPEN_PARTITIONS": 1100,
    "INVALID_TABLE_PROPERTY": 1101,
    "ALREADY_EXISTS": 1003,
    "HIVE_PATH_ALREADY_EXISTS": 1003,
}


def failure_of(error: TrinoError) -> ExecutionFailure:
    """A query at fault, as AthenaError tells it."""
    category = SYSTEM if error.name.startswith(("INTERNAL", "GENERIC_INTERNAL")) else USER
    return ExecutionFailure(str(error), category=category, type=_TYPES.get(error.name, 1006))


def internal_failure(error: BaseException) -> ExecutionFailure:
    """A failure that is ours. The text names the exception: there is nobody to hide it from on a laptop."""
    text = f"GENERIC_INTERNAL_ERROR: {type(error).__name__}: {error}"
    return ExecutionFailure(text, category=SYSTEM, type=INTERNAL_TYPE, retryable=False)
