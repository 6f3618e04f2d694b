"""Every name that a deployment file says resolves: settings, handlers, commands, files of the image, make targets."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from api.settings import CLIENT_VARIABLES, documented_settings
from service.dynamodb_tables import TABLES
from tests.project.terraform.files import ROOT, TERRAFORM, blocks

#: Variables that are read by what the image is made of: boto3, Python, OpenTelemetry.
OF_OTHERS = {"AWS_REGION", "AWS_ENDPOINT_URL", "TMPDIR"}
SETTING = re.compile(r"\bDATA_HIST_[A-Z0-9_]+\b")


def of_the_lambda() -> set[str]:
    """What the tracker's code reads."""
    return set(SETTING.findall((ROOT / "glue" / "lambda_handler.py").read_text()))


def settings() -> set[str]:
    return {variable for variable, _, _ in documented_settings()} | {table.setting for table in TABLES}


def test_the_lambda_handler_is_there() -> None:
    handlers = [b.body["handler"] for b in blocks("resource") if b.labels[0] == "aws_lambda_function"]
    assert handlers == ["glue.lambda_handler.handler"]
    module, _, function = handlers[0].rpartition(".")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_trackers_variables_are_those_that_its_code_reads() -> None:
    (function,) = (b for b in blocks("resource") if b.labels[0] == "aws_lambda_function")
    (environment,) = function.body["environment"]
    assert set(environment["variables"]) == of_the_lambda(), "modules/tracker/main.tf hands them to the function"


def test_the_services_variables_are_settings() -> None:
    text = (TERRAFORM / "modules/api/main.tf").read_text()
    names = set(re.findall(r"^\s+([A-Z][A-Z0-9_]+)\s+=", text, re.MULTILINE))
    assert {"DATA_HIST_ENGINE", "DATA_HIST_LAKE_BUCKET", "DATA_HIST_OUTPUT_LOCATION"} <= names
    assert names - settings() - OF_OTHERS == set()


def test_no_deployment_file_says_a_setting_that_is_none() -> None:
    known = settings() | CLIENT_VARIABLES | of_the_lambda()
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in deployment_files()
        for name in SETTING.findall(path.read_text(encoding="utf-8"))
        if name not in known
    }
    assert unknown == set()


def deployment_files() -> list[Path]:
    found = [ROOT / "Dockerfile", ROOT / "docs" / "operations.md", ROOT / "docs" / "deployment.md"]
    for pattern in ("*.tf", "*.yaml", "*.yml", "*.json", "*.md", "*.hcl", "*.tfvars", "*.py"):
        found += [path for path in (ROOT / "deploy").rglob(pattern) if "build" not in path.parts]
    return [path for path in found if path.exists()]
