# The service side of devel, in a state of its own: `terraform destroy` here leaves the lake alone.

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
    key          = "data-hist/devel/service.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      project     = "data-hist-devel"
      environment = "devel"
      part        = "service"
    }
  }
}

data "terraform_remote_state" "persistent_data" {
  backend = "s3"

  config = {
    bucket = var.state_bucket
    key    = "data-hist/devel/persistent_data.tfstate"
    region = var.region
  }
}

module "service" {
  source = "../../../service"

  name                 = "data-hist-devel"
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

  minimum_replicas                  = 1
  maximum_replicas                  = 2
  maximum_concurrent_queries        = 5
  maximum_concurrent_queries_in_all = 10
  log_retention_days                = 14
  maximum_silence_minutes           = 1440
  monthly_budget_dollars            = 300

  work_group_of = { tenants = "analysts" }

  work_groups = {
    analysts = { description = "People and dashboards.", maximum_scanned_bytes = 107374182400 }
  }

  # Run by hand, to find folders that no table spec names.
  crawlers = {
    unknown-topics = { database = "data_hist", topic = "unknown" }
  }
}
