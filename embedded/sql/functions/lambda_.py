"""Trino functions: lambda_."""

from __future__ import annotations
