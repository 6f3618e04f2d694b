"""Dashboard, rules and objectives: every metric in them is one that the service shows, every alert has a section.

What the composed service would show on /metrics, names and labels, is what the files may speak of.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from api.composition import build_world
from api.contract import load_contract
from api.metrics import RequestMetrics, exposition
from api.settings import Settings
from deploy import dashboard, slo_rules
from tests.project.terraform.files import ROOT, blocks, parsed

MONITORING = ROOT / "deploy" / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yaml"))
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
OPERATIONS = ROOT / "docs" / "operations.md"
#: What Prometheus itself knows.
OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
OF_SCRAPES = {"job", "instance"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """Metric -> its labels, as the service shows them: its readings and what its edge counts."""
    data_dir = tmp_path_factory.mktemp("monitoring") / ".data"
    world = build_world(data_dir, Settings(data_dir=data_dir, request_events=False, data_retention="report"))
    registry = CollectorRegistry()
    RequestMetrics(registry).observe("GET", "/health/live", 200, 0.001, 2)
    try:
        readings = list(world.readings())
    finally:
        world.close()
    found: dict[str, set[str]] = {}
    for reading in readings:
        labels = {reading.label} if isinstance(reading.value, Mapping) else set()
        found[reading.name + ("_total" if reading.is_counter else "")] = labels
    for family in text_string_to_metric_families(exposition(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def dashboard_expressions() -> Iterator[str]:
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")


def selectors(expression: str) -> Iterator[tuple[str, set[str], dict[str, str]]]:
    """(metric, labels that it is asked for, equal matchers) of each series in an expression; it has to parse."""
    promql_parser.parse(expression)
    for name, matchers in re.findall(r"\b([a-zA-Z_][a-zA-Z0-9_:]*)(?:\{((?:[^\"}]|\"[^\"]*\")*)\})?", expression):
        if name.startswith(("data_hist_", "slo:")) or name in OF_PROMETHEUS:
            asked = re.findall(r"(\w+)(=~|!=|!~|=)\"([^\"]*)\"", matchers)
            yield name, {label for label, _, _ in asked}, {label: value for label, kind, value in asked if kind == "="}


def known(shown: Mapping[str, set[str]]) -> dict[str, set[str]]:
    recordings = {rule["record"]: set[str]() for rule in rules() if "record" in rule}
    return {**{name: labels | OF_SCRAPES for name, labels in shown.items()}, **recordings, **OF_PROMETHEUS}


def test_rules_speak_of_metrics_that_are_there(shown: Mapping[str, set[str]]) -> None:
    there = known(shown)
    count = 0
    for rule in rules():
        for name, labels, _ in selectors(rule["expr"]):
            assert name in there, rule
            assert labels <= there[name], rule
            count += 1
    assert count > 60


def test_the_dashboard_speaks_of_metrics_that_are_there(shown: Mapping[str, set[str]]) -> None:
    there = known(shown)
    for expression in dashboard_expressions():
        for name, labels, _ in selectors(expression):
            assert name in there, expression
            assert labels <= there[name], expression


def test_every_metric_of_the_service_is_on_the_dashboard(shown: Mapping[str, set[str]]) -> None:
    told = {name for expression in dashboard_expressions() for name, _, _ in selectors(expression)}
    own = {
        name for name in shown if name.startswith("data_hist_") and not name.endswith(("_created", "_sum", "_count"))
    }
    assert own - told == set(), "a new metric is a line of deploy/dashboard.py; then: python -m deploy.dashboard"


def test_routes_in_rules_are_routes_of_the_contract(shown: Mapping[str, set[str]]) -> None:
    paths = set(load_contract("v0")["paths"])
    routes = {asked["route"] for rule in rules() for _, _, asked in selectors(rule["expr"]) if "route" in asked}
    assert {"/v0/data_hist/status/{query_id}", "/v0/data_hist/next", "/v0/data_hist/query"} == routes
    assert routes <= paths


def test_the_written_rules_are_those_of_the_objectives() -> None:
    """When this fails: python -m deploy.slo_rules."""
    assert slo_rules.RULES.read_text(encoding="utf-8") == slo_rules.rules()


def test_the_written_dashboard_is_that_of_its_lines() -> None:
    """When this fails: python -m deploy.dashboard."""
    assert dashboard.DASHBOARD.read_text(encoding="utf-8") == dashboard.dashboard()


def sections(document: Path) -> set[str]:
    """Anchors of a document's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_alert_has_a_section_in_the_operations_guide() -> None:
    there = sections(OPERATIONS)
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) >= 25
    for alert in alerts:
        document, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert ROOT / document == OPERATIONS
        assert anchor in there, alert["alert"]
        assert alert["labels"]["severity"] in ("page", "ticket")


def test_every_alarm_of_terraform_has_a_section_too() -> None:
    there = sections(OPERATIONS)
    (alarms,) = (
        told["alarms"]
        for told in parsed(ROOT / "deploy/terraform/modules/monitoring/main.tf")["locals"]
        if "alarms" in told
    )
    others = {
        re.search(r"#\{?\}?|\$\{local\.runbook\}([a-z-]+)", block.body["alarm_description"])
        for block in blocks("resource")
        if block.labels[0] == "aws_cloudwatch_metric_alarm" and "each.key}" not in block.body["alarm_description"][-12:]
    }
    names = set(alarms) | {found[1] for found in others if found and found[1]}
    assert {"athena-failures", "table-throttles", "tracker-dead-letters"} <= names
    assert names - there == set()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_the_dashboard_is_laid_out(path: Path) -> None:
    document = json.loads(path.read_text())
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_promtool_agrees() -> None:
    """Prometheus' own checker and its unit tests for the rules, where it is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool on this machine (go install github.com/prometheus/prometheus/cmd/promtool)")
    for arguments in (["check", "rules", *map(str, RULES)], ["test", "rules", str(MONITORING / "tests/rules.yaml")]):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_looks_where_compose_has_the_service() -> None:
    told = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
    (scrape,) = told["scrape_configs"]
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    host, _, port = scrape["static_configs"][0]["targets"][0].partition(":")
    assert host in services
    assert port == "8080"
    assert scrape["job_name"] == "data-hist"  # what the rules ask for
    mounted = [volume.split(":")[0] for volume in services["grafana"]["volumes"]]
    assert all((ROOT / "deploy" / place).exists() for place in mounted)
