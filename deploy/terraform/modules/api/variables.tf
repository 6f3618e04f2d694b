variable "name" {
  description = "What every name begins with, such as data-hist-devel."
  type        = string

  validation {
    condition     = length(var.name) <= 32
    error_message = "A load balancer's name has at most 32 characters."
  }
}

variable "region" {
  description = "Region of everything."
  type        = string
}

variable "account_id" {
  description = "Account of everything."
  type        = string
}

variable "vpc_id" {
  description = "VPC of load balancer and replicas."
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets, in at least two availability zones, with a way to AWS (NAT or VPC endpoints)."
  type        = list(string)

  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "Two subnets at least: one zone may fail."
  }
}

variable "internal_cidr_blocks" {
  description = "Networks inside that may reach the load balancer past the gateway: for downloads beyond 10 MB and for Prometheus."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.internal_cidr_blocks : can(cidrhost(block, 0)) && !endswith(block, "/0")])
    error_message = "Networks such as 10.0.0.0/16, never the whole internet."
  }
}

variable "certificate_arn" {
  description = "Certificate of the load balancer (ACM); the gateway checks its name."
  type        = string
}

variable "image" {
  description = "The container image by its digest: repository@sha256:..."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "An image is named by its digest, so that what runs is what was tested."
  }
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that the image is pulled from."
  type        = string
}

variable "architecture" {
  description = "Processor architecture of the image."
  type        = string
  default     = "ARM64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.architecture)
    error_message = "ARM64 or X86_64."
  }
}

variable "lake_bucket" {
  description = "Bucket of the lake."
  type        = object({ name = string, arn = string })
}

variable "lake_prefix" {
  description = "Prefix of the lake's objects."
  type        = string
}

variable "compacted_prefix" {
  description = "Prefix of compacted objects."
  type        = string
}

variable "results_bucket" {
  description = "Bucket of the results."
  type        = object({ name = string, arn = string })
}

variable "logs_bucket" {
  description = "Bucket of the load balancer's access logs."
  type        = object({ name = string, arn = string })
}

variable "output_locations" {
  description = "Where the engine writes result objects of tenants and of operators, as their work groups enforce it."
  type        = object({ tenants = string, operators = string })

  validation {
    condition     = alltrue([for place in values(var.output_locations) : can(regex("^s3://.+/$", place))])
    error_message = "A location such as s3://bucket/prefix/, with the slash at its end."
  }
}

variable "databases" {
  description = "Glue databases that may be queried."
  type        = list(string)
}

variable "work_groups" {
  description = "Athena work groups that the service may use."
  type        = map(object({ name = string, arn = string }))
}

variable "work_group_of" {
  description = "Keys of the work groups in which queries of tenants and of operators run."
  type        = object({ tenants = string, operators = string })
}

variable "tables" {
  description = "DynamoDB tables that the service keeps its state in, and the setting that names each."
  type        = map(object({ name = string, arn = string, setting = string }))
}

variable "tokens" {
  description = "Issuer and audiences of the bearer tokens that the service checks."
  type        = object({ issuer = string, audiences = list(string) })
}

variable "kms_key_arn" {
  description = "Key that encrypts lake, results, tables and logs."
  type        = string
}

variable "maximum_concurrent_queries" {
  description = "Queries that one replica runs beside each other; all replicas together should stay below the account's Athena quota."
  type        = number
  default     = 10

  validation {
    condition     = var.maximum_concurrent_queries >= 1 && var.maximum_concurrent_queries <= 256
    error_message = "From 1 to 256."
  }
}

variable "maximum_concurrent_queries_in_all" {
  description = "Queries that all replicas together run beside each other: a little below the account's quota of active DML queries in Athena; 0 leaves it to Athena."
  type        = number
  default     = 0

  validation {
    condition     = var.maximum_concurrent_queries_in_all >= 0
    error_message = "0 or more."
  }
}

variable "maximum_scanned_bytes" {
  description = "Most bytes one query may read, refused before it runs; 0 is no limit."
  type        = number
}

variable "shutdown_seconds" {
  description = "How long running requests may finish when a replica stops."
  type        = number
  default     = 60

  validation {
    condition     = var.shutdown_seconds >= 1 && var.shutdown_seconds <= 80
    error_message = "From 1 to 80 seconds: Fargate kills after 120, and 20 are for draining."
  }
}

variable "log_level" {
  description = "Least level of log lines."
  type        = string
  default     = "info"

  validation {
    condition     = contains(["debug", "info", "warning", "error"], var.log_level)
    error_message = "One of debug, info, warning, error."
  }
}

variable "log_retention_days" {
  description = "Days that the service's log is kept."
  type        = number
  default     = 90
}

variable "environment" {
  description = "Further settings of the service (docs/configuration.md)."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.environment) : startswith(name, "DATA_HIST_") || startswith(name, "OTEL_")])
    error_message = "Settings begin with DATA_HIST_ or OTEL_."
  }
}

variable "signing_secret_arn" {
  description = "ARN in Secrets Manager of the secrets that sign paging tokens (DATA_HIST_SECRET), the same for all replicas."
  type        = string

  validation {
    condition     = startswith(var.signing_secret_arn, "arn:aws:secretsmanager:")
    error_message = "An ARN of Secrets Manager, no value."
  }
}

variable "secret_arns" {
  description = "Further settings whose value is a secret: variable -> ARN in Secrets Manager. Never a value."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.secret_arns) : startswith(arn, "arn:aws:secretsmanager:")])
    error_message = "ARNs of Secrets Manager, no values."
  }
}

variable "is_running" {
  description = "false stops every replica and keeps everything else (docs/operations.md, start and stop)."
  type        = bool
  default     = true
}

variable "minimum_replicas" {
  description = "Fewest replicas."
  type        = number

  validation {
    condition     = var.minimum_replicas >= 1
    error_message = "One replica at least; `is_running` stops them all."
  }
}

variable "maximum_replicas" {
  description = "Most replicas."
  type        = number
}

variable "cpu_units" {
  description = "Processor of a replica in Fargate's units: 1024 are one virtual core."
  type        = number
  default     = 1024
}

variable "memory_megabytes" {
  description = "Memory of a replica."
  type        = number
  default     = 2048
}

variable "spool_gibibytes" {
  description = "Disk of a replica; holds the result spools it serves."
  type        = number
  default     = 40

  validation {
    condition     = var.spool_gibibytes >= 21 && var.spool_gibibytes <= 200
    error_message = "From 21 to 200 GiB (Fargate's bounds)."
  }
}

variable "target_cpu_percent" {
  description = "Use of the processor that autoscaling keeps."
  type        = number
  default     = 60
}

variable "target_requests_per_minute" {
  description = "Requests per replica and minute that autoscaling keeps."
  type        = number
  default     = 6000
}

variable "cluster" {
  description = "Kubernetes cluster whose pods may take the role: ARN of its OIDC provider in IAM, and the issuer without https://; null is none."
  type        = object({ oidc_provider_arn = string, oidc_issuer = string })
  default     = null
}
