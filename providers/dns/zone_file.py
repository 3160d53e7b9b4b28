"""A zone's records as a file on a server, in master file format, for the owner's own zone file to `$INCLUDE`."""

from __future__ import annotations

from typing import Any

import pulumi

from providers.dns.zone_text import zone_text
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from providers.host.sessions import Host, decoded, host_of
from settings.dns_model import Primary


def path(place: Primary, zone: str) -> str:
    """Where a zone's file is."""
    return f"{place.directory}/{zone}.sixstead"


class ZoneFileProvider(HostProvider):
    """Its server is that of a primary's `ssh`, as a `dns` stack has none of its own."""

    def __init__(self, primary: str) -> None:
        super().__init__()
        self.named = primary

    @property
    def host(self) -> Host:
        """The server that has the zone files."""
        primaries = (decoded(self.config("dns")) or {}).get("primaries") or {}
        server = {"ssh": (primaries.get(self.named) or {}).get("ssh"), "name": self.named}
        return host_of(lambda key: server if key == "server" else self.config(key))


class ZoneFile(HostResource, module="sixstead", name="ZoneFile"):
    """One zone's file, and the service that reads it."""

    def __init__(
        self,
        zone: str,
        place: Primary,
        records: pulumi.Output[dict[str, str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        text = records.apply(lambda known: zone_text(zone, known))
        state: dict[str, Any] = {"files": {path(place, zone): text}}
        if place.reload:
            state["units"] = {place.reload: "enabled, running"}
        params = {"on_change": {place.reload: "reload"}} if place.reload else None
        super().__init__(
            ZoneFileProvider(place.name), f"{zone}@{place.name}", state, key=f"zone {zone}", params=params, opts=opts
        )
