variable "name" {
  description = "What every name begins with, the same as persistent_data's."
  type        = string
}

variable "persistent_data" {
  description = "The outputs of persistent_data."
  type = object({
    lake_bucket      = object({ name = string, arn = string })
    results_bucket   = object({ name = string, arn = string })
    logs_bucket      = object({ name = string, arn = string })
    lake_prefix      = string
    compacted_prefix = string
    kms_key_arn      = string
    databases        = list(string)
    tables           = map(object({ name = string, arn = string, setting = string }))
  })
}

variable "is_running" {
  description = "false stops replicas and tracker and keeps the rest (docs/operations.md, start and stop)."
  type        = bool
  default     = true
}

variable "network" {
  description = "VPC, private subnets in two zones or more, and the inside networks that may reach the load balancer past the gateway."
  type = object({
    vpc_id               = string
    private_subnet_ids   = list(string)
    internal_cidr_blocks = optional(list(string), [])
  })
}

variable "load_balancer" {
  description = "Certificate of the internal load balancer and the name that it is for."
  type        = object({ certificate_arn = string, name = string })
}

variable "domain" {
  description = "The API's own name in DNS with its certificate; nulls use the gateway's name."
  type        = object({ name = optional(string), certificate_arn = optional(string) })
  default     = {}
}

variable "tokens" {
  description = "Issuer and audiences of bearer tokens."
  type        = object({ issuer = string, audiences = list(string) })
}

variable "allowed_origins" {
  description = "Origins of pages that browsers may call from; empty is none."
  type        = list(string)
  default     = []
}

variable "image" {
  description = "The container image by its digest: repository@sha256:..."
  type        = string
}

variable "image_repository_arn" {
  description = "ARN of the ECR repository that the image is pulled from."
  type        = string
}

variable "tracker_zip_path" {
  description = "The tracker's code: what `make lambda` built."
  type        = string
}

variable "tracker_maximum_concurrency" {
  description = "Most batches of notifications at a time."
  type        = number
  default     = 5
}

variable "work_groups" {
  description = "Athena work groups by tenant class, with the bytes after which Athena cancels a query."
  type = map(object({
    description           = string
    maximum_scanned_bytes = number
  }))
}

variable "work_group_of" {
  description = "Keys of the work groups in which queries run: of tenants, and of callers that see all tenants (null: the same)."
  type        = object({ tenants = string, operators = optional(string) })

  validation {
    condition     = contains(keys(var.work_groups), var.work_group_of.tenants)
    error_message = "One of the keys of work_groups."
  }

  validation {
    condition     = contains(keys(var.work_groups), coalesce(var.work_group_of.operators, var.work_group_of.tenants))
    error_message = "One of the keys of work_groups."
  }
}

variable "crawlers" {
  description = "Crawlers by name; none by default, since the tracker registers partitions."
  type = map(object({
    database    = string
    topic       = string
    schedule    = optional(string)
    sample_size = optional(number, 10)
  }))
  default = {}
}

variable "maximum_concurrent_queries" {
  description = "Queries that one replica runs beside each other."
  type        = number
  default     = 10
}

variable "maximum_concurrent_queries_in_all" {
  description = "Queries that all replicas together run beside each other: a little below the account's quota of active DML queries in Athena; 0 leaves it to Athena."
  type        = number
  default     = 0
}

variable "minimum_replicas" {
  description = "Fewest replicas."
  type        = number
  default     = 2
}

variable "maximum_replicas" {
  description = "Most replicas."
  type        = number
  default     = 8

  validation {
    condition     = var.maximum_replicas >= var.minimum_replicas
    error_message = "At least as many as minimum_replicas."
  }
}

variable "environment" {
  description = "Further settings of the service (docs/configuration.md)."
  type        = map(string)
  default     = {}
}

variable "secret_arns" {
  description = "Settings whose value is a secret: variable -> ARN in Secrets Manager."
  type        = map(string)
  default     = {}
}

variable "requests_per_second" {
  description = "Requests per second over all callers that the gateway lets through."
  type        = number
  default     = 500
}

variable "log_retention_days" {
  description = "Days that logs in CloudWatch are kept."
  type        = number
  default     = 90
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read; each alarm links to its section."
  type        = string
}

variable "alarm_addresses" {
  description = "Mail addresses that alarms and budget write to."
  type        = list(string)
}

variable "maximum_silence_minutes" {
  description = "How long no object may come to the lake before somebody is told."
  type        = number
  default     = 60
}

variable "monthly_budget_dollars" {
  description = "What a month may cost, in US dollars."
  type        = number
}

variable "cluster" {
  description = "Kubernetes cluster that runs the service (deploy/kubernetes): ARN of its OIDC provider in IAM, and the issuer without https://. null runs it on Fargate."
  type        = object({ oidc_provider_arn = string, oidc_issuer = string })
  default     = null
}

variable "signing_secret_arn" {
  description = "ARN in Secrets Manager of the secrets that sign paging tokens (DATA_HIST_SECRET), the same for all replicas."
  type        = string
}

variable "own_tables" {
  description = "Table specs of one's own beside the shipped ones (docs/tables.md): the folder where a layer of the tracker's function has them, such as /opt/tables, and the layer. None by default."
  type        = object({ folder = string, layer_arns = list(string) })
  default     = { folder = "", layer_arns = [] }
}
