locals {
  catalogue_arns = concat(
    ["arn:aws:glue:${var.region}:${var.account_id}:catalog"],
    [for database in var.databases : "arn:aws:glue:${var.region}:${var.account_id}:database/${database}"],
    [for database in var.databases : "arn:aws:glue:${var.region}:${var.account_id}:table/${database}/*"],
  )
}

data "aws_iam_policy_document" "assume" {
  statement {
    sid     = "TasksRunAsService"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }

  # Pods of the cluster, under this service account only (EKS: IAM roles for service accounts).
  dynamic "statement" {
    for_each = var.cluster == null ? [] : [var.cluster]

    content {
      sid     = "PodsRunAsService"
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.oidc_provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.oidc_issuer}:sub"
        values   = ["system:serviceaccount:data-hist:data-hist"]
      }

      condition {
        test     = "StringEquals"
        variable = "${statement.value.oidc_issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

# What the service's code calls, and what Athena does in its name (Athena guide, identity-based policies).
data "aws_iam_policy_document" "service" {
  statement {
    sid = "RunQueries"

    actions = [
      "athena:BatchGetQueryExecution",
      "athena:GetQueryExecution",
      "athena:GetQueryResults",
      "athena:StartQueryExecution",
      "athena:StopQueryExecution",
    ]

    resources = [for group in values(var.work_groups) : group.arn]
  }

  statement {
    sid = "ReadCatalogue"

    actions = [
      "glue:BatchGetPartition",
      "glue:GetDatabase",
      "glue:GetPartition",
      "glue:GetPartitions",
      "glue:GetTable",
      "glue:GetTables",
    ]

    resources = local.catalogue_arns
  }

  statement {
    sid       = "RegisterOwnEvents"
    actions   = ["glue:BatchCreatePartition"]
    resources = local.catalogue_arns
  }

  statement {
    sid       = "ListLake"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = [var.lake_bucket.arn]
  }

  statement {
    sid       = "ReadLake"
    actions   = ["s3:GetObject"]
    resources = [for prefix in [var.lake_prefix, var.compacted_prefix] : "${var.lake_bucket.arn}/${prefix}*"]
  }

  # The service's own requests are events of the lake; it writes nothing else there.
  statement {
    sid       = "WriteOwnEvents"
    actions   = ["s3:PutObject"]
    resources = ["${var.lake_bucket.arn}/${var.lake_prefix}events/*"]
  }

  statement {
    sid       = "ListResults"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    resources = [var.results_bucket.arn]
  }

  statement {
    sid = "ReadWriteResults"

    actions = [
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:ListMultipartUploadParts",
      "s3:PutObject",
    ]

    resources = ["${var.results_bucket.arn}/*"]
  }

  statement {
    sid = "KeepState"

    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:Scan",
      "dynamodb:UpdateItem",
    ]

    resources = flatten([for table in values(var.tables) : [table.arn, "${table.arn}/index/*"]])
  }

  statement {
    sid       = "EncryptedData"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.kms_key_arn]
  }
}

data "aws_iam_policy_document" "execution" {
  statement {
    sid       = "PullImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [var.image_repository_arn]
  }

  # Has no resource of its own (ECR, actions and resource types).
  statement {
    sid       = "PullImageToken"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.service.arn}:*"]
  }

  statement {
    sid       = "HandInSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = values(local.secrets)
  }
}

resource "aws_iam_role" "service" {
  name               = "${var.name}-service"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "service" {
  name   = "service"
  role   = aws_iam_role.service.id
  policy = data.aws_iam_policy_document.service.json
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-service-start"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.execution.json
}
