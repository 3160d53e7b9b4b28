"""The routers that the default routes lead through: whether they are there, as the network's own protocols see it.

A router that answered an echo before a change must answer it afterwards. Another one that took its place need not answer
echoes, but must be found by ARP or neighbour discovery (RFC 826, RFC 4861): an address that nobody has is never found.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from .ip_output import Json
from .network import ip_json
from .probes import answering
from .system import run

FAMILIES = ("-4", "-6")
LOST = ("FAILED", "INCOMPLETE", "NONE")
"""States of a neighbour entry that names nobody: ip-neighbour(8)."""


def present() -> dict[str, str]:
    """The gateway of each address family's first default route: `192.0.2.1%eth0`, `fe80::1%eth0`."""
    return {family: gateway for family in FAMILIES if (gateway := first(ip_json([family, "route", "show", "default"])))}


def first(routes: Iterable[Json]) -> str:
    """The gateway with its interface of the default route that counts, that of the lowest metric; empty if there is none."""
    found = [route for route in routes if "gateway" in route and "dev" in route]
    best = min(found, key=lambda route: int(route.get("metric", 0)), default=None)
    return f"{best['gateway']}%{best['dev']}" if best else ""


def reached(gateways: Iterable[str], seconds: float) -> set[str]:
    """Those that answer an echo request or are found as a neighbour within so many seconds."""
    waiting, deadline = set(gateways), time.monotonic() + seconds
    found: set[str] = set()
    while waiting and time.monotonic() < deadline:
        answered = answering(waiting, min(0.5, seconds))
        found |= answered | {gateway for gateway in waiting - answered if is_neighbour(gateway)}
        waiting -= found
    return found


def is_neighbour(gateway: str) -> bool:
    """Whether the kernel knows this gateway's MAC address."""
    address, _, interface = gateway.partition("%")
    entries = ip_json(["-6" if ":" in address else "-4", "neighbour", "show", "to", address, "dev", interface])
    return any("lladdr" in entry and not set(entry.get("state", [])) & set(LOST) for entry in entries)


def forget(gateways: Iterable[str]) -> None:
    """So that neighbours are found anew: where that is broken, what is still remembered would hide it for a while."""
    for gateway in gateways:
        address, _, interface = gateway.partition("%")
        family = "-6" if ":" in address else "-4"
        run(["ip", family, "neighbour", "flush", "to", address, "dev", interface], check=False)


def before() -> tuple[dict[str, str], set[str]]:
    """The gateways by family that can be reached now, and which of them answer echoes."""
    now = present()
    echoed = answering(now.values(), 1.0) if now else set()
    there = echoed | {gateway for gateway in now.values() if is_neighbour(gateway)}
    return {family: gateway for family, gateway in now.items() if gateway in there}, echoed


def missing(was: Mapping[str, str], echoed: set[str], seconds: float = 8.0) -> list[str]:
    """The gateways that cannot be reached now, of the families in which one could be before."""
    now = {family: gateway for family, gateway in present().items() if family in was}
    forget(now.values())
    same = {gateway for gateway in now.values() if gateway in echoed}
    lost = same - answering(same, seconds) if same else set()
    other = set(now.values()) - same
    return sorted(lost | (other - reached(other, seconds)))
