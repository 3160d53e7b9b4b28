"""ifupdown: /etc/network/interfaces as a whole, and a file a bridge in interfaces.d. interfaces(5)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address

from providers import packages
from providers.backends import idle
from providers.host.agent.facets import State, union
from settings import Network, Prefix, Settings, Uplink

PATH = "/etc/network/interfaces"
DIRECTORY = "/etc/network/interfaces.d"
HEADER = "# Written by Sixstead: `preview --refresh --diff` shows edits, `up --refresh` undoes them.\n"


def uplink(settings: Settings) -> State:
    """The main file, and that it is read at boot."""
    own: State = {
        **packages.needed(packages.BACKENDS["ifupdown"]),
        "files": {PATH: interfaces(settings.uplink, list(settings.prefixes.values()))},
        "units": {idle.BOOT_UNIT: "enabled"},
    }
    return union(own, idle.networkd(idle.interfaces(settings)))


def interfaces(uplink: Uplink, prefixes: list[Prefix], length: int = 128) -> str:
    """The whole of /etc/network/interfaces."""
    lines = [HEADER + f"source {DIRECTORY}/*", "", "auto lo", "iface lo inet loopback", ""]
    lines.append(f"auto {uplink.name}")
    mtu = [f"    mtu {uplink.mtu}"] if uplink.mtu != 1500 else []
    if uplink.ipv4:
        lines += [f"iface {uplink.name} inet static", f"    address {uplink.ipv4.address}"]
        if uplink.ipv4.on_link:
            # not `pointopoint`: the gateway would be a part of the address, which no other backend can say
            lines.append(f"    up ip route replace {uplink.ipv4.gateway} dev {uplink.name}")
            lines.append(f"    up ip route replace default via {uplink.ipv4.gateway} dev {uplink.name} onlink")
        else:
            lines.append(f"    gateway {uplink.ipv4.gateway}")
        lines += [*mtu, ""]
    for number, prefix in enumerate(prefixes):
        lines += [f"iface {uplink.name} inet6 static", f"    address {prefix.address}/{length}", "    accept_ra 0"]
        lines += ["    dad-attempts 0", *(mtu if number == 0 and not uplink.ipv4 else [])]
        if number == 0 and prefix.gateway.is_link_local:
            lines.append(f"    gateway {prefix.gateway}")
        elif number == 0:
            lines.append(f"    up ip -6 route replace {prefix.gateway} dev {uplink.name}")
            lines.append(f"    up ip -6 route replace default via {prefix.gateway} dev {uplink.name} onlink")
        lines.append("")
    return "\n".join(lines)


def plain(settings: Settings) -> State:
    """The main file of a server that is not ours: its own /64 is on the uplink."""
    text = interfaces(settings.uplink, list(settings.prefixes.values()), 64).removeprefix(HEADER)
    return {"files": {PATH: text}}


def bridge(network: Network) -> State:
    """A file of the bridge's own."""
    name = network.bridge
    text = HEADER + (
        f"auto {name}\n"
        f"iface {name} inet6 static\n"
        f"    pre-up ip link show dev {name} >/dev/null 2>&1 || ip link add name {name} type bridge\n"
        f"    pre-up ip link set dev {name} address {network.mac} mtu {network.mtu}\n"
        f"    address {network.prefix.bridge_address}\n"
        "    accept_ra 0\n"
        "    dad-attempts 0\n"
        f"    post-down ip link delete dev {name}\n"
    )
    return {"files": {f"{DIRECTORY}/sixstead-{name}": text}}


def ndp_proxy(uplink: Uplink, addresses: Sequence[IPv6Address]) -> State:
    """A further stanza for the uplink."""
    lines = [f"iface {uplink.name} inet6 manual", f"    up sysctl -q -w net/ipv6/conf/{uplink.name}/proxy_ndp=1"]
    lines += [f"    up ip -6 neighbour replace proxy {address} dev {uplink.name}" for address in addresses]
    return {"files": {f"{DIRECTORY}/sixstead-ndp-proxy": HEADER + "\n".join(lines) + "\n"}}
