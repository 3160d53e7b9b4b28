"""Random walks over valid and broken network configs, on one server: it is reachable after each step, and after the last
valid config it is what a server is that never saw another one.

The other server of the comparison is given that config, looked at, and given back each time, which must leave it as it was.
"""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any

import pytest

from providers import packages
from providers.host.agent.facets import State
from providers.host.errors import ServerError
from providers.host_network import HostNetworkProvider, params_of
from settings import Settings
from tests.scenario.faults import FIREWALL, sections_of, settings_of
from tests.scenario.harness import SERVER4, Stack, answers, armed, merged, wait_until
from tests.scenario.snapshot import look, steady

SEQUENCES = 200 if os.environ.get("TEST_ALL") else 20
STEPS = [2, 3]
SECONDS = 60
NETWORKS = tuple(
    f"/etc/{name}" for name in ("network", "netplan", "systemd", "sixstead", "sysctl", "cloud", "nftables")
)
"""Where files of the network lie."""


class Walker:
    """A server whose host network is changed without the rest of a stack, as the host network's provider changes it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sections: dict[str, State] = {}
        self.settings: Settings | None = None
        self.config = copy.deepcopy(stack.config)
        names = {*packages.FIREWALL, *(name for some in packages.BACKENDS.values() for name in some)}
        stack.server("sh", "-c", "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
                     f" --no-install-recommends install {' '.join(sorted(names))} >/dev/null 2>&1")  # fmt: skip
        self.bare = self.view()

    def apply(self, sections: dict[str, State], settings: Settings) -> None:
        """Raises ServerError where the change does not hold; then the server has what it had."""
        provider = HostNetworkProvider()
        provider.config = self.config.get
        before = params_of(self.settings)["confirm_at"] if self.settings else []
        try:
            provider.transact(sections, self.sections, params_of(settings), before)
        finally:
            if session := provider.host.session:
                session.close()
        self.sections, self.settings = sections, settings

    def give_back(self) -> None:
        """As it was before us: with the address of before, as otherwise a plain network stays."""
        assert self.settings is not None
        base = settings_of(self.stack, {**self.config, "guests": {}})
        if base.prefixes["main"].address != self.settings.prefixes["main"].address:
            self.apply(sections_of(base), base)
        provider = HostNetworkProvider()
        provider.config = self.config.get
        confirm_at = {**params_of(self.settings), "forwards": False, "guests": []}
        try:
            provider.transact({}, self.sections, confirm_at, confirm_at["confirm_at"])
        finally:
            if session := provider.host.session:
                session.close()
        self.sections, self.settings = {}, None

    def view(self) -> dict[str, Any]:
        """What a network change may touch, without what differs from server to server."""
        found = look(self.stack)
        kept = ("enabled", "addresses", "links", "routes", "proxies", "ruleset", "sysctls")
        files = {path: what for path, what in found["files"].items() if path.startswith(NETWORKS)}
        # who put a route there, and what networkd sets on a link it manages, stay until the next boot
        found["routes"] = found["routes"].replace(" proto static", "")
        found["sysctls"] = {k: v for k, v in found["sysctls"].items() if not k.endswith("promote_secondaries")}
        return {"files": files, **{name: steady(found[name]) for name in kept}}

    def reachable(self) -> bool:
        """Over both families."""
        address = str(self.settings.prefixes["main"].address) if self.settings else "2001:db8:1::2"
        return answers(self.stack, SERVER4) and answers(self.stack, address)


@pytest.fixture(scope="module")
def walkers(make_stack: Callable[..., Stack]) -> tuple[Walker, Walker]:
    walked, fresh = (Walker(make_stack("embedded")) for _ in range(2))
    assert walked.bare == fresh.bare
    return walked, fresh


def valid(draw: random.Random, config: dict[str, Any]) -> None:
    """Another config that is right for the lab's hoster."""
    network, server = config["networks"]["main"], config["server"]
    length = ip_interface(config["uplink"]["ipv4"]["address"]).network.prefixlen
    translator, other_translator = ({"nat64": {"prefix": f"2001:db8:{n}::/96"}, "dns64": {}} for n in (64, 65))
    changes: list[Callable[[], Any]] = [
        lambda: server.update(backend=draw.choice(["ifupdown", "networkd", "netplan"])),
        lambda: server.update(open={"tcp": sorted(draw.sample([53, 80, 443, 8080], 2))}),
        lambda: config["uplink"]["ipv4"].update(address=f"{SERVER4}/{32 if length == 26 else 26}"),
        lambda: config["prefixes"]["main"].update(address=f"2001:db8:1::{draw.choice([2, 5, 7])}"),
        lambda: network.update(draw.choice([{"nat64": False, "dns64": False}, translator, other_translator])),
        lambda: network.update(bridge=draw.choice(["br-main", "br-other"])),
        lambda: config.update(guests=draw.choice([{}, {"web": config["guests_of_the_lab"]["web"]}])),
        lambda: config["prefixes"]["main"].update(delivery=draw.choice(["routed", "on-link"])),
    ]
    for change in draw.sample(changes, draw.choice([1, 2])):
        change()


def without_bookkeeping(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name != "guests_of_the_lab"}


def spoil(draw: random.Random, config: dict[str, Any], sections: dict[str, State]) -> str:
    """Something wrong, in the config or in what came of it; its name."""
    uplink = config["uplink"]["name"]
    text = sections["firewall"]["files"][FIREWALL]
    bridge = next(name for name in sections["bridge-main"]["links"])
    wrong: dict[str, Callable[[], Any]] = {
        "gateway6": lambda: sections["uplink"]["routes"].update({f"IPv6 default dev {uplink}": "via fe80::bad"}),
        "gateway4": lambda: sections["uplink"]["routes"].update({f"IPv4 default dev {uplink}": "via 192.0.2.99"}),
        "mac": lambda: sections["bridge-main"]["links"].update({bridge: "bridge, 00:00:00:00:00:00, mtu 1500, up"}),
        "nft": lambda: sections["firewall"]["files"].update({FIREWALL: text.replace("accept", "acept", 1)}),
        "ssh": lambda: sections["firewall"]["files"].update({FIREWALL: text.replace("tcp dport 22 ", "tcp dport 23 ")}),
        "forwarding": lambda: sections["forwarding"]["sysctls"].update({"net.ipv6.conf.all.forwarding": "0"}),
        "unit": lambda: sections["firewall"]["units"].update({"there-is-none.service": "enabled, running"}),
        "address": lambda: sections["uplink"]["addresses"].update({uplink: "not-an-address"}),
    }
    name = draw.choice(sorted(wrong))
    wrong[name]()
    return name


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_any_walk_ends_where_a_fresh_server_is(walkers: tuple[Walker, Walker], seed: int) -> None:
    walked, fresh = walkers
    draw = random.Random(seed)  # noqa: S311 - a walk that can be walked again, no secret
    config = copy.deepcopy(walked.stack.config)
    config["guests_of_the_lab"] = merged(config["guests"])
    config["guests"] = {}
    said = []
    steps = draw.choice(STEPS)
    for step in range(steps):
        last = step == steps - 1
        valid(draw, config)
        settings = settings_of(walked.stack, without_bookkeeping(config))
        if last or draw.random() < 0.5:
            walked.apply(sections_of(settings), settings)
            said.append("valid")
        else:
            sections = sections_of(settings)
            said.append(spoil(draw, config, sections))
            with pytest.raises(ServerError):
                walked.apply(sections, settings)
            wait_until(lambda: not armed(walked.stack), SECONDS, f"{said}: still armed")
        wait_until(walked.reachable, SECONDS, f"{said}: the owner is locked out")
    settings = settings_of(fresh.stack, without_bookkeeping(config))
    fresh.apply(sections_of(settings), settings)
    expected = fresh.view()
    fresh.give_back()
    assert not (left := apart(fresh.bare, fresh.view())), "\n".join(left)
    assert not (found := apart(expected, walked.view())), "\n".join([*said, *found])


def apart(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Where two views differ, item by item."""
    found = []
    for name, mine in one.items():
        theirs = other[name]
        if isinstance(mine, dict):
            keys = sorted({*mine, *theirs})
            found += [f"{key}: {mine.get(key)} | {theirs.get(key)}" for key in keys if mine.get(key) != theirs.get(key)]
        elif sorted(mine) != sorted(theirs):
            found.append(f"{name}: {sorted(set(mine) - set(theirs))} | {sorted(set(theirs) - set(mine))}")
    return found
