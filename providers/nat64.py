"""NAT64: tayga translates statelessly (RFC 7915) into a private IPv4 pool, which the firewall masquerades. tayga.conf(5).

It runs in a unit of its own: the package's unit configures addresses and iptables rules that are not ours, and is masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from providers import packages
from providers.firewall import nat64_interface
from providers.host.agent.facets import State
from providers.host.provider import HostProvider, Props
from providers.host.resource import HostResource
from settings import Nat64, Settings

RUNNING = "enabled, running"
KEPT = ("prefix ", "dynamic-pool ")
"""The lines of a configuration that connections hang on."""


def render(settings: Settings) -> State:
    """One unit and one configuration for each translator."""
    files: dict[str, str] = {}
    units = {"tayga.service": "masked"}
    for number, nat64 in enumerate(settings.nat64_gateways):
        name = nat64_interface(settings, number)
        own = unit_name(name)
        files.update(zip(reads(own), (configuration(name, nat64), unit(name, nat64)), strict=True))
        units[own] = RUNNING
    return {"files": files, "units": units, **packages.needed(packages.NAT64)}


def unit_name(interface: str) -> str:
    """The unit of a translator, by its tunnel's name."""
    return f"sixstead-{interface}.service"


def reads(unit: str) -> list[str]:
    """A translator's own files, by its unit's name: no other translator is restarted when they change."""
    return [
        f"/etc/sixstead/{unit.removeprefix('sixstead-').removesuffix('.service')}.conf",
        f"/etc/systemd/system/{unit}",
    ]


def interruption(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """What becomes of the connections through translators that run now: tayga reads its configuration when it starts.

    The pool's addresses stand in the kernel's connection tracking, the prefix in the guests' sockets; with another one these
    are lost. What is restarted with both as they were finds its map of addresses on the disk, and goes on.
    """
    found = []
    for unit, value in (olds.get("units") or {}).items():
        if unit == "tayga.service" or not value.startswith(RUNNING):
            continue
        before, after = ([(state.get("files") or {}).get(path) for path in reads(unit)] for state in (olds, news))
        now, then = (
            [line for line in str(text).splitlines() if line.startswith(KEPT)] for text in (before[0], after[0])
        )
        prefix = next((line.split()[1] for line in now + then if line.startswith("prefix ")), unit)
        if now and now != then:
            found.append(f"cuts the connections through NAT64 {prefix}")
        elif before != after or value != RUNNING:
            found.append(f"stops the connections through NAT64 {prefix} for a moment")
    return ", ".join(found)


def configuration(name: str, nat64: Nat64) -> str:
    """tayga's own file."""
    lines = [
        "# Written by Sixstead.",
        f"tun-device {name}",
        f"ipv4-addr {nat64.ipv4_addr}",
        *([f"ipv6-addr {nat64.ipv6_addr}"] if nat64.ipv6_addr else []),
        f"prefix {nat64.prefix}",
        f"dynamic-pool {nat64.pool}",
        f"data-dir /var/lib/sixstead-{name}",
    ]
    return "\n".join(lines) + "\n"


def unit(name: str, nat64: Nat64) -> str:
    """The unit makes the tunnel interface, gives it its routes, and takes it away again."""
    return f"""\
[Unit]
Description=NAT64 gateway for {nat64.prefix}
Documentation=man:tayga(8)
After=network.target

[Service]
StateDirectory=sixstead-{name}
ExecStartPre=-/usr/bin/ip link delete dev {name}
ExecStartPre=/usr/sbin/tayga --config /etc/sixstead/{name}.conf --mktun
ExecStartPre=/usr/bin/ip link set dev {name} up
ExecStartPre=/usr/bin/ip route replace {nat64.pool} dev {name}
ExecStartPre=/usr/bin/ip -6 route replace {nat64.prefix} dev {name}
ExecStart=/usr/sbin/tayga --config /etc/sixstead/{name}.conf --nodetach
ExecStopPost=-/usr/bin/ip link delete dev {name}
Restart=on-failure
RestartSec=2

[Install]
WantedBy=multi-user.target
"""


class Nat64Provider(HostProvider):
    """Some changes interrupt connections."""

    def interruption(self, olds: Props, news: Props) -> str:
        """Says which."""
        return interruption(olds.get("state") or {}, news.get("state") or {})


class Nat64Gateway(HostResource, module="sixstead", name="Nat64"):
    """tayga, one instance for each NAT64 prefix."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        state = render(settings)
        mine = [unit for unit, value in state["units"].items() if value == RUNNING]
        params = {"on_change": dict.fromkeys(mine, "restart"), "reads": {unit: reads(unit) for unit in mine}}
        super().__init__(Nat64Provider(), name, state, params=params, opts=opts)
