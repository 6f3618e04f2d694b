variable "name" {
  description = "What every name begins with, such as data-hist-devel."
  type        = string
}

variable "region" {
  description = "Region of the catalogue."
  type        = string
}

variable "account_id" {
  description = "Account of lake and catalogue."
  type        = string
}

variable "lake_bucket" {
  description = "Bucket of the lake."
  type        = object({ name = string, arn = string })
}

variable "lake_prefix" {
  description = "Prefix of the objects to hear of."
  type        = string
}

variable "databases" {
  description = "Glue databases whose partitions the tracker registers."
  type        = list(string)
}

variable "own_tables" {
  description = "Table specs of one's own beside the shipped ones (docs/tables.md): the folder where a layer of the function has them, such as /opt/tables, and the layer. None by default."
  type        = object({ folder = string, layer_arns = list(string) })
  default     = { folder = "", layer_arns = [] }
}

variable "ledger_table" {
  description = "DynamoDB table of the partition ledger."
  type        = object({ name = string, arn = string })
}

variable "inspection" {
  description = "Whether objects are read, once they are registered, for their rows and times: full, sample or off. Of objects with more bytes only the beginning is read."
  type        = object({ mode = string, maximum_bytes = number })
  default     = { mode = "full", maximum_bytes = 16777216 }

  validation {
    condition     = contains(["full", "sample", "off"], var.inspection.mode)
    error_message = "The mode is full, sample or off."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts queues, ledger and log."
  type        = string
}

variable "zip_path" {
  description = "The function's code: what `make lambda` built."
  type        = string

  validation {
    condition     = endswith(var.zip_path, ".zip")
    error_message = "The code is a zip file."
  }
}

variable "is_running" {
  description = "Whether the function reads the queue. While it does not, notifications wait, up to `notification_retention_seconds`."
  type        = bool
  default     = true
}

variable "notification_retention_seconds" {
  description = "How long a notification waits for the function: 10 days. Dead letters are kept longer (14), since they keep the time at which they were first sent."
  type        = number
  default     = 864000

  validation {
    condition     = var.notification_retention_seconds >= 3600 && var.notification_retention_seconds < 1209600
    error_message = "From an hour to less than the dead letters' 14 days."
  }
}

variable "function_timeout_seconds" {
  description = "Time for one batch. The queue hides a batch six times as long, as AWS advises."
  type        = number
  default     = 120

  validation {
    condition     = var.function_timeout_seconds >= 10 && var.function_timeout_seconds <= 900
    error_message = "From 10 to 900 seconds."
  }
}

variable "function_memory_megabytes" {
  description = "Memory of the function; its processor grows with it."
  type        = number
  default     = 512

  validation {
    condition     = var.function_memory_megabytes >= 256 && var.function_memory_megabytes <= 10240
    error_message = "From 256 to 10240 MB."
  }
}

variable "maximum_receives" {
  description = "Receives after which the queue gives a message up. More than the 5 after which the function puts it aside with a reason."
  type        = number
  default     = 10

  validation {
    condition     = var.maximum_receives > 5
    error_message = "More than 5, or messages are given up without their reason."
  }
}

variable "batch_size" {
  description = "Most messages in one batch: their partitions share calls of the catalogue."
  type        = number
  default     = 500

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10000
    error_message = "From 1 to 10000 messages."
  }
}

variable "batching_window_seconds" {
  description = "How long a batch is gathered. It is part of the time from landing to queryable."
  type        = number
  default     = 5

  validation {
    condition     = var.batching_window_seconds >= 1 && var.batching_window_seconds <= 300
    error_message = "From 1 to 300 seconds."
  }
}

variable "maximum_concurrency" {
  description = "Most batches at a time: the bound on how hard the catalogue is called."
  type        = number
  default     = 5

  validation {
    condition     = var.maximum_concurrency >= 2 && var.maximum_concurrency <= 1000
    error_message = "From 2 to 1000 (AWS's own bounds)."
  }
}

variable "log_retention_days" {
  description = "Days that the function's log is kept."
  type        = number
  default     = 90
}

variable "cluster" {
  description = "Kubernetes cluster whose pods may take the role: ARN of its OIDC provider in IAM, and the issuer without https://; null is none."
  type        = object({ oidc_provider_arn = string, oidc_issuer = string })
  default     = null
}
