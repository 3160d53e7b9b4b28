"""What a guest may send out of its port of a bridge: an nftables table of the bridge family. nft(8), RFC 6105 (RA guard).

Only with its own MAC address, from its own addresses, IPv6 alone, and neither as a router nor as a DHCP server. Nothing
goes from port to port: guests reach each other through the server, where the firewall decides. Every drop is counted.
Part of the firewall member.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from providers.host.agent.facets import State
from settings import Guest, Settings, eui64, tap_name

TABLE = "bridge sixstead"
PATH = "/etc/sixstead/guest-ports.nft"
LINK_LOCAL = IPv6Network("fe80::/64")
ANY = tap_name("*")
"""Every guest's port, that of a guest just removed too."""
TARGET = "@th,64,128"
"""The target of a neighbour advertisement (RFC 4861, section 4.4): nft 1.0.6, Debian 12's, has no name for it."""
ANOTHERS_ADDRESS = "guests: another's address"


def render(settings: Settings) -> State:
    """The rules, and the table as it must be in the kernel."""
    return {"files": {PATH: rules(settings)}, "nft": {TABLE: f"as in {PATH}"}}


def own(guest: Guest) -> list[IPv6Address]:
    """The addresses that a guest has: its own, the one that SLAAC makes where that is another, its link-local one."""
    prefix = guest.network.prefix.prefix
    return list(dict.fromkeys((guest.address, eui64(prefix, guest.mac), eui64(LINK_LOCAL, guest.mac))))


def rules(settings: Settings) -> str:
    """The whole table; loading it replaces the old one in one step."""
    guests = list(settings.guests.values())
    macs = [guest.mac for guest in guests] + [network.mac for network in settings.networks.values()]
    taken = sorted({eui64(LINK_LOCAL, mac) for mac in macs})
    lines = ["# Written by Sixstead.", f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    for guest in guests:
        lines += port(guest)
    if guests:
        named = ", ".join(str(address) for address in taken)
        lines += chain(
            "link-local-source", f'ip6 saddr {{ {named} }} counter drop comment "{ANOTHERS_ADDRESS}"', "goto said"
        )
        lines += chain("said", "icmpv6 type nd-neighbor-advert goto advertised", "accept")
        targets = ", ".join(raw(address) for address in taken)
        lines += chain(
            "advertised",
            f'{TARGET} {{ {targets} }} counter drop comment "{ANOTHERS_ADDRESS}"',
            "@th,64,10 0x3fa accept",
            f'counter drop comment "{ANOTHERS_ADDRESS}"',
        )
    verdicts = ", ".join(f'"{tap_name(guest.name)}" : goto {chain_name(guest)}' for guest in guests)
    lines += chain(
        "prerouting",
        "type filter hook prerouting priority filter; policy accept;",
        *([f"iifname vmap {{ {verdicts} }}"] if guests else []),
        f'iifname "{ANY}" counter drop comment "guests: a port that no guest has"',
    )
    lines += chain(
        "forward",
        "type filter hook forward priority filter; policy accept;",
        f'iifname "{ANY}" counter drop comment "guests: past the server"',
        f'oifname "{ANY}" counter drop comment "guests: past the server"',
    )
    return "\n".join([*lines, "}", ""])


def port(guest: Guest) -> list[str]:
    """One guest's chain: first who it is, then what it says."""
    mine = own(guest)
    sources = ", ".join(str(address) for address in mine)
    targets = ", ".join(raw(address) for address in mine)

    def drop(match: str, why: str) -> str:
        return f'{match} counter drop comment "{guest.name}: {why}"'.strip()

    return chain(
        chain_name(guest),
        drop(f"ether saddr != {guest.mac}", "another MAC address"),
        drop("meta protocol != ip6", "not IPv6"),
        drop("icmpv6 type { nd-router-advert, nd-redirect }", "as a router"),
        drop("udp sport 547", "as a DHCP server"),
        f"ip6 saddr {{ {sources} }} icmpv6 type nd-neighbor-advert {TARGET} {{ {targets} }} accept",
        f"ip6 saddr {{ ::, {sources} }} goto said",
        "ip6 saddr fe80::/10 goto link-local-source",
        drop("", "another's address"),
    )


def chain_name(guest: Guest) -> str:
    """A chain's name for a guest."""
    return f"from-{guest.name}"


def raw(address: IPv6Address) -> str:
    """An address as a number, as nft wants it for what it has no name for."""
    return f"{int(address):#034x}"


def chain(name: str, *statements: str) -> list[str]:
    """One chain, indented."""
    return [f"\tchain {name} {{", *(f"\t\t{statement}" for statement in statements), "\t}"]
