"""From what a bare server says of itself to what its stack needs to know, or to why it can't have one. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

import yaml

from cli.init_shape import unreadable
from providers.host.agent.takeover import stanzas
from settings import SYSTEMS

Probe = Mapping[str, Any]


class Refused(Exception):
    """The server can't be taken as it is; `reasons` says what to do about each thing."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


@dataclass(frozen=True)
class Finding:
    """A server as it was found: what its stack says, and what its owner should know before the first `up`."""

    name: str
    os: str
    backend: str
    hoster: str
    uplink: str
    mac: str
    mtu: int
    ipv4: tuple[IPv4Interface, IPv4Address] | None
    prefixes: tuple[FoundPrefix, ...]
    notes: tuple[str, ...]
    kvm: bool


@dataclass(frozen=True)
class FoundPrefix:
    name: str
    address: IPv6Interface
    gateway: IPv6Address
    delivery: str
    sure: bool

    @property
    def prefix(self) -> IPv6Network:
        return IPv6Network((int(self.address.ip) >> 64 << 64, 64))


def find(name: str, probe: Probe) -> Finding:
    """What a stack needs to know of a server. Raises Refused with every reason at once."""
    if strange := unreadable(probe):
        raise Refused(
            [f"what the server says of itself makes no sense: {', '.join(strange)}; run `ip address` there and see"]
        )
    reasons: list[str] = []
    system = f"{probe['os'].get('ID', '')}-{probe['os'].get('VERSION_ID', '')}"
    if system not in SYSTEMS:
        wanted = " or ".join(SYSTEMS)
        reasons.append(
            f"the server runs {probe['os'].get('PRETTY_NAME') or 'an unknown system'}; it must be {wanted}: install one of them"
        )
    if probe["architecture"] != "x86_64":
        reasons.append(f"the server's processor is {probe['architecture']}; only x86_64 is supported")
    uplink = uplink_of(probe, reasons)
    if uplink is None:
        raise Refused(reasons)
    link = next((link for link in probe["links"] if link["ifname"] == uplink and link.get("address")), None)
    if link is None:
        raise Refused([*reasons, f"the default route leaves through {uplink}, which is no network card of the server"])
    if link.get("link_type") != "ether" or link.get("linkinfo", {}).get("info_kind") in ("bond", "bridge", "vlan"):
        what = link.get("linkinfo", {}).get("info_kind") or link.get("link_type")
        reasons.append(f"{uplink} is a {what}; the uplink must be a plain Ethernet interface")
    backend = backend_of(probe, uplink)
    reasons.extend(REASONS[backend](probe, uplink))
    ipv4, ipv4_notes = ipv4_of(probe, link, reasons)
    hoster = hoster_of(probe, ipv4)
    prefixes = prefixes_of(probe, link, hoster, reasons)
    if reasons:
        raise Refused(reasons)
    if ipv4 and hoster == "hetzner" and ipv4[0].network.prefixlen < 32:
        ipv4 = (IPv4Interface(f"{ipv4[0].ip}/32"), ipv4[1])
    notes = (*ipv4_notes, *link_notes(probe, uplink), *host_notes(probe, system))
    return Finding(
        name,
        system,
        backend,
        hoster,
        uplink,
        link["address"],
        int(link["mtu"]),
        ipv4,
        prefixes,
        notes,
        bool(probe["kvm"]),
    )


def uplink_of(probe: Probe, reasons: list[str]) -> str | None:
    """The interface of the default routes (the one with the lowest metric, of each family)."""
    found = {}
    for family, key in (("IPv4", "routes4"), ("IPv6", "routes6")):
        routes = sorted(probe[key], key=lambda route: int(route.get("metric", 0)))
        if routes and "dev" in routes[0]:
            found[family] = str(routes[0]["dev"])
    if not found:
        reasons.append("the server has no default route: set up its network as the hoster tells, then try again")
        return None
    if len(set(found.values())) > 1:
        reasons.append(
            f"the IPv4 default route leaves through {found['IPv4']} and the IPv6 one through {found['IPv6']}; "
            "there must be one uplink for both"
        )
        return None
    return next(iter(found.values()))


def backend_of(probe: Probe, uplink: str) -> str:
    """What configures the uplink: networkd says which file it took, and netplan's are named so."""
    link = next(link for link in probe["links"] if link["ifname"] == uplink)
    file = probe["networkd"].get(str(link["ifindex"]), {}).get("NETWORK_FILE", "")
    return "netplan" if "/10-netplan-" in file else "networkd" if file else "ifupdown"


def netplan_reasons(probe: Probe, uplink: str) -> list[str]:
    """Why netplan's files can't be replaced by ours: they all go, so they may speak of the uplink alone."""
    reasons = []
    for path, text in probe["netplan"].items():
        try:
            network = (yaml.safe_load(text or "") or {}).get("network") or {}
            devices = [pair for kind in network.values() if isinstance(kind, dict) for pair in kind.items()]
            others = [shown(name) for name, _ in devices if name != uplink]
            renamed = [shown(name) for name, device in devices if "set-name" in (device or {})]
        except (yaml.YAMLError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            reasons.append(f"{path} can't be read: it is not netplan's YAML")
            continue
        if text is None:
            reasons.append(f"{path} can't be read: log in as root")
            continue
        if others:
            reasons.append(
                f"{path} also configures {', '.join(others)}: sixstead would remove it; only {uplink} can be there"
            )
        if renamed:
            reasons.append(
                f"{path} renames {', '.join(renamed)} (set-name): take that out, reboot, and see that the name stays"
            )
        if network.get("renderer") == "NetworkManager":
            reasons.append(f"{path} has NetworkManager as its renderer; it must be networkd")
        if not path.startswith("/etc/netplan/"):
            reasons.append(f"{path} would stay beside what sixstead writes: remove it")
    return reasons


def shown(name: object) -> str:
    """A device's name as a reason may say it."""
    text = str(name)
    return text if text.isprintable() else repr(text)


def networkd_reasons(probe: Probe, uplink: str) -> list[str]:
    """None: a file of ours comes before that of the installer, which stays."""
    return []


def ifupdown_reasons(probe: Probe, uplink: str) -> list[str]:
    """Why the uplink's configuration is not one that can be taken over: only ifupdown's main file can."""
    if probe["network_manager"]:
        return [f"NetworkManager runs on the server and may configure {uplink}: not supported"]
    main = interfaces_in(probe["interfaces"] or "")
    reasons = []
    if uplink not in main:
        where = [path for path, text in probe["interfaces_d"].items() if uplink in interfaces_in(text or "")]
        if where:
            return [
                f"{uplink} is configured in {where[0]}: move its lines to /etc/network/interfaces, which sixstead takes over"
                + (", and turn cloud-init's network configuration off" if "cloud-init" in where[0] else "")
            ]
        return [f"/etc/network/interfaces does not configure {uplink}, and nothing else that is known does"]
    others = [name for name in main if name not in (uplink, "lo")]
    if others:
        reasons.append(
            f"/etc/network/interfaces also configures {', '.join(others)}: move these lines to files in "
            "/etc/network/interfaces.d, which sixstead leaves alone"
        )
    return reasons


REASONS: dict[str, Callable[[Probe, str], list[str]]] = {
    "ifupdown": ifupdown_reasons,
    "networkd": networkd_reasons,
    "netplan": netplan_reasons,
}


def interfaces_in(text: str) -> list[str]:
    """The interfaces that an interfaces(5) text has stanzas for, each once."""
    return stanzas(text, ("iface", "mapping"))


def ipv4_of(
    probe: Probe, link: Mapping[str, Any], reasons: list[str]
) -> tuple[tuple[IPv4Interface, IPv4Address] | None, list[str]]:
    """The uplink's first IPv4 address and its gateway; a note names further addresses."""
    addresses = [entry for entry in link["addr_info"] if entry["family"] == "inet" and entry["scope"] == "global"]
    gateways = [
        route["gateway"] for route in probe["routes4"] if route.get("dev") == link["ifname"] and "gateway" in route
    ]
    if not addresses or not gateways:
        return None, [
            "No IPv4 address with a gateway was found: guests get no NAT64, and reach the IPv6 internet only."
        ]
    first = IPv4Interface(f"{addresses[0]['local']}/{addresses[0]['prefixlen']}")
    more = ", ".join(entry["local"] for entry in addresses[1:])
    notes = []
    if addresses[0].get("dynamic"):
        reasons.append(
            f"the address {first.ip} came by DHCP: configure it as a static one, with the hoster's values, then try again"
        )
    if more:
        notes.append(f"{link['ifname']} has further IPv4 addresses ({more}), which are not taken over.")
    return (first, IPv4Address(gateways[0])), notes


def hoster_of(probe: Probe, ipv4: tuple[IPv4Interface, IPv4Address] | None) -> str:
    """Which hoster's habits the server shows: a guess, and named as one in the stack."""
    gateways = [route.get("gateway", "") for route in probe["routes6"]]
    off_link = ipv4 is not None and ipv4[1] not in ipv4[0].network
    if "Hetzner" in (probe["interfaces"] or "") or ("fe80::1" in gateways and off_link):
        return "hetzner"
    if any(re.search(r"ff:ff:ff:ff:ff$", gateway) for gateway in gateways):
        return "ovh"
    return "generic"


def prefixes_of(probe: Probe, link: Mapping[str, Any], hoster: str, reasons: list[str]) -> tuple[FoundPrefix, ...]:
    """The /64s that the uplink has global addresses in; the first is named main."""
    uplink = link["ifname"]
    gateways = [route["gateway"] for route in probe["routes6"] if route.get("dev") == uplink and "gateway" in route]
    addresses = []
    for entry in link["addr_info"]:
        if entry["family"] == "inet6" and entry["scope"] == "global" and not entry.get("temporary"):
            address = IPv6Interface(f"{entry['local']}/{entry['prefixlen']}")
            if address.ip not in IPv6Network("fc00::/7"):
                addresses.append(address)
    if not addresses:
        reasons.append(
            f"{uplink} has no global IPv6 address: order a /64 from the hoster, configure an address of it as the hoster "
            "tells, then try again"
        )
    if not gateways:
        reasons.append(f"{uplink} has no IPv6 default gateway: configure it as the hoster tells, then try again")
    if not addresses or not gateways:
        return ()
    gateway = IPv6Address(gateways[0])
    sure = hoster in ("hetzner", "ovh")
    routed = hoster == "hetzner" or (not sure and gateway.is_link_local)
    found: dict[IPv6Network, FoundPrefix] = {}
    for address in addresses:
        name = f"prefix{len(found) + 1}" if found else "main"
        prefix = FoundPrefix(name, address, gateway, "routed" if routed else "on-link", sure)
        found.setdefault(prefix.prefix, prefix)
    return tuple(found.values())


def link_notes(probe: Probe, uplink: str) -> list[str]:
    """Other interfaces that are in use, for whoever has forgotten them."""
    used = [
        link["ifname"]
        for link in probe["links"]
        if link["ifname"] not in ("lo", uplink) and any(a["scope"] == "global" for a in link["addr_info"])
    ]
    return [f"{', '.join(used)}: in use beside the uplink, and left alone."] if used else []


def host_notes(probe: Probe, system: str) -> list[str]:
    """What works less well on this server than it could."""
    notes = []
    if not probe["kvm"]:
        where = (
            "" if probe["virtualization"] == "none" else f" (the server itself is virtual: {probe['virtualization']})"
        )
        notes.append(
            f"No /dev/kvm{where}: guests are emulated, which is slow. Turn virtualization on in the firmware, then `kvm: false` may go."
        )
    if not probe["sudo"]:
        notes.append("This login can't become root without a password: set it with `config set --secret sudoPassword`.")
    if not probe["radvd"] or probe["radvd"] == "(none)":
        notes.append("apt knows no package radvd: run `apt-get update` on the server, and check its sources.")
    elif system in SYSTEMS and SYSTEMS[system].radvd_pref64 and radvd_version(probe["radvd"]) < (2, 20):
        notes.append(
            f"apt would install radvd {probe['radvd']}, older than {system}'s own: check the server's apt sources."
        )
    return notes


def radvd_version(text: str) -> tuple[int, ...]:
    """The upstream version of a Debian package version, as numbers: `1:2.19-1+b1` is (2, 19)."""
    upstream = text.rpartition(":")[2].partition("-")[0]
    return tuple(int(number) for number in re.findall(r"[0-9]+", upstream)[:2])
