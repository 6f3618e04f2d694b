output "lake_bucket" {
  description = "Name and ARN of the lake's bucket."
  value       = { name = module.lake.name, arn = module.lake.arn }
}

output "results_bucket" {
  description = "Name and ARN of the results' bucket."
  value       = { name = module.results.name, arn = module.results.arn }
}

output "logs_bucket" {
  description = "Name and ARN of the bucket of access logs."
  value       = { name = module.logs.name, arn = module.logs.arn }
}

output "lake_prefix" {
  description = "Prefix of the lake's objects."
  value       = var.lake_prefix
}

output "compacted_prefix" {
  description = "Prefix of compacted objects."
  value       = var.compacted_prefix
}

output "kms_key_arn" {
  description = "Key that encrypts lake, results, queues and tables."
  value       = aws_kms_key.data.arn
}

output "databases" {
  description = "Names of the Glue databases."
  value       = [for database in aws_glue_catalog_database.this : database.name]
}

output "tables" {
  description = "Name and ARN of each DynamoDB table, and the setting that names it."

  value = {
    for key, table in aws_dynamodb_table.this :
    key => { name = table.name, arn = table.arn, setting = local.tables[key].setting }
  }
}
