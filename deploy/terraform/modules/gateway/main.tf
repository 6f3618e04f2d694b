# The way in: an HTTP API that lets nobody through without a valid bearer token, throttles, logs, and reaches the load balancer over
# a VPC link. The service checks the same token again and takes tenant and scopes from it.
#
# Two bounds are the gateway's: an answer has at most 10 MB and 30 seconds. Larger downloads go through the internal load balancer.

locals {
  # The contract's paths, every one with a token; probes and metrics are not served here.
  routes = toset(["ANY /v0/data_hist/{path+}", "ANY /v1/data_hist/{path+}"])
}

resource "aws_apigatewayv2_api" "this" {
  name                         = var.name
  description                  = "Historical Event Viewer Service"
  protocol_type                = "HTTP"
  disable_execute_api_endpoint = var.domain_name != null

  dynamic "cors_configuration" {
    for_each = length(var.allowed_origins) > 0 ? [1] : []

    content {
      allow_origins = var.allowed_origins
      allow_methods = ["GET", "POST", "DELETE"]
      allow_headers = ["authorization", "content-type", "idempotency-key"]
      max_age       = 600
    }
  }
}

resource "aws_apigatewayv2_authorizer" "token" {
  api_id           = aws_apigatewayv2_api.this.id
  name             = "token"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = var.token_issuer
    audience = var.token_audiences
  }
}

resource "aws_apigatewayv2_vpc_link" "this" {
  name               = var.name
  subnet_ids         = var.private_subnet_ids
  security_group_ids = [var.security_group_id]
}

resource "aws_apigatewayv2_integration" "service" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "HTTP_PROXY"
  integration_method     = "ANY"
  integration_uri        = var.listener_arn
  connection_type        = "VPC_LINK"
  connection_id          = aws_apigatewayv2_vpc_link.this.id
  payload_format_version = "1.0"
  timeout_milliseconds   = 30000

  tls_config {
    server_name_to_verify = var.load_balancer_name
  }

  # What the service logs as its request's id.
  request_parameters = {
    "overwrite:header.x-request-id" = "$context.requestId"
  }
}

resource "aws_apigatewayv2_route" "this" {
  for_each             = local.routes
  api_id               = aws_apigatewayv2_api.this.id
  route_key            = each.value
  target               = "integrations/${aws_apigatewayv2_integration.service.id}"
  authorization_type   = "JWT"
  authorizer_id        = aws_apigatewayv2_authorizer.token.id
  authorization_scopes = var.token_scopes
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/data-hist/${var.name}/gateway"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    detailed_metrics_enabled = true
    throttling_burst_limit   = var.burst_requests
    throttling_rate_limit    = var.requests_per_second
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn

    format = jsonencode({
      request_id  = "$context.requestId"
      time        = "$context.requestTime"
      method      = "$context.httpMethod"
      route       = "$context.routeKey"
      status      = "$context.status"
      duration_ms = "$context.responseLatency"
      sent_bytes  = "$context.responseLength"
      subject     = "$context.authorizer.claims.sub"
      error       = "$context.authorizer.error"
    })
  }
}

resource "aws_apigatewayv2_domain_name" "this" {
  count       = var.domain_name == null ? 0 : 1
  domain_name = var.domain_name

  domain_name_configuration {
    certificate_arn = var.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "this" {
  count       = var.domain_name == null ? 0 : 1
  api_id      = aws_apigatewayv2_api.this.id
  domain_name = aws_apigatewayv2_domain_name.this[0].domain_name
  stage       = aws_apigatewayv2_stage.this.id
}
