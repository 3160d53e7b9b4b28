"""A zone's records in master file format (RFC 1035, section 5), to be loaded or `$INCLUDE`d by the owner's own zone file.

SOA and NS records, and with them the zone's serial number, are the owner's: they are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.dns.records import parted


def zone_text(zone: str, records: Mapping[str, str]) -> str:
    """The text, in the records' order."""
    lines = ["; Written by Sixstead.", f"$ORIGIN {zone}."]
    for key, text in records.items():
        name, kind = key.split(" ")
        ttl, values = parted(text)
        lines += [f"{relative(name, zone)}\t{ttl}\tIN\t{kind}\t{rdata(kind, value)}" for value in values]
    return "\n".join(lines) + "\n"


def relative(name: str, zone: str) -> str:
    """A name as it stands in its zone's file: `@` is the zone itself."""
    return "@" if name == zone else name.removesuffix(f".{zone}")


def rdata(kind: str, value: str) -> str:
    """A value as it stands in a zone's file: names are whole ones."""
    return value if kind in ("A", "AAAA") else f"{value}."
