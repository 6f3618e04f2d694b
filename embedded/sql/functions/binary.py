"""Trino functions: binary."""

from __future__ import annotations
