"""The deployment files, applied for real: Terraform plans, makes, changes, rebuilds; what lands becomes a partition.

Terraform itself reads deploy/terraform with the AWS provider's schema and evaluates every expression; a stand-in for
the provider's binary (tests/project/terraform) makes the resources through boto3, which moto answers. The function's
zip is the one that `make lambda` builds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from deploy.lambda_zip import Target, build
from glue.bootstrap import ensure_catalogue
from glue.crawler_preset import deviations
from glue.dynamodb_table import differences
from glue.lifecycle_rules import plan_lifecycle
from glue.table_spec import load_table_specs
from service.dynamodb_tables import TABLES
from tests.contract.aws_implementations import moto_client
from tests.e2e.conftest import host_platforms
from tests.project.terraform.aws_resources import AwsResources
from tests.project.terraform.files import ROOT, TERRAFORM

REGION, ACCOUNT = "eu-central-1", "123456789012"
EVENT_KEY = "secor/events/dt=2026-11-22/hr=10/min=05/1_0_00000000000000000001.gz"
FIXED_VARIABLES: dict[str, Any] = {
    "region": REGION,
    "account_id": ACCOUNT,
    "state_bucket": "states",
    "network": {"vpc_id": "vpc-1", "private_subnet_ids": ["subnet-1", "subnet-2"]},
    "load_balancer": {
        "certificate_arn": f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/1",
        "name": "api.internal.example",
    },
    "tokens": {"issuer": "https://issuer.example", "audiences": ["data-hist"]},
    "image": "registry.example/data-hist@sha256:" + "0" * 64,
    "image_repository_arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/data-hist",
    "signing_secret_arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:data-hist-signing",
    "runbook_url": "https://docs.example/operations.md",
    "alarm_addresses": ["operators@example.org"],
}


@dataclass
class Deployment:
    """A copy of deploy/terraform with local states, and the means to run Terraform in it."""

    folder: Path
    environment: dict[str, str]
    cloud: AwsResources
    variables: dict[str, Any] = field(default_factory=dict)

    def terraform(self, part: str, *arguments: str, expected: int = 0) -> str:
        root = self.folder / "environments" / "devel" / part
        done = subprocess.run(
            ["terraform", *arguments], cwd=root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == expected, f"terraform {' '.join(arguments)}\n{done.stdout[-2000:]}\n{done.stderr}"
        return done.stdout

    def apply(self, part: str, **changed: Any) -> None:
        """Applies a part; nothing is left to do afterwards."""
        declared = (self.folder / "environments" / "devel" / part / "variables.tf").read_text()
        values = {**FIXED_VARIABLES, **self.variables, **changed}
        (self.folder / "environments" / "devel" / part / "terraform.tfvars.json").write_text(
            json.dumps({name: value for name, value in values.items() if f'variable "{name}"' in declared})
        )
        if not (self.folder / "environments" / "devel" / part / ".terraform").exists():
            self.terraform(part, "init", "-no-color")
            self.terraform(part, "validate", "-no-color")
        self.terraform(part, "apply", "-auto-approve", "-no-color")
        self.terraform(part, "plan", "-detailed-exitcode", "-no-color")

    def outputs(self, part: str) -> Any:
        ((_, told),) = json.loads(self.terraform(part, "output", "-json")).items()
        return told["value"]


@pytest.fixture(scope="module")
def deployment(tracker_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Both parts of devel, applied."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on this machine")
    from tests.project.terraform.stand_in_provider import serving

    folder = tmp_path_factory.mktemp("deployment") / "terraform"
    shutil.copytree(TERRAFORM, folder)
    (folder / "terraformrc").touch()
    for part in ("persistent_data", "service"):
        (folder / "environments/devel" / part / "backend_override.tf").write_text(
            'terraform {\n  backend "local" {}\n}\n'
        )
    (folder / "environments/devel/service/state_override.tf").write_text(
        'data "terraform_remote_state" "persistent_data" {\n  backend = "local"\n'
        '  config  = { path = "../persistent_data/terraform.tfstate" }\n}\n'
    )
    with pytest.MonkeyPatch.context() as patch, moto_client("s3", patch):
        cloud = AwsResources(REGION, ACCOUNT)
        with serving(cloud) as reattach:
            environment = {
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                **reattach,
                "TF_CLI_CONFIG_FILE": str(folder / "terraformrc"),
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
            }
            made = Deployment(folder, environment, cloud, {"tracker_zip_path": str(tracker_zip)})
            made.apply("persistent_data")
            made.apply("service")
            yield made


def test_buckets_are_closed_encrypted_and_live_as_promised(deployment: Deployment) -> None:
    s3 = deployment.cloud.client("s3")
    outputs = deployment.outputs("persistent_data")
    for told in (outputs["lake_bucket"], outputs["results_bucket"], outputs["logs_bucket"]):
        blocked = s3.get_public_access_block(Bucket=told["name"])["PublicAccessBlockConfiguration"]
        assert set(blocked.values()) == {True}
        statements = deployment.cloud.bucket_policies[told["name"]]["Statement"]
        denied = [s["Condition"] for s in statements if s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": ["false"]}} in denied
    lake = outputs["lake_bucket"]["name"]
    rules = {rule["ID"]: rule for rule in s3.get_bucket_lifecycle_configuration(Bucket=lake)["Rules"]}
    assert rules["data-hist.events"]["Transitions"] == [{"Days": 365, "StorageClass": "GLACIER"}]
    assert rules["data-hist.events"]["Expiration"]["Days"] == 2555
    plan = plan_lifecycle(s3, lake, load_table_specs(bucket=lake).values())
    assert not plan.has_changes  # `data-hist retention` and Terraform say the same
    assert s3.get_bucket_versioning(Bucket=outputs["lake_bucket"]["name"])["Status"] == "Enabled"
    assert "Status" not in s3.get_bucket_versioning(Bucket=outputs["results_bucket"]["name"])


def test_tables_are_as_the_code_wants_them_and_can_be_restored(deployment: Deployment) -> None:
    dynamodb = deployment.cloud.client("dynamodb")
    made = {told["setting"]: told["name"] for told in deployment.outputs("persistent_data")["tables"].values()}
    for definition in TABLES:
        name = made[definition.setting]
        assert differences(dynamodb, definition, name) == ()
        backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
        assert dynamodb.describe_table(TableName=name)["Table"]["DeletionProtectionEnabled"] is True


def test_a_replica_starts_with_settings_that_hold(deployment: Deployment) -> None:
    """What the task definition hands the container is read by the service's own settings."""
    described = deployment.cloud.client("ecs").describe_task_definition(taskDefinition="data-hist-devel-service")
    (container,) = described["taskDefinition"]["containerDefinitions"]
    variables = {told["name"]: told["value"] for told in container["environment"]}
    assert {told["name"] for told in container["secrets"]} == {"DATA_HIST_SECRET"}
    settings = Settings.from_environment({**variables, "DATA_HIST_SECRET": "s" * 48})
    assert container["stopTimeout"] > settings.drain_seconds + settings.shutdown_seconds
    assert (settings.store, settings.ledger) == ("dynamodb", "dynamodb")
    outputs = deployment.outputs("persistent_data")
    assert settings.engine == "athena"
    assert settings.lake_bucket == outputs["lake_bucket"]["name"]
    work_group = deployment.cloud.client("athena").get_work_group(WorkGroup=settings.athena_work_group)["WorkGroup"]
    assert work_group["Configuration"]["ResultConfiguration"]["OutputLocation"] == settings.output_location
    known = {definition.setting for definition in TABLES}
    assert {name for name in variables if name in known} == known
    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == "10001:10001"


def test_the_queue_gives_up_after_the_function_does(deployment: Deployment) -> None:
    sqs = deployment.cloud.client("sqs")
    told = deployment.outputs("service")["tracker"]
    attributes = sqs.get_queue_attributes(QueueUrl=told["queue"]["url"], AttributeNames=["All"])["Attributes"]
    redrive = json.loads(attributes["RedrivePolicy"])
    assert (redrive["deadLetterTargetArn"], int(redrive["maxReceiveCount"])) == (told["dead_letter_queue"]["arn"], 10)
    function = deployment.cloud.client("lambda").get_function_configuration(FunctionName=told["function_name"])
    assert int(attributes["VisibilityTimeout"]) == 6 * function["Timeout"]
    (source,) = deployment.cloud.event_sources.values()
    assert source["event_source_arn"] == told["queue"]["arn"]
    assert source["function_response_types"] == ["ReportBatchItemFailures"]


def test_work_groups_cut_off_and_write_where_they_must(deployment: Deployment) -> None:
    athena = deployment.cloud.client("athena")
    results = deployment.outputs("persistent_data")["results_bucket"]["name"]
    for key, told in deployment.outputs("service")["work_groups"].items():
        configuration = athena.get_work_group(WorkGroup=told["name"])["WorkGroup"]["Configuration"]
        assert configuration["EnforceWorkGroupConfiguration"] is True
        assert configuration["BytesScannedCutoffPerQuery"] == 107_374_182_400
        assert configuration["ResultConfiguration"]["OutputLocation"] == f"s3://{results}/{key}/"


def test_a_crawler_does_no_harm(deployment: Deployment) -> None:
    """`data-hist crawler` has nothing to say against its settings."""
    (name,) = deployment.outputs("service")["crawler_names"]
    crawler = deployment.cloud.client("glue").get_crawler(Name=name)["Crawler"]
    assert deviations(crawler) == []
    level = json.loads(crawler["Configuration"])["Grouping"]["TableLevelConfiguration"]
    folders = crawler["Targets"]["S3Targets"][0]["Path"].removeprefix("s3://").rstrip("/").split("/")
    assert level == len(folders)  # the bucket is the first level, the topic's folder the last


def test_the_page_metric_reads_what_the_service_logs(deployment: Deployment) -> None:
    """The fields of the filter's pattern are those of an access log line (docs/http-api.md, Logs)."""
    filters = deployment.cloud.client("logs").describe_metric_filters()["metricFilters"]
    (told,) = filters
    fields = set(re.findall(r"\$\.(\w+)", told["filterPattern"] + told["metricTransformations"][0]["metricValue"]))
    assert fields == {"event", "route", "duration_ms"}
    assert fields <= logged_fields()


def logged_fields() -> set[str]:
    section = (ROOT / "docs" / "http-api.md").read_text().partition("## Logs")[2]
    return {"event", *re.findall(r"\w+", section.partition("has `")[2].partition("`")[0])}


def test_every_alarm_leads_to_a_section_of_the_operations_guide(deployment: Deployment) -> None:
    alarms = deployment.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert len(alarms) >= 12
    for alarm in alarms:
        assert alarm["AlarmActions"] == [deployment.outputs("service")["alarms"]["topic_arn"]]
        assert FIXED_VARIABLES["runbook_url"] + "#" in alarm["AlarmDescription"]


def test_an_object_that_lands_becomes_a_partition(deployment: Deployment, tracker_zip: Path, tmp_path: Path) -> None:
    """S3 put -> notification -> queue -> the zip's handler with the function's variables -> Glue. Twice: no more."""
    lake = deployment.outputs("persistent_data")["lake_bucket"]["name"]
    glue = deployment.cloud.client("glue")
    specs = load_table_specs(bucket=lake)
    ensure_catalogue(glue, specs.values())
    deployment.cloud.client("s3").put_object(Bucket=lake, Key=EVENT_KEY, Body=b"{}")
    deployment.cloud.client("s3").put_object(Bucket=lake, Key="elsewhere/x", Body=b"{}")  # not below the prefix
    told = deployment.outputs("service")["tracker"]
    messages = received(deployment, told["queue"]["url"])
    assert sum(EVENT_KEY.split("/")[-1] in message["Body"] for message in messages) == 1
    assert not any("elsewhere" in message["Body"] for message in messages)
    function = deployment.cloud.client("lambda").get_function_configuration(FunctionName=told["function_name"])
    event = {
        "Records": [
            {"messageId": m["MessageId"], "body": m["Body"], "attributes": {"ApproximateReceiveCount": "1"}}
            for m in messages
        ]
    }
    event["Records"].append({"messageId": "unreadable", "body": "no notification", "attributes": {}})
    answer = run_unpacked(tracker_zip, tmp_path, function["Handler"], event, function["Environment"]["Variables"])
    assert answer["responses"] == [{"batchItemFailures": []}] * 2
    assert answer["partitions"] == [["2026-11-22", "10", "05"]]
    assert answer["dead_letters"] == ["no notification"]
    assert answer["modules_from_elsewhere"] == []


def test_stopped_and_started_again(deployment: Deployment) -> None:
    """`is_running = false`: nobody reads the queue, nothing is watched, notifications wait; and back."""
    alarms = deployment.cloud.client("cloudwatch")
    watched = len(alarms.describe_alarms()["MetricAlarms"])
    deployment.apply("service", is_running=False)
    (source,) = deployment.cloud.event_sources.values()
    assert source["enabled"] is False
    assert alarms.describe_alarms()["MetricAlarms"] == []
    deployment.apply("service", is_running=True)
    (source,) = deployment.cloud.event_sources.values()
    assert source["enabled"] is True
    assert len(alarms.describe_alarms()["MetricAlarms"]) == watched


def test_the_service_side_is_destroyed_and_rebuilt_and_the_data_stays(deployment: Deployment) -> None:
    s3 = deployment.cloud.client("s3")
    lake = deployment.outputs("persistent_data")["lake_bucket"]["name"]
    s3.put_object(Bucket=lake, Key="secor/kept", Body=b"kept")
    deployment.terraform("service", "destroy", "-auto-approve", "-no-color")
    assert deployment.cloud.client("lambda").list_functions()["Functions"] == []
    assert s3.get_object(Bucket=lake, Key="secor/kept")["Body"].read() == b"kept"
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket=lake)
    deployment.terraform("persistent_data", "plan", "-detailed-exitcode", "-no-color")
    refused = deployment.folder / "environments/devel/persistent_data"
    done = subprocess.run(
        ["terraform", "destroy", "-auto-approve", "-no-color"],
        cwd=refused,
        env=deployment.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "prevent_destroy" in done.stderr
    deployment.apply("service")
    assert len(deployment.cloud.client("lambda").list_functions()["Functions"]) == 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"image": "registry.example/data-hist:latest"}, "named by its digest"),
        ({"tokens": {"issuer": "http://issuer.example", "audiences": ["a"]}}, "An issuer is an https URL"),
        ({"tokens": {"issuer": "https://issuer.example", "audiences": []}}, "One audience at least"),
        ({"network": {"vpc_id": "v", "private_subnet_ids": ["one"]}}, "Two subnets at least"),
        ({"secret_arns": {"DATA_HIST_API_KEY": "a-secret-itself"}}, "ARNs of Secrets Manager, no values"),
        ({"alarm_addresses": []}, "At least one mail address"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_with_a_sentence(
    deployment: Deployment, changed: dict[str, Any], sentence: str
) -> None:
    arguments = [f"-var={name}={json.dumps(value)}" for name, value in changed.items()]
    arguments = [a.replace('="', "=", 1).rstrip('"') if a.count('"') == 2 and "[" not in a else a for a in arguments]
    done = subprocess.run(
        ["terraform", "plan", "-no-color", *arguments],
        cwd=deployment.folder / "environments/devel/service",
        env=deployment.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in " ".join(done.stderr.split())


def test_the_zip_is_the_same_bytes_each_time(tracker_zip: Path, tmp_path: Path) -> None:
    here = Target(f"{sys.version_info.major}.{sys.version_info.minor}", host_platforms())
    os.utime(ROOT / "glue" / "tracker.py")
    digest = build(tmp_path / "again.zip", here, tracker_zip.parent / "wheels")
    assert digest == sha256(tracker_zip.read_bytes()).hexdigest()


def test_the_zip_holds_the_handler_and_nothing_of_other_rooms(tracker_zip: Path) -> None:
    with zipfile.ZipFile(tracker_zip) as archive:
        names = archive.namelist()
    assert names == sorted(names)
    assert {"glue/lambda_handler.py", "glue/tracker.py", "glue/tables/events.yaml", "boto3/__init__.py"} <= set(names)
    assert {name.partition("/")[0] for name in names} & {"api", "service", "embedded", "cli", "tests"} == set()
    models = {name.split("/")[2] for name in names if name.startswith("botocore/data/") and name.count("/") > 2}
    assert models >= {"glue", "sqs"}
    assert "ec2" not in models


def received(deployment: Deployment, url: str) -> list[dict[str, Any]]:
    sqs = deployment.cloud.client("sqs")
    found: list[dict[str, Any]] = []
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages"):
        found += batch
    return found


RUNNER = """
import json, sys
given = json.load(sys.stdin)
sys.path[:] = [given["folder"], *(path for path in sys.path if "site-packages" not in path)]
import importlib, os
os.environ.update(given["variables"])
module, _, function = given["handler"].rpartition(".")
handler = getattr(importlib.import_module(module), function)
import boto3, botocore, yaml, orjson
elsewhere = [m.__name__ for m in (boto3, botocore, yaml, orjson, sys.modules["glue.tracker"])
             if not m.__file__.startswith(given["folder"])]
responses = [handler(given["event"], None) for _ in range(2)]
glue, sqs = boto3.client("glue"), boto3.client("sqs")
partitions = glue.get_partitions(DatabaseName="data_hist", TableName="events")["Partitions"]
letters = sqs.receive_message(
    QueueUrl=given["variables"]["DATA_HIST_DEAD_LETTER_QUEUE_URL"], MaxNumberOfMessages=10,
    VisibilityTimeout=0, WaitTimeSeconds=0)
print(json.dumps({"responses": responses, "partitions": [p["Values"] for p in partitions],
                  "dead_letters": sorted({m["Body"] for m in letters.get("Messages", [])}),
                  "modules_from_elsewhere": elsewhere}))
"""


def run_unpacked(
    zip_path: Path, folder: Path, handler: str, event: dict[str, Any], variables: dict[str, str]
) -> dict[str, Any]:
    """Unpacks the zip into an empty folder, runs the handler with nothing else on the path, against moto's server."""
    from moto.server import ThreadedMotoServer

    unpacked = folder / "function"
    shutil.rmtree(unpacked, ignore_errors=True)
    with zipfile.ZipFile(zip_path) as archive:
        archive.extractall(unpacked)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "PATH": "/usr/bin:/bin",
        }
        given = {"folder": str(unpacked), "handler": handler, "event": event, "variables": variables}
        done = subprocess.run(
            [sys.executable, "-I", "-c", RUNNER],
            input=json.dumps(given),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer
    finally:
        server.stop()
