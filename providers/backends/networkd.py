"""systemd-networkd: a .network file for the uplink, a .netdev and a .network file for each bridge. systemd.network(5).

The agent changes the running kernel by itself and lets networkd read its files then, so that nothing is taken away in
between: `KeepConfiguration=static` (Debian 12's systemd 252 has it).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address

from providers.backends import idle
from providers.host.agent.facets import State, union
from settings import Network, Prefix, Settings, Uplink

UNITS = {"systemd-networkd.service": "enabled, running", "systemd-networkd.socket": "enabled, running"}
"""The socket starts the daemon at any change of a link: it goes and comes with it."""
DIRECTORY = "/etc/systemd/network"
HEADER = "# Written by Sixstead: `preview --refresh --diff` shows edits, `up --refresh` undoes them.\n"
FIRST = "0-sixstead"
"""The first file that matches an interface counts, in the order of their names: `0-` comes before `00-` and `10-`."""


def uplink(settings: Settings) -> State:
    """The uplink's file, and the daemon that reads it."""
    path = f"{DIRECTORY}/{FIRST}-{settings.uplink.name}.network"
    own: State = {
        "files": {path: uplink_text(settings.uplink, list(settings.prefixes.values()))},
        "units": dict(UNITS),
        "configured": {settings.uplink.name: path},
    }
    return union(own, idle.ifupdown(idle.interfaces(settings)))


def uplink_text(uplink: Uplink, prefixes: Sequence[Prefix], length: int = 128) -> str:
    """The uplink, with its addresses and routes."""
    lines = ["[Match]", f"Name={uplink.name}", ""]
    lines += ["[Link]", f"MTUBytes={uplink.mtu}", ""] if uplink.mtu != 1500 else []
    lines += ["[Network]", "DHCP=no", *COMMON, "KeepConfiguration=static"]
    if uplink.ipv4:
        lines += ["", "[Address]", f"Address={uplink.ipv4.address}"]
        if uplink.ipv4.on_link:
            lines += ["", "[Route]", f"Destination={uplink.ipv4.gateway}/32", "Scope=link"]
        lines += ["", "[Route]", f"Gateway={uplink.ipv4.gateway}", "GatewayOnLink=yes"]
    for number, prefix in enumerate(prefixes):
        lines += ["", "[Address]", f"Address={prefix.address}/{length}", "DuplicateAddressDetection=none"]
        if number == 0 and not prefix.gateway.is_link_local:
            lines += ["", "[Route]", f"Destination={prefix.gateway}/128"]
        if number == 0:
            lines += ["", "[Route]", f"Gateway={prefix.gateway}", "GatewayOnLink=yes"]
    return HEADER + "\n".join(lines) + "\n"


COMMON = ("LinkLocalAddressing=ipv6", "IPv6LinkLocalAddressGenerationMode=eui64", "IPv6AcceptRA=no")
"""The link-local address that a hoster routes the /64 to is the EUI-64 one."""


def plain(settings: Settings) -> State:
    """The uplink's file of a server that is not ours: its own /64 is on the uplink."""
    path = f"{DIRECTORY}/{FIRST}-{settings.uplink.name}.network"
    text = uplink_text(settings.uplink, list(settings.prefixes.values()), 64).removeprefix(HEADER)
    return {"files": {path: text}}


def bridge(network: Network) -> State:
    """The bridge as a device, and its address; it is configured before the first guest gives it a carrier."""
    path = f"{DIRECTORY}/{FIRST}-{network.bridge}"
    device = f"[NetDev]\nName={network.bridge}\nKind=bridge\nMACAddress={network.mac}\nMTUBytes={network.mtu}\n"
    lines = ["[Match]", f"Name={network.bridge}", "", "[Link]", "RequiredForOnline=no", ""]
    lines += ["[Network]", "DHCP=no", *COMMON, "ConfigureWithoutCarrier=yes"]
    lines += ["KeepConfiguration=static", "", "[Address]", f"Address={network.prefix.bridge_address}"]
    lines += ["DuplicateAddressDetection=none"]
    return {"files": {f"{path}.netdev": HEADER + device, f"{path}.network": HEADER + "\n".join(lines) + "\n"}}


def ndp_proxy(uplink: Uplink, addresses: Sequence[IPv6Address]) -> State:
    """A drop-in to the uplink's file."""
    return proxies_beside(f"{DIRECTORY}/{FIRST}-{uplink.name}.network", addresses)


def proxies_beside(network_file: str, addresses: Sequence[IPv6Address]) -> State:
    """A drop-in to a .network file: IPv6ProxyNDPAddress= sets proxy_ndp, too."""
    lines = ["[Network]", "IPv6ProxyNDP=yes", *(f"IPv6ProxyNDPAddress={address}" for address in addresses)]
    return {"files": {f"{network_file}.d/sixstead-ndp-proxy.conf": HEADER + "\n".join(lines) + "\n"}}
