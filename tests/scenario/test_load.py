"""Changes while a guest is busy: no connection of its is lost, and what must interrupt one says so before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenario.harness import LAB_STACK, SERVER4, Stack, merged
from tests.scenario.streams import PORT, streaming

LONGEST_MS = 1000


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    import os
    backend, delivery = os.environ.get("BACKEND", "ifupdown"), os.environ.get("DELIVERY", "on-link")
    document = yaml.safe_load(LAB_STACK.read_text())
    document["config"]["sixstead:server"]["backend"] = backend
    document["config"]["sixstead:uplink"]["ipv4"]["address"] = f"{SERVER4}/26"
    like = Path(tmp_path_factory.mktemp("load")) / "Pulumi.load.yaml"
    like.write_text(yaml.safe_dump(document))
    made = make_stack("embedded", up={"like": str(like), "delivery": delivery})
    config = made.config
    made.write(
        server=merged(config["server"], backend=backend),
        prefixes={"main": merged(config["prefixes"]["main"], delivery=delivery)},
        uplink=merged(config["uplink"], ipv4=merged(config["uplink"]["ipv4"], address=f"{SERVER4}/26")),
        guests={"web": merged(config["guests"]["web"], open={"tcp": [80, PORT]}, network="main")},
    )
    made.up()
    return made


def test_a_cable_pulled_by_hand_is_seen(stack: Stack) -> None:
    with streaming(stack) as streams, streams.during("off the bridge"):
        stack.server("sh", "-c", "ip link set v-web nomaster; sleep 1.5; ip link set v-web master br-main")
    assert min(streams.gaps()["off the bridge"].values()) > 1500


def test_correct_changes_interrupt_nothing(stack: Stack) -> None:
    config = stack.config
    web, network, uplink = config["guests"]["web"], config["networks"]["main"], config["uplink"]
    third = {"image": "tiny", "memory": "128MiB", "network": "main"}
    two = {"web": web, "third": third}
    networks = {"main": merged(network, dns64={"forward": ["203.0.113.53"]})}
    second = {"prefix": "2001:db8:2::/64", "gateway": "fe80::1", "delivery": "routed"}
    other = {"prefix": "second", "dns64": False, "nat64": {"prefix": "2001:db8:65::/96", "pool": "192.168.254.0/24"}}
    changes: dict[str, dict[str, Any]] = {
        "/26 to /32": {"uplink": merged(uplink, ipv4=merged(uplink["ipv4"], address=f"{SERVER4}/32"))},
        "RDNSS": {"networks": {"main": merged(network, ra={"rdnss": ["2001:db8:ffff::53"], "max_interval": 300})}},
        "forwarder": {"networks": {"main": merged(network, dns64={"forward": ["203.0.113.53"]})}},
        "a guest more": {"guests": two},
        "a rule more": {"firewall": [{"from": "web", "to": "third", "tcp": [25]}]},
        "a rule less": {"firewall": []},
        "a port opened": {"guests": {**two, "web": merged(web, open={"tcp": [80, 443, PORT]})}},
        "a guest less": {"guests": {"web": web}},
        "a second NAT64": {"prefixes": {**config["prefixes"], "second": second}, "networks": {**networks, "second": other}},
        "/32 to /26": {"uplink": uplink},
    }
    with streaming(stack) as streams:
        for what, change in changes.items():
            with streams.during(what):
                stack.write(**change)
                stack.up()
    assert streams.lost() == {}
    assert streams.lookups_failed == 0
    assert max(max(gaps.values()) for gaps in streams.gaps().values()) < LONGEST_MS
