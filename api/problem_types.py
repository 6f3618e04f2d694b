"""What each problem means and what to do about it: the pages a problem's `type` leads to, and docs/problem-types.md.

The texts are data, openapi/problem_types.yaml. `python -m api.problem_types` prints the page for docs/; a test holds
the two equal, and another holds that every code has its text.
"""

from __future__ import annotations

import html
import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from api.problems import TITLES, problem_type

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.6 system-ui, sans-serif; max-width: 42rem; margin: 4rem auto; padding: 0 1rem; color: #1c2733 }}
a {{ color: #0b62a8 }}
@media (prefers-color-scheme: dark) {{ body {{ background: #10161d; color: #dce4ec }} a {{ color: #6db8f2 }} }}
</style>
<h1>{title}</h1>
<p><code>{code}</code> · HTTP {status}</p>
<p>{meaning}</p>
<p>{remedy}</p>
<p><a href="/v0/ui/">The contract</a> · <a href="/">Start page</a></p>
</html>
"""

_INTRODUCTION = """# Problem types

Every error is a problem document (RFC 9457, `application/problem+json`). Programs branch on `code`; `retryable` says
whether the very same request may succeed later; `Retry-After` says when. `request_id` finds the request in the log.

This page is made from openapi/problem_types.yaml (`python -m api.problem_types > docs/problem-types.md`); a test holds
them equal.
"""


@dataclass(frozen=True)
class ProblemType:
    """One kind of problem, for people."""

    code: str
    status: int
    meaning: str
    remedy: str

    @property
    def title(self) -> str:
        """The title that problem documents of this kind carry."""
        return TITLES.get(self.code, TITLES["QueryFailed"])

    @property
    def page(self) -> str:
        """A small page in HTML."""
        told = {"title": self.title, "code": self.code, "meaning": self.meaning, "remedy": self.remedy}
        return _PAGE.format(status=self.status, **{name: _as_html(text) for name, text in told.items()})


def _as_html(text: str) -> str:
    """Text with `words` as HTML with code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


@cache
def problem_types() -> dict[str, ProblemType]:
    """Every kind by its code, in the order of their statuses."""
    entries = yaml.safe_load(resources.files("openapi").joinpath("problem_types.yaml").read_text(encoding="utf-8"))
    kinds = sorted((ProblemType(**entry) for entry in entries), key=lambda kind: kind.status)
    return {kind.code: kind for kind in kinds}


def problem_pages() -> dict[str, str]:
    """The pages by the last part of their path."""
    return {problem_type(code).rpartition("/")[2]: kind.page for code, kind in problem_types().items()}


def markdown() -> str:
    """docs/problem-types.md."""
    parts = [_INTRODUCTION, "| HTTP | code | what it means |", "|---|---|---|"]
    parts += [
        f"| {kind.status} | [{kind.code}](#{kind.code.lower()}) | {kind.title} |" for kind in problem_types().values()
    ]
    for kind in problem_types().values():
        parts += ["", f"## {kind.code}", "", f"HTTP {kind.status}. {kind.meaning}", "", kind.remedy]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
