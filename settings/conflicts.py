"""What single values can't show: things of a stack that don't fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from settings.model import Dns64, Guest, Nat64, Network, Prefix, Server, Uplink, eui64, guest_mac, tap_name
from settings.problems import Problem
from settings.reader import Table

_TRANSLATOR = re.compile(r"nat64(-\d+)?")
_PROXY_FILE = "ndp-proxy"
"""A bridge has a file in interfaces.d named after it, and so have the NDP proxy entries (providers/backends/ifupdown.py)."""


@dataclass(frozen=True)
class Draft:
    """Whatever of a stack could be read. `rdns`: whether `sixstead:rdns` stands in it, right or wrong."""

    server: Server | None
    uplink: Uplink | None
    prefixes: Table[Prefix]
    networks: Table[Network]
    guests: Table[Guest]
    rdns: bool = False


def conflicts(draft: Draft) -> Iterator[Problem]:
    yield from _prefixes(draft)
    yield from _bridges(draft)
    yield from _translators(draft)
    yield from _resolvers(draft)
    yield from _macs(draft)
    yield from _addresses(draft)
    yield from _ptrs(draft)
    yield from _names(draft)


def _prefixes(draft: Draft) -> Iterator[Problem]:
    seen: list[tuple[str, Prefix]] = []
    for key, prefix in draft.prefixes:
        for other_key, other in seen:
            if prefix.prefix.overlaps(other.prefix):
                yield Problem(
                    f"{key}.prefix", f"{prefix.prefix} overlaps {other_key}: give each network a /64 of its own"
                )
        seen.append((key, prefix))
    users: dict[str, str] = {}
    for key, network in draft.networks:
        first = users.setdefault(network.prefix.name, key)
        if first != key:
            yield Problem(
                f"{key}.prefix", f"{network.prefix.name} is already the prefix of {first}: a prefix has one bridge"
            )


def _bridges(draft: Draft) -> Iterator[Problem]:
    taken = {tap_name(guest.name): key for key, guest in draft.guests}
    for key, network in draft.networks:
        if _TRANSLATOR.fullmatch(network.bridge):
            yield Problem(
                f"{key}.bridge", f"{network.bridge} is a name of the translator's interface: take another one"
            )
        elif network.bridge == _PROXY_FILE:
            yield Problem(f"{key}.bridge", f"{network.bridge} names another file of Sixstead's: take another one")
        elif network.bridge in taken:
            yield Problem(
                f"{key}.bridge", f"{network.bridge} is the interface of {taken[network.bridge]}: take another one"
            )
    names = {draft.uplink.name: "sixstead:uplink.name"} if draft.uplink else {}
    for key, network in draft.networks:
        first = names.setdefault(network.bridge, key)
        if first == "sixstead:uplink.name":
            yield Problem(f"{key}.bridge", f"{network.bridge} is the uplink's name: give the bridge another one")
        elif first != key:
            yield Problem(
                f"{key}.bridge",
                f"{network.bridge} is already the bridge of {first}: give one of them another name with `bridge:`",
            )


def _translators(draft: Draft) -> Iterator[Problem]:
    seen: list[tuple[str, Nat64]] = []
    ipv4 = draft.uplink.ipv4 if draft.uplink else None
    for network_key, network in draft.networks:
        nat64, key = network.nat64, f"{network_key}.nat64"
        if nat64 is None:
            continue
        for address in network.dns64.forward if network.dns64 else ():
            if address in nat64.pool or address in nat64.prefix:
                yield Problem(f"{network_key}.dns64.forward", f"{address} lies in the translator's own range")
        if any(nat64 == other for _, other in seen):
            continue
        for prefix_key, prefix in draft.prefixes:
            if nat64.prefix.overlaps(prefix.prefix):
                yield Problem(
                    f"{key}.prefix", f"{nat64.prefix} lies in {prefix_key}, where guests have their addresses"
                )
            if prefix.gateway in nat64.prefix:
                yield Problem(f"{key}.prefix", f"{nat64.prefix} holds {prefix_key}.gateway, {prefix.gateway}")
        if ipv4 and (nat64.pool.overlaps(ipv4.address.network) or ipv4.gateway in nat64.pool):
            yield Problem(
                f"{key}.pool",
                f"{nat64.pool} overlaps the uplink's IPv4 ({ipv4.address}, gateway {ipv4.gateway}): "
                "take another private /24",
            )
        for other_key, other in seen:
            for part in ("prefix", "pool"):
                mine, theirs = getattr(nat64, part), getattr(other, part)
                if mine.overlaps(theirs):
                    yield Problem(
                        f"{key}.{part}",
                        f"{mine} overlaps {theirs} of {other_key}: make both nat64 equal "
                        f"(they then share one translator), or give each a {part} of its own",
                    )
        seen.append((key, nat64))
        needed = sum(1 for _, guest in draft.guests if guest.network.nat64 == nat64)
        room = nat64.pool.num_addresses - 3  # network, broadcast, the translator itself
        if needed > room:
            yield Problem(
                f"{key}.pool", f"{nat64.pool} has room for {room} guests, not for {needed}: take a larger one"
            )


def _resolvers(draft: Draft) -> Iterator[Problem]:
    """One unbound answers all networks: its dns64-prefix and its forwarders hold for the whole of it."""
    first: tuple[str, Dns64] | None = None
    for network_key, network in draft.networks:
        if network.dns64 is None:
            continue
        if first is None:
            first = f"{network_key}.dns64", network.dns64
        elif network.dns64.forward != first[1].forward:
            yield Problem(
                f"{network_key}.dns64.forward",
                f"must be the same as {first[0]}.forward: one resolver answers all networks",
            )
        elif network.dns64.prefix != first[1].prefix:
            yield Problem(
                f"{network_key}.dns64",
                f"would need AAAA records in {network.dns64.prefix}, those of {first[0]} are in {first[1].prefix}: one "
                "resolver answers all networks, so give them the same nat64.prefix, or turn dns64 off in one of them",
            )


def _macs(draft: Draft) -> Iterator[Problem]:
    owners = {draft.uplink.mac: "sixstead:uplink"} if draft.uplink else {}
    derived: dict[str, str] = {}
    for key, thing in (*draft.networks, *draft.guests):
        first = owners.setdefault(thing.mac, key)
        if isinstance(thing, Guest) and thing.mac == guest_mac(thing.name):
            derived.setdefault(thing.mac, key)
        if first == key:
            continue
        if (
            derived.get(first_mac := thing.mac) == first
            and isinstance(thing, Guest)
            and first_mac == guest_mac(thing.name)
        ):
            yield Problem(
                f"{key}.mac", f"the names of {first} and {key} make the same MAC, {thing.mac}: give one of them `mac:`"
            )
        else:
            yield Problem(f"{key}.mac", f"{thing.mac} is already the MAC of {first}: give each interface its own")


def _addresses(draft: Draft) -> Iterator[Problem]:
    owners: dict[IPv6Address, str] = {}
    for key, prefix in draft.prefixes:
        owners.setdefault(prefix.address, f"the server's own ({key}.address)")
    for key, prefix in draft.prefixes:
        owners.setdefault(prefix.gateway, f"the hoster's router ({key}.gateway)")
    for key, network in draft.networks:
        own = network.nat64.ipv6_addr if network.nat64 else None
        if own in owners and "nat64" not in owners[own]:
            yield Problem(f"{key}.nat64.ipv6_addr", f"{own} is already {owners[own]}: give the translator its own")
        elif own:
            owners.setdefault(own, f"the translator's ({key}.nat64.ipv6_addr)")
    macs: dict[str, str] = {}
    for key, guest in draft.guests:
        made = guest.address == eui64(guest.network.prefix.prefix, guest.mac)
        same_mac = macs.setdefault(guest.mac, key)
        taken = owners.setdefault(guest.address, key)
        if taken != key and not (made and taken == same_mac):  # one MAC twice is told as such
            origin = f", made from its MAC {guest.mac}," if made else ""
            yield Problem(
                f"{key}.address", f"{guest.address}{origin} is already {taken}: give it another one with `address:`"
            )


def _ptrs(draft: Draft) -> Iterator[Problem]:
    things = [("sixstead:server", draft.server), *draft.guests]
    for key, thing in things if not draft.rdns else ():
        if thing and thing.ptr is not None:
            yield Problem(f"{key}.ptr", "has no effect without sixstead:rdns, which says who keeps the PTR records")


def _names(draft: Draft) -> Iterator[Problem]:
    for key, guest in draft.guests:
        if draft.server and guest.name == draft.server.name:
            yield Problem(
                key, "is the server's own name (sixstead:server.name): names are published, so rename one of them"
            )
