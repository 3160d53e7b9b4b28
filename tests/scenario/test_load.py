"""Changes while a guest is busy: no connection of its is lost, and what must interrupt one says so before.

The prefix is on-link, so that a guest more is a proxy entry more; the server is found with a /26.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenario.harness import LAB_STACK, SERVER4, Stack, merged
from tests.scenario.streams import PORT, streaming

LONGEST_MS = 1000
CUT = "INTERRUPTION: cuts the connections through NAT64 2001:db8:64::/96"


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    document = yaml.safe_load(LAB_STACK.read_text())
    document["config"]["sixstead:uplink"]["ipv4"]["address"] = f"{SERVER4}/26"
    like = Path(tmp_path_factory.mktemp("load")) / "Pulumi.load.yaml"
    like.write_text(yaml.safe_dump(document))
    made = make_stack("embedded", up={"like": str(like), "delivery": "on-link"})
    config = made.config
    made.write(
        prefixes={"main": merged(config["prefixes"]["main"], delivery="on-link")},
        uplink=merged(config["uplink"], ipv4=merged(config["uplink"]["ipv4"], address=f"{SERVER4}/26")),
        guests={"web": merged(config["guests"]["web"], open={"tcp": [80, PORT]}, network="main")},
    )
    made.up()
    return made


def processes(stack: Stack) -> str:
    """The daemons' and the guest's own: another number is a restart."""
    units = stack.server("systemctl", "show", "-p", "Id,MainPID", "radvd", "unbound", "sixstead-nat64")
    return units + stack.server("cat", "/run/libvirt/qemu/web.pid")


def test_a_cable_pulled_by_hand_and_a_resolver_restarted_are_seen(stack: Stack) -> None:
    with streaming(stack) as streams, streams.during("off the bridge"):
        stack.server("sh", "-c", "ip link set v-web nomaster; sleep 1.5; ip link set v-web master br-main")
        stack.server("systemctl", "restart", "unbound")
    assert min(streams.gaps()["off the bridge"].values()) > 1500
    assert streams.unanswered > 0


def test_correct_changes_interrupt_nothing(stack: Stack) -> None:
    config = stack.config
    web, network, uplink = config["guests"]["web"], config["networks"]["main"], config["uplink"]
    two = {"web": web, "third": {"image": "tiny", "memory": "128MiB", "network": "main"}}
    by_ipv4 = merged(network, dns64={"forward": ["203.0.113.53"]})
    other = {"prefix": "second", "dns64": False, "nat64": {"prefix": "2001:db8:65::/96", "pool": "192.168.254.0/24"}}
    changes: dict[str, dict[str, Any]] = {
        "/26 to /32": {"uplink": merged(uplink, ipv4=merged(uplink["ipv4"], address=f"{SERVER4}/32"))},
        "RDNSS": {"networks": {"main": merged(network, ra={"rdnss": ["2001:db8:ffff::53"], "max_interval": 300})}},
        "forwarder": {"networks": {"main": by_ipv4}},
        "a guest more": {"guests": two},
        "a rule more": {"firewall": [{"from": "web", "to": "third", "tcp": [25]}]},
        "a rule less, a port opened": {
            "firewall": [],
            "guests": {**two, "web": merged(web, open={"tcp": [80, 443, PORT]})},
        },
        "a second NAT64": {
            "prefixes": {**config["prefixes"], "second": merged(config["prefixes"]["main"], prefix="2001:db8:2::/64")},
            "networks": {"main": by_ipv4, "second": other},
        },
    }
    before = processes(stack)
    with streaming(stack) as streams:
        for what, change in changes.items():
            stack.write(**change)
            assert "INTERRUPTION" not in stack.preview().text
            with streams.during(what):
                stack.up()
    assert streams.lost() == {}
    assert max(max(gaps.values()) for gaps in streams.gaps().values()) < LONGEST_MS
    assert streams.unanswered == 0
    assert processes(stack) == before


def test_another_pool_cuts_nat64_alone_and_the_preview_says_so(stack: Stack) -> None:
    networks = stack.config["networks"]
    nat64 = merged(networks["main"]["nat64"], pool="192.168.253.0/24")
    stack.write(networks={**networks, "main": merged(networks["main"], nat64=nat64)})
    assert stack.preview().shows(CUT)
    with streaming(stack) as streams, streams.during("another pool"):
        stack.up()
    assert list(streams.lost()) == ["NAT64"]
    assert streams.gaps()["another pool"]["IPv6"] < LONGEST_MS


def test_more_memory_restarts_the_guest_and_the_preview_says_so(stack: Stack) -> None:
    guests = stack.config["guests"]
    stack.write(guests={**guests, "web": merged(guests["web"], memory="160MiB")})
    assert stack.preview().shows("INTERRUPTION: restarts guest web")
