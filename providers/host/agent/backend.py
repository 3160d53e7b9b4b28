"""What configures this host's network: the backend of the interface that the default route leaves through."""

from __future__ import annotations

import contextlib

from .configured import network_file


def backend(root: str = "") -> str:
    """`networkd` or `netplan` where systemd-networkd configured that interface from a file, else `ifupdown`.

    Read from /proc and /run/systemd/netif, without a process: every session asks.
    """
    for interface in uplinks(root):
        if path := network_file(interface, root):
            return "netplan" if "/10-netplan-" in path else "networkd"
    return "ifupdown"


def uplinks(root: str = "") -> list[str]:
    """The interfaces of the default routes: proc(5), /proc/net/route and /proc/net/ipv6_route."""
    found = []
    with contextlib.suppress(OSError), open(f"{root}/proc/net/route", encoding="utf-8", errors="replace") as file:
        rows = [line.split() for line in file]
        found += [row[0] for row in rows if row[1:2] + row[7:8] == ["00000000"] * 2]
    with contextlib.suppress(OSError), open(f"{root}/proc/net/ipv6_route", encoding="utf-8", errors="replace") as file:
        rows = [line.split() for line in file]
        found += [row[9] for row in rows if row[:2] == ["0" * 32, "00"] and row[9:] not in ([], ["lo"])]
    return list(dict.fromkeys(found))
