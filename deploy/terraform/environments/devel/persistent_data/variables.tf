variable "region" {
  description = "Region of everything."
  type        = string
}

variable "account_id" {
  description = "The account that may be deployed to; any other is refused."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account id has 12 digits."
  }
}
