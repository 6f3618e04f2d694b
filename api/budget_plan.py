"""The budgets that the settings give: one for every tenant, and those of tenants that have their own.

DATA_HIST_DAILY_BYTES, DATA_HIST_DAILY_COST_USD      every tenant
DATA_HIST_BUDGETS_FILE                               a YAML file: tenant -> daily_bytes, daily_cost_usd
                                                       customers:11000: {daily_bytes: 500000000000}
                                                       operator: {}          # no limit
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from api.settings import Settings, SettingsError
from service.budgets import Budget, BudgetPlan

_MEMBERS = {"daily_bytes", "daily_cost_usd"}


def budget_plan(settings: Settings) -> BudgetPlan:
    """See the module. Raises SettingsError for a file that is not what it should be."""
    default = Budget(settings.daily_bytes, settings.daily_cost_usd)
    if settings.budgets_file is None:
        return BudgetPlan(default)
    try:
        document = yaml.safe_load(settings.budgets_file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"DATA_HIST_BUDGETS_FILE: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"DATA_HIST_BUDGETS_FILE: {settings.budgets_file} has to be a mapping of tenants")
    return BudgetPlan(
        default, {str(tenant): _budget(settings.budgets_file, tenant, told) for tenant, told in document.items()}
    )


def _budget(path: Path, tenant: object, told: Any) -> Budget:
    members = {} if told is None else told
    is_right = isinstance(members, dict) and set(members) <= _MEMBERS
    if not is_right or not all(type(value) in (int, float) and value > 0 for value in members.values()):
        raise SettingsError(
            f"DATA_HIST_BUDGETS_FILE: {path}: {tenant!r} has to have {' and '.join(sorted(_MEMBERS))}, over zero"
        )
    daily_bytes = members.get("daily_bytes")
    return Budget(None if daily_bytes is None else int(daily_bytes), members.get("daily_cost_usd"))
