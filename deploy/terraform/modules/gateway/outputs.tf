output "api_id" {
  description = "What metrics call the API."
  value       = aws_apigatewayv2_api.this.id
}

output "url" {
  description = "Where callers go."
  value       = var.domain_name == null ? aws_apigatewayv2_api.this.api_endpoint : "https://${var.domain_name}"
}

output "domain_target" {
  description = "What the DNS record of `domain_name` points to; null without one."
  value       = var.domain_name == null ? null : aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].target_domain_name
}
