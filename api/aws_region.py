"""AWS_REGION for boto3, which reads only AWS_DEFAULT_REGION (botocore, configprovider: `region`).

Containers, Kubernetes and every other AWS SDK say AWS_REGION; a service that was told its region must not fail to start
for want of one. What boto3 itself is told, by its variable or a profile that is named, stays.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping


def respect_aws_region(environment: MutableMapping[str, str] | None = None) -> None:
    """Lets boto3 find AWS_REGION where nothing else names a region. Twice equals once."""
    environment = os.environ if environment is None else environment
    region = environment.get("AWS_REGION")
    if region and not environment.get("AWS_DEFAULT_REGION") and not environment.get("AWS_PROFILE"):
        environment["AWS_DEFAULT_REGION"] = region
