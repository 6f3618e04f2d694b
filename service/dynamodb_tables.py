"""The DynamoDB tables of a service with several replicas, as data: what code, `data-hist store` and Terraform agree on.

    executions   query executions, their long texts, their idempotency keys        service.dynamodb_executions
    leases       who is alive, who has which role, which engine slots are taken    service.leases
    keys         API keys                                                          service.dynamodb_keys
    usage        what tenants have used, by day                                    service.dynamodb_usage
    ledger       what is known of each partition                                   glue.dynamodb_ledger

What a definition is: `glue.dynamodb_table`.
"""

from __future__ import annotations

from glue.dynamodb_table import LEDGER, IndexDefinition, Key, TableDefinition

EXECUTIONS = TableDefinition(
    default_name="data-hist-executions",
    setting="DATA_HIST_EXECUTIONS_TABLE",
    hash_key=Key("item_id"),
    indexes=(
        IndexDefinition("by_tenant", Key("tenant_key"), Key("newest")),
        IndexDefinition("by_tenant_and_status", Key("tenant_status"), Key("newest")),
        IndexDefinition(
            "by_upkeep",
            Key("upkeep"),
            Key("upkeep_at", "N"),
            included=("query_id", "tenant", "owner", "status", "submitted_at"),
        ),
    ),
    has_ttl=True,
    keeps_what_cannot_be_made_again=True,
)

LEASES = TableDefinition(
    default_name="data-hist-leases",
    setting="DATA_HIST_LEASES_TABLE",
    hash_key=Key("lease_id"),
    has_ttl=True,
)

KEYS = TableDefinition(
    default_name="data-hist-keys",
    setting="DATA_HIST_KEYS_TABLE",
    hash_key=Key("key_id"),
    keeps_what_cannot_be_made_again=True,
)

USAGE = TableDefinition(
    default_name="data-hist-usage",
    setting="DATA_HIST_USAGE_TABLE",
    hash_key=Key("usage_id"),
    indexes=(IndexDefinition("by_day", Key("day"), Key("tenant")),),
    has_ttl=True,
    keeps_what_cannot_be_made_again=True,
)

TABLES = (EXECUTIONS, LEASES, KEYS, USAGE, LEDGER)
