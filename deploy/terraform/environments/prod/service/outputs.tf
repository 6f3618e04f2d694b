output "service" {
  description = "Addresses, queues, work groups and alarms."
  value       = module.service
}
