from __future__ import annotations

from datetime import UTC, datetime

import pytest

from glue.partition_range import PartitionRange
from glue.partition_spec import PartitionSpec


def spec(path: str) -> PartitionSpec:
    return PartitionSpec.parse(path)


def test_both_ends_are_inside_and_a_coarse_end_includes_all_of_itself() -> None:
    inside = PartitionRange(spec("dt=2026-01-01/hr=10/min=30"), spec("dt=2026-01-02"))
    assert inside.contains(spec("dt=2026-01-01/hr=10/min=30"))
    assert inside.contains(spec("dt=2026-01-02/hr=23/min=59"))
    assert inside.contains(spec("dt=2026-01-01"))  # a coarse partition that overlaps
    assert not inside.contains(spec("dt=2026-01-01/hr=10/min=29"))
    assert not inside.contains(spec("dt=2026-01-03/hr=00/min=00"))


def test_moments_are_half_open() -> None:
    covering = PartitionRange.covering(
        datetime(2026, 1, 1, 10, 0, 30, tzinfo=UTC), datetime(2026, 1, 1, 11, 0, tzinfo=UTC)
    )
    assert str(covering.first) == "dt=2026-01-01/hr=10/min=00"
    assert str(covering.last) == "dt=2026-01-01/hr=10/min=59"
    assert PartitionRange.covering(None, None).is_unbounded


@pytest.mark.parametrize(
    ("first", "last", "expression"),
    [
        (None, None, ""),
        ("dt=2026-01-01", None, "dt >= '2026-01-01'"),
        (
            None,
            "dt=2026-01-01/hr=05",
            "dt <= '2026-01-01' AND (dt < '2026-01-01' OR (dt = '2026-01-01' AND hr <= '05'))",
        ),
        ("dt=2026-01-01", "dt=2026-01-02", "dt >= '2026-01-01' AND dt <= '2026-01-02'"),
    ],
)
def test_expression_in_glue_grammar(first: str | None, last: str | None, expression: str) -> None:
    time_range = PartitionRange(spec(first) if first else None, spec(last) if last else None)
    assert time_range.expression() == expression
    assert len(expression) <= 2048


def test_first_after_last_is_empty() -> None:
    assert PartitionRange(spec("dt=2026-01-02"), spec("dt=2026-01-01/hr=05")).is_empty
    assert not PartitionRange(spec("dt=2026-01-02/hr=05"), spec("dt=2026-01-02")).is_empty
