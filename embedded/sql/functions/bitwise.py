"""Trino functions: bitwise."""

from __future__ import annotations
