"""Trino functions: datetime."""

from __future__ import annotations
