"""NAT64: tayga translates statelessly (RFC 7915) into a private IPv4 pool, which the firewall masquerades. tayga.conf(5).

It runs in a unit of its own: the package's unit configures addresses and iptables rules that are not ours, and is masked.
"""

from __future__ import annotations

import pulumi

from providers import packages
from providers.firewall import nat64_interface
from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from settings import Nat64, Settings


def render(settings: Settings) -> State:
    """One unit and one configuration for each translator."""
    files: dict[str, str] = {}
    units = {"tayga.service": "masked"}
    for number, nat64 in enumerate(settings.nat64_gateways):
        name = nat64_interface(settings, number)
        files[f"/etc/sixstead/{name}.conf"] = configuration(name, nat64)
        files[f"/etc/systemd/system/sixstead-{name}.service"] = unit(name, nat64)
        units[f"sixstead-{name}.service"] = "enabled, running"
    return {"files": files, "units": units, **packages.needed(packages.NAT64)}


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
    """Only the name differs."""


class Nat64Gateway(HostResource, module="sixstead", name="Nat64"):
    """tayga, one instance for each NAT64 prefix."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        state = render(settings)
        params = {"on_change": {unit: "restart" for unit, value in state["units"].items() if value.endswith("running")}}
        super().__init__(Nat64Provider(), name, state, params=params, opts=opts)
