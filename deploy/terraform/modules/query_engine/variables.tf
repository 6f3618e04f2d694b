variable "name" {
  description = "What every name begins with, such as data-hist-devel."
  type        = string
}

variable "region" {
  description = "Region of the catalogue."
  type        = string
}

variable "account_id" {
  description = "Account of lake, results and catalogue."
  type        = string
}

variable "lake_bucket" {
  description = "Bucket of the lake."
  type        = object({ name = string, arn = string })
}

variable "lake_prefix" {
  description = "Prefix of the lake's objects."
  type        = string
}

variable "results_bucket" {
  description = "Bucket of the results."
  type        = object({ name = string, arn = string })
}

variable "databases" {
  description = "Glue databases that crawlers may write to."
  type        = list(string)
}

variable "kms_key_arn" {
  description = "Key that encrypts lake and results."
  type        = string
}

variable "work_groups" {
  description = "Athena work groups by tenant class: Athena itself cancels a query that has scanned more than `maximum_scanned_bytes`."
  type = map(object({
    description           = string
    maximum_scanned_bytes = number
  }))

  validation {
    condition     = alltrue([for group in values(var.work_groups) : group.maximum_scanned_bytes >= 10485760])
    error_message = "Athena's cut-off is at least 10 MiB."
  }

  validation {
    condition     = alltrue([for name in keys(var.work_groups) : can(regex("^[a-z][a-z0-9-]{0,63}$", name))])
    error_message = "A work group's name has lower-case letters, digits and hyphens."
  }
}

variable "crawlers" {
  description = "Crawlers by name. `schedule` null runs one only by hand; every run is billed for at least ten minutes."
  type = map(object({
    database    = string
    topic       = string
    schedule    = optional(string)
    sample_size = optional(number, 10)
  }))
  default = {}

  validation {
    condition     = alltrue([for crawler in values(var.crawlers) : crawler.sample_size >= 1 && crawler.sample_size <= 249])
    error_message = "A crawler samples 1 to 249 files of a folder."
  }
}
