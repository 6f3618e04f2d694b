# The service side: destroyed and rebuilt freely beside what persistent_data keeps. The tracker belongs here; log collectors will
# be modules beside it.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  region     = data.aws_region.current.region
  operators  = coalesce(var.work_group_of.operators, var.work_group_of.tenants)
  results    = "s3://${var.persistent_data.results_bucket.name}"
}

module "tracker" {
  source = "../modules/tracker"

  name                = var.name
  region              = local.region
  account_id          = local.account_id
  lake_bucket         = var.persistent_data.lake_bucket
  lake_prefix         = var.persistent_data.lake_prefix
  databases           = var.persistent_data.databases
  ledger_table        = var.persistent_data.tables["ledger"]
  own_tables          = var.own_tables
  kms_key_arn         = var.persistent_data.kms_key_arn
  zip_path            = var.tracker_zip_path
  is_running          = var.is_running
  cluster             = var.cluster
  maximum_concurrency = var.tracker_maximum_concurrency
  log_retention_days  = var.log_retention_days
}

module "query_engine" {
  source = "../modules/query_engine"

  name           = var.name
  region         = local.region
  account_id     = local.account_id
  lake_bucket    = var.persistent_data.lake_bucket
  lake_prefix    = var.persistent_data.lake_prefix
  results_bucket = var.persistent_data.results_bucket
  databases      = var.persistent_data.databases
  kms_key_arn    = var.persistent_data.kms_key_arn
  work_groups    = var.work_groups
  crawlers       = var.crawlers
}

module "api" {
  source = "../modules/api"

  name                              = var.name
  region                            = local.region
  account_id                        = local.account_id
  vpc_id                            = var.network.vpc_id
  private_subnet_ids                = var.network.private_subnet_ids
  internal_cidr_blocks              = var.network.internal_cidr_blocks
  certificate_arn                   = var.load_balancer.certificate_arn
  image                             = var.image
  image_repository_arn              = var.image_repository_arn
  lake_bucket                       = var.persistent_data.lake_bucket
  lake_prefix                       = var.persistent_data.lake_prefix
  compacted_prefix                  = var.persistent_data.compacted_prefix
  results_bucket                    = var.persistent_data.results_bucket
  logs_bucket                       = var.persistent_data.logs_bucket
  output_locations                  = { tenants = "${local.results}/${var.work_group_of.tenants}/", operators = "${local.results}/${local.operators}/" }
  databases                         = var.persistent_data.databases
  work_groups                       = module.query_engine.work_groups
  work_group_of                     = { tenants = var.work_group_of.tenants, operators = local.operators }
  tables                            = var.persistent_data.tables
  kms_key_arn                       = var.persistent_data.kms_key_arn
  tokens                            = var.tokens
  maximum_concurrent_queries        = var.maximum_concurrent_queries
  maximum_concurrent_queries_in_all = var.maximum_concurrent_queries_in_all
  signing_secret_arn                = var.signing_secret_arn
  maximum_scanned_bytes             = max([for group in values(var.work_groups) : group.maximum_scanned_bytes]...)
  environment                       = var.environment
  secret_arns                       = var.secret_arns
  cluster                           = var.cluster
  is_running                        = var.is_running && var.cluster == null
  minimum_replicas                  = var.minimum_replicas
  maximum_replicas                  = var.maximum_replicas
  log_retention_days                = var.log_retention_days
}

module "gateway" {
  source = "../modules/gateway"

  name                = var.name
  listener_arn        = module.api.listener_arn
  load_balancer_name  = var.load_balancer.name
  private_subnet_ids  = var.network.private_subnet_ids
  security_group_id   = module.api.gateway_security_group_id
  kms_key_arn         = var.persistent_data.kms_key_arn
  token_issuer        = var.tokens.issuer
  token_audiences     = var.tokens.audiences
  allowed_origins     = var.allowed_origins
  requests_per_second = var.requests_per_second
  domain_name         = var.domain.name
  certificate_arn     = var.domain.certificate_arn
  log_retention_days  = var.log_retention_days
}

module "monitoring" {
  source = "../modules/monitoring"

  name                    = var.name
  region                  = local.region
  account_id              = local.account_id
  is_running              = var.is_running
  runs_replicas           = var.cluster == null
  runbook_url             = var.runbook_url
  alarm_addresses         = var.alarm_addresses
  queue_name              = module.tracker.queue.name
  dead_letter_queue_name  = module.tracker.dead_letter_queue.name
  function_name           = module.tracker.function_name
  cluster_name            = module.api.cluster_name
  service_name            = module.api.service_name
  service_log_group_name  = module.api.log_group_name
  load_balancer           = module.api.load_balancer
  api_id                  = module.gateway.api_id
  work_groups             = module.query_engine.work_groups
  table_names             = { for key, table in var.persistent_data.tables : key => table.name }
  minimum_replicas        = var.minimum_replicas
  maximum_silence_minutes = var.maximum_silence_minutes
  monthly_budget_dollars  = var.monthly_budget_dollars
}
