"""What `ip -json` says, as the values of links, addresses and routes. Pure; whatever makes no sense is a HostError that shows it."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from typing import Any

from .system import understood, word

Json = dict[str, Any]


def parse_json(who: str, text: str) -> list[Json]:
    """The entries that ip(8) lists; it writes an empty one for what a filter leaves out."""
    with understood(who, text):
        entries = json.loads(text or "[]")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError
        return [entry for entry in entries if entry]


def parse_links(entries: Iterable[Json]) -> dict[str, str]:
    """Link values from `ip -json -details link show`."""
    values = {}
    for entry in entries:
        with understood("`ip link show`", entry):
            kind = entry.get("linkinfo", {}).get("info_kind", "physical")
            kind = "bridge" if kind == "bridge" else "physical"
            up = "up" if "UP" in entry.get("flags", []) else "down"
            address = word(entry["address"]) if entry.get("address") else ""
            mtu = int(entry["mtu"])
            if "," in address:
                raise ValueError
            values[word(entry["ifname"])] = f"{kind}, {address}, mtu {mtu}, {up}"
    return values


def parse_addresses(entries: Iterable[Json]) -> dict[str, str]:
    """Address values from `ip -json address show`; one with a peer (ifupdown's `pointopoint`) is written with it."""
    values = {}
    for entry in entries:
        with understood("`ip address show`", entry):
            found = [
                info
                for info in entry.get("addr_info", [])
                if info.get("scope") != "link" and not info.get("dynamic") and not info.get("temporary")
            ]
            values[word(entry["ifname"])] = " ".join(address_of(info) for info in sorted(found, key=sorting))
    return {name: value for name, value in values.items() if value}


def address_of(info: Json) -> str:
    """`192.0.2.10/26`, or `192.0.2.10/32,peer=192.0.2.1`."""
    own = str(interface_of(info["local"], info["prefixlen"]))
    return own + (f",peer={ipaddress.ip_address(word(info['address']))}" if "address" in info else "")


def interface_of(address: Any, length: Any) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """An address with its prefix length. Raises ValueError for what is none, and for one with a scope."""
    if "%" in word(address) or not isinstance(length, int):
        raise ValueError("no address")
    return ipaddress.ip_interface(f"{address}/{length}")


def sorting(info: Json) -> tuple[int, int, int]:
    """IPv4 first, then by number."""
    address = interface_of(info["local"], info["prefixlen"])
    return (address.version, int(address.ip), address.network.prefixlen)


def parse_routes(family: str, entries: Iterable[Json]) -> dict[str, str]:
    """Route items and values from `ip -json route show`; a route that the kernel made for an address is none of them."""
    found: dict[str, str] = {}
    for entry in entries:
        with understood("`ip route show`", entry):
            if "dev" not in entry:
                continue
            target, interface = word(entry["dst"]), word(entry["dev"])
            if target == "default":
                item = f"{family} default dev {interface}"
                via = f"via {word(entry['gateway'])}" if "gateway" in entry else "without a gateway"
                found[item] = f"{found[item]}, {via}" if item in found else via
            elif "gateway" not in entry and entry.get("protocol") != "kernel":
                found[f"{target} dev {interface}"] = "present"
    return found
