"""The interface to the hoster: its addresses and routes, now and at boot. ip(8); the files are the backend's.

The server's IPv6 address is a /128 here, as the /64 is behind the guest bridge (the routed design). The link-local
address stays the EUI-64 one of the network card: hosters route the /64 to it. The card is found by `find_uplink` where it
has another name after a change of hardware. A member of the host network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers import find_uplink
from providers.backends import backend_of
from providers.host.agent.facets import State, union
from providers.host.provider import MemberProvider, Props
from providers.host.resource import HostResource
from settings import Prefix, Settings, Uplink


def render(settings: Settings) -> State:
    """Files, links, addresses, routes and sysctls of the uplink."""
    uplink, prefixes = settings.uplink, list(settings.prefixes.values())
    addresses = [str(uplink.ipv4.address)] if uplink.ipv4 else []
    addresses += [f"{prefix.address}/128" for prefix in sorted(prefixes, key=lambda p: int(p.address))]
    now: State = {
        "links": {uplink.name: f"physical, {uplink.mac}, mtu {uplink.mtu}, up"},
        "sysctls": {f"net.ipv6.conf.{dotless(uplink.name)}.accept_ra": "0"},
        "addresses": {uplink.name: " ".join(addresses)},
        "routes": routes(uplink, prefixes),
    }
    return union(backend_of(settings).uplink(settings), find_uplink.render(uplink), now)


def plain(settings: Settings) -> State:
    """The uplink as a server without us would have it, with its /64."""
    uplink, prefixes = settings.uplink, list(settings.prefixes.values())
    addresses = [str(uplink.ipv4.address)] if uplink.ipv4 else []
    addresses += [str(prefix.bridge_address) for prefix in sorted(prefixes, key=lambda p: int(p.address))]
    now: State = {"addresses": {uplink.name: " ".join(addresses)}, "routes": routes(uplink, prefixes)}
    return union(backend_of(settings).plain(settings), now)


def dotless(interface: str) -> str:
    """An interface's name inside a sysctl key: a dot in it is written as `/` (sysctl(8))."""
    return interface.replace(".", "/")


def routes(uplink: Uplink, prefixes: list[Prefix]) -> dict[str, str]:
    """To the gateways where they are outside our network, and the default routes through them."""
    found = {}
    if uplink.ipv4:
        if uplink.ipv4.on_link:
            found[f"{uplink.ipv4.gateway} dev {uplink.name}"] = "present"
        found[f"IPv4 default dev {uplink.name}"] = f"via {uplink.ipv4.gateway}"
    for prefix in prefixes[:1]:
        if not prefix.gateway.is_link_local:
            found[f"{prefix.gateway} dev {uplink.name}"] = "present"
        found[f"IPv6 default dev {uplink.name}"] = f"via {prefix.gateway}"
    return found


def interruption(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """Connections end with the address that they use. Another prefix length is no other address."""
    before, after = (bare(state.get("addresses") or {}) for state in (olds, news))
    gone = [address for address in before if address not in after]
    return ", ".join(f"cuts the connections of {a}" + ("" if ":" in a else " and through NAT64") for a in gone)


def bare(addresses: Mapping[str, str]) -> list[str]:
    """Addresses without their prefix lengths."""
    return [address.split("/")[0] for value in addresses.values() for address in value.split()]


class UplinkProvider(MemberProvider):
    """Some changes interrupt connections."""

    def interruption(self, olds: Props, news: Props) -> str:
        """Says which."""
        return interruption(olds.get("state") or {}, news.get("state") or {})


class UplinkMember(HostResource, module="sixstead", name="Uplink"):
    """The uplink's description."""
