"""What a month costs: `python -m deploy.cost --terabytes-a-day 0.1 --queries-a-day 2000 --scanned-gigabytes 2`.

    usage x prices.yaml -> dollars by item

For whoever plans a deployment. Every item is one formula below, so that it can be checked against a bill; what is not
in it: data transfer out, NAT or VPC endpoints, support, the producers' own side (Kafka, Secor).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

PRICES = Path(__file__).with_name("prices.yaml")
DAYS = 30.4
HOURS = 24 * DAYS
GIGABYTE_MEGABYTES = 1000


@dataclass(frozen=True)
class Usage:
    """What is used. Terabytes and gigabytes are decimal and as stored: gzip, or Parquet after compaction."""

    terabytes_a_day: float = field(default=0.1, metadata={"help": "what lands in the lake"})
    object_megabytes: float = field(default=8.0, metadata={"help": "mean size of an object that lands"})
    partitions_a_day: float = field(default=3 * 1440, metadata={"help": "partitions that come, all tables"})
    queries_a_day: float = field(default=2000, metadata={"help": "queries that reach Athena"})
    scanned_gigabytes: float = field(default=2.0, metadata={"help": "what a query reads, in the mean"})
    objects_a_query: float = field(default=300, metadata={"help": "objects that a query opens, in the mean"})
    calls_a_query: float = field(default=12, metadata={"help": "requests a query costs: submit, status, pages"})
    replicas: float = field(default=3, metadata={"help": "replicas, in the mean"})
    replica_cores: float = 1.0
    replica_gigabytes: float = 2.0
    retention_days: float = field(default=365, metadata={"help": "days in S3 Standard"})
    archive_days: float = field(default=2555, metadata={"help": "days until deletion, Glacier included"})


def prices(path: Path = PRICES) -> Mapping[str, float]:
    """The list prices, by name."""
    told: Mapping[str, float] = yaml.safe_load(path.read_text(encoding="utf-8"))["prices"]
    return told


def month(usage: Usage, price: Mapping[str, float]) -> dict[str, float]:
    """Dollars a month by item, when the lake has reached its whole age."""
    stored_gigabytes = usage.terabytes_a_day * 1000
    objects_a_day = usage.terabytes_a_day * 1e6 / usage.object_megabytes
    queries = usage.queries_a_day * DAYS
    calls = queries * usage.calls_a_query
    batches = objects_a_day * DAYS / 100  # notifications come in batches; a hundred is few
    archived_days = max(0.0, usage.archive_days - usage.retention_days)
    return {
        "lake, S3 Standard": stored_gigabytes * usage.retention_days * price["s3_standard_gigabyte_month"],
        "lake, Glacier": stored_gigabytes * archived_days * price["s3_glacier_gigabyte_month"],
        "lake, into Glacier": objects_a_day * DAYS / 1000 * price["s3_glacier_transition_thousand"],
        "lake, objects written": objects_a_day * DAYS / 1000 * price["s3_put_thousand"],
        "tracker": objects_a_day * DAYS / 1e6 * 3 * price["sqs_request_million"]
        + batches / 1e6 * price["lambda_request_million"]
        + batches * 2 * 0.5 * price["lambda_gigabyte_second"],
        "catalogue": usage.partitions_a_day * usage.retention_days / 1e5 * price["glue_hundred_thousand_objects_month"]
        + (batches + queries * 5) / 1e6 * price["glue_request_million"],
        "Athena": queries * scanned_dollars(usage.scanned_gigabytes, price),
        "queries, objects read": queries * usage.objects_a_query / 1000 * price["s3_get_thousand"],
        "replicas": HOURS
        * usage.replicas
        * (usage.replica_cores * price["fargate_core_hour"] + usage.replica_gigabytes * price["fargate_gigabyte_hour"]),
        "executions and ledger": (queries * 8 + objects_a_day * DAYS) / 1e6 * price["dynamodb_write_million"]
        + (calls + queries * 20) / 1e6 * price["dynamodb_read_million"],
        "gateway and load balancer": calls / 1e6 * price["gateway_request_million"]
        + HOURS * (price["load_balancer_hour"] + price["load_balancer_unit_hour"]),
        "logs": (calls * 500 + objects_a_day * DAYS * 50) / 1e9 * price["logs_ingested_gigabyte"],
        "key": price["key_month"],
    }


def scanned_dollars(scanned_gigabytes: float, price: Mapping[str, float]) -> float:
    """What Athena takes for one query: by the terabyte, at least 10 MB."""
    return max(scanned_gigabytes, 10 / GIGABYTE_MEGABYTES) / 1000 * price["athena_scanned_terabyte"]


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m deploy.cost`: a table, the dearest first."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cost", description="What a month costs, in US dollars.")
    for member in dataclasses.fields(Usage):
        parser.add_argument(
            f"--{member.name.replace('_', '-')}", type=float, default=member.default, help=member.metadata.get("help")
        )
    usage = Usage(**vars(parser.parse_args(arguments)))
    items = month(usage, prices())
    for name, dollars in sorted(items.items(), key=lambda item: -item[1]):
        sys.stdout.write(f"{dollars:12,.2f}  {name}\n")
    sys.stdout.write(f"{sum(items.values()):12,.2f}  in all\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
