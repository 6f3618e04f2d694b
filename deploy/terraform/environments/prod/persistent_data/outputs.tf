output "persistent_data" {
  description = "What the service side is handed."
  value       = module.persistent_data
}
