# The tracker: S3 tells a queue of objects that came and went, a Lambda function registers their partitions (docs/partitions.md).
#
#   lake -> queue -> function -> catalogue, ledger
#             |         |
#             +---------+--> dead letters, with the reason

locals {
  function_name = "${var.name}-tracker"
}

resource "aws_sqs_queue" "dead_letters" {
  name                              = "${var.name}-tracker-dead-letters"
  message_retention_seconds         = 1209600
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 3600
}

resource "aws_sqs_queue" "notifications" {
  name                              = "${var.name}-tracker"
  message_retention_seconds         = var.notification_retention_seconds
  receive_wait_time_seconds         = 20
  visibility_timeout_seconds        = 6 * var.function_timeout_seconds
  kms_master_key_id                 = var.kms_key_arn
  kms_data_key_reuse_period_seconds = 3600

  # The function itself puts a message aside, with the reason, at its fifth receive (glue/queue_batch.py); the queue does it
  # without a word for messages that the function never finishes.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.maximum_receives
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.url

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.notifications.arn]
  })
}

resource "aws_sqs_queue_policy" "notifications" {
  queue_url = aws_sqs_queue.notifications.url
  policy    = data.aws_iam_policy_document.notifications.json
}

# A bucket has one notification configuration: whoever else wants to hear of the lake's objects adds a queue here.
resource "aws_s3_bucket_notification" "lake" {
  bucket = var.lake_bucket.name

  queue {
    id            = "tracker"
    queue_arn     = aws_sqs_queue.notifications.arn
    events        = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*"]
    filter_prefix = var.lake_prefix
  }

  depends_on = [aws_sqs_queue_policy.notifications]
}

resource "aws_cloudwatch_log_group" "tracker" {
  name              = "/aws/lambda/${local.function_name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_function" "tracker" {
  function_name    = local.function_name
  description      = "Registers partitions as objects come and go."
  role             = aws_iam_role.tracker.arn
  filename         = var.zip_path
  source_code_hash = filebase64sha256(var.zip_path)
  handler          = "glue.lambda_handler.handler"
  runtime          = "python3.13"
  architectures    = ["arm64"]
  timeout          = var.function_timeout_seconds
  memory_size      = var.function_memory_megabytes
  layers           = var.own_tables.layer_arns

  environment {
    variables = {
      DATA_HIST_LAKE_BUCKET           = var.lake_bucket.name
      DATA_HIST_TABLES_DIR            = var.own_tables.folder
      DATA_HIST_LEDGER_TABLE          = var.ledger_table.name
      DATA_HIST_INSPECT               = var.inspection.mode
      DATA_HIST_INSPECT_MAX_BYTES     = tostring(var.inspection.maximum_bytes)
      DATA_HIST_DEAD_LETTER_QUEUE_URL = aws_sqs_queue.dead_letters.url
    }
  }

  logging_config {
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "WARN"
    log_group             = aws_cloudwatch_log_group.tracker.name
  }

  depends_on = [aws_iam_role_policy.tracker]
}

resource "aws_lambda_event_source_mapping" "tracker" {
  event_source_arn                   = aws_sqs_queue.notifications.arn
  function_name                      = aws_lambda_function.tracker.arn
  enabled                            = var.is_running
  batch_size                         = var.batch_size
  maximum_batching_window_in_seconds = var.batching_window_seconds
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = var.maximum_concurrency
  }
}
