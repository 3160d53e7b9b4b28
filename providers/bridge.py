"""A guest bridge: the server is the router on it, with its own address and the whole /64. ip-link(8), interfaces(5).

The uplink is not a port of it, so that no guest's MAC address ever leaves the server. A member of the host network.
"""

from __future__ import annotations

from providers.host.agent.facets import State
from providers.host.provider import MemberProvider
from providers.host.resource import HostResource
from providers.uplink import HEADER
from settings import Network


def path_of(network: Network) -> str:
    """Where ifupdown finds the bridge."""
    return f"/etc/network/interfaces.d/sixstead-{network.bridge}"


def render(network: Network) -> State:
    """The bridge now and at boot."""
    return {
        "files": {path_of(network): interfaces(network)},
        "links": {network.bridge: f"bridge, {network.mac}, mtu {network.mtu}, up"},
        "addresses": {network.bridge: str(network.prefix.bridge_address)},
    }


def interfaces(network: Network) -> str:
    """The stanza of one bridge."""
    name = network.bridge
    return HEADER + (
        f"auto {name}\n"
        f"iface {name} inet6 static\n"
        f"    pre-up ip link show dev {name} >/dev/null 2>&1 || ip link add name {name} type bridge\n"
        f"    pre-up ip link set dev {name} address {network.mac} mtu {network.mtu}\n"
        f"    address {network.prefix.bridge_address}\n"
        "    accept_ra 0\n"
        "    dad-attempts 0\n"
        f"    post-down ip link delete dev {name}\n"
    )


class BridgeProvider(MemberProvider):
    """Only the name differs."""


class Bridge(HostResource, module="sixstead", name="Bridge"):
    """A guest bridge's description."""
