"""What a feature leaves when it goes alone; and destroy after changes, drift, a kill and a reboot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.harness import Stack, kill_group, merged, wait_until
from tests.scenario.snapshot import assert_brought_back, differences, install_alone, look

pristine: dict[str, Any] = {}
packaged: dict[str, Any] = {}


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    """A server whose only guest is left out: networks and services are what is given back here."""
    made = make_stack(engine)
    made.write(guests={}, images={})
    for found in (pristine, packaged):
        found.clear()
    packaged.update(install_alone(made))
    pristine.update(look(made))
    return made


def test_one_feature_removed_alone_leaves_what_was_there_without_it(stack: Stack) -> None:
    whole = stack.config["networks"]["main"]
    stack.write(networks={"main": merged(whole, nat64=False, dns64=False)})
    stack.up()
    without = look(stack)
    stack.write(networks={"main": whole})
    stack.up()
    assert differences(without, look(stack), packaged) != []
    stack.write(networks={"main": merged(whole, nat64=False, dns64=False)})
    steps = stack.up().steps()
    assert steps == {
        "Packages packages": "update",
        "Firewall firewall": "update",
        "HostNetwork host-network": "update",
        "RouterAdvertisement router-advertisement": "update",
        "Nat64 nat64": "delete",
        "Dns64 dns64": "delete",
    }
    assert_brought_back(without, stack, packaged)
    stack.preview("--refresh", "--expect-no-changes")
    stack.write(networks={"main": whole})


def test_destroy_after_changes_drift_a_kill_and_a_reboot_brings_all_back(stack: Stack) -> None:
    stack.up()
    network = stack.config["networks"]["main"]
    stack.write(networks={"main": merged(network, ra={"max_interval": 300})})
    stack.up()
    stack.write(networks={"main": merged(network, ra={"max_interval": 200, "dnssl": ["example.org"]})})
    stack.up()
    stack.server("sh", "-c", "sysctl -q -w net.ipv4.ip_forward=0; systemctl stop radvd; rm /etc/sixstead/firewall.nft")
    stack.write(networks={"main": merged(network, nat64={"prefix": "2001:db8:65::/96"})})
    stack.cost()
    process = stack.start("up", "--yes", "--skip-preview", "--refresh")
    wait_until(lambda: any("exchange network" in line for line in cost_so_far(stack)), 120, "no network change began")
    kill_group(process)
    stack.lab.reboot()
    stack.run("cancel", "--yes", check=False)
    stack.destroy()
    assert_brought_back(pristine, stack, packaged)
    stack.lab.reboot()
    assert_brought_back(pristine, stack, packaged)


def cost_so_far(stack: Stack) -> list[str]:
    """What was counted, without forgetting it."""
    return stack.cost_file.read_text().splitlines() if stack.cost_file.exists() else []


def test_an_owner_s_edit_is_kept_and_told(stack: Stack) -> None:
    stack.up()
    stack.server("sh", "-c", "echo '# mine' >> /etc/radvd.conf")
    done = stack.destroy()
    assert "/etc/radvd.conf was changed by somebody else and is kept as it is" in done.text
    assert stack.server("tail", "-1", "/etc/radvd.conf").strip() == "# mine"
