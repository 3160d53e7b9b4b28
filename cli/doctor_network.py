"""What `./sixstead doctor` finds on a server's interfaces, and in what it does for its guests. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Interface, IPv6Network
from typing import Any

from cli.doctor_checks import AT_BOOT, Check, Facts, Finding
from providers import firewall
from providers.guest_ports import LINK_LOCAL
from providers.uplink import dotless
from settings import Settings, eui64

Link = Mapping[str, Any]

ADDRESS_GENERATION = {"1": "none", "2": "stable-privacy", "3": "random"}
"""`addr_gen_mode` of ip-sysctl; 0 is EUI-64."""


def foreign_macs(settings: Settings, facts: Facts) -> list[Finding]:
    """The uplink itself, what it is bridged with, and what sends through it with a MAC address of its own."""
    name, links = settings.uplink.name, links_of(facts)
    if name not in links:
        there = ", ".join(f"{n} {link.get('address')}" for n, link in links.items() if n != "lo")
        return [Finding(f"there is no interface {name}; there is {there}", "correct `sixstead:uplink` in the config")]
    mac, found = links[name].get("address"), []
    if mac != settings.uplink.mac:
        found.append(
            Finding(
                f"{name} sends as {mac}, and the config says {settings.uplink.mac}",
                f"if the card was replaced, correct `sixstead:uplink.mac`; else `ip link set dev {name} address {settings.uplink.mac}`",
            )
        )
    above = [
        n for n, link in links.items() if link.get("link") == name and kind(link) in ("vlan", "macvlan", "macvtap")
    ]
    for other in above:
        if links[other].get("address") != mac:
            found.append(
                Finding(
                    f"{other} ({kind(links[other])} on {name}) sends as {links[other].get('address')}",
                    f"give its guest a network of the config instead, then `ip link delete dev {other}` on the server",
                )
            )
    for port in (name, *above):
        if slave_kind(links[port]) == "bridge":
            bridge = links[port].get("master")
            others = [n for n, link in links.items() if link.get("master") == bridge and n != port]
            guests = f", with {', '.join(others)}" if others else ""
            found.append(
                Finding(
                    f"{port} is a port of the bridge {bridge}{guests}: what is in it sends with MAC addresses of its own",
                    f"at the hoster's console: move the addresses of {bridge} to {port}, and `ip link set dev {port} nomaster`;"
                    f" guests belong in {bridges(settings)}",
                )
            )
    return found


def link_local(settings: Settings, facts: Facts) -> list[Finding]:
    """Hosters route a prefix to the EUI-64 link-local address of the network card: it must be there, now and at boot."""
    name, links = settings.uplink.name, links_of(facts)
    if name not in links or all(prefix.on_link for prefix in settings.prefixes.values()):
        return []
    found, key = [], f"net.ipv6.conf.{dotless(name)}.addr_gen_mode"
    mode = facts["sysctls"].get(key, "0")
    if mode != "0":
        what = ADDRESS_GENERATION.get(mode, f"mode {mode}")
        found.append(
            Finding(
                f"{name} makes its link-local address by `{what}` (addr_gen_mode), and the prefix is routed to the EUI-64 one",
                f"`sysctl -w {key}=0` on the server; {AT_BOOT}, and whether stable_secret is set",
            )
        )
    wanted = eui64(LINK_LOCAL, settings.uplink.mac)
    if wanted not in [address.ip for address in addresses(links[name])]:
        found.append(
            Finding(
                f"{name} has not the link-local address {wanted}, to which the prefix is routed",
                f"`ip -6 address add {wanted}/64 dev {name} scope link` on the server",
            )
        )
    return found


def prefixes(settings: Settings, facts: Facts) -> list[Finding]:
    """The /64 belongs behind the guest bridge: on the uplink, what is for guests would be sent to the cable."""
    name, links = settings.uplink.name, links_of(facts)
    found = []
    for prefix in settings.prefixes.values():
        covered: list[IPv6Network] = []
        for info in links.get(name, {}).get("addr_info", []):
            address = interface(info)
            if address is None or address.ip not in prefix.prefix or address.network.prefixlen == 128:
                continue
            covered.append(address.network)
            what = f"{address} is on {name}, so that {address.network} counts as reachable there"
            if info.get("dynamic"):
                remedy = f"`ip -6 address delete {address} dev {name}` on the server: a router advertisement made it"
                found.append(Finding(what, remedy))
            else:
                found.append(Finding(what, by_up=True))
        for route in facts["routes6"]:
            if route.get("dev") == name and "gateway" not in route and route.get("dst") != "default":
                routed = IPv6Network(route["dst"])
                if routed.prefixlen < 128 and routed.subnet_of(prefix.prefix) and routed not in covered:
                    found.append(
                        Finding(
                            f"{routed} is routed to {name}, and not to the guests",
                            f"`ip -6 route delete {routed} dev {name}` on the server",
                        )
                    )
    for network in settings.networks.values():
        wanted = network.prefix.bridge_address
        if wanted not in addresses(links.get(network.bridge, {})):
            found.append(Finding(f"{wanted} is not on the guest bridge {network.bridge}", by_up=True))
    return found


def tables(settings: Settings, facts: Facts) -> list[Finding]:
    """Our tables as their files make them; without them, redirects are sent to guests, too."""
    found = []
    for table, wanted in firewall.render(settings)["nft"].items():
        now = facts["nft"].get(table)
        if now != wanted:
            what = "is not loaded" if now is None else "was changed by hand"
            found.append(Finding(f"the firewall's table `{table}` {what}", by_up=True))
    return found


def pref64(settings: Settings, facts: Facts) -> list[Finding]:
    """Without it (RFC 8781), guests learn the NAT64 prefix by DNS only (RFC 7050), which is enough for DNS64."""
    names = [n.name for n in settings.networks.values() if n.nat64 and not n.ra.pref64]
    if not names:
        return []
    version = facts["packages"].get("radvd")
    what = f"radvd {version}" if version else f"the radvd of {settings.server.os.name}"
    return [
        Finding(
            f"{what} can't announce the NAT64 prefix (PREF64) in {', '.join(names)}; guests reach IPv4 by DNS64 alone",
            "none is needed; radvd 2.20 of debian-13 can",
            remark=True,
        )
    ]


def links_of(facts: Facts) -> dict[str, Link]:
    """Links by name, from `ip -json -details address show`."""
    return {link["ifname"]: link for link in facts["links"]}


def kind(link: Link) -> str:
    """What a link is (ip-link(8), TYPES); empty for a network card."""
    return str(link.get("linkinfo", {}).get("info_kind", ""))


def slave_kind(link: Link) -> str:
    """What a link is a port of."""
    return str(link.get("linkinfo", {}).get("info_slave_kind", ""))


def interface(info: Mapping[str, Any]) -> IPv6Interface | None:
    """An entry of addr_info; None for IPv4."""
    return IPv6Interface(f"{info['local']}/{info['prefixlen']}") if info.get("family") == "inet6" else None


def addresses(link: Link) -> list[IPv6Interface]:
    """A link's IPv6 addresses."""
    return [address for info in link.get("addr_info", []) if (address := interface(info)) is not None]


def bridges(settings: Settings) -> str:
    """The guest bridges, for a sentence."""
    return ", ".join(network.bridge for network in settings.networks.values()) or "a network of the config"


CHECKS = (
    Check("MAC addresses", "none but the uplink's own can leave by it", foreign_macs),
    Check("link-local address", "the uplink's is the one that the hoster routes to", link_local),
    Check("prefixes", "behind the guest bridges, and not on the uplink", prefixes),
    Check("firewall", "loaded, as its files say", tables),
    Check("NAT64 prefix", "announced, or not in use", pref64),
)
