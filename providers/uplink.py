"""The interface to the hoster: /etc/network/interfaces, its addresses and routes. interfaces(5), ip(8).

The server's IPv6 address is a /128 here, as the /64 is behind the guest bridge (the routed design). The link-local
address stays the EUI-64 one of the network card: hosters route the /64 to it. A member of the host network.
"""

from __future__ import annotations

from providers.host.agent.facets import State
from providers.host.provider import MemberProvider
from providers.host.resource import HostResource
from settings import Prefix, Settings, Uplink

PATH = "/etc/network/interfaces"
HEADER = "# Written by Sixstead: `preview --refresh --diff` shows edits, `up --refresh` undoes them.\n"


def render(settings: Settings) -> State:
    """Files, links, addresses, routes and sysctls of the uplink."""
    uplink, prefixes = settings.uplink, list(settings.prefixes.values())
    addresses = [str(uplink.ipv4.address)] if uplink.ipv4 else []
    addresses += [f"{prefix.address}/128" for prefix in sorted(prefixes, key=lambda p: int(p.address))]
    return {
        "files": {PATH: interfaces(uplink, prefixes)},
        "links": {uplink.name: f"physical, {uplink.mac}, mtu {uplink.mtu}, up"},
        "sysctls": {f"net.ipv6.conf.{dotless(uplink.name)}.accept_ra": "0"},
        "addresses": {uplink.name: " ".join(addresses)},
        "routes": routes(uplink, prefixes),
    }


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


def interfaces(uplink: Uplink, prefixes: list[Prefix]) -> str:
    """The whole of /etc/network/interfaces."""
    lines = [HEADER + "source /etc/network/interfaces.d/*", "", "auto lo", "iface lo inet loopback", ""]
    lines.append(f"auto {uplink.name}")
    mtu = [f"    mtu {uplink.mtu}"] if uplink.mtu != 1500 else []
    if uplink.ipv4:
        lines += [f"iface {uplink.name} inet static", f"    address {uplink.ipv4.address}"]
        if uplink.ipv4.on_link:
            lines.append(f"    pointopoint {uplink.ipv4.gateway}")
        lines += [f"    gateway {uplink.ipv4.gateway}", *mtu, ""]
    for number, prefix in enumerate(prefixes):
        lines += [f"iface {uplink.name} inet6 static", f"    address {prefix.address}/128", "    accept_ra 0"]
        lines += ["    dad-attempts 0"]
        if number == 0 and prefix.gateway.is_link_local:
            lines.append(f"    gateway {prefix.gateway}")
        elif number == 0:
            lines.append(f"    up ip -6 route replace {prefix.gateway} dev {uplink.name}")
            lines.append(f"    up ip -6 route replace default via {prefix.gateway} dev {uplink.name}")
        lines.append("")
    return "\n".join(lines)


class UplinkProvider(MemberProvider):
    """Only the name differs."""


class UplinkMember(HostResource, module="sixstead", name="Uplink"):
    """The uplink's description."""
