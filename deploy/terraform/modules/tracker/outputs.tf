output "queue" {
  description = "The queue that S3 writes to."
  value = {
    name = aws_sqs_queue.notifications.name
    arn  = aws_sqs_queue.notifications.arn
    url  = aws_sqs_queue.notifications.url
  }
}

output "dead_letter_queue" {
  description = "Where notifications go that could not be taken in, with the reason."
  value = {
    name = aws_sqs_queue.dead_letters.name
    arn  = aws_sqs_queue.dead_letters.arn
    url  = aws_sqs_queue.dead_letters.url
  }
}

output "function_name" {
  description = "Name of the Lambda function."
  value       = aws_lambda_function.tracker.function_name
}
