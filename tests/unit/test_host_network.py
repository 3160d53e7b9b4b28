"""At which addresses a network change must be confirmed, and what is said where it is not."""

from __future__ import annotations

import pytest

from providers.host_network import to_confirm, what_to_do

V4, V6, OTHER4, OTHER6 = "192.0.2.10", "2001:db8:1::2", "192.0.2.11", "2001:db8:2::2"


@pytest.mark.parametrize(
    ("wanted", "answered", "confirmed"),
    [
        ([V4, V6], [V4, V6], [V4, V6]),
        ([V4, V6], [V4], [V4]),  # an operator without IPv6
        ([V4, V6], [V6], [V6]),
        ([V4, OTHER6], [V4, V6], [V4, OTHER6]),  # another prefix: IPv6 worked, so it must work there
        ([V4, OTHER6], [V4], [V4]),
        ([OTHER4, V6], [V4, V6], [V6, OTHER4]),
        ([V4, V6, OTHER6], [V4, V6], [V4, V6]),  # a second prefix may not be delivered yet
        ([V4], [V4, V6], [V4]),  # IPv6 is given up on purpose
        ([V4, V6], [], []),  # through a jump host that alone knows the way
    ],
)
def test_every_family_that_worked_must_work_afterwards(
    wanted: list[str], answered: list[str], confirmed: list[str]
) -> None:
    assert to_confirm(wanted, answered) == confirmed


def test_the_way_through_the_rescue_system_is_named_where_the_server_does_not_answer() -> None:
    assert "./sixstead restore" in what_to_do(undone=False)
    assert "./sixstead restore" not in what_to_do(undone=True)
