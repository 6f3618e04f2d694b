# The service side of prod, in a state of its own: `terraform destroy` here leaves the lake alone.

terraform {
  required_version = ">= 1.10.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0.0, < 7.0.0"
    }
  }

  # bucket and region come from backend.hcl (deploy/README.md)
  backend "s3" {
    key          = "data-hist/prod/service.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project     = "data-hist-prod"
      environment = "prod"
      part        = "service"
    }
  }
}

data "terraform_remote_state" "persistent_data" {
  backend = "s3"

  config = {
    bucket = var.state_bucket
    key    = "data-hist/prod/persistent_data.tfstate"
    region = var.region
  }
}

module "service" {
  source = "../../../service"

  name                 = "data-hist-prod"
  persistent_data      = data.terraform_remote_state.persistent_data.outputs.persistent_data
  is_running           = var.is_running
  cluster              = var.cluster
  network              = var.network
  load_balancer        = var.load_balancer
  domain               = var.domain
  tokens               = var.tokens
  image                = var.image
  image_repository_arn = var.image_repository_arn
  tracker_zip_path     = var.tracker_zip_path
  signing_secret_arn   = var.signing_secret_arn
  secret_arns          = var.secret_arns
  runbook_url          = var.runbook_url
  alarm_addresses      = var.alarm_addresses

  minimum_replicas                  = 3
  maximum_replicas                  = 12
  maximum_concurrent_queries        = 6
  maximum_concurrent_queries_in_all = 40
  log_retention_days                = 365
  monthly_budget_dollars            = 5000

  work_group_of = { tenants = "tenants", operators = "operators" }

  work_groups = {
    tenants   = { description = "Queries of customers.", maximum_scanned_bytes = 1099511627776 }
    operators = { description = "Queries of operators over all tenants.", maximum_scanned_bytes = 10995116277760 }
  }
}
