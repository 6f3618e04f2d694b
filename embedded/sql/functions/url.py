"""Trino functions: url."""

from __future__ import annotations
