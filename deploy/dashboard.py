"""Writes the Grafana dashboard: `python -m deploy.dashboard`.

    ROWS below: a line per panel (title, unit, queries) -> deploy/monitoring/grafana/dashboards/data-hist.json

A new metric is a line here. The layout follows from the order: panels of a row stand beside each other, eight high.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from deploy.slo_rules import MONITORING, OBJECTIVES, recorded

DASHBOARD = MONITORING / "grafana" / "dashboards" / "data-hist.json"
_HEIGHT, _WIDTH = 8, 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Replicas share catalogue, ledger and store: each tells the same, so the largest is the truth.
_REPLICA = 'instance=~"$instance"'


@dataclass(frozen=True)
class Panel:
    """Title, Grafana's unit, (query, legend) pairs; `$R` in a query chooses the replicas."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    description: str = ""
    width: int = 8
    is_stacked: bool = False
    kind: str = "timeseries"


def _per_table(metric: str) -> tuple[tuple[str, str], ...]:
    return ((f"max by (table) ({metric}{{$R}})", "{{table}}"),)


def _rate(metric: str, label: str) -> tuple[tuple[str, str], ...]:
    return ((f"sum by ({label}) (rate({metric}{{$R}}[$__rate_interval]))", f"{{{{{label}}}}}"),)


def _quantile(share: float) -> tuple[tuple[str, str], ...]:
    buckets = "rate(data_hist_http_request_duration_seconds_bucket{$R}[$__rate_interval])"
    return ((f"histogram_quantile({share}, sum by (route, le) ({buckets}))", "{{route}}"),)


ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    (
        "Requests",
        (
            Panel("Requests by route", "reqps", _rate("data_hist_http_requests_total", "route"), is_stacked=True),
            Panel(
                "Answers that are no success",
                "reqps",
                (
                    (
                        "sum by (route, status)"
                        ' (rate(data_hist_http_requests_total{$R,status=~"4..|5.."}[$__rate_interval]))',
                        "{{status}} {{route}}",
                    ),
                ),
            ),
            Panel(
                "Requests being served",
                "short",
                (("sum by (instance) (data_hist_http_requests_in_flight{$R})", "{{instance}}"),),
            ),
            Panel("Duration, median", "s", _quantile(0.5), "Long polls included."),
            Panel("Duration, 99 of 100", "s", _quantile(0.99), "Long polls included."),
            Panel("Bytes sent", "Bps", _rate("data_hist_http_response_bytes_total", "route"), is_stacked=True),
        ),
    ),
    (
        "Queries",
        (
            Panel(
                "Waiting and running",
                "short",
                (
                    ("sum(data_hist_queue_depth{$R})", "waiting"),
                    ("sum(data_hist_queries_running{$R})", "running"),
                ),
            ),
            Panel("Remembered, by status", "short", (("max by (status) (data_hist_queries{$R})", "{{status}}"),)),
            Panel(
                "Bytes of the lake read",
                "Bps",
                (("sum(rate(data_hist_scanned_bytes_total{$R}[$__rate_interval]))", "all queries"),),
                "What Athena is paid by.",
            ),
            Panel(
                "Answered with an earlier result",
                "ops",
                (("sum(rate(data_hist_results_reused_total{$R}[$__rate_interval]))", "queries"),),
            ),
            Panel(
                "Results kept for paging",
                "bytes",
                (("max by (instance) (data_hist_spool_bytes{$R})", "{{instance}}"),),
            ),
        ),
    ),
    (
        "Lake: fresh and complete",
        (
            Panel(
                "Complete until: how long ago",
                "s",
                (("time() - max by (table) (data_hist_table_complete_until_seconds{$R})", "{{table}}"),),
            ),
            Panel(
                "Newest object: how long ago",
                "s",
                (("min by (table) (data_hist_table_arrival_age_seconds{$R})", "{{table}}"),),
            ),
            Panel("Partitions missing of the last 24 hours", "short", _per_table("data_hist_table_missing_partitions")),
            Panel("Bytes that came late", "bytes", _per_table("data_hist_table_late_bytes")),
            Panel("Objects with unreadable time (1970)", "short", _per_table("data_hist_table_bad_timestamp_objects")),
            Panel("Kafka offsets that no object has", "short", _per_table("data_hist_table_missing_offsets")),
            Panel("Rows that are there twice", "short", _per_table("data_hist_table_surplus_offsets")),
            Panel("Objects whose rows are not counted", "short", _per_table("data_hist_table_unread_objects")),
        ),
    ),
    (
        "Lake: how much",
        (
            Panel("Bytes", "bytes", _per_table("data_hist_table_bytes")),
            Panel("Objects", "short", _per_table("data_hist_table_objects")),
            Panel("Partitions", "short", _per_table("data_hist_table_partitions")),
            Panel(
                "Objects that came or went, by outcome",
                "ops",
                _rate("data_hist_lake_changes_total", "outcome"),
                "Where the service watches the lake folder; on AWS the tracker's own metrics tell (CloudWatch).",
            ),
            Panel(
                "Objects read for their rows, by outcome", "ops", _rate("data_hist_inspected_objects_total", "outcome")
            ),
            Panel("Left past their retention", "ops", _rate("data_hist_swept_total", "outcome")),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard as Grafana imports it."""
    panels = list(_laid_out((("Objectives: error budget burned; 1 spends a month's in a month", _objectives()), *ROWS)))
    document = {
        "uid": "data-hist",
        "title": "Historical Event Viewer Service",
        "tags": ["data-hist"],
        "timezone": "utc",
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": [_alerts()]},
        "panels": panels,
    }
    return json.dumps(document, indent=1) + "\n"


def _objectives() -> list[Panel]:
    objectives = yaml.safe_load(OBJECTIVES.read_text(encoding="utf-8"))["objectives"]
    return [
        Panel(
            objective["name"].replace("-", " ").capitalize(),
            "short",
            [
                (f"{recorded(objective['name'], window)} / {round(1 - objective['objective'], 6)}", window)
                for window in ("1h", "3d")
            ],
            f"{objective['promise']} Above 14.4 for an hour somebody is woken.",
            width=_WIDTH // len(objectives),
            kind="stat",
        )
        for objective in objectives
    ]


def _laid_out(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in rows:
        number += 1
        place = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        top, left = top + 1, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                top, left = top + _HEIGHT, 0
            number += 1
            yield _panel(panel, number, {"h": _HEIGHT, "w": panel.width, "x": left, "y": top})
            left += panel.width
        top += _HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"}
    if panel.kind == "stat":
        steps = [{"color": "green", "value": None}, {"color": "orange", "value": 1}, {"color": "red", "value": 14.4}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    else:
        stacking = {"stacking": {"mode": "normal", "group": "A"}} if panel.is_stacked else {}
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", **stacking}
        legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
        options = {"legend": legend, "tooltip": {"mode": "multi"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "expr": query.replace("$R", _REPLICA),
                "legendFormat": legend,
                "datasource": _SOURCE,
            }
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


def _variables() -> list[dict[str, Any]]:
    query = "label_values(data_hist_http_requests_in_flight, instance)"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}},
        {
            "name": "instance",
            "label": "Replica",
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": "instance"},
            "definition": query,
            "includeAll": True,
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
            "refresh": 2,
            "sort": 1,
        },
    ]


def _alerts() -> dict[str, Any]:
    expression = 'ALERTS{alertstate="firing"}'
    return {
        "name": "Alerts",
        "enable": True,
        "iconColor": "red",
        "datasource": _SOURCE,
        "expr": expression,
        "titleFormat": "{{alertname}}",
    }


def main() -> int:
    """Writes the file."""
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    sys.stdout.write(f"{DASHBOARD}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
