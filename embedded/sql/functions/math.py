"""Trino functions: math."""

from __future__ import annotations
