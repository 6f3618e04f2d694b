"""The resources of deploy/terraform as boto3 calls: what the AWS provider would do, for the kinds that a test looks at.

A function per type, `(cloud, config) -> attributes known afterwards`; kinds without one (listeners, scaling policies,
routes; bucket logging, for which moto wants a policy that names the very prefix) are kept in the state only, with
made-up ids. Deleting is done for what a rebuild would collide
with. Who answers the calls is the caller's matter: in tests it is moto.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

Values = dict[str, Any]


class AwsResources:
    """See the module. `made` counts what was created through boto3, by type."""

    def __init__(self, region: str, account_id: str) -> None:
        self.region = region
        self.account_id = account_id
        self.made: dict[str, int] = {}
        self.bucket_policies: dict[str, Values] = {}
        self.event_sources: dict[str, Values] = {}

    def client(self, service_name: str) -> Any:
        return boto3.client(service_name, region_name=self.region)  # type: ignore[call-overload]  # any service

    def create(self, type_name: str, config: Values) -> Values:
        known = {"id": config.get("name") or str(uuid4()), "arn": f"arn:aws:{type_name}:{config.get('name', uuid4())}"}
        known |= {name: f"{type_name}/{config.get('name')}" for name in ("arn_suffix", "dns_name", "api_endpoint")}
        maker = _MAKERS.get(type_name)
        if maker is not None:
            self.made[type_name] = self.made.get(type_name, 0) + 1
            known |= maker(self, config)
        return known

    def update(self, type_name: str, prior: Values, config: Values) -> Values:
        changer = _CHANGERS.get(type_name)
        return changer(self, prior, config) if changer is not None else {}

    def delete(self, type_name: str, state: Values) -> None:
        unmaker = _UNMAKERS.get(type_name)
        if unmaker is not None:
            unmaker(self, state)

    def read_data(self, type_name: str, config: Values) -> Values:
        if type_name == "aws_caller_identity":
            return {"account_id": self.account_id, "id": self.account_id}
        if type_name == "aws_region":
            return {"region": self.region, "id": self.region}
        document = json.dumps(policy_document(config))
        return {"json": document, "minified_json": document, "id": str(hash(document))}


def policy_document(config: Values) -> Values:
    """The JSON of an `aws_iam_policy_document`."""
    statements = []
    for statement in config["statement"]:
        told: Values = {"Effect": statement["effect"] or "Allow", "Action": statement["actions"]}
        if statement["sid"]:
            told["Sid"] = statement["sid"]
        if statement["resources"]:
            told["Resource"] = statement["resources"]
        for principal in statement["principals"]:
            told.setdefault("Principal", {})[principal["type"]] = principal["identifiers"]
        conditions: dict[str, dict[str, Any]] = {}
        for condition in statement["condition"]:
            conditions.setdefault(condition["test"], {})[condition["variable"]] = condition["values"]
        if conditions:
            told["Condition"] = conditions
        statements.append(told)
    return {"Version": "2012-10-17", "Statement": statements}


def _first(config: Values, *path: str) -> Values:
    """The one block at `path`, or nothing."""
    for name in path:
        blocks = config.get(name) or [{}]
        config = blocks[0]
    return config


def _bucket(cloud: AwsResources, config: Values) -> Values:
    arguments: Values = {"Bucket": config["bucket"]}
    if cloud.region != "us-east-1":
        arguments["CreateBucketConfiguration"] = {"LocationConstraint": cloud.region}
    cloud.client("s3").create_bucket(**arguments)
    return {"id": config["bucket"], "arn": f"arn:aws:s3:::{config['bucket']}"}


def _bucket_public_access(cloud: AwsResources, config: Values) -> Values:
    names = ("block_public_acls", "ignore_public_acls", "block_public_policy", "restrict_public_buckets")
    told = {"".join(word.capitalize() for word in name.split("_")): config[name] for name in names}
    cloud.client("s3").put_public_access_block(
        Bucket=config["bucket"],
        PublicAccessBlockConfiguration=told,
    )
    return {}


def _bucket_ownership(cloud: AwsResources, config: Values) -> Values:
    rules = [{"ObjectOwnership": rule["object_ownership"]} for rule in config["rule"]]
    cloud.client("s3").put_bucket_ownership_controls(Bucket=config["bucket"], OwnershipControls={"Rules": rules})
    return {}


def _bucket_encryption(cloud: AwsResources, config: Values) -> Values:
    default = _first(config, "rule", "apply_server_side_encryption_by_default")
    told = {"SSEAlgorithm": default["sse_algorithm"]}
    if "kms_master_key_id" in default:
        told["KMSMasterKeyID"] = default["kms_master_key_id"]
    rule = {"ApplyServerSideEncryptionByDefault": told, "BucketKeyEnabled": config["rule"][0]["bucket_key_enabled"]}
    cloud.client("s3").put_bucket_encryption(
        Bucket=config["bucket"], ServerSideEncryptionConfiguration={"Rules": [rule]}
    )
    return {}


def _bucket_versioning(cloud: AwsResources, config: Values) -> Values:
    status = _first(config, "versioning_configuration")["status"]
    cloud.client("s3").put_bucket_versioning(Bucket=config["bucket"], VersioningConfiguration={"Status": status})
    return {}


def _bucket_lifecycle(cloud: AwsResources, config: Values) -> Values:
    rules = []
    for rule in config["rule"]:
        told: Values = {"ID": rule["id"], "Status": rule["status"]}
        told["Filter"] = {"Prefix": _first(rule, "filter").get("prefix", "")}
        if days := _first(rule, "expiration").get("days"):
            told["Expiration"] = {"Days": int(days)}
        transitions = [
            {"Days": int(transition["days"]), "StorageClass": transition["storage_class"]}
            for transition in rule.get("transition", [])
        ]
        if transitions:
            told["Transitions"] = transitions
        if days := _first(rule, "noncurrent_version_expiration").get("noncurrent_days"):
            told["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(days)}
        if days := _first(rule, "abort_incomplete_multipart_upload").get("days_after_initiation"):
            told["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(days)}
        rules.append(told)
    cloud.client("s3").put_bucket_lifecycle_configuration(
        Bucket=config["bucket"], LifecycleConfiguration={"Rules": rules}
    )
    return {}


def _bucket_policy(cloud: AwsResources, config: Values) -> Values:
    # moto refuses what a Deny names whatever its condition says, so that nobody could write into the lake
    cloud.bucket_policies[config["bucket"]] = json.loads(config["policy"])
    return {}


def _bucket_notification(cloud: AwsResources, config: Values) -> Values:
    queues = [
        {
            "Id": queue["id"],
            "QueueArn": queue["queue_arn"],
            "Events": queue["events"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": queue["filter_prefix"]}]}},
        }
        for queue in config["queue"]
    ]
    cloud.client("s3").put_bucket_notification_configuration(
        Bucket=config["bucket"], NotificationConfiguration={"QueueConfigurations": queues}
    )
    return {"id": config["bucket"]}


def _no_bucket_notification(cloud: AwsResources, state: Values) -> None:
    cloud.client("s3").put_bucket_notification_configuration(Bucket=state["bucket"], NotificationConfiguration={})


def _key(cloud: AwsResources, config: Values) -> Values:
    kms = cloud.client("kms")
    made = kms.create_key(Description=config["description"], Policy=config["policy"])["KeyMetadata"]
    if config.get("enable_key_rotation"):
        kms.enable_key_rotation(KeyId=made["KeyId"])
    return {"id": made["KeyId"], "key_id": made["KeyId"], "arn": made["Arn"]}


def _key_alias(cloud: AwsResources, config: Values) -> Values:
    cloud.client("kms").create_alias(AliasName=config["name"], TargetKeyId=config["target_key_id"])
    return {}


def _database(cloud: AwsResources, config: Values) -> Values:
    cloud.client("glue").create_database(
        DatabaseInput={"Name": config["name"], "Description": config.get("description", "")}
    )
    return {}


def _crawler(cloud: AwsResources, config: Values) -> Values:
    policy = _first(config, "schema_change_policy")
    cloud.client("glue").create_crawler(
        Name=config["name"],
        Role=config["role"],
        DatabaseName=config["database_name"],
        TablePrefix=config["table_prefix"],
        Configuration=config["configuration"],
        Targets={"S3Targets": [{"Path": t["path"], "Exclusions": t["exclusions"]} for t in config["s3_target"]]},
        SchemaChangePolicy={"UpdateBehavior": policy["update_behavior"], "DeleteBehavior": policy["delete_behavior"]},
        RecrawlPolicy={"RecrawlBehavior": _first(config, "recrawl_policy")["recrawl_behavior"]},
    )
    return {}


def _no_crawler(cloud: AwsResources, state: Values) -> None:
    cloud.client("glue").delete_crawler(Name=state["name"])


def _key_schema(hash_key: str, range_key: str | None) -> list[dict[str, str]]:
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return [*schema, {"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else schema


def _table(cloud: AwsResources, config: Values) -> Values:
    dynamodb = cloud.client("dynamodb")
    arguments: Values = {
        "TableName": config["name"],
        "BillingMode": config["billing_mode"],
        "KeySchema": _key_schema(config["hash_key"], config.get("range_key")),
        "AttributeDefinitions": [{"AttributeName": a["name"], "AttributeType": a["type"]} for a in config["attribute"]],
        "DeletionProtectionEnabled": config["deletion_protection_enabled"],
    }
    indexes = [
        {
            "IndexName": index["name"],
            "KeySchema": _key_schema(index["hash_key"], index.get("range_key")),
            "Projection": {
                "ProjectionType": index["projection_type"],
                **({"NonKeyAttributes": names} if (names := index.get("non_key_attributes")) else {}),
            },
        }
        for index in config.get("global_secondary_index", [])
    ]
    if indexes:
        arguments["GlobalSecondaryIndexes"] = indexes
    made = dynamodb.create_table(**arguments)["TableDescription"]
    if ttl := config.get("ttl"):
        dynamodb.update_time_to_live(
            TableName=config["name"],
            TimeToLiveSpecification={"Enabled": ttl[0]["enabled"], "AttributeName": ttl[0]["attribute_name"]},
        )
    dynamodb.update_continuous_backups(
        TableName=config["name"],
        PointInTimeRecoverySpecification={
            "PointInTimeRecoveryEnabled": _first(config, "point_in_time_recovery")["enabled"]
        },
    )
    return {"id": config["name"], "arn": made["TableArn"]}


def _queue(cloud: AwsResources, config: Values) -> Values:
    names = {
        "message_retention_seconds": "MessageRetentionPeriod",
        "visibility_timeout_seconds": "VisibilityTimeout",
        "receive_wait_time_seconds": "ReceiveMessageWaitTimeSeconds",
        "kms_master_key_id": "KmsMasterKeyId",
        "redrive_policy": "RedrivePolicy",
    }
    attributes = {name: str(config[told]) for told, name in names.items() if told in config}
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName=config["name"], Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return {"id": url, "url": url, "arn": arn}


def _no_queue(cloud: AwsResources, state: Values) -> None:
    cloud.client("sqs").delete_queue(QueueUrl=state["url"])


def _queue_policy(cloud: AwsResources, config: Values) -> Values:
    cloud.client("sqs").set_queue_attributes(QueueUrl=config["queue_url"], Attributes={"Policy": config["policy"]})
    return {}


def _redrive_allow_policy(cloud: AwsResources, config: Values) -> Values:
    cloud.client("sqs").set_queue_attributes(
        QueueUrl=config["queue_url"], Attributes={"RedriveAllowPolicy": config["redrive_allow_policy"]}
    )
    return {}


def _role(cloud: AwsResources, config: Values) -> Values:
    made = cloud.client("iam").create_role(
        RoleName=config["name"], AssumeRolePolicyDocument=config["assume_role_policy"]
    )
    return {"id": config["name"], "arn": made["Role"]["Arn"]}


def _no_role(cloud: AwsResources, state: Values) -> None:
    cloud.client("iam").delete_role(RoleName=state["name"])


def _role_policy(cloud: AwsResources, config: Values) -> Values:
    cloud.client("iam").put_role_policy(
        RoleName=config["role"], PolicyName=config["name"], PolicyDocument=config["policy"]
    )
    return {"id": f"{config['role']}:{config['name']}"}


def _no_role_policy(cloud: AwsResources, state: Values) -> None:
    cloud.client("iam").delete_role_policy(RoleName=state["role"], PolicyName=state["name"])


def _function(cloud: AwsResources, config: Values) -> Values:
    made = cloud.client("lambda").create_function(
        FunctionName=config["function_name"],
        Role=config["role"],
        Runtime=config["runtime"],
        Handler=config["handler"],
        Timeout=int(config["timeout"]),
        MemorySize=int(config["memory_size"]),
        Architectures=config["architectures"],
        Environment={"Variables": _first(config, "environment")["variables"]},
        Code={"ZipFile": Path(config["filename"]).read_bytes()},
    )
    return {"id": config["function_name"], "arn": made["FunctionArn"]}


def _no_function(cloud: AwsResources, state: Values) -> None:
    cloud.client("lambda").delete_function(FunctionName=state["function_name"])


def _event_source(cloud: AwsResources, config: Values) -> Values:
    # moto would run the function itself, in Docker, as soon as a message comes: the test does that with the zip
    known = {"id": str(uuid4())}
    cloud.event_sources[known["id"]] = config
    return known


def _changed_event_source(cloud: AwsResources, prior: Values, config: Values) -> Values:
    cloud.event_sources[prior["id"]] = config
    return {}


def _no_event_source(cloud: AwsResources, state: Values) -> None:
    del cloud.event_sources[state["id"]]


def _work_group(cloud: AwsResources, config: Values) -> Values:
    told = _first(config, "configuration")
    result = _first(told, "result_configuration")
    cloud.client("athena").create_work_group(
        Name=config["name"],
        Description=config["description"],
        Configuration={
            "EnforceWorkGroupConfiguration": told["enforce_workgroup_configuration"],
            "PublishCloudWatchMetricsEnabled": told["publish_cloudwatch_metrics_enabled"],
            "BytesScannedCutoffPerQuery": int(told["bytes_scanned_cutoff_per_query"]),
            "ResultConfiguration": {"OutputLocation": result["output_location"]},
        },
    )
    return {"id": config["name"], "arn": f"arn:aws:athena:{cloud.region}:{cloud.account_id}:workgroup/{config['name']}"}


def _no_work_group(cloud: AwsResources, state: Values) -> None:
    cloud.client("athena").delete_work_group(WorkGroup=state["name"], RecursiveDeleteOption=True)


def _log_group(cloud: AwsResources, config: Values) -> Values:
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName=config["name"])
    logs.put_retention_policy(logGroupName=config["name"], retentionInDays=int(config["retention_in_days"]))
    return {
        "id": config["name"],
        "arn": f"arn:aws:logs:{cloud.region}:{cloud.account_id}:log-group:{config['name']}",
    }


def _no_log_group(cloud: AwsResources, state: Values) -> None:
    cloud.client("logs").delete_log_group(logGroupName=state["name"])


def _metric_filter(cloud: AwsResources, config: Values) -> Values:
    told = _first(config, "metric_transformation")
    cloud.client("logs").put_metric_filter(
        logGroupName=config["log_group_name"],
        filterName=config["name"],
        filterPattern=config["pattern"],
        metricTransformations=[
            {"metricName": told["name"], "metricNamespace": told["namespace"], "metricValue": told["value"]}
        ],
    )
    return {}


def _topic(cloud: AwsResources, config: Values) -> Values:
    arn = cloud.client("sns").create_topic(Name=config["name"])["TopicArn"]
    return {"id": arn, "arn": arn}


def _no_topic(cloud: AwsResources, state: Values) -> None:
    cloud.client("sns").delete_topic(TopicArn=state["arn"])


def _alarm(cloud: AwsResources, config: Values) -> Values:
    statistic = {"Statistic": config["statistic"]} if "statistic" in config else {}
    percentile = {"ExtendedStatistic": config["extended_statistic"]} if "extended_statistic" in config else {}
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=config["alarm_name"],
        AlarmDescription=config["alarm_description"],
        Namespace=config["namespace"],
        MetricName=config["metric_name"],
        Dimensions=[{"Name": name, "Value": value} for name, value in config.get("dimensions", {}).items()],
        ComparisonOperator=config["comparison_operator"],
        Threshold=float(config["threshold"]),
        Period=int(config["period"]),
        EvaluationPeriods=int(config["evaluation_periods"]),
        TreatMissingData=config["treat_missing_data"],
        AlarmActions=config["alarm_actions"],
        **statistic,
        **percentile,
    )
    arn = f"arn:aws:cloudwatch:{cloud.region}:{cloud.account_id}:alarm:{config['alarm_name']}"
    return {"id": config["alarm_name"], "arn": arn}


def _no_alarm(cloud: AwsResources, state: Values) -> None:
    cloud.client("cloudwatch").delete_alarms(AlarmNames=[state["alarm_name"]])


def _dashboard(cloud: AwsResources, config: Values) -> Values:
    cloud.client("cloudwatch").put_dashboard(
        DashboardName=config["dashboard_name"], DashboardBody=config["dashboard_body"]
    )
    return {"id": config["dashboard_name"]}


def _task(cloud: AwsResources, config: Values) -> Values:
    made = cloud.client("ecs").register_task_definition(
        family=config["family"],
        cpu=config["cpu"],
        memory=config["memory"],
        networkMode=config["network_mode"],
        requiresCompatibilities=config["requires_compatibilities"],
        executionRoleArn=config["execution_role_arn"],
        taskRoleArn=config["task_role_arn"],
        containerDefinitions=json.loads(config["container_definitions"]),
    )["taskDefinition"]
    return {"id": config["family"], "arn": made["taskDefinitionArn"], "revision": made["revision"]}


_MAKERS: Mapping[str, Callable[[AwsResources, Values], Values]] = {
    "aws_s3_bucket": _bucket,
    "aws_s3_bucket_public_access_block": _bucket_public_access,
    "aws_s3_bucket_ownership_controls": _bucket_ownership,
    "aws_s3_bucket_server_side_encryption_configuration": _bucket_encryption,
    "aws_s3_bucket_versioning": _bucket_versioning,
    "aws_s3_bucket_lifecycle_configuration": _bucket_lifecycle,
    "aws_s3_bucket_policy": _bucket_policy,
    "aws_s3_bucket_notification": _bucket_notification,
    "aws_kms_key": _key,
    "aws_kms_alias": _key_alias,
    "aws_glue_catalog_database": _database,
    "aws_glue_crawler": _crawler,
    "aws_dynamodb_table": _table,
    "aws_sqs_queue": _queue,
    "aws_sqs_queue_policy": _queue_policy,
    "aws_sqs_queue_redrive_allow_policy": _redrive_allow_policy,
    "aws_iam_role": _role,
    "aws_iam_role_policy": _role_policy,
    "aws_lambda_function": _function,
    "aws_lambda_event_source_mapping": _event_source,
    "aws_athena_workgroup": _work_group,
    "aws_cloudwatch_log_group": _log_group,
    "aws_cloudwatch_log_metric_filter": _metric_filter,
    "aws_cloudwatch_metric_alarm": _alarm,
    "aws_cloudwatch_dashboard": _dashboard,
    "aws_sns_topic": _topic,
    "aws_ecs_task_definition": _task,
}
_CHANGERS: Mapping[str, Callable[[AwsResources, Values, Values], Values]] = {
    "aws_lambda_event_source_mapping": _changed_event_source,
}
_UNMAKERS: Mapping[str, Callable[[AwsResources, Values], None]] = {
    "aws_s3_bucket_notification": _no_bucket_notification,
    "aws_glue_crawler": _no_crawler,
    "aws_sqs_queue": _no_queue,
    "aws_iam_role": _no_role,
    "aws_iam_role_policy": _no_role_policy,
    "aws_lambda_function": _no_function,
    "aws_lambda_event_source_mapping": _no_event_source,
    "aws_athena_workgroup": _no_work_group,
    "aws_cloudwatch_log_group": _no_log_group,
    "aws_cloudwatch_metric_alarm": _no_alarm,
    "aws_sns_topic": _no_topic,
}


def made_kinds() -> Sequence[str]:
    """The types that are made through boto3; the others are kept in the state only."""
    return sorted(_MAKERS)
