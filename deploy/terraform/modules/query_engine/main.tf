# Athena work groups with a byte cut-off and an enforced place for results, one per tenant class; crawlers with the safe preset for
# those who want one. The tracker registers partitions: nothing here waits for a crawler.

resource "aws_athena_workgroup" "this" {
  for_each      = var.work_groups
  name          = "${var.name}-${each.key}"
  description   = each.value.description
  force_destroy = true

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = each.value.maximum_scanned_bytes

    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location       = "s3://${var.results_bucket.name}/${each.key}/"
      expected_bucket_owner = var.account_id

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.kms_key_arn
      }
    }
  }
}

# Safe preset, that of `data-hist crawler` (docs/crawlers.md): a crawler may add what is new and must not retype, drop or deprecate what
# the table specs say.
resource "aws_glue_crawler" "this" {
  for_each      = var.crawlers
  name          = "${var.name}-${each.key}"
  description   = "Looks for folders of ${each.key} that no table spec names; logs changes instead of making them."
  database_name = each.value.database
  role          = aws_iam_role.crawler.arn
  schedule      = each.value.schedule
  table_prefix  = "crawled_"

  s3_target {
    path        = "s3://${var.lake_bucket.name}/${var.lake_prefix}${each.value.topic}/"
    exclusions  = ["**/_SUCCESS", "**.crc", "**_$folder$"]
    sample_size = each.value.sample_size
  }

  schema_change_policy {
    update_behavior = "LOG"
    delete_behavior = "LOG"
  }

  recrawl_policy {
    recrawl_behavior = "CRAWL_NEW_FOLDERS_ONLY"
  }

  configuration = jsonencode({
    Version = 1.0
    CrawlerOutput = {
      Partitions = { AddOrUpdateBehavior = "InheritFromTable" }
      Tables     = { TableThreshold = 2 }
    }
    Grouping = {
      TableGroupingPolicy     = "CombineCompatibleSchemas"
      TableLevelConfiguration = length(split("/", "${var.lake_prefix}${each.value.topic}/"))
    }
  })
}
