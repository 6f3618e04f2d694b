"""What the Terraform files say, read by python-hcl2: blocks by kind, the statements of policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).resolve().parents[3]
TERRAFORM = ROOT / "deploy" / "terraform"
FILES = sorted(TERRAFORM.rglob("*.tf"))
MODULES = sorted({path.parent for path in FILES})


@dataclass(frozen=True)
class Block:
    """A labelled block: `resource "aws_sqs_queue" "notifications" {...}`."""

    kind: str
    labels: tuple[str, ...]
    body: dict[str, Any]
    path: Path

    @property
    def address(self) -> str:
        """Where it stands, for messages."""
        return f"{self.path.relative_to(TERRAFORM)}: {self.kind} {'.'.join(self.labels)}"


@cache  # a handful of files
def parsed(path: Path) -> dict[str, Any]:
    """A file as python-hcl2 reads it, texts without their quotes."""
    options = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
    document: dict[str, Any] = hcl2.loads(path.read_text(encoding="utf-8"), serialization_options=options)
    return document


def blocks(kind: str, *, below: Path = TERRAFORM) -> Iterator[Block]:
    """All blocks of a kind."""
    label_count = {"resource": 2, "data": 2}.get(kind, 1)
    for path in FILES:
        if path.is_relative_to(below):
            for found in parsed(path).get(kind, []):
                labels: list[str] = []
                body = found
                for _ in range(label_count):
                    ((label, body),) = body.items()
                    labels.append(label)
                yield Block(kind, tuple(labels), body, path)


def statements(document: Block) -> Iterator[dict[str, Any]]:
    """The statements of an `aws_iam_policy_document`, those of dynamic blocks too."""
    yield from document.body.get("statement", [])
    for dynamic in document.body.get("dynamic", []):
        for name, told in dynamic.items():
            if name == "statement":
                yield from told["content"]


def policy_documents() -> list[Block]:
    """All policies."""
    return [block for block in blocks("data") if block.labels[0] == "aws_iam_policy_document"]
