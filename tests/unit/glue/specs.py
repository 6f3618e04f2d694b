"""The shipped table specs, for tests that need one of them."""

from __future__ import annotations

from glue.table_spec import load_table_specs

SPECS = load_table_specs()
EVENTS = SPECS["events"]
