from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.fair_queue import FairQueue


def taken(queue: FairQueue) -> list[str]:
    order = []
    while (item := queue.pop()) is not None:
        order.append(item[1])
    return order


def test_tenants_take_turns_and_each_keeps_its_order() -> None:
    queue = FairQueue()
    for tenant, query_id in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]:
        queue.push(tenant, query_id)
    assert len(queue) == 6
    assert queue.count("a") == 3
    assert taken(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(queue) == 0


def test_what_is_put_back_is_next() -> None:
    queue = FairQueue()
    queue.push("a", "a1")
    queue.push("b", "b1")
    tenant, query_id = queue.pop() or ("", "")
    queue.push_front(tenant, query_id)
    assert taken(queue) == ["a1", "b1"]


def test_removing_takes_out_of_turn_once() -> None:
    queue = FairQueue()
    queue.push("a", "a1")
    assert not queue.remove("b", "a1")
    assert queue.remove("a", "a1")
    assert not queue.remove("a", "a1")
    assert queue.pop() is None
    assert queue.position("a", "a1") is None


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_the_position_told_is_the_order_of_taking(steps: list[tuple[str, bool]]) -> None:
    queue = FairQueue()
    for number, (tenant, is_taking) in enumerate(steps):
        if is_taking:
            queue.pop()
        else:
            queue.push(tenant, f"{tenant}{number}")
    told = {
        query_id: queue.position(tenant, query_id)
        for tenant in "abcd"
        for query_id in (f"{tenant}{number}" for number in range(len(steps)))
    }
    order = taken(queue)
    assert {query_id: position for query_id, position in told.items() if position is not None} == {
        query_id: index for index, query_id in enumerate(order, start=1)
    }
