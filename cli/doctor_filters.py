"""What `./sixstead doctor` finds in nftables chains that are not Sixstead's: Docker, ufw and firewalld leave such. Pure.

A packet passes a hook only if every base chain there lets it pass. What a chain does with the guests' packets is followed rule
by rule, for packets of which a few fields are known; a rule that asks for another field is left out. libnftables-json(5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cli.doctor_checks import Check, Facts, Finding
from providers import firewall
from settings import Settings

Chain = Mapping[str, Any]
VERDICTS = ("accept", "drop", "reject", "queue", "jump", "goto", "return")
SILENT = (*VERDICTS, "counter", "log")
"""Statements that match all packets."""


@dataclass(frozen=True)
class Packet:
    """What is known of a packet: fields by name (`meta iifname`), and the only protocols it may have; none: any."""

    fields: Mapping[str, Any]
    protocols: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fate:
    """What becomes of a packet. `verdict` is None at a chain's end. `doubt`: a rule that was left out may accept it."""

    verdict: str | None
    doubt: bool = False


def foreign(settings: Settings, facts: Facts) -> list[Finding]:
    """A chain that surely drops what is forwarded for guests, or what they send to the server, breaks them."""
    found = []
    chains: list[Chain] = facts["filters"]
    for base in chains:
        table = {c["chain"]: c for c in chains if (c["family"], c["table"]) == (base["family"], base["table"])}
        names = interfaces(settings, base)
        fates = [fate(base, table, packet) for packet in packets(settings, base)]
        dropped = [one for one in fates if one.verdict == "drop"]
        if not dropped:
            continue
        place = f"{base['family']} {base['table']} {base['chain']}"
        forwards = base["hook"] == "forward"
        sides = ("iifname", "oifname") if forwards else ("iifname",)
        rules = "; ".join(f'insert rule {place} {side} "{name}" accept' for name in names for side in sides)
        doubt = not forwards and all(one.doubt for one in dropped)
        what = "what is forwarded for guests" if forwards else "what guests send to the server"
        found.append(
            Finding(
                f"the nftables chain `{place}`, not Sixstead's, {'may drop' if doubt else 'drops'} {what}",
                f"`nft '{rules}'` on the server, and the same in the settings of what made the chain (Docker, ufw, firewalld);"
                " Sixstead's own firewall goes on deciding",
                remark=doubt,
            )
        )
    return found


def interfaces(settings: Settings, base: Chain) -> list[str]:
    """Where guests' packets come and go, of the chain's family: IPv4 ones, those of a translator's tunnel alone."""
    bridges = [network.bridge for network in settings.networks.values()]
    inside = firewall.inside(settings)
    if base["hook"] != "forward":
        return [] if base["family"] == "ip" else bridges
    return [name for name in inside if base["family"] != "ip" or name not in bridges]


def packets(settings: Settings, base: Chain) -> list[Packet]:
    """What must pass a base chain at one of the two hooks: into and out of each guest network and each translator."""
    uplink, inside = settings.uplink.name, interfaces(settings, base)
    bridges = {network.bridge: network for network in settings.networks.values()}
    found = []
    for name in inside if base["hook"] == "forward" else ():
        family, back = ("ipv6", "new") if name in bridges else ("ipv4", "established")
        for source, destination, state in ((name, uplink, "new"), (uplink, name, back)):
            fields = {"meta nfproto": family, "meta iifname": source, "meta oifname": destination, "ct state": state}
            found.append(Packet(fields))
    for name in inside if base["hook"] == "input" else ():
        known = {"meta nfproto": "ipv6", "meta iifname": name}
        # neighbour discovery is no connection: conntrack calls it untracked
        solicit = {**known, "ct state": "untracked", "icmpv6 type": "nd-neighbor-solicit", "meta l4proto": "ipv6-icmp"}
        found.append(Packet(solicit, ("ip6", "icmpv6")))
        if bridges[name].dns64:
            query = {**known, "ct state": "new", "udp dport": 53, "th dport": 53, "meta l4proto": "udp"}
            found.append(Packet(query, ("ip6", "udp", "th")))
    return found


def fate(base: Chain, table: Mapping[str, Chain], packet: Packet) -> Fate:
    """What a base chain does with a packet."""
    end = walk(base, table, packet)
    return end if end.verdict else Fate("accept" if base["policy"] in (None, "accept") else "drop", end.doubt)


def walk(chain: Chain, table: Mapping[str, Chain], packet: Packet) -> Fate:
    """What a chain's rules do with a packet; chains that a rule jumps to are followed (nft(8) allows no loops)."""
    doubt = False
    for rule in chain["rules"]:
        statements = {name: value for statement in rule for name, value in statement.items()}
        kind = next((name for name in VERDICTS if name in statements), None)
        matches = fits(rule, packet)
        if matches is False:
            continue
        if matches is None or kind is None:
            doubt |= kind in ("accept", "queue", "jump", "goto") or "vmap" in statements
        elif kind in ("jump", "goto"):
            target = table.get(statements[kind]["target"])
            there = walk(target, table, packet) if target else Fate(None, True)
            doubt |= there.doubt
            if there.verdict or kind == "goto":
                return Fate(there.verdict, doubt)
        elif kind == "return":
            break
        else:
            return Fate("drop" if kind in ("drop", "reject") else "accept", doubt)
    return Fate(None, doubt)


def fits(rule: Iterable[Mapping[str, Any]], packet: Packet) -> bool | None:
    """Whether a rule's statements all match a packet; None where that is not known."""
    answers = [
        matched(value, packet) if name == "match" else True if name in SILENT else None
        for statement in rule
        for name, value in statement.items()
    ]
    return False if False in answers else None if None in answers else True


def matched(match: Mapping[str, Any], packet: Packet) -> bool | None:
    """Whether one expression holds; None where that is not known."""
    left = match["left"]
    kind, of = next(iter(left.items())) if isinstance(left, dict) else ("", None)
    if not isinstance(of, dict) or match["op"] not in ("==", "!=", "in"):
        return None
    if kind == "payload":
        protocol = of.get("protocol")
        if packet.protocols and protocol and protocol not in packet.protocols:
            return False
        field = f"{protocol} {of.get('field')}"
    else:
        field = f"{kind} {of.get('key')}"
    field = {"meta iif": "meta iifname", "meta oif": "meta oifname"}.get(field, field)
    if field not in packet.fields:
        return None
    there = among(packet.fields[field], match["right"])
    return there if match["op"] != "!=" or there is None else not there


def among(value: Any, right: Any) -> bool | None:
    """Whether a value is the right side of an expression or in it; `br*` is for all names that begin so."""
    if isinstance(right, dict) and set(right) == {"set"}:
        right = right["set"]
    options = right if isinstance(right, list) else [right]
    for option in options:
        wild = isinstance(option, str) and option.endswith("*") and str(value).startswith(option[:-1])
        if wild or option == value:
            return True
    vague = any(isinstance(option, dict) or str(option).startswith("@") for option in options)
    return None if vague else False


CHECKS = (Check("others' firewalls", "none drops what is the guests'", foreign),)
