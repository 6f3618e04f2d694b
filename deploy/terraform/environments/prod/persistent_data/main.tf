# The lasting part of prod, in a state of its own.

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
    key          = "data-hist/prod/persistent_data.tfstate"
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
      part        = "persistent_data"
    }
  }
}

module "persistent_data" {
  source = "../../../persistent_data"

  name = "data-hist-prod"
}
