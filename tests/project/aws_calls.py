"""Which AWS operations the code calls, read from its source: what a role has to be allowed, and nothing more.

A call is an attribute that is the name of one of boto3's methods (botocore's models tell) on something that is named
after its service: `self._glue.batch_create_partition`, `s3_client.put_object`, `lake.athena...`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import botocore.session
from botocore import xform_name

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("api", "service", "glue")  # embedded calls nobody: it is called
SERVICES = ("athena", "glue", "s3", "sqs", "dynamodb", "secretsmanager", "sts")
_RECEIVER = re.compile(rf"(?:^|[._])({'|'.join(SERVICES)})(?:_client)?$")

#: Operations whose permission has another name (AWS service authorization reference).
PERMISSIONS = {
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "dynamodb:TransactWriteItems": "dynamodb:PutItem",
    "dynamodb:TransactGetItems": "dynamodb:GetItem",
}


def reachable(*modules: str) -> dict[str, Path]:
    """The project's modules that these import, directly or not: name -> file."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        place = ROOT.joinpath(*name.split("."))
        path = next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)
        if path is None or name in found or name.partition(".")[0] not in ROOMS:
            continue
        found[name] = path
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def permissions_of(paths: Iterable[Path]) -> dict[str, set[str]]:
    """The permissions that these files' calls need -> the names of the files that make them."""
    found: dict[str, set[str]] = {}
    for path in paths:
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.Attribute):
                continue
            receiver = _RECEIVER.search(ast.unparse(node.value))
            operation = receiver and _operations(receiver[1]).get(node.attr)
            if receiver and operation:
                action = f"{receiver[1]}:{operation}"
                found.setdefault(PERMISSIONS.get(action, action), set()).add(path.name)
    return found


@cache  # some hundred files
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache  # one per service
def _operations(service_name: str) -> dict[str, str]:
    model = botocore.session.Session().get_service_model(service_name)
    return {xform_name(name): name for name in model.operation_names}
