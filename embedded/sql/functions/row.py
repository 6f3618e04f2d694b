"""Trino functions: row."""

from __future__ import annotations
