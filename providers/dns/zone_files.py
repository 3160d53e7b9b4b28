"""Zones' records as files on a server, in master file format, for the owner's own zone files to `$INCLUDE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from providers.dns.zone_text import zone_text
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from providers.host.sessions import Host, decoded, host_of
from settings.dns_model import Primary
from settings.model import Ssh


def path(place: Primary, zone: str) -> str:
    """Where a zone's file is."""
    return f"{place.directory}/{zone}.sixstead"


def typed(ssh: Ssh) -> dict[str, Any]:
    """How to log in, as it stands in a config."""
    found = {
        "host": ssh.host,
        "host_key": list(ssh.host_keys),
        "port": ssh.port,
        "user": ssh.user,
        "config": ssh.config,
    }
    return {**found, "identity_file": ssh.identity_file} if ssh.identity_file else found


class ZoneFilesProvider(HostProvider):
    """Its server is that of a primary's `ssh`, as a `dns` stack has none of its own.

    How to log in stands in the state, too: a file outlives the section of the config that made it.
    """

    def __init__(self, place: Primary) -> None:
        super().__init__()
        self.named = place.name
        self.ssh = typed(place.ssh) if place.ssh else {}

    @property
    def host(self) -> Host:
        """The server that has the zone files."""
        primaries = (decoded(self.config("dns")) or {}).get("primaries") or {}
        ssh = (primaries.get(self.named) or {}).get("ssh") or self.ssh
        server = {"ssh": ssh, "name": self.named}
        return host_of(lambda key: server if key == "server" else self.config(key))


class ZoneFiles(HostResource, module="sixstead", name="ZoneFiles"):
    """The files of all zones at one place, and the service that reads them."""

    def __init__(
        self,
        place: Primary,
        owner: str,
        zones: Mapping[str, pulumi.Output[dict[str, str]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        texts = {
            path(place, zone): records.apply(lambda known, zone=zone: zone_text(zone, known))  # type: ignore[misc]
            for zone, records in zones.items()
        }
        state: dict[str, Any] = {"files": texts}
        if place.reload:
            state["units"] = {place.reload: "enabled, running"}
        params = {"on_change": {place.reload: "reload"}} if place.reload else None
        key = f"zone files of {owner}"
        super().__init__(ZoneFilesProvider(place), f"zones@{place.name}", state, key=key, params=params, opts=opts)
