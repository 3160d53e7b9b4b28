"""NDP proxy: where the prefix is on-link at the hoster, the server answers neighbour solicitations for its guests.

One kernel entry a guest address (ip-neighbour(8), RFC 4389 describes the idea): no daemon that could lose one, and the
answer carries the server's own MAC address. A member of the host network.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from providers import guest_ports
from providers.backends import backend_of
from providers.host.agent.facets import State, union
from providers.host.provider import MemberProvider
from providers.host.resource import HostResource
from providers.uplink import dotless
from settings import Settings


def addresses(settings: Settings) -> list[IPv6Address]:
    """The guest addresses that the hoster's router will ask for."""
    return sorted(
        address
        for guest in settings.guests.values()
        if guest.network.prefix.on_link
        for address in guest_ports.own(guest)
        if not address.is_link_local
    )


def render(settings: Settings) -> State:
    """The entries now and at boot; nothing where every prefix is routed."""
    if not any(prefix.on_link for prefix in settings.prefixes.values()):
        return {}
    uplink = settings.uplink.name
    entries = [f"{address} dev {uplink}" for address in addresses(settings)]
    key = f"net.ipv6.conf.{dotless(uplink)}.proxy_ndp"
    now: State = {"sysctls": {key: "1"}, **({"proxies": dict.fromkeys(entries, "present")} if entries else {})}
    return union(backend_of(settings).ndp_proxy(settings.uplink, addresses(settings)), now)


class NdpProxyProvider(MemberProvider):
    """Only the name differs."""


class NdpProxy(HostResource, module="sixstead", name="NdpProxy"):
    """The proxy entries' description."""
