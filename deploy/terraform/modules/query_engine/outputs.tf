output "work_groups" {
  description = "Name and ARN of each work group, by tenant class."
  value       = { for key, group in aws_athena_workgroup.this : key => { name = group.name, arn = group.arn } }
}

output "crawler_names" {
  description = "Names of the crawlers."
  value       = [for crawler in aws_glue_crawler.this : crawler.name]
}
