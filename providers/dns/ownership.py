"""What a DNS update must find and what it changes, so that it touches only names of ours. Pure.

A name is ours where its marker says so: a TXT record at `_sixstead.NAME` that names the owner. The marker is made, checked
and removed in the same update as the records, as a prerequisite (RFC 2136, section 2.4) where it exists and by "name is not
in use" where it doesn't. So the server itself decides, in one step, and nobody can come in between. The state of the stack
only says which names to look at: a lost or an old one takes nothing over, and two stacks never both believe that a name is
theirs. The marker lies below the name as a CNAME tolerates nothing beside it, and as a name's other records (MX, TXT) are
the zone owner's business: they are never touched. Whoever wants to hand a name over adds the marker; who wants to
take it back removes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from providers.dns.records import by_name, parted
from settings.dns_model import MARKER

KINDS = {False: ("A", "AAAA", "CNAME"), True: ("PTR", "CNAME")}
"""What is kept at a name of ours, in a forward zone and in a reverse one."""

MARKER_TTL = 300
"""Seconds."""

OWNED = "sixstead owner="
"""How a marker begins."""

Line = tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What a server says of a name: the texts of its record sets by type, and of its marker (None: it has none)."""

    records: Mapping[str, str] = field(default_factory=dict)
    marker: str | None = None


@dataclass(frozen=True)
class Change:
    """One name's part of an update.

    Prerequisites: `says NAME TYPE VALUE`, `unused NAME`, `absent NAME TYPE`. Updates: `delete NAME TYPE`,
    `delete NAME TYPE VALUE`, `add NAME TTL TYPE VALUE`. In this order: a CNAME is only added where nothing else is.
    """

    prerequisites: tuple[Line, ...]
    updates: tuple[Line, ...]


@dataclass
class Plan:
    """`refused`: why nothing at all is sent. `kept`: what is left as it is, as somebody has changed it since."""

    changes: dict[str, Change] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def is_reverse(zone: str) -> bool:
    """Whether a zone has PTR records."""
    return zone.endswith(("ip6.arpa", "in-addr.arpa"))


def marker_name(name: str) -> str:
    """Where a name's owner is recorded; a wildcard's marker is beside it, as nothing lives below a wildcard."""
    return f"{MARKER}-any.{name[2:]}" if name.startswith("*.") else f"{MARKER}.{name}"


def marker_text(owner: str) -> str:
    """What the marker of an owner's name says."""
    return f"{OWNED}{owner}"


def marker_of(texts: Iterable[str]) -> str | None:
    """The marker among the TXT records that a server answers with; None where there is none.

    What says something else may come from a wildcard (RFC 4592), which an answer doesn't tell: whether the name has
    a record of its own is for the update's prerequisites, which are of what is in the zone (RFC 2136, section 3.2).
    """
    found = sorted(texts)
    return ", ".join(found) if any(text.startswith(OWNED) for text in found) else None


def plan(
    zone: str,
    owner: str,
    names: Iterable[str],
    previous: Mapping[str, str],
    wanted: Mapping[str, str],
    seen: Mapping[str, Seen],
    former: str = "",
) -> Plan:
    """The update that makes `names` have the wanted records, and no more the previous ones. `former`: the owner until now."""
    result = Plan()
    ours = (marker_text(owner), marker_text(former or owner))
    before, after = by_name(previous), by_name(wanted)
    for name in names:
        there = seen.get(name, Seen())
        if name in after:
            _write(result, zone, ours, name, after[name], there)
        else:
            _remove(result, ours, name, before.get(name, {}), there)
    return result


def _write(result: Plan, zone: str, ours: tuple[str, str], name: str, wanted: Mapping[str, str], there: Seen) -> None:
    adds = [line for kind, text in wanted.items() for line in added(name, kind, text)]
    mark, (text, _) = marker_name(name), ours
    marked = ("add", mark, str(MARKER_TTL), "TXT", text)
    if there.marker in ours:
        differing = {kind for kind in {*wanted, *there.records} if wanted.get(kind) != there.records.get(kind)}
        deletes = tuple(("delete", name, kind) for kind in sorted(differing & there.records.keys()))
        kept = tuple(line for line in adds if line[3] in differing)
        handed = (("delete", mark, "TXT", there.marker), marked) if there.marker != text else ()
        if differing or handed:
            result.changes[name] = Change((("says", mark, "TXT", there.marker),), (*deletes, *kept, *handed))
    elif there.marker is not None:
        result.refused.append(f"{name} belongs to somebody else: {mark} says `{there.marker}`, not `{text}`")
    else:
        # The zone's own name is always in use: by its SOA and NS records.
        apex = tuple(("absent", name, kind) for kind in KINDS[is_reverse(zone)])
        unused = apex if name == zone else (("unused", name),)
        result.changes[name] = Change((*unused, ("absent", mark, "TXT")), (*adds, marked))


def _remove(result: Plan, ours: tuple[str, str], name: str, previous: Mapping[str, str], there: Seen) -> None:
    mark, text = marker_name(name), there.marker
    values = {kind: set(parted(said)[1]) for kind, said in previous.items()}
    if text is None or text not in ours:
        if there.records:
            result.kept.append(f"{name} is no longer marked as ours: it is left as it is ({told(there.records)})")
        return
    deletes = [("delete", name, kind, value) for kind in sorted(values) for value in sorted(values[kind])]
    result.changes[name] = Change((("says", mark, "TXT", text),), (*deletes, ("delete", mark, "TXT", text)))
    for kind, said in there.records.items():
        others = [value for value in parted(said)[1] if value not in values.get(kind, set())]
        if others:
            result.kept.append(f"{name} {kind} {', '.join(others)} was not written by this stack: it is left as it is")


def added(name: str, kind: str, text: str) -> list[Line]:
    """The lines that add a record set."""
    ttl, values = parted(text)
    return [("add", name, str(ttl), kind, value) for value in values]


def told(records: Mapping[str, str]) -> str:
    """Record sets as a message names them."""
    return "; ".join(f"{kind} {', '.join(parted(text)[1])}" for kind, text in sorted(records.items()))


def owned(owner: str, seen: Mapping[str, Seen]) -> dict[str, str]:
    """The records at names of ours."""
    return {
        f"{name} {kind}": text
        for name, there in seen.items()
        if there.marker == marker_text(owner)
        for kind, text in sorted(there.records.items())
    }
