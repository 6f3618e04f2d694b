"""docs/operations.md: every command in it is run, or held to the lists of operations and options of its tool."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

from tests.e2e.conftest import COMMAND, data_hist, environment_of
from tests.e2e.test_readme import FENCED
from tests.project.terraform.files import ROOT

DOCUMENT = ROOT / "docs" / "operations.md"
RUN_HERE = ("data-hist", "cp", "python")
#: `aws` has a few commands that are not operations of a service.
OF_THE_AWS_COMMAND = {("logs", "tail"): {"--since", "--follow"}}


def commands() -> list[str]:
    return [line for block in FENCED.findall(DOCUMENT.read_text()) for line in block.splitlines() if line.strip()]


def of_tool(*names: str) -> list[str]:
    return [command for command in commands() if command.split()[0] in names]


def test_every_command_is_of_a_tool_that_is_looked_at() -> None:
    assert len(commands()) > 35
    assert {command.split()[0] for command in commands()} == {*RUN_HERE, "aws", "kubectl", "make", "terraform"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("operations")
    data_hist("sample", "--days", "1", data_dir=made / ".data")
    return made


def test_what_needs_no_aws_is_run_as_it_stands(folder: Path) -> None:
    """In the document's order: the copy is made before it is restored."""
    path = f"{COMMAND.parent}:/usr/local/bin:/usr/bin:/bin"
    for command in of_tool(*RUN_HERE):
        place = ROOT if command.startswith("python") else folder
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=place,
            env={**environment_of(), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        # verify tells by its status that it found something; nothing is wrong with a sample lake that is a day old
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    restored = data_hist("tables", data_dir=folder / "restored")
    assert {table["name"] for table in restored["tables"]} >= {"events", "logs", "metrics"}


@pytest.mark.parametrize("command", of_tool("aws"))
def test_operations_and_options_of_aws_are_there(command: str) -> None:
    words = shlex.split(command)
    service, operation = words[1], words[2]
    options = {word for word in words[3:] if word.startswith("--")}
    if (service, operation) in OF_THE_AWS_COMMAND:
        assert options <= OF_THE_AWS_COMMAND[service, operation]
        return
    operations = aws_operations("s3" if service == "s3api" else service)
    assert operation in operations
    known, required = operations[operation]
    assert {option.replace("--no-", "--") for option in options} <= known
    assert required <= options


@cache  # one per service
def aws_operations(service: str) -> dict[str, tuple[set[str], set[str]]]:
    """Operation -> its options, and those that it needs, as the aws command writes them."""
    model = botocore.session.Session().get_service_model(service)
    found = {}
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        members = shape.members if shape is not None else {}
        required = shape.required_members if shape is not None else []
        found[xform_name(name, "-")] = (
            {f"--{xform_name(member, '-')}" for member in members},
            {f"--{xform_name(member, '-')}" for member in required},
        )
    return found


@pytest.mark.parametrize("tool", ["terraform", "kubectl"])
def test_subcommands_and_options_of_other_tools_are_there(tool: str, tmp_path: Path) -> None:
    program = shutil.which(tool)
    if program is None:
        pytest.skip(f"{tool} is not on this machine")
    (tmp_path / "terraformrc").touch()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc")}
    for command in of_tool(tool):
        words = [word for word in shlex.split(command)[1:] if not word.startswith("-chdir=")]
        chdir = re.search(r"-chdir=(\S+)", command)
        assert chdir is None or (ROOT / chdir[1] / "main.tf").exists()
        kustomization = re.search(r"--kustomize (\S+)", command)
        assert kustomization is None or (ROOT / kustomization[1] / "kustomization.yaml").exists()
        subcommand = [words[0]] if tool == "terraform" else kubectl_subcommand(words)
        told = subprocess.run(
            [program, *subcommand, "-help" if tool == "terraform" else "--help"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        more = ["plan", "-help"] if tool == "terraform" else ["options"]  # options that several subcommands share
        options = subprocess.run([program, *more], env=environment, capture_output=True, text=True, check=False)
        for word in words:
            if word.startswith("-"):
                name = word.split("=")[0]
                assert re.search(rf"{re.escape(name)}\b", told.stdout + options.stdout), command


def kubectl_subcommand(words: list[str]) -> list[str]:
    depth = {"rollout": 2, "create": 3}.get(words[0], 1)  # `kubectl create secret generic`
    return words[:depth]


def test_make_targets_and_folders_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {command.split()[1] for command in of_tool("make")} <= targets


def test_what_the_page_says_of_a_terabyte_and_a_query_is_what_the_formulas_say() -> None:
    from deploy.cost import Usage, month, prices, scanned_dollars

    text, price = DOCUMENT.read_text(), prices()
    one = Usage(terabytes_a_day=1 / 365, queries_a_day=0, partitions_a_day=0)
    assert f"${month(one, price)['lake, S3 Standard']:.2f} a month for the first 365 days" in text
    assert f"${1000 * price['s3_glacier_gigabyte_month']:.2f} a month until day 2555" in text
    life = 23.0 * 12 + 3.6 * (2555 - 365) / 30.4
    assert abs(life - 540) < 10
    assert scanned_dollars(1000, price) == 5.0
    assert f"${scanned_dollars(0, price):.5f} at least" in text
    assert f"${scanned_dollars(100, price):.2f}, an hour of it ${scanned_dollars(100 / 24, price):.2f}" in text
    fixed = month(Usage(terabytes_a_day=0, queries_a_day=0, partitions_a_day=0), price)
    assert abs(sum(fixed.values()) - 110) < 5


def test_the_program_of_the_costs_prints_a_sum() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cost"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    *items, total = [float(line.split()[0].replace(",", "")) for line in done.splitlines()]
    assert abs(sum(items) - total) < 0.1
    assert items == sorted(items, reverse=True)
