"""Trino functions: aggregates."""

from __future__ import annotations

from embedded.sql.functions.registry import aggregate
from embedded.sql.types import decimal

aggregate("count() -> bigint", "count(*)")
aggregate("count(T) -> bigint", "count({0})")
aggregate("sum(bigint) -> bigint", "CAST(@sum({0}) AS BIGINT)")
aggregate("sum(double) -> double", "sum({0})")
aggregate("sum(real) -> real", "CAST(@sum({0}) AS FLOAT)")
aggregate(
    "sum(decimal(p,s)) -> decimal",
    "CAST(@sum({0}) AS {result})",
    result=lambda bindings, _: decimal(38, bindings["s"]),
)
aggregate("avg(bigint) -> double", "avg({0})")
aggregate("avg(double) -> double", "avg({0})")
aggregate("min(T) -> T where T: orderable", "min({0})")
aggregate("max(T) -> T where T: orderable", "max({0})")
aggregate("array_agg(T) -> array(T)", "list({0})")
