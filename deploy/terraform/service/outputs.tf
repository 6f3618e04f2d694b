output "url" {
  description = "Where callers go."
  value       = module.gateway.url
}

output "domain_target" {
  description = "What the DNS record of the API's own name points to; null without one."
  value       = module.gateway.domain_target
}

output "load_balancer_dns_name" {
  description = "What the DNS record of the load balancer's name points to, inside."
  value       = module.api.load_balancer.dns_name
}

output "cluster" {
  description = "ECS cluster and service, for `aws ecs`."
  value       = { cluster = module.api.cluster_name, service = module.api.service_name }
}

output "tracker" {
  description = "The tracker's queue, dead letters and function."
  value = {
    queue             = module.tracker.queue
    dead_letter_queue = module.tracker.dead_letter_queue
    function_name     = module.tracker.function_name
  }
}

output "work_groups" {
  description = "Athena work groups by tenant class."
  value       = module.query_engine.work_groups
}

output "crawler_names" {
  description = "Names of the crawlers."
  value       = module.query_engine.crawler_names
}

output "alarms" {
  description = "Topic, names and dashboard."
  value = {
    topic_arn      = module.monitoring.topic_arn
    names          = module.monitoring.alarm_names
    dashboard_name = module.monitoring.dashboard_name
  }
}
