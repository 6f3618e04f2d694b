data "aws_iam_policy_document" "crawler_assume" {
  statement {
    sid     = "GlueRunsCrawlers"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["glue.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

# What a crawler calls (AWS Glue guide, crawler prerequisites), narrowed to this lake and these databases.
data "aws_iam_policy_document" "crawler" {
  statement {
    sid       = "ListLake"
    actions   = ["s3:ListBucket", "s3:GetBucketLocation"]
    resources = [var.lake_bucket.arn]
  }

  statement {
    sid       = "ReadLake"
    actions   = ["s3:GetObject"]
    resources = ["${var.lake_bucket.arn}/${var.lake_prefix}*"]
  }

  statement {
    sid       = "ReadEncryptedLake"
    actions   = ["kms:Decrypt"]
    resources = [var.kms_key_arn]
  }

  statement {
    sid = "WriteCatalogue"

    actions = [
      "glue:BatchCreatePartition",
      "glue:BatchGetPartition",
      "glue:CreateTable",
      "glue:GetDatabase",
      "glue:GetPartition",
      "glue:GetPartitions",
      "glue:GetTable",
      "glue:GetTables",
      "glue:UpdatePartition",
      "glue:UpdateTable",
    ]

    resources = concat(
      ["arn:aws:glue:${var.region}:${var.account_id}:catalog"],
      [for database in var.databases : "arn:aws:glue:${var.region}:${var.account_id}:database/${database}"],
      [for database in var.databases : "arn:aws:glue:${var.region}:${var.account_id}:table/${database}/*"],
    )
  }

  statement {
    sid       = "WriteLogs"
    actions   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:aws:logs:${var.region}:${var.account_id}:log-group:/aws-glue/crawlers:*"]
  }
}

resource "aws_iam_role" "crawler" {
  name               = "${var.name}-crawler"
  assume_role_policy = data.aws_iam_policy_document.crawler_assume.json
}

resource "aws_iam_role_policy" "crawler" {
  name   = "crawler"
  role   = aws_iam_role.crawler.id
  policy = data.aws_iam_policy_document.crawler.json
}
