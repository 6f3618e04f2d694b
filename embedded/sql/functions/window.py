"""Trino functions: ranks and values of a window."""

from __future__ import annotations

from embedded.sql.functions.registry import window

window("row_number() -> bigint", "row_number()")
window("rank() -> bigint", "rank()")
window("dense_rank() -> bigint", "dense_rank()")
window("first_value(T) -> T", "first_value({0})")
window("last_value(T) -> T", "last_value({0})")
