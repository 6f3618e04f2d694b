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

variable "lake_retention_days" {
  description = "Days that the lake's objects can be queried; then they move to Glacier, where Athena does not see them."
  type        = number
  default     = 365

  validation {
    condition     = var.lake_retention_days >= 1
    error_message = "The lake keeps its objects at least a day."
  }
}

variable "lake_archive_days" {
  description = "Days after which the lake's objects are deleted, Glacier included."
  type        = number
  default     = 2555

  validation {
    condition     = var.lake_archive_days > var.lake_retention_days
    error_message = "Objects are archived before they are deleted."
  }
}

variable "archive_minimum_object_size" {
  description = "`varies_by_storage_class` archives objects of every size, `all_storage_classes_128K` leaves those below 128 KiB in S3 Standard (docs/operations.md has the cost of both)."
  type        = string
  default     = "varies_by_storage_class"
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
