"""Which records belong in which zone. Names are absolute, in lower case, without the root's dot.

The records of a zone are texts by name and type: `{"web.example.net AAAA": "300 2001:db8:1::80"}`, the TTL and then the
values, sorted and parted by commas. So a preview shows each record as a line.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from settings.dns_model import LONGEST, Dns, Publisher, Zone

Records = dict[str, str]


class Conflict(Exception):
    """The stacks' records contradict each other or the config: the message has a line for each problem."""


@dataclass
class Draft:
    """Values and TTL by name and type, who gave a name, and what is wrong."""

    values: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    ttl: dict[tuple[str, str], int] = field(default_factory=dict)
    givers: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, giver: str, name: str, kind: str, value: str, ttl: int) -> None:
        """One record; a name has one giver."""
        if len(name) > LONGEST:
            self.problems.append(f"{name}, of {giver}, has more than {LONGEST} characters")
        elif self.givers.setdefault(name, giver) != giver:
            self.problems.append(f"{name} is given by {self.givers[name]} and by {giver}: rename one of them")
        elif value not in self.values.setdefault((name, kind), []):
            self.values[name, kind].append(value)
            self.ttl[name, kind] = ttl


def published(dns: Dns, found: Mapping[str, Any]) -> dict[str, Records]:
    """The records of each zone, from the output `records` of each server stack. Raises Conflict.

    What lies in none of the zones is left out: a reverse zone that isn't delegated to its owner, see `unpublished`.
    """
    draft = drafted(dns, found)
    if draft.problems:
        raise Conflict("\n".join(dict.fromkeys(draft.problems)))
    zones: dict[str, Records] = {name: {} for name in dns.zones}
    for (name, kind), values in sorted(draft.values.items(), key=lambda item: sort_key(*item[0])):
        zone = zone_of(name, dns.zones)
        if zone:
            zones[zone][f"{name} {kind}"] = text_of(draft.ttl[name, kind], values)
    return zones


def unpublished(dns: Dns, found: Mapping[str, Any]) -> list[str]:
    """Names that lie in none of the zones, the reverse ones aside."""
    names = {name for name, kind in drafted(dns, found).values if kind != "PTR"}
    return sorted(name for name in names if not zone_of(name, dns.zones))


def drafted(dns: Dns, found: Mapping[str, Any]) -> Draft:
    """All records of the stacks and all aliases, wherever they belong."""
    draft = Draft()
    for stack, server in dns.servers.items():
        for record in found.get(stack) or []:
            add_record(draft, server, record, dns.ttl(server.settled))
    settled = {server.stack: server.settled for server in dns.servers.values()}
    for zone in dns.zones.values():
        for alias, target in zone.cname.items():
            whole = target if "." in target else f"{target}.{zone.name}"
            giver = draft.givers.get(whole)
            if giver is None and "." not in target:
                draft.problems.append(
                    f"{alias}.{zone.name} is an alias of {whole}, which no server has: correct cname, or `up` the server"
                )
            ttl = dns.ttl(settled.get(giver, False) if giver else all(settled.values()))
            draft.add("sixstead:dns", f"{alias}.{zone.name}", "CNAME", whole, ttl)
    return draft


def add_record(draft: Draft, server: Publisher, record: Mapping[str, Any], ttl: int) -> None:
    """A record of a server's; a name without a dot is one of its domain."""
    kind, value = str(record["type"]), str(record["value"])
    value = str(ipaddress.ip_address(value)) if kind in ("A", "AAAA") else whole_name(value, server.domain)
    draft.add(server.stack, whole_name(str(record["name"]), server.domain), kind, value, ttl)


def whole_name(name: str, domain: str) -> str:
    """A name as it is compared (RFC 4343); without a dot it is one of the domain."""
    name = name.lower().rstrip(".")
    return name if "." in name else f"{name}.{domain}"


def zone_of(name: str, zones: Iterable[str] | Mapping[str, Zone]) -> str:
    """The zone that a name lies in, the nearest one; empty where in none."""
    fitting = [zone for zone in zones if name == zone or name.endswith(f".{zone}")]
    return max(fitting, key=len, default="")


def sort_key(name: str, kind: str) -> tuple[list[str], str]:
    """Names in DNS's canonical order (RFC 4034, section 6.1)."""
    return name.split(".")[::-1], kind


def text_of(ttl: int, values: Iterable[str]) -> str:
    """A record set's text."""
    return f"{ttl} {', '.join(sorted(values))}"


def parted(text: str) -> tuple[int, list[str]]:
    """TTL and values of a record set's text."""
    ttl, _, values = text.partition(" ")
    return int(ttl), values.split(", ")


def by_name(records: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Record sets by name, then by type."""
    found: dict[str, dict[str, str]] = {}
    for key, text in records.items():
        name, kind = key.split(" ")
        found.setdefault(name, {})[kind] = text
    return found
