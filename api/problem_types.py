"""What each problem's `type` leads to."""

from __future__ import annotations


def problem_pages() -> dict[str, tuple[str, str]]:
    return {}
