# What survives: the lake, the results, the logs, the catalogue's databases, the ledger and the query executions, and the key
# that encrypts them. The service side is destroyed and rebuilt freely beside it (docs/operations.md); nothing here is.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  region     = data.aws_region.current.region

  # The tables as the code defines them (service/dynamodb_tables.py); tests/project/test_deploy_tables.py holds the two equal.
  tables = {
    executions = {
      setting  = "DATA_HIST_EXECUTIONS_TABLE"
      hash_key = { name = "item_id", type = "S" }
      has_ttl  = true

      indexes = {
        by_tenant = {
          hash_key  = { name = "tenant_key", type = "S" }
          range_key = { name = "newest", type = "S" }
          included  = []
        }

        by_tenant_and_status = {
          hash_key  = { name = "tenant_status", type = "S" }
          range_key = { name = "newest", type = "S" }
          included  = []
        }

        by_upkeep = {
          hash_key  = { name = "upkeep", type = "S" }
          range_key = { name = "upkeep_at", type = "N" }
          included  = ["query_id", "tenant", "owner", "status", "submitted_at"]
        }
      }
    }

    leases = {
      setting  = "DATA_HIST_LEASES_TABLE"
      hash_key = { name = "lease_id", type = "S" }
      has_ttl  = true
      indexes  = {}
    }

    keys = {
      setting  = "DATA_HIST_KEYS_TABLE"
      hash_key = { name = "key_id", type = "S" }
      has_ttl  = false
      indexes  = {}
    }

    usage = {
      setting  = "DATA_HIST_USAGE_TABLE"
      hash_key = { name = "usage_id", type = "S" }
      has_ttl  = true
      indexes = {
        by_day = {
          hash_key  = { name = "day", type = "S" }
          range_key = { name = "tenant", type = "S" }
          included  = []
        }
      }
    }

    ledger = {
      setting   = "DATA_HIST_LEDGER_TABLE"
      hash_key  = { name = "collection", type = "S" }
      range_key = { name = "item", type = "S" }
      has_ttl   = true
      indexes   = {}
    }
  }
}

resource "aws_kms_key" "data" {
  description             = "Encrypts the lake, results, queues, tables and logs of ${var.name}."
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.data.key_id
}

module "logs" {
  source = "../modules/bucket"

  name         = "${var.name}-logs-${local.account_id}"
  account_id   = local.account_id
  is_versioned = false

  retention = {
    logs = { prefix = "", delete_after_days = var.log_retention_days }
  }

  log_writers = {
    S3AccessLogs           = { service = "logging.s3.amazonaws.com", prefix = "s3/" }
    LoadBalancerAccessLogs = { service = "logdelivery.elasticloadbalancing.amazonaws.com", prefix = "load-balancer/" }
  }
}

module "lake" {
  source = "../modules/bucket"

  name                           = "${var.name}-lake-${local.account_id}"
  account_id                     = local.account_id
  kms_key_arn                    = aws_kms_key.data.arn
  is_versioned                   = true
  access_log                     = { bucket = module.logs.name }
  transition_minimum_object_size = var.archive_minimum_object_size

  # Named as `data-hist retention` names them: it finds nothing to change (docs/retention.md).
  retention = merge(
    {
      for table, told in var.lake_retention :
      "data-hist.${table}" => {
        prefix             = told.prefix
        archive_after_days = told.retention_days
        delete_after_days  = told.archive_days
      }
    },
    {
      for table, told in var.lake_retention :
      "data-hist.${table}.compacted" => {
        prefix             = "${var.compacted_prefix}${table}/"
        archive_after_days = told.retention_days
        delete_after_days  = told.archive_days
        aborts_uploads     = false
      }
    },
  )
}

# The service's sweeper deletes results at the minute they expire; the rule is for those that it never saw.
module "results" {
  source = "../modules/bucket"

  name         = "${var.name}-results-${local.account_id}"
  account_id   = local.account_id
  kms_key_arn  = aws_kms_key.data.arn
  is_versioned = false
  access_log   = { bucket = module.logs.name }

  retention = {
    results = { prefix = "", delete_after_days = var.results_retention_days }
  }
}

resource "aws_glue_catalog_database" "this" {
  for_each    = var.databases
  name        = each.key
  description = each.value

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_dynamodb_table" "this" {
  for_each                    = local.tables
  name                        = "${var.name}-${each.key}"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = each.value.hash_key.name
  range_key                   = try(each.value.range_key.name, null)
  deletion_protection_enabled = true

  dynamic "attribute" {
    for_each = merge(
      { (each.value.hash_key.name) = each.value.hash_key.type },
      try({ (each.value.range_key.name) = each.value.range_key.type }, {}),
      [
        for index in values(each.value.indexes) :
        { (index.hash_key.name) = index.hash_key.type, (index.range_key.name) = index.range_key.type }
      ]...
    )

    content {
      name = attribute.key
      type = attribute.value
    }
  }

  dynamic "global_secondary_index" {
    for_each = each.value.indexes

    content {
      name               = global_secondary_index.key
      hash_key           = global_secondary_index.value.hash_key.name
      range_key          = global_secondary_index.value.range_key.name
      projection_type    = length(global_secondary_index.value.included) > 0 ? "INCLUDE" : "KEYS_ONLY"
      non_key_attributes = length(global_secondary_index.value.included) > 0 ? global_secondary_index.value.included : null
    }
  }

  dynamic "ttl" {
    for_each = each.value.has_ttl ? [1] : []

    content {
      attribute_name = "ttl"
      enabled        = true
    }
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = aws_kms_key.data.arn
  }

  lifecycle {
    prevent_destroy = true
  }
}
