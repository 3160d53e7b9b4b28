"""A `dns` stack: it reads the server stacks' outputs and publishes their records."""

from __future__ import annotations

from typing import Any

import pulumi

from providers.dns.places import formerly
from providers.dns.records import Conflict, Records, by_name, parted, published, unpublished
from providers.dns.zone_files import ZoneFiles
from providers.dns.zone_records import ZoneRecords
from providers.dns.zone_text import rdata, relative, zone_text
from settings.dns_model import Dns, Primary, Zone


class Published(pulumi.ComponentResource):
    """All zones at all of their primaries, and the zones' texts as an output."""

    def __init__(self, name: str, dns: Dns) -> None:
        super().__init__("sixstead:Dns", name)
        child = pulumi.ResourceOptions(parent=self)
        found = pulumi.Output.all(**{stack: records_of(stack, child) for stack in dns.servers})
        zones = found.apply(lambda outputs: checked(dns, outputs))
        records = {name: zones.apply(lambda known, name=name: known[name]) for name in dns.zones}  # type: ignore[misc]
        for place in dns.primaries.values():
            here = [zone for zone in dns.zones.values() if place in zone.primaries]
            if place.provider == "file" and here:
                ZoneFiles(place, dns.owner, {zone.name: records[zone.name] for zone in here}, child)
            for zone in here:
                if place.provider == "rfc2136":
                    ZoneRecords(zone.name, place, dns.owner, records[zone.name], child)
                elif place.provider == "hcloud":
                    at_hetzner(zone, place, records[zone.name], dns.young, child)
        self.zones = zones.apply(lambda known: {name: zone_text(name, records) for name, records in known.items()})
        self.unpublished = found.apply(lambda outputs: unpublished(dns, outputs))
        self.register_outputs({})

    def export(self) -> None:
        """`zones`: their texts, by name; `unpublished`: names that lie in none of them."""
        pulumi.export("zones", self.zones)
        pulumi.export("unpublished", self.unpublished)


def records_of(stack: str, opts: pulumi.ResourceOptions) -> pulumi.Output[Any]:
    """A server stack's records. Raises pulumi.RunError, once they are known, where that stack has none."""
    whole = stack if "/" in stack else f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
    reference = pulumi.StackReference(stack.replace("/", "-"), whole, opts=opts)

    def known(records: Any) -> Any:
        if not isinstance(records, (list, tuple)):
            raise pulumi.RunError(f"stack {stack} has no output `records`: `./sixstead up -s {stack}` makes it")
        return records

    return reference.get_output("records").apply(known)


def checked(dns: Dns, outputs: dict[str, Any]) -> dict[str, Records]:
    """The zones' records. Raises pulumi.RunError."""
    try:
        return published(dns, outputs)
    except Conflict as error:
        raise pulumi.RunError(f"the stacks' names don't fit together; nothing was touched:\n{error}") from None


def at_hetzner(
    zone: Zone, place: Primary, records: pulumi.Output[Records], ttl: int, opts: pulumi.ResourceOptions
) -> None:
    """A zone at Hetzner's DNS, by Pulumi's own resources: a record set that somebody else made is refused by the service."""
    import pulumi_hcloud as hcloud  # here, as it takes longer to load than all of this program

    if place.create_zones:
        # Kept when it leaves the program: a zone goes with all that others have put into it.
        kept = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=True))
        was = formerly(f"{zone.name}@{place.name}", kept)
        made = hcloud.Zone(f"{zone.name}@{place.at}", name=zone.name, mode="primary", ttl=ttl, opts=was)
        opts = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[made]))

    def make(known: Records) -> None:
        for name, kinds in by_name(known).items():
            for kind, text in kinds.items():
                seconds, values = parted(text)
                hcloud.ZoneRrset(
                    f"{name} {kind}@{place.at}",
                    zone=zone.name,
                    name=relative(name, zone.name),
                    type=kind,
                    ttl=seconds,
                    records=[hcloud.ZoneRrsetRecordArgs(value=rdata(kind, value)) for value in values],
                    opts=formerly(f"{name} {kind}@{place.name}", opts),
                )

    records.apply(make)
