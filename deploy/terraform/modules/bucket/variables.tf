variable "name" {
  description = "Name of the bucket; unique among all accounts."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "account_id" {
  description = "The account whose log deliveries may write here."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account id has 12 digits."
  }
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects; null is S3's own key (AES256)."
  type        = string
  default     = null
}

variable "is_versioned" {
  description = "Whether overwritten and deleted objects stay as old versions for `old_version_days`."
  type        = bool
}

variable "old_version_days" {
  description = "Days that an old version stays, in a bucket with versions."
  type        = number
  default     = 30

  validation {
    condition     = var.old_version_days >= 1
    error_message = "Old versions stay at least a day."
  }
}

variable "abandoned_upload_days" {
  description = "Days after which the parts of an upload that was never finished are deleted."
  type        = number
  default     = 7

  validation {
    condition     = var.abandoned_upload_days >= 1
    error_message = "Uploads get at least a day."
  }
}

variable "transition_minimum_object_size" {
  description = "`varies_by_storage_class` archives objects of every size, `all_storage_classes_128K` leaves those below 128 KiB where they are (docs/operations.md has the cost of both)."
  type        = string
  default     = "all_storage_classes_128K"

  validation {
    condition     = contains(["varies_by_storage_class", "all_storage_classes_128K"], var.transition_minimum_object_size)
    error_message = "One of varies_by_storage_class, all_storage_classes_128K."
  }
}

variable "retention" {
  description = "What becomes of the objects below each prefix: days until Glacier (null: never) and until they are deleted, by the rule's name."
  type = map(object({
    prefix             = string
    archive_after_days = optional(number)
    delete_after_days  = number
    aborts_uploads     = optional(bool, true)
  }))

  validation {
    condition     = alltrue([for rule in values(var.retention) : rule.archive_after_days == null ? true : rule.archive_after_days < rule.delete_after_days])
    error_message = "An object is archived before it is deleted."
  }
}

variable "access_log" {
  description = "Bucket that takes this one's access logs; null keeps none."
  type        = object({ bucket = string })
  default     = null
}

variable "log_writers" {
  description = "AWS services that may write logs here, each below its prefix; the key is the statement's name."
  type = map(object({
    service = string
    prefix  = string
  }))
  default = {}
}
