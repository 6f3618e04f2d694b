"""Writes Prometheus' rules for the service level objectives: `python -m deploy.slo_rules`.

    deploy/monitoring/slo.yaml -> deploy/monitoring/rules/slo.yaml

For each objective and window one recording rule, the share that was bad; for each pair of windows one alert. The pairs
and factors are those of Google's SRE workbook, chapter 5 ("Alerting on SLOs", multiwindow, multi-burn-rate): a page
when 2 % of the month's budget is gone within an hour or 5 % within six, a ticket when 10 % is gone within a day or
three.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).resolve().parent / "monitoring"
OBJECTIVES = MONITORING / "slo.yaml"
RULES = MONITORING / "rules" / "slo.yaml"
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
RUNBOOK = "docs/operations.md#"
_HEAD = "# Written by `python -m deploy.slo_rules` from ../slo.yaml; change that one.\n"


@dataclass(frozen=True)
class Burn:
    """An alert's windows: the long one says that it matters, the short one that it still goes on."""

    long: str
    short: str
    factor: float
    severity: str
    hold: str


BURNS = (
    Burn("1h", "5m", 14.4, "page", "2m"),
    Burn("6h", "30m", 6.0, "page", "15m"),
    Burn("1d", "2h", 3.0, "ticket", "1h"),
    Burn("3d", "6h", 1.0, "ticket", "3h"),
)


def rules() -> str:
    """The rules file."""
    document = yaml.safe_load(OBJECTIVES.read_text(encoding="utf-8"))
    groups = []
    for objective in document["objectives"]:
        groups.append({"name": f"slo-{objective['name']}", "rules": [*_recordings(objective), *_alerts(objective)]})
    return _HEAD + yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)


def recorded(name: str, window: str) -> str:
    """The recording rule's metric: `slo:status_availability:bad_ratio_5m`."""
    return f"slo:{name.replace('-', '_')}:bad_ratio_{window}"


def _recordings(objective: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"record": recorded(objective["name"], window), "expr": _ratio(objective, window)} for window in WINDOWS]


def _ratio(objective: dict[str, Any], window: str) -> str:
    if "gauge" in objective:
        return f"avg_over_time(({objective['gauge']})[{window}:1m])"
    bad, total = (objective[member].replace("$window", window) for member in ("bad", "total"))
    # nothing asked is nothing bad; nothing bad has no series of its own
    return f"((({bad}) or vector(0)) / ({total})) > 0 or vector(0)"


def _alerts(objective: dict[str, Any]) -> list[dict[str, Any]]:
    name, budget = objective["name"], round(1 - objective["objective"], 6)
    title = "".join(word.capitalize() for word in name.split("-"))
    return [
        {
            "alert": f"{title}Burn{burn.long}",
            "expr": " and ".join(
                f"{recorded(name, window)} > {burn.factor} * {budget}" for window in (burn.long, burn.short)
            ),
            "for": burn.hold,
            "labels": {"severity": burn.severity, "slo": name},
            "annotations": {
                "summary": f"{objective['promise']} Not so: the error budget burns {burn.factor:g} times too fast.",
                "runbook_url": f"{RUNBOOK}{name}",
            },
        }
        for burn in BURNS
    ]


def main() -> int:
    """Writes the file."""
    RULES.write_text(rules(), encoding="utf-8")
    sys.stdout.write(f"{RULES}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
