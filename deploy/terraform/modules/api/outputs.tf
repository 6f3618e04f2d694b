output "cluster_name" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_name" {
  description = "Name of the ECS service."
  value       = aws_ecs_service.this.name
}

output "listener_arn" {
  description = "The load balancer's listener: where the gateway sends requests."
  value       = aws_lb_listener.https.arn
}

output "gateway_security_group_id" {
  description = "Security group of the gateway's VPC link."
  value       = aws_security_group.gateway.id
}

output "load_balancer" {
  description = "Name in DNS, and what metrics call load balancer and target group."
  value = {
    dns_name            = aws_lb.this.dns_name
    arn_suffix          = aws_lb.this.arn_suffix
    target_group_suffix = aws_lb_target_group.service.arn_suffix
  }
}

output "log_group_name" {
  description = "The service's log."
  value       = aws_cloudwatch_log_group.service.name
}

output "role_arn" {
  description = "Role of the replicas."
  value       = aws_iam_role.service.arn
}
