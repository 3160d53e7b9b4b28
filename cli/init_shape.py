"""Whether what a server said of itself can be read at all: a server is a stranger, and its words go into a file. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

Check = Callable[[Any], bool]


def line(value: Any) -> bool:
    """One line of text, perhaps empty."""
    return isinstance(value, str) and (value == "" or value.isprintable())


def number(value: Any) -> bool:
    """A whole number that is not negative."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def flag(value: Any) -> bool:
    """True or false."""
    return isinstance(value, bool)


def name(value: Any) -> bool:
    """A word."""
    return line(value) and len(value.split()) == 1


def mac(value: Any) -> bool:
    """A link's address."""
    return isinstance(value, str) and re.fullmatch(r"[0-9A-Fa-f:.]*", value) is not None


def address(version: int) -> Check:
    """An address of IP 4 or 6, without a scope."""

    def fits(value: Any) -> bool:
        try:
            return isinstance(value, str) and "%" not in value and ip_address(value).version == version
        except ValueError:
            return False

    return fits


def addresses(value: Any) -> bool:
    """`addr_info` of `ip -json address show`."""
    return rows({"family": line, "scope": line, "prefixlen": number}, {})(value) and all(
        address(version)(row.get("local")) and row["prefixlen"] <= longest
        for row in value
        for family, version, longest in (("inet", 4, 32), ("inet6", 6, 128))
        if row["family"] == family
    )


def content(value: Any) -> bool:
    """A file's text, None where it can't be read."""
    return value is None or isinstance(value, str)


def table(of: Check) -> Check:
    """A map from lines to something."""
    return lambda value: isinstance(value, dict) and all(line(k) and of(v) for k, v in value.items())


def rows(needed: dict[str, Check], possible: dict[str, Check]) -> Check:
    """A list of maps with these entries, and with any others."""

    def fits(row: Any) -> bool:
        if not isinstance(row, dict) or not all(key in row and check(row[key]) for key, check in needed.items()):
            return False
        return all(check(row[key]) for key, check in possible.items() if key in row)

    return lambda value: isinstance(value, list) and all(map(fits, value))


def kind(value: Any) -> bool:
    """`linkinfo` of ip-link(8)."""
    return isinstance(value, dict) and line(value.get("info_kind", ""))


SHAPE: dict[str, Check] = {
    "os": table(line),
    "architecture": line,
    "sudo": flag,
    "links": rows(
        {"ifname": name, "ifindex": number, "mtu": number, "addr_info": addresses},
        {"address": mac, "link_type": line, "linkinfo": kind},
    ),
    "routes4": rows({}, {"dev": name, "gateway": address(4), "metric": number}),
    "routes6": rows({}, {"dev": name, "gateway": address(6), "metric": number}),
    "interfaces": content,
    "interfaces_d": table(content),
    "networkd": table(table(line)),
    "network_manager": flag,
    "netplan": table(content),
    "radvd": line,
    "kvm": flag,
    "virtualization": line,
}


def unreadable(probe: Any) -> list[str]:
    """Which parts are missing or make no sense; empty where all can be read."""
    if not isinstance(probe, dict):
        return ["its answer"]
    return [part for part, fits in SHAPE.items() if part not in probe or not fits(probe[part])]
