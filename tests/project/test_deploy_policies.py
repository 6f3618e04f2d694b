"""Roles may do what the code calls, and what AWS documents for the rest; no wildcards, each on named resources."""

from __future__ import annotations

from tests.project.aws_calls import ROOT, permissions_of, reachable
from tests.project.terraform.files import Block, policy_documents, statements

#: What AWS itself needs of a role, by where its guides say so.
LAMBDA_POLLS_SQS = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}  # Lambda: SQS, execution role
WRITE_LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}  # Lambda and ECS: logging
ENCRYPTED = {"kms:Decrypt", "kms:GenerateDataKey"}  # SQS, S3: server-side encryption with KMS keys
ATHENA_IN_OUR_NAME = {  # Athena: access to S3, to databases and tables in the Glue catalogue
    "glue:BatchGetPartition",
    "glue:GetDatabase",
    "glue:GetPartition",
    "glue:GetPartitions",
    "glue:GetTable",
    "glue:GetTables",
    "s3:AbortMultipartUpload",
    "s3:GetBucketLocation",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListMultipartUploadParts",
    "s3:PutObject",
}
#: What transactions do beside putting items (glue.dynamodb_calls): told in their data, not by a method's name.
IN_TRANSACTIONS = {"dynamodb:DeleteItem"}
#: Calls in modules that a deployment imports and does not come to: what makes them, and why not there.
NOT_THE_TRACKERS = {
    "glue:GetPartitions": "glue.compaction_catalogue lists for compaction runs; the tracker asks for named ones",
}
NOT_THE_SERVICES = {
    "s3:CreateBucket": "glue.bootstrap makes buckets of the embedded S3; Terraform makes AWS's",
    "glue:CreateDatabase": "glue.bootstrap: Terraform makes databases",
    "glue:CreateTable": "glue.bootstrap: the embedded catalogue, and operators by `data-hist tables`",
    "glue:UpdateTable": "glue.bootstrap: the same",
    "dynamodb:CreateTable": "glue.dynamodb_table, by `data-hist store`: Terraform makes tables",
    "dynamodb:DescribeTable": "the same",
    "dynamodb:DescribeTimeToLive": "the same",
    "dynamodb:UpdateTimeToLive": "the same",
    "glue:BatchDeletePartition": "operators by `data-hist partitions repair` and `retention sweep`",
    "glue:BatchUpdatePartition": "glue.reconcile: the same",
    "glue:DeleteTable": "glue.crawl_run: what crawlers of the embedded Glue do",
}


def actions_of(*names: str) -> set[str]:
    """The allowed actions of these policy documents of the modules, as `module.name`."""
    found: set[str] = set()
    for document in policy_documents():
        if f"{document.path.parent.name}.{document.labels[1]}" in names:
            for statement in statements(document):
                assert statement.get("effect", "Allow") == "Allow"
                found |= set(statement["actions"])
    assert found
    return found


def called_by_the_service() -> set[str]:
    """What `api` and all of `service` call, whatever is configured; the ingest side as far as they import it."""
    catalogue = ROOT / "embedded" / "athena_catalogue.py"  # reads boto3's Glue as well
    rooms = [path.relative_to(ROOT) for room in ("api", "service") for path in (ROOT / room).rglob("*.py")]
    modules = [".".join(path.with_suffix("").parts) for path in rooms]
    return set(permissions_of([*reachable(*modules).values(), catalogue]))


def test_the_tracker_may_do_what_it_calls() -> None:
    called = set(permissions_of(reachable("glue.lambda_handler").values()))
    needed = (called - set(NOT_THE_TRACKERS)) | LAMBDA_POLLS_SQS | WRITE_LOGS | ENCRYPTED | IN_TRANSACTIONS
    allowed = actions_of("tracker.tracker")
    assert needed - allowed == set(), "allow it in deploy/terraform/modules/tracker/iam.tf, or say why not above"
    assert allowed - needed == set(), "nobody calls it: take it out of deploy/terraform/modules/tracker/iam.tf"


def test_the_service_may_do_what_it_calls() -> None:
    called = called_by_the_service()
    needed = (called - set(NOT_THE_SERVICES)) | ATHENA_IN_OUR_NAME | ENCRYPTED
    allowed = actions_of("api.service")
    assert needed - allowed == set(), "allow it in deploy/terraform/modules/api/iam.tf, or say why not above"
    assert allowed - needed == set(), "nobody calls it: take it out of deploy/terraform/modules/api/iam.tf"


def test_what_is_left_out_is_called_somewhere() -> None:
    """A reason for something that nobody calls any more is itself a mistake."""
    tracker = set(permissions_of(reachable("glue.lambda_handler").values()))
    service = called_by_the_service()
    assert set(NOT_THE_TRACKERS) - tracker == set()
    assert set(NOT_THE_SERVICES) - service == set()


def is_key_policy(document: Block) -> bool:
    """A key's own policy: the account administers the key through IAM, as AWS advises; "*" is that key."""
    return document.labels[1] == "key"


def test_no_action_and_no_resource_is_a_wildcard() -> None:
    without_resource = {"ecr:GetAuthorizationToken"}  # it has none (ECR, actions and resource types)
    for document in policy_documents():
        for statement in statements(document):
            if statement.get("effect") == "Deny" or is_key_policy(document):
                continue
            actions, resources = statement["actions"], statement.get("resources", ["trust policy"])
            assert not [action for action in actions if "*" in action], document.address
            assert list(resources) != ["*"] or set(actions) <= without_resource, document.address


#: Keys of a condition that name the account, as each service sends them.
FOR_WHOM = {"aws:SourceAccount", "kms:EncryptionContext:aws:logs:arn"}
#: Services whose guide does not say that they send one when they take a role; roles are passed within an account only.
SAYS_NOT_FOR_WHOM = {"lambda.amazonaws.com"}


def test_services_that_assume_roles_or_write_say_for_whom() -> None:
    """The confused deputy: each AWS service that may do something is held to this account."""
    for document in policy_documents():
        for statement in statements(document):
            services = {
                identifier
                for principal in statement.get("principals", [])
                if principal["type"] == "Service"
                for identifier in principal["identifiers"]
            }
            if services - SAYS_NOT_FOR_WHOM:
                variables = {condition["variable"] for condition in statement.get("condition", [])}
                assert variables & FOR_WHOM, document.address
