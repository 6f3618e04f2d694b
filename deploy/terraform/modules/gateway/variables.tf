variable "name" {
  description = "What every name begins with, such as data-hist-devel."
  type        = string
}

variable "listener_arn" {
  description = "The load balancer's HTTPS listener."
  type        = string
}

variable "load_balancer_name" {
  description = "Name that the load balancer's certificate is for; the gateway checks it."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets of the VPC link."
  type        = list(string)
}

variable "security_group_id" {
  description = "Security group of the VPC link."
  type        = string
}

variable "token_issuer" {
  description = "Who issues bearer tokens (OpenID Connect): the `iss` they must have."
  type        = string

  validation {
    condition     = startswith(var.token_issuer, "https://")
    error_message = "An issuer is an https URL."
  }
}

variable "token_audiences" {
  description = "The `aud` that a token must have one of."
  type        = list(string)

  validation {
    condition     = length(var.token_audiences) >= 1
    error_message = "One audience at least: any token of the issuer would do otherwise."
  }
}

variable "token_scopes" {
  description = "Scopes of which a token must have one; empty leaves scopes to the service."
  type        = list(string)
  default     = []
}

variable "allowed_origins" {
  description = "Origins of pages that browsers may call from; empty is none."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.allowed_origins : startswith(origin, "https://")])
    error_message = "Origins begin with https://; never *."
  }
}

variable "requests_per_second" {
  description = "Requests per second over all callers; beyond it the gateway answers 429."
  type        = number
  default     = 500
}

variable "burst_requests" {
  description = "Requests that may come at once beyond the rate."
  type        = number
  default     = 1000
}

variable "domain_name" {
  description = "The API's own name in DNS; null uses the gateway's."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate of the API's own name; needed with `domain_name`."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn != null || var.domain_name == null
    error_message = "A domain name needs its certificate."
  }
}

variable "log_retention_days" {
  description = "Days that the access log is kept."
  type        = number
  default     = 90
}

variable "kms_key_arn" {
  description = "Key that encrypts the access log."
  type        = string
}
