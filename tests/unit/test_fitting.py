"""Whether a file of before speaks of today's network."""

from __future__ import annotations

import pytest

from providers.host.agent.fitting import bare, says

TEXT = "iface eth0 inet static\n  address 192.0.2.10/26\n  gateway 192.0.2.1\niface eth0 inet6 static\n  address 2001:DB8:1:0::2/64\n"


@pytest.mark.parametrize(
    ("addresses", "names", "yes"),
    [
        (["192.0.2.10", "192.0.2.1", "2001:db8:1::2"], ["eth0"], True),
        (["192.0.2.10"], ["52:54:00:aa:00:01", "eth0"], True),
        (["192.0.2.11"], ["eth0"], False),
        (["192.0.2.10", "2001:db8:1::5"], ["eth0"], False),
        (["192.0.2.10"], ["enp7s0"], False),
    ],
)
def test_a_file_fits_that_speaks_of_all_addresses_and_of_the_card(
    addresses: list[str], names: list[str], yes: bool
) -> None:
    assert says(TEXT, addresses, names) is yes


def test_lengths_and_peers_do_not_count() -> None:
    assert bare("192.0.2.10/32,peer=192.0.2.1 2001:db8::2/64") == {"192.0.2.10", "2001:db8::2"}
