"""Image, compose file and Kubernetes manifests: linted, valid by their schemas, and about things that are there.

No container is started here: nothing on a developer's machine has to have Docker or a cluster.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

import api.asgi
import api.worker
import glue.worker
from api.contract import load_contract
from api.settings import Settings
from service.dynamodb_tables import TABLES
from tests.project.terraform.files import ROOT

DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
CLUSTER_VERSION = "1.31"  # the oldest that EKS supports; a newer one takes the same
KUSTOMIZE_KINDS = {"Kustomization", "Component"}


# --- the image ---------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=f"{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin")
    if hadolint is None:
        pytest.skip("no hadolint for this system")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_copies_what_is_there() -> None:
    for name, argument in instructions():
        if name == "COPY" and "--from" not in argument:
            *sources, _ = argument.split()
            assert [source for source in sources if not (ROOT / source).exists()] == []


def test_the_image_runs_what_is_there_as_nobody_in_particular() -> None:
    last_stage = instructions()[[name for name, _ in instructions()].index("FROM", 1) :]
    told = dict(last_stage)
    command = json.loads(told["CMD"])
    assert command[:2] == ["gunicorn", f"{api.asgi.__name__}:{api.asgi.application.__name__}()"]
    worker = api.worker.Worker
    assert command[command.index("--worker-class") + 1] == f"{worker.__module__}.{worker.__name__}"
    assert told["USER"] == "10001"
    assert re.search(r'"http://127\.0\.0\.1:8080(/[a-z/]+)"', told["HEALTHCHECK"].replace("'", '"'))


def test_the_image_stops_as_long_as_the_service_may() -> None:
    command = json.loads(dict(instructions())["CMD"])
    assert int(command[command.index("--graceful-timeout") + 1]) >= Settings().shutdown_seconds


def test_nothing_private_gets_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", ".data", "tests", "build"} <= set(ignored)


# --- compose -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return document


def test_compose_is_valid_by_its_specification() -> None:
    schema = json.loads((resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(compose(), schema)


def test_compose_names_what_is_there() -> None:
    document = compose()
    for name, told in document["services"].items():
        for volume in told.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in document["volumes"] or (COMPOSE.parent / source).exists(), (name, volume)
        for port in told.get("ports", ()):
            assert port.startswith("127.0.0.1:"), (name, port)
        assert set(told.get("networks", ())) <= {*document["networks"], "default"}
        assert set(told.get("secrets", ())) <= set(document.get("secrets", {}))
        assert not told["image"].endswith(":latest") or told["image"].startswith("data-hist:")


def test_the_stand_in_that_asks_nobody_is_let_in_by_nobody() -> None:
    document = compose()
    assert document["services"]["athena"]["networks"] == ["aws"]
    assert document["networks"]["aws"]["internal"] is True
    assert "ports" not in document["services"]["athena"]


# --- Kubernetes --------------------------------------------------------------------------------------------------


def manifests(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


MANIFESTS = sorted(KUBERNETES.rglob("*.yaml"))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(KUBERNETES)))
def test_manifests_are_valid_by_kubernetes_schemas(path: Path) -> None:
    for document in manifests(path):
        if document["kind"] not in KUSTOMIZE_KINDS:
            kubernetes_validate.validate(document, CLUSTER_VERSION, strict=True)


@pytest.mark.parametrize("path", [p for p in MANIFESTS if p.name == "kustomization.yaml"], ids=lambda p: p.parent.name)
def test_every_manifest_is_part_of_its_kustomization(path: Path) -> None:
    (told,) = manifests(path)
    for name in [*told.get("resources", ()), *told.get("components", ())]:
        assert (path.parent / name).exists(), name
    here = {other.name for other in path.parent.glob("*.yaml")} - {"kustomization.yaml"}
    assert here <= set(told.get("resources", ()))


def rendered(environment: str) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on this machine; the manifests were looked at one by one")
    return built(kubectl, KUBERNETES / "overlays" / environment)


def built(kubectl: str, folder: Path) -> list[dict[str, Any]]:
    command = [kubectl, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def only(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


@pytest.mark.parametrize("environment", ["devel", "prod"])
def test_what_is_rendered_is_valid_and_hangs_together(environment: str) -> None:
    documents = rendered(environment)
    for document in documents:
        kubernetes_validate.validate(document, CLUSTER_VERSION, strict=True)
    deployment, configuration = only(documents, "Deployment"), only(documents, "ConfigMap")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    for kind, path in (("Service", ("selector",)), ("PodDisruptionBudget", ("selector", "matchLabels"))):
        selector = only(documents, kind)["spec"]
        for step in path:
            selector = selector[step]
        assert selector.items() <= labels, kind
    assert only(documents, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"][0]["configMapRef"]["name"] == configuration["metadata"]["name"]
    assert {document["metadata"].get("namespace", "data-hist") for document in documents} == {"data-hist"}
    assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
    assert only(documents, "ServiceAccount")["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]


@pytest.mark.parametrize("environment", ["devel", "prod"])
def test_pods_are_restricted_as_the_pod_security_standard_says(environment: str) -> None:
    pod = only(rendered(environment), "Deployment")["spec"]["template"]["spec"]
    assert_restricted(pod)
    assert only(rendered(environment), "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == (
        "restricted"
    )


def assert_restricted(pod: dict[str, Any]) -> None:
    """Kubernetes: Pod Security Standards, restricted; and a root that cannot be written to."""
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]} <= {"emptyDir", "secret", "configMap"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("environment", ["devel", "prod"])
def test_a_replica_in_the_cluster_starts_with_settings_that_hold(environment: str) -> None:
    variables = only(rendered(environment), "ConfigMap")["data"]
    settings = Settings.from_environment(variables)
    assert settings.engine == "athena"
    assert {table.setting for table in TABLES} <= set(variables)
    pod = only(rendered(environment), "Deployment")["spec"]["template"]["spec"]
    mounted = {mount["name"]: Path(mount["mountPath"]) for mount in pod["containers"][0]["volumeMounts"]}
    assert settings.secret_file is not None
    assert settings.secret_file.parent == mounted["secrets"]
    assert pod["terminationGracePeriodSeconds"] > settings.drain_seconds + settings.shutdown_seconds
    assert (settings.store, settings.ledger) == ("dynamodb", "dynamodb")


@pytest.mark.parametrize("environment", ["devel", "prod"])
def test_the_service_survives_a_node_and_an_upgrade(environment: str) -> None:
    documents = rendered(environment)
    scaling = only(documents, "HorizontalPodAutoscaler")["spec"]
    assert scaling["minReplicas"] >= 2
    assert scaling["scaleTargetRef"]["name"] == only(documents, "Deployment")["metadata"]["name"]
    assert "replicas" not in only(documents, "Deployment")["spec"]  # or each apply would undo the autoscaler
    spec = only(documents, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    spread = {told["topologyKey"] for told in spec["template"]["spec"]["topologySpreadConstraints"]}
    assert spread == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_probes_ask_paths_of_the_contract() -> None:
    (deployment,) = manifests(KUBERNETES / "base/deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/health/live", "/health/ready"}
    assert paths <= set(load_contract("v0")["paths"])


def test_the_tracker_joins_an_overlay_as_its_component_says(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on this machine")
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    overlay = tmp_path / "kubernetes/overlays/with-tracker"
    overlay.mkdir()
    told = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "data-hist",
        "resources": ["../devel"],
        "components": ["../../components/tracker"],
        "configMapGenerator": [
            {"name": "data-hist-tracker", "literals": ["QUEUE_URL=https://q", "DEAD_LETTER_QUEUE_URL=https://d"]}
        ],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(told))
    documents = built(kubectl, overlay)
    (worker,) = (d for d in documents if d["kind"] == "Deployment" and d["metadata"]["name"] == "data-hist-tracker")
    kubernetes_validate.validate(worker, CLUSTER_VERSION, strict=True)
    assert_restricted(worker["spec"]["template"]["spec"])
    (container,) = worker["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "glue.worker"]
    assert callable(glue.worker.main)
    names = {d["metadata"]["name"] for d in documents if d["kind"] == "ConfigMap"}
    assert {told["valueFrom"]["configMapKeyRef"]["name"] for told in container["env"]} <= names
