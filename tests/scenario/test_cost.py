"""Speed is designed: connections and exchanges are counted, with 2 and with 20 guests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.cost import Cost, measure
from tests.scenario.harness import Stack


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    return make_stack("embedded")


@pytest.mark.parametrize("count", [2, 20])
def test_a_refresh_costs_one_connection_and_few_exchanges_whatever_the_number_of_guests(
    stack: Stack, count: int
) -> None:
    costs = {cost.run: cost for cost in measure(stack, count)}
    up, nothing = costs["up"], costs["up, no change"]
    assert up.processes == 1
    assert (nothing.connections, nothing.exchanges) == (0, 0)
    for run in ("refresh", "up --refresh, no change"):
        looked = costs[run]
        assert looked.connections == looked.processes, looked
        assert looked.exchanges <= 5 * looked.processes, looked
    assert up.connections <= most_connections(up), up


def most_connections(up: Cost) -> int:
    """One to work with; for the network change, one to each of two addresses before it and one to each after it."""
    return 1 + 2 * 2
