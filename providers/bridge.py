"""A guest bridge: the server is the router on it, with its own address and the whole /64. ip-link(8).

The uplink is not a port of it, so that no guest's MAC address ever leaves the server. A member of the host network.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any

from providers.backends import backend_of
from providers.host.agent.facets import State, union
from providers.host.provider import MemberProvider, Props
from providers.host.resource import HostResource
from settings import Network, Settings


def render(settings: Settings, network: Network) -> State:
    """The bridge now and at boot."""
    now: State = {
        "links": {network.bridge: f"bridge, {network.mac}, mtu {network.mtu}, up"},
        "addresses": {network.bridge: str(network.prefix.bridge_address)},
    }
    return union(backend_of(settings).bridge(network), now)


def interruption(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """What becomes of the guests on a bridge, which know their router by its link-local and its MAC address."""
    found = []
    after = news.get("links") or {}
    for bridge, value in (olds.get("links") or {}).items():
        if bridge not in after:
            found.append(f"moves the guests on {bridge} to {', '.join(after) or 'no bridge'}")
        elif value.split(", ")[1] != after[bridge].split(", ")[1]:
            found.append(f"gives the router of the guests on {bridge} another MAC address")
    before, then = (networks(state.get("addresses") or {}) for state in (olds, news))
    found += [f"cuts the connections of the guests in {gone}" for gone in before if gone not in then]
    return ", ".join(found)


def networks(addresses: Mapping[str, str]) -> list[str]:
    """The prefixes of all of a bridge's addresses."""
    return [str(ip_interface(address).network) for value in addresses.values() for address in value.split()]


class BridgeProvider(MemberProvider):
    """Some changes interrupt guests."""

    def interruption(self, olds: Props, news: Props) -> str:
        """Says how."""
        return interruption(olds.get("state") or {}, news.get("state") or {})


class Bridge(HostResource, module="sixstead", name="Bridge"):
    """A guest bridge's description."""
