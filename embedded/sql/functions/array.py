"""Trino functions: arrays."""

from __future__ import annotations

from embedded.sql.functions.registry import scalar

scalar("concat(array(E), E) -> array(E)", "list_append({0}, {1})")
scalar("concat(E, array(E)) -> array(E)", "list_prepend({0}, {1})")
scalar("concat(array(E)...) -> array(E)", "({0} || {1})")
scalar("cardinality(array(E)) -> bigint", "CAST(len({0}) AS BIGINT)")
