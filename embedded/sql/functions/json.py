"""Trino functions: json."""

from __future__ import annotations
