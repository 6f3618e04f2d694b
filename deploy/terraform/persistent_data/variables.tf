variable "name" {
  description = "What every name begins with, such as data-hist-devel."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "A name has 3 to 32 lower-case letters, digits and hyphens."
  }
}

variable "lake_prefix" {
  description = "Prefix of the lake's objects, with the slash at its end: where the writers write."
  type        = string
  default     = "secor/"

  validation {
    condition     = endswith(var.lake_prefix, "/")
    error_message = "A prefix ends with a slash."
  }
}

variable "compacted_prefix" {
  description = "Prefix of compacted objects, with the slash at its end (glue/data_retention.py)."
  type        = string
  default     = "compacted/"

  validation {
    condition     = endswith(var.compacted_prefix, "/")
    error_message = "A prefix ends with a slash."
  }
}

variable "lake_retention" {
  description = "How long the objects of each table can be queried (then they move to Glacier, where Athena does not see them) and until when they are kept, in days. The table specs say the same (docs/retention.md)."
  type = map(object({
    prefix         = string
    retention_days = number
    archive_days   = number
  }))
  default = {
    events                = { prefix = "secor/events/", retention_days = 365, archive_days = 2555 }
    logs                  = { prefix = "secor/logs/", retention_days = 365, archive_days = 2555 }
    metrics               = { prefix = "secor/metrics/", retention_days = 365, archive_days = 2555 }
    "data_hist_v1.events" = { prefix = "secor/events_v1/", retention_days = 365, archive_days = 2555 }
  }

  validation {
    condition     = alltrue([for table in values(var.lake_retention) : table.retention_days >= 1 && table.archive_days > table.retention_days])
    error_message = "Objects can be queried at least a day, and are archived before they are deleted."
  }
}

variable "archive_minimum_object_size" {
  description = "`varies_by_storage_class` archives objects of every size, `all_storage_classes_128K` leaves those below 128 KiB in S3 Standard (docs/operations.md has the cost of both)."
  type        = string
  default     = "all_storage_classes_128K"
}

variable "results_retention_days" {
  description = "Days after which results are deleted even if the service's sweeper never saw them. The contract keeps a result up to 365 days."
  type        = number
  default     = 366

  validation {
    condition     = var.results_retention_days >= 366
    error_message = "A result may be kept 365 days (retention_minutes), so the rule must not come before."
  }
}

variable "log_retention_days" {
  description = "Days that access logs of buckets and load balancer are kept."
  type        = number
  default     = 400

  validation {
    condition     = var.log_retention_days >= 1
    error_message = "Logs are kept at least a day."
  }
}

variable "databases" {
  description = "Glue databases with their descriptions."
  type        = map(string)
  default = {
    data_hist    = "Historical Event Viewer Service"
    data_hist_v1 = "Historical Event Viewer Service, events v1"
  }

  validation {
    condition     = alltrue([for name in keys(var.databases) : can(regex("^[a-z0-9_]{1,255}$", name))])
    error_message = "A database's name has lower-case letters, digits and underscores."
  }
}
