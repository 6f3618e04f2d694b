variable "name" {
  description = "What every name begins with, such as data-hist-devel. Everything is tagged `project = <name>`, and the budget counts that tag."
  type        = string
}

variable "region" {
  description = "Region of the metrics."
  type        = string
}

variable "account_id" {
  description = "Account of the alarms."
  type        = string
}

variable "is_running" {
  description = "false watches nothing: the service was stopped on purpose."
  type        = bool
  default     = true
}

variable "runs_replicas" {
  description = "Whether the replicas run on Fargate; a cluster's own monitoring watches those that run there (deploy/monitoring)."
  type        = bool
  default     = true
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read; each alarm links to its section."
  type        = string
}

variable "alarm_addresses" {
  description = "Mail addresses that alarms and budget write to."
  type        = list(string)

  validation {
    condition     = length(var.alarm_addresses) >= 1 && alltrue([for address in var.alarm_addresses : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "At least one mail address."
  }
}

variable "alarm_key_arn" {
  description = "Key that encrypts the topic; its policy must let CloudWatch use it. null leaves the topic unencrypted: alarms hold no data of tenants."
  type        = string
  default     = null
}

variable "queue_name" {
  description = "The tracker's queue."
  type        = string
}

variable "dead_letter_queue_name" {
  description = "The tracker's dead letters."
  type        = string
}

variable "function_name" {
  description = "The tracker's function."
  type        = string
}

variable "cluster_name" {
  description = "The service's ECS cluster."
  type        = string
}

variable "service_name" {
  description = "The ECS service."
  type        = string
}

variable "service_log_group_name" {
  description = "The service's log."
  type        = string
}

variable "load_balancer" {
  description = "What metrics call load balancer and target group."
  type        = object({ dns_name = string, arn_suffix = string, target_group_suffix = string })
}

variable "api_id" {
  description = "What metrics call the gateway."
  type        = string
}

variable "work_groups" {
  description = "Athena work groups to watch."
  type        = map(object({ name = string, arn = string }))
}

variable "table_names" {
  description = "DynamoDB tables to watch."
  type        = map(string)
}

variable "minimum_replicas" {
  description = "Fewest replicas that have to be ready."
  type        = number
}

variable "maximum_tracking_lag_seconds" {
  description = "How old the oldest notification may be: the promise is queryable within 60 seconds of landing."
  type        = number
  default     = 60
}

variable "maximum_silence_minutes" {
  description = "How long no object may come to the lake."
  type        = number
  default     = 60

  validation {
    condition     = var.maximum_silence_minutes >= 5 && var.maximum_silence_minutes <= 1440
    error_message = "From 5 minutes to a day (CloudWatch's longest)."
  }
}

variable "maximum_errors_per_minute" {
  description = "5xx answers in a minute that are borne."
  type        = number
  default     = 5
}

variable "maximum_failures_per_five_minutes" {
  description = "Queries that may fail in Athena in five minutes; SQL at fault is among them."
  type        = number
  default     = 10
}

variable "maximum_page_milliseconds" {
  description = "99 of 100 pages are faster."
  type        = number
  default     = 500
}

variable "monthly_budget_dollars" {
  description = "What a month may cost, in US dollars."
  type        = number

  validation {
    condition     = var.monthly_budget_dollars > 0
    error_message = "A budget is more than nothing."
  }
}
