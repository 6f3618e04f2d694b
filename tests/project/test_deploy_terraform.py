"""The Terraform files: parsed, formatted, every variable typed and described, nothing secret, nothing open.

`terraform` itself checks arguments, expressions and the real provider's schema in tests/e2e/test_deployment.py.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from glue.data_retention import compacted_prefix
from glue.lifecycle_rules import wanted_rules
from glue.queue_batch import DEFAULT_MAXIMUM_RECEIVES
from glue.table_spec import load_table_specs
from tests.project.terraform.files import FILES, MODULES, TERRAFORM, blocks, parsed, policy_documents, statements


def named(path: Path) -> str:
    return str(path.relative_to(TERRAFORM))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_parses(path: Path) -> None:
    assert parsed(path) is not None


@pytest.mark.parametrize("path", FILES, ids=named)
def test_laid_out_as_terraform_lays_it_out(path: Path) -> None:
    """What can be said without `terraform fmt`: two spaces a level, no tabs, no blanks at an end, one newline last."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert not re.search(r"\t|[ \t]+$", text, re.MULTILINE)
    assert [line for line in text.splitlines() if (len(line) - len(line.lstrip(" "))) % 2] == []


def test_formatted_by_terraform_itself(tmp_path: Path) -> None:
    terraform = shutil.which("terraform")
    if terraform is None:
        pytest.skip("terraform is not on this machine; test_laid_out_as_terraform_lays_it_out looks without it")
    (tmp_path / "terraformrc").touch()
    done = subprocess.run(
        [terraform, "fmt", "-check", "-recursive", str(TERRAFORM)],
        env={"TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("module", MODULES, ids=named)
def test_every_module_has_the_same_files(module: Path) -> None:
    names = {path.name for path in module.glob("*.tf")}
    is_root = "environments" in module.parts
    assert names >= {"main.tf", "variables.tf", "outputs.tf"} | (set() if is_root else {"versions.tf"})
    has_policies = any(block.path.parent == module for block in policy_documents())
    assert ("iam.tf" in names) == has_policies


def test_every_variable_is_typed_and_described() -> None:
    variables = list(blocks("variable"))
    assert len(variables) > 80
    assert [v.address for v in variables if not v.body.get("type") or not v.body.get("description")] == []
    assert [v.address for v in variables if v.body["type"] in ("any", "${any}")] == []


def test_every_output_is_described() -> None:
    outputs = list(blocks("output"))
    assert [o.address for o in outputs if not o.body.get("description")] == []


def test_no_variable_is_left_unused() -> None:
    unused = []
    for variable in blocks("variable"):
        texts = [path.read_text() for path in variable.path.parent.glob("*.tf") if path.name != "variables.tf"]
        if not any(re.search(rf"\bvar\.{variable.labels[0]}\b", text) for text in texts):
            unused.append(variable.address)
    assert unused == []


def test_devel_and_prod_differ_in_numbers_only() -> None:
    """The same variables, outputs and modules: what is tried in devel is what runs in prod."""
    for part in ("persistent_data", "service"):
        for name in ("variables.tf", "outputs.tf"):
            texts = {
                (TERRAFORM / "environments" / environment / part / name).read_text()
                for environment in ("devel", "prod")
            }
            assert len(texts) == 1, (part, name)


def test_no_secret_is_written_down() -> None:
    secret = re.compile(
        r"AKIA[0-9A-Z]{16}|aws_secret_access_key|-----BEGIN|(password|secret_string|token)\s*=\s*\"[^\"$]",
        re.IGNORECASE,
    )
    assert [named(path) for path in FILES if secret.search(path.read_text())] == []


def test_what_survives_cannot_be_destroyed() -> None:
    kinds = {"aws_s3_bucket", "aws_dynamodb_table", "aws_glue_catalog_database", "aws_kms_key"}
    kept = [block for block in blocks("resource") if block.labels[0] in kinds]
    assert {block.labels[0] for block in kept} == kinds
    unguarded = [b.address for b in kept if [o.get("prevent_destroy") for o in b.body["lifecycle"]] not in ([True],)]
    assert unguarded == []
    assert all(not block.path.is_relative_to(TERRAFORM / "service") for block in kept)


def test_the_lake_is_kept_as_the_table_specs_say() -> None:
    """A new table is a line of `lake_retention` in persistent_data/variables.tf as well."""
    defaults = {v.labels[0]: v.body.get("default") for v in blocks("variable", below=TERRAFORM / "persistent_data")}
    specs = load_table_specs().values()
    assert set(defaults["lake_retention"]) == {spec.reference for spec in specs}
    for spec in specs:
        told = defaults["lake_retention"][spec.reference]
        assert [told["prefix"]] == list(spec.layout.listing_prefixes(spec.topic))
        assert (told["retention_days"], told["archive_days"]) == (spec.retention_days, spec.archive_days)
        assert told["prefix"].startswith(defaults["lake_prefix"])
        assert spec.database in defaults["databases"]
        assert compacted_prefix(spec) == f"{defaults['compacted_prefix']}{spec.reference}/"
    rules = {rule["ID"] for rule in wanted_rules(specs)}
    assert rules == {f"data-hist.{spec.reference}{kind}" for spec in specs for kind in ("", ".compacted")}, (
        "persistent_data/main.tf makes these rules"
    )


def test_a_message_is_given_up_by_the_function_before_the_queue_gives_it_up() -> None:
    (variable,) = (
        v for v in blocks("variable", below=TERRAFORM / "modules/tracker") if v.labels == ("maximum_receives",)
    )
    assert variable.body["default"] > DEFAULT_MAXIMUM_RECEIVES


def test_the_queue_hides_a_batch_six_times_as_long_as_the_function_runs() -> None:
    (queue,) = (b for b in blocks("resource") if b.labels == ("aws_sqs_queue", "notifications"))
    assert queue.body["visibility_timeout_seconds"] == "${6 * var.function_timeout_seconds}"


def test_nothing_is_open_to_everybody() -> None:
    for document in policy_documents():
        for statement in statements(document):
            everybody = any("*" in p["identifiers"] for p in statement.get("principals", []))
            assert not everybody or statement.get("effect") == "Deny", document.address
    open_ingress = [
        block.address
        for block in blocks("resource")
        if block.labels[0] == "aws_vpc_security_group_ingress_rule" and "0.0.0.0/0" in str(block.body)
    ]
    assert open_ingress == []
