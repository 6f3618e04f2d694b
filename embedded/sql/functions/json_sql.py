"""Trino functions: json_exists, json_value, json_query, json_array, json_object."""

from __future__ import annotations
