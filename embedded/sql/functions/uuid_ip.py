"""Trino functions: uuid_ip."""

from __future__ import annotations
