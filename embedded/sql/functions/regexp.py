"""Trino functions: regexp."""

from __future__ import annotations
