"""Trino functions: map."""

from __future__ import annotations
