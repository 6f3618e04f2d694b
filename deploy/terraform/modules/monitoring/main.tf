# What wakes somebody, and what they look at: alarms into one topic, a dashboard, a budget. Every alarm says in its description which
# section of docs/operations.md has what to do.

locals {
  runbook = "${var.runbook_url}#"

  alarms = {
    tracker-dead-letters = {
      meaning    = "Notifications were put aside: their objects are not queryable."
      namespace  = "AWS/SQS"
      metric     = "ApproximateNumberOfMessagesVisible"
      dimensions = { QueueName = var.dead_letter_queue_name }
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      threshold  = 0
      period     = 60
      periods    = 1
      missing    = "notBreaching"
    }
    tracker-behind = {
      meaning    = "Objects wait to be registered: the lake is less fresh than promised."
      namespace  = "AWS/SQS"
      metric     = "ApproximateAgeOfOldestMessage"
      dimensions = { QueueName = var.queue_name }
      statistic  = "Maximum"
      comparison = "GreaterThanThreshold"
      threshold  = var.maximum_tracking_lag_seconds
      period     = 60
      periods    = 3
      missing    = "notBreaching"
    }
    lake-silent = {
      meaning    = "No object came to the lake: writers stand still, or the bucket no longer tells."
      namespace  = "AWS/SQS"
      metric     = "NumberOfMessagesSent"
      dimensions = { QueueName = var.queue_name }
      statistic  = "Sum"
      comparison = "LessThanThreshold"
      threshold  = 1
      period     = 300
      periods    = ceil(var.maximum_silence_minutes / 5)
      missing    = "breaching"
    }
    tracker-errors = {
      meaning    = "The tracker's function fails as a whole."
      namespace  = "AWS/Lambda"
      metric     = "Errors"
      dimensions = { FunctionName = var.function_name }
      statistic  = "Sum"
      comparison = "GreaterThanThreshold"
      threshold  = 0
      period     = 300
      periods    = 2
      missing    = "notBreaching"
    }
    tracker-throttles = {
      meaning    = "The tracker's function is not given the concurrency it needs."
      namespace  = "AWS/Lambda"
      metric     = "Throttles"
      dimensions = { FunctionName = var.function_name }
      statistic  = "Sum"
      comparison = "GreaterThanThreshold"
      threshold  = 0
      period     = 300
      periods    = 3
      missing    = "notBreaching"
    }
    service-errors = {
      meaning    = "The service answers with 5xx."
      namespace  = "AWS/ApplicationELB"
      metric     = "HTTPCode_Target_5XX_Count"
      dimensions = { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = var.load_balancer.target_group_suffix }
      statistic  = "Sum"
      comparison = "GreaterThanThreshold"
      threshold  = var.maximum_errors_per_minute
      period     = 60
      periods    = 3
      missing    = "notBreaching"
    }
    service-unready = {
      meaning    = "Fewer replicas than wanted are ready."
      namespace  = "AWS/ApplicationELB"
      metric     = "HealthyHostCount"
      dimensions = { LoadBalancer = var.load_balancer.arn_suffix, TargetGroup = var.load_balancer.target_group_suffix }
      statistic  = "Minimum"
      comparison = "LessThanThreshold"
      threshold  = var.minimum_replicas
      period     = 60
      periods    = 5
      missing    = "breaching"
    }
    gateway-errors = {
      meaning    = "The gateway answers with 5xx: it can't reach the load balancer, or an answer took 30 seconds."
      namespace  = "AWS/ApiGateway"
      metric     = "5xx"
      dimensions = { ApiId = var.api_id }
      statistic  = "Sum"
      comparison = "GreaterThanThreshold"
      threshold  = var.maximum_errors_per_minute
      period     = 60
      periods    = 3
      missing    = "notBreaching"
    }
    pages-slow = {
      meaning    = "Pages of results come slowly: one in a hundred takes longer than promised."
      namespace  = local.log_namespace
      metric     = "PageDuration"
      dimensions = {}
      statistic  = "p99"
      comparison = "GreaterThanThreshold"
      threshold  = var.maximum_page_milliseconds
      period     = 300
      periods    = 3
      missing    = "notBreaching"
    }
  }

  # What runs is watched; what was stopped on purpose is not.
  watched = {
    for name, alarm in local.alarms :
    name => alarm
    if var.is_running && (var.runs_replicas || !contains(["AWS/ApplicationELB", "AWS/ApiGateway", local.log_namespace], alarm.namespace))
  }

  log_namespace = "data-hist/${var.name}"
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.alarm_key_arn
}

resource "aws_sns_topic_subscription" "mail" {
  for_each  = toset(var.alarm_addresses)
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# One access-log line of the service is one measurement. Status calls are left out: a caller may ask them to wait.
resource "aws_cloudwatch_log_metric_filter" "pages" {
  name           = "${var.name}-pages"
  log_group_name = var.service_log_group_name
  pattern        = "{ ($.event = \"request\") && ($.route = \"/v0/data_hist/next\") }"

  metric_transformation {
    name      = "PageDuration"
    namespace = local.log_namespace
    value     = "$.duration_ms"
    unit      = "Milliseconds"
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.watched
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "${each.value.meaning} ${local.runbook}${each.key}"
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = each.value.period
  evaluation_periods  = each.value.periods
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "athena_failures" {
  for_each            = var.is_running ? var.work_groups : {}
  alarm_name          = "${var.name}-athena-failures-${each.key}"
  alarm_description   = "Queries of work group ${each.value.name} fail in Athena. ${local.runbook}athena-failures"
  namespace           = "AWS/Athena"
  metric_name         = "TotalExecutionTime"
  dimensions          = { WorkGroup = each.value.name, QueryState = "FAILED", QueryType = "DML" }
  statistic           = "SampleCount"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.maximum_failures_per_five_minutes
  period              = 300
  evaluation_periods  = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_metric_alarm" "table_throttles" {
  for_each            = var.is_running ? var.table_names : {}
  alarm_name          = "${var.name}-table-throttles-${each.key}"
  alarm_description   = "DynamoDB refuses requests for table ${each.value}. ${local.runbook}table-throttles"
  namespace           = "AWS/DynamoDB"
  metric_name         = "ThrottledRequests"
  dimensions          = { TableName = each.value }
  statistic           = "Sum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_budgets_budget" "this" {
  name         = "${var.name}-month"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_dollars)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = [format("user:project$%s", var.name)]
  }

  notification {
    notification_type          = "ACTUAL"
    comparison_operator        = "GREATER_THAN"
    threshold                  = 80
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.alarm_addresses
  }

  notification {
    notification_type          = "FORECASTED"
    comparison_operator        = "GREATER_THAN"
    threshold                  = 100
    threshold_type             = "PERCENTAGE"
    subscriber_email_addresses = var.alarm_addresses
  }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [
      {
        type = "alarm", x = 0, y = 0, width = 24, height = 3
        properties = {
          title = "Alarms"
          alarms = concat(
            [for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn],
            [for alarm in aws_cloudwatch_metric_alarm.athena_failures : alarm.arn],
            [for alarm in aws_cloudwatch_metric_alarm.table_throttles : alarm.arn],
          )
        }
      },
      {
        type = "metric", x = 0, y = 3, width = 12, height = 6
        properties = {
          title = "Requests and errors", region = var.region, period = 60, stat = "Sum"
          metrics = [
            ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", var.load_balancer.arn_suffix],
            ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", var.load_balancer.arn_suffix],
            ["AWS/ApiGateway", "5xx", "ApiId", var.api_id],
            ["AWS/ApiGateway", "4xx", "ApiId", var.api_id],
          ]
        }
      },
      {
        type = "metric", x = 12, y = 3, width = 12, height = 6
        properties = {
          title = "Pages: duration, ms", region = var.region, period = 60
          metrics = [
            [local.log_namespace, "PageDuration", { stat = "p50" }],
            [local.log_namespace, "PageDuration", { stat = "p99" }],
          ]
        }
      },
      {
        type = "metric", x = 0, y = 9, width = 12, height = 6
        properties = {
          title = "Replicas", region = var.region, period = 60
          metrics = [
            ["AWS/ApplicationELB", "HealthyHostCount", "TargetGroup", var.load_balancer.target_group_suffix, "LoadBalancer", var.load_balancer.arn_suffix, { stat = "Minimum" }],
            ["AWS/ECS", "CPUUtilization", "ClusterName", var.cluster_name, "ServiceName", var.service_name, { stat = "Average", yAxis = "right" }],
            ["AWS/ECS", "MemoryUtilization", "ClusterName", var.cluster_name, "ServiceName", var.service_name, { stat = "Maximum", yAxis = "right" }],
          ]
        }
      },
      {
        type = "metric", x = 12, y = 9, width = 12, height = 6
        properties = {
          title = "Athena: scanned bytes and failures", region = var.region, period = 300
          metrics = concat(
            [for group in values(var.work_groups) : ["AWS/Athena", "ProcessedBytes", "WorkGroup", group.name, { stat = "Sum" }]],
            [for group in values(var.work_groups) : ["AWS/Athena", "TotalExecutionTime", "WorkGroup", group.name, "QueryState", "FAILED", "QueryType", "DML", { stat = "SampleCount", yAxis = "right" }]],
          )
        }
      },
      {
        type = "metric", x = 0, y = 15, width = 12, height = 6
        properties = {
          title = "Tracker: waiting, put aside, age", region = var.region, period = 60
          metrics = [
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.queue_name, { stat = "Maximum" }],
            ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", var.dead_letter_queue_name, { stat = "Maximum" }],
            ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", var.queue_name, { stat = "Maximum", yAxis = "right" }],
          ]
        }
      },
      {
        type = "metric", x = 12, y = 15, width = 12, height = 6
        properties = {
          title = "Tracker: runs", region = var.region, period = 60, stat = "Sum"
          metrics = [
            ["AWS/Lambda", "Invocations", "FunctionName", var.function_name],
            ["AWS/Lambda", "Errors", "FunctionName", var.function_name],
            ["AWS/Lambda", "Throttles", "FunctionName", var.function_name],
            ["AWS/Lambda", "Duration", "FunctionName", var.function_name, { stat = "p99", yAxis = "right" }],
          ]
        }
      },
    ]
  })
}
