"""docs/embedded-aws.md names exactly the operations that the embedded services have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from embedded.athena import Athena
from embedded.aws_shape import AwsClient
from embedded.glue import Glue
from embedded.s3 import S3

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "embedded-aws.md"


@pytest.mark.parametrize("service", [Athena, Glue, S3], ids=lambda service: service.__name__)
def test_every_operation_is_listed_and_nothing_else(service: type[AwsClient]) -> None:
    section = re.split(rf"^## {service.__name__}$", DOCUMENT.read_text(), flags=re.M)[1].partition("\n## ")[0]
    listing = section.partition("\n- ")[0]
    assert set(re.findall(r"`(\w+)`", listing)) == set(service.operations())
