"""What a change is said to interrupt: settings before and after, and the words of the preview."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers import bridge, dns64, nat64, uplink
from providers.host.agent.facets import Context, Plan, State, outdated
from settings import Settings, parse

CONFIG = yaml.safe_load((Path(__file__).parent / "golden" / "routed" / "config.yaml").read_text())
CUT = "cuts the connections through NAT64 64:ff9b::/96"
PAUSED = "stops the connections through NAT64 64:ff9b::/96 for a moment"


def settings(change: dict[str, Any]) -> Settings:
    """The golden case with some keys changed, by path."""
    config = copy.deepcopy(CONFIG)
    for path, value in change.items():
        *parents, last = path.split(".")
        place = config
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value
    return parse(config, stack="kvm1")


def words(before: Settings, after: Settings) -> list[str]:
    """What all resources say of a change."""

    def bridges(of: Settings) -> State:
        return bridge.render(of, of.networks["main"])

    said = [
        nat64.interruption(nat64.render(before), nat64.render(after)),
        dns64.interruption(dns64.render(before), dns64.render(after)),
        uplink.interruption(uplink.render(before), uplink.render(after)),
        bridge.interruption(bridges(before), bridges(after)),
    ]
    return [text for text in said if text]


SECOND = {
    "prefixes.second": {"prefix": "2001:db8:2::/64", "delivery": "routed"},
    "networks.second": {
        "prefix": "second",
        "dns64": False,
        "nat64": {"prefix": "2001:db8:65::/96", "pool": "10.5.0.0/24"},
    },
    "guests": {},
    "firewall": [],
}
ANOTHER_PREFIX = {
    "prefixes.main.prefix": "2001:db8:9::/64",
    "guests": {},
    "firewall": [],
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"firewall": []}, []),
        ({"networks.main.ra": {"rdnss": ["2001:db8:ffff::53"], "max_interval": 300}}, []),
        ({"networks.main.dns64": {"forward": ["2001:db8:ffff::53"]}}, []),
        ({"networks.main.mtu": 1400}, []),
        ({"uplink.ipv4.address": "192.0.2.10/26"}, []),
        ({"uplink.ipv4.address": "192.0.2.11/32"}, ["cuts the connections of 192.0.2.10 and through NAT64"]),
        ({"networks.main.nat64": {"pool": "10.5.0.0/24"}}, [CUT]),
        ({"networks.main.nat64": {"prefix": "2001:db8:64::/96"}}, [CUT]),
        ({"networks.main.nat64": {"ipv4_addr": "192.168.255.9"}}, [PAUSED]),
        (SECOND, []),
        ({"networks.main.mac": "02:00:00:00:00:09"}, ["gives the router of the guests on br-main another MAC address"]),
        ({"networks.main.bridge": "br-lan"}, ["moves the guests on br-main to br-lan"]),
        (
            ANOTHER_PREFIX,
            [
                PAUSED,
                "restarts the guests' resolver",
                "cuts the connections of 2001:db8:1::2",
                "cuts the connections of the guests in 2001:db8:1::/64",
            ],
        ),
    ],
)
def test_what_interrupts_says_so_and_nothing_else_does(change: dict[str, Any], said: list[str]) -> None:
    assert words(settings({}), settings(change)) == said


def test_a_second_translator_that_goes_is_said_and_the_first_stays() -> None:
    said = ["cuts the connections through NAT64 2001:db8:65::/96", "cuts the connections of 2001:db8:2::2"]
    assert words(settings(SECOND), settings({})) == said


def test_what_does_not_run_is_not_interrupted() -> None:
    state = nat64.render(settings({}))
    stopped: State = {**state, "units": dict.fromkeys(state["units"], "enabled, stopped")}
    after = settings({"networks.main.nat64": {"pool": "10.5.0.0/24"}})
    assert nat64.interruption(stopped, nat64.render(after)) == ""
    assert nat64.interruption({}, nat64.render(after)) == ""
    assert dns64.interruption({}, dns64.render(after)) == ""


def test_a_translator_whose_file_was_removed_by_hand_is_only_restarted() -> None:
    state = nat64.render(settings({}))
    files = {path: text for path, text in state["files"].items() if not path.endswith(".conf")}
    assert nat64.interruption({**state, "files": files}, state) == PAUSED


def test_the_resolver_is_restarted_only_where_it_must_listen_elsewhere() -> None:
    state = dns64.render(settings({}))
    forwarding = dns64.render(settings({"networks.main.dns64": {"forward": ["2001:db8:ffff::53"]}}))
    assert dns64.on_change(state, forwarding) == "reload"
    assert dns64.on_change(state, dns64.render(settings(ANOTHER_PREFIX))) == "restart"
    stale: State = {**state, "units": {dns64.UNIT: "enabled, running, stale"}}
    assert dns64.on_change(stale, forwarding) == "restart"
    assert dns64.on_change({}, state) == "restart"


@pytest.mark.parametrize(
    ("changed", "restarted"), [("a", ["a.service"]), ("b", ["b.service"]), ("other", ["all.service"])]
)
def test_only_who_reads_a_changed_file_is_outdated(changed: str, restarted: list[str]) -> None:
    units = {"a.service": "enabled, running", "b.service": "enabled, running", "all.service": "enabled, running"}
    on_change = {**dict.fromkeys(units, "restart"), "absent.service": "restart"}
    params = {"on_change": on_change, "reads": {"a.service": ["a"], "b.service": ["b"]}}
    plan = Plan({}, {"files": {changed: "new"}}, {}, {"units": units})
    assert set(outdated(plan, Context(lambda text: None, params=params))) == {*restarted, "all.service"}
