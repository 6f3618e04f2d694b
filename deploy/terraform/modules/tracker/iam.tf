data "aws_iam_policy_document" "notifications" {
  statement {
    sid       = "LakeTells"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.notifications.arn]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [var.lake_bucket.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [aws_sqs_queue.notifications.arn]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    sid     = "LambdaRunsAsTracker"
    actions = ["sts:AssumeRole"]

    # No aws:SourceAccount here: Lambda's guide does not say that Lambda sends it. A role can be passed within its account only.
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }

  # Pods of the cluster, under this service account only (EKS: IAM roles for service accounts).
  dynamic "statement" {
    for_each = var.cluster == null ? [] : [var.cluster]

    content {
      sid     = "PodsRunAsTracker"
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.oidc_provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.oidc_issuer}:sub"
        values   = ["system:serviceaccount:data-hist:data-hist-tracker"]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.oidc_issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

data "aws_iam_policy_document" "tracker" {
  statement {
    sid       = "ReadNotifications"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.notifications.arn]
  }

  statement {
    sid       = "PutAside"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  statement {
    sid     = "RegisterPartitions"
    actions = ["glue:BatchCreatePartition", "glue:BatchGetPartition", "glue:BatchUpdatePartition"]

    resources = concat(
      ["arn:aws:glue:${var.region}:${var.account_id}:catalog"],
      [for database in var.databases : "arn:aws:glue:${var.region}:${var.account_id}:database/${database}"],
      [for database in var.databases : "arn:aws:glue:${var.region}:${var.account_id}:table/${database}/*"],
    )
  }

  statement {
    sid       = "ReadObjects"
    actions   = ["s3:GetObject"]
    resources = ["${var.lake_bucket.arn}/${var.lake_prefix}*"]
  }

  # Objects that come late for compacted partitions: what lies there is listed, their rows are put beside the others.
  statement {
    sid       = "LookAtCompactions"
    actions   = ["s3:ListBucket"]
    resources = [var.lake_bucket.arn]
  }

  statement {
    sid       = "SettleCompactions"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.lake_bucket.arn}/compacted/*"]
  }

  statement {
    sid = "KeepLedger"

    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]

    resources = [var.ledger_table.arn]
  }

  statement {
    sid       = "EncryptedData"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.tracker.arn}:*"]
  }
}

resource "aws_iam_role" "tracker" {
  name               = local.function_name
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "tracker" {
  name   = "tracker"
  role   = aws_iam_role.tracker.id
  policy = data.aws_iam_policy_document.tracker.json
}
