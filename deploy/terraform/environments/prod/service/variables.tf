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

variable "state_bucket" {
  description = "Bucket that holds the states: where persistent_data's outputs are read."
  type        = string
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
  default     = "../../../../build/tracker.zip"
}

variable "secret_arns" {
  description = "Settings whose value is a secret: variable -> ARN in Secrets Manager."
  type        = map(string)
  default     = {}
}

variable "runbook_url" {
  description = "Where docs/operations.md can be read; each alarm links to its section."
  type        = string
}

variable "alarm_addresses" {
  description = "Mail addresses that alarms and budget write to."
  type        = list(string)
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
