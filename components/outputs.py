"""What a stack tells others: the server, the guests, and their records, ready for DNS."""

from __future__ import annotations

from typing import Any

import pulumi

from settings import Settings

TTL = 300
"""Seconds. Short, as mistakes in a young server's names stay for as long as this."""


def export(settings: Settings) -> None:
    """`server`, `guests` by name, `records`; all follow from the settings, so a preview shows them."""
    for name, value in outputs(settings).items():
        pulumi.export(name, value)


def outputs(settings: Settings) -> dict[str, Any]:
    """The values of the outputs."""
    server, uplink = settings.server, settings.uplink
    own4 = [str(uplink.ipv4.address.ip)] if uplink.ipv4 else []
    own6 = [str(prefix.address) for prefix in settings.prefixes.values()]
    records = [record(server.name, "A", a) for a in own4] + [record(server.name, "AAAA", a) for a in own6]
    records += [record(guest.name, "AAAA", str(guest.address)) for guest in settings.guests.values()]
    return {
        "server": {"name": server.name, "ipv4": own4, "ipv6": own6},
        "guests": {g.name: {"address": str(g.address), "mac": g.mac} for g in settings.guests.values()},
        "records": records,
    }


def record(name: str, kind: str, value: str) -> dict[str, Any]:
    """One resource record; the name is relative to whatever zone it is published in."""
    return {"name": name, "type": kind, "ttl": TTL, "value": value}
