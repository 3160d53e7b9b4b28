"""What a stack tells others: the server, the guests, and their records, as a `dns` stack publishes them."""

from __future__ import annotations

import ipaddress
from typing import Any

import pulumi

from settings import Settings

TTL = 300
"""Seconds. Short, as mistakes in a young server's names stay for as long as this; a `dns` stack has its own."""


def export(settings: Settings, after: pulumi.Resource | None = None) -> None:
    """`server`, `guests` by name, `records`; all follow from the settings, so a preview shows them.

    They are told once `after`, the server's network, is as they say: others publish them.
    """
    for name, value in outputs(settings).items():
        if after is None or pulumi.runtime.is_dry_run():
            pulumi.export(name, value)
        else:
            pulumi.export(name, pulumi.Output.all(after.urn, value).apply(lambda both: both[1]))


def outputs(settings: Settings) -> dict[str, Any]:
    """The values of the outputs."""
    server, uplink = settings.server, settings.uplink
    own4 = [str(uplink.ipv4.address.ip)] if uplink.ipv4 else []
    own6 = [str(prefix.address) for prefix in settings.prefixes.values()]
    records = [record(server.name, "A", a) for a in own4] + [record(server.name, "AAAA", a) for a in own6]
    found: dict[str, Any] = {"name": server.name, "ipv4": own4, "ipv6": own6}
    rescue = rescue_address(settings)
    if rescue:
        found["rescue"] = {"name": rescue_name(server.name), "ipv6": rescue}
        records += [record(rescue_name(server.name), "A", a) for a in own4]
        records.append(record(rescue_name(server.name), "AAAA", rescue))
    records += [record(guest.name, "AAAA", str(guest.address)) for guest in settings.guests.values()]
    return {
        "server": found,
        "guests": {g.name: {"address": str(g.address), "mac": g.mac} for g in settings.guests.values()},
        "records": records + pointers(settings),
    }


def rescue_address(settings: Settings) -> str:
    """The IPv6 address of the hoster's rescue system, empty where it isn't known.

    It is the hoster's choice and stays the same whatever address the server itself has moved to, so it has a name of
    its own; so has its host key, which is another.
    """
    if settings.server.rescue is None:
        return ""
    prefix = next(iter(settings.prefixes.values())).prefix
    return str(ipaddress.IPv6Address(int(prefix.network_address) | int(settings.server.rescue)))


def rescue_name(server: str) -> str:
    """`kvm1-rescue`, in the server's domain where its name has one."""
    label, dot, domain = server.partition(".")
    return f"{label}-rescue{dot}{domain}"


def pointers(settings: Settings) -> list[dict[str, Any]]:
    """The PTR records, for reverse zones that are the owner's. An address has one name."""
    server, names = settings.server, {}
    rescue = rescue_address(settings)
    if rescue:
        names[rescue] = rescue_name(server.name)
    own = [str(prefix.address) for prefix in settings.prefixes.values()]
    own += [str(settings.uplink.ipv4.address.ip)] if settings.uplink.ipv4 else []
    names |= dict.fromkeys(own, server.name if server.ptr is None else server.ptr)
    for guest in settings.guests.values():
        names[str(guest.address)] = guest.name if guest.ptr is None else guest.ptr
    pointed = {ipaddress.ip_address(address).reverse_pointer: name for address, name in names.items() if name}
    return [record(pointer, "PTR", name) for pointer, name in pointed.items()]


def record(name: str, kind: str, value: str) -> dict[str, Any]:
    """One resource record; a name without a dot is relative to whatever zone it is published in."""
    return {"name": name, "type": kind, "ttl": TTL, "value": value}
