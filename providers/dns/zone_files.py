"""Zones' records as files on a server, in master file format, for the owner's own zone files to `$INCLUDE`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import pulumi
from pulumi.dynamic import CheckResult, DiffResult

from providers.dns.places import dns_of, formerly
from providers.dns.zone_text import zone_text
from providers.host.agent.holder import ZONE_FILES
from providers.host.provider import HostProvider, Props, plain
from providers.host.resource import HostResource
from providers.host.sessions import Host, host_of, warn
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


def where(ssh: Mapping[str, Any]) -> tuple[str, int]:
    """The server that a login is at: host and port."""
    return str(ssh["host"]).lower(), int(ssh.get("port") or 22)


def today(named: str, ssh: Mapping[str, Any], places: Iterable[Primary]) -> Mapping[str, Any]:
    """How to log in to the server of `ssh` by today's config: a primary of this name first, then any other that is there."""
    there = [(place.name != named, typed(place.ssh)) for place in places if place.ssh]
    here = sorted((entry for entry in there if where(entry[1]) == where(ssh)), key=lambda entry: entry[0])
    return here[0][1] if here else ssh


REGISTERED: dict[str, tuple[str, int]] = {}
"""The servers of the file primaries that the program has made in this run, by name; `destroy` makes none."""


class ZoneFilesProvider(HostProvider):
    """Its server is that of a primary's `ssh`, as a `dns` stack has none of its own.

    How to log in stands in the state, too: a file outlives the section of the config that made it. A primary of the same
    name that is at another server or port has moved, and nothing is removed where it was: it may be the same server.
    """

    def __init__(self, place: Primary) -> None:
        super().__init__()
        self.named = place.name
        self.ssh = typed(place.ssh) if place.ssh else {}

    def of_stack(self) -> Self:
        """Nobody's: who has zone files on a server does not hold it."""
        return self

    @property
    def host(self) -> Host:
        """The server that has the zone files. Its primaries share a session, whatever they are called: it has one writer."""
        found = dns_of(self.config)
        ssh = today(self.named, self.ssh, found.primaries.values() if found else ())
        server = {"ssh": ssh, "name": ssh["host"]}
        return host_of(lambda key: server if key == "server" else self.config(key))

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Note which server this run has for the primary."""
        REGISTERED[self.named] = where(self.ssh)
        return super().check(_olds, news)

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Another name or login changes nothing on the server, and is kept for the next time. Another owner's files are
        the same ones under another key: they are taken over before the old key goes."""
        found = super().diff(_id, _olds, _news)
        changed = found.changes or plain(_olds).get("place") != plain(_news).get("place")
        return DiffResult(changes=changed, replaces=found.replaces, delete_before_replace=False)

    def delete(self, _id: str, _props: Props) -> None:
        """Give everything back, unless the primary has moved."""
        now = REGISTERED.get(self.named)
        if now and now != where(self.ssh):
            what = (
                f"the primary {self.named} is at {now[0]} port {now[1]} now; the zone files here are left as they are"
            )
            warn(f"{self.ssh['host']}: {what}")
            return
        super().delete(_id, _props)


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
        key = f"{ZONE_FILES}{owner} in {place.directory}"
        provider = ZoneFilesProvider(place)
        more = {"place": {"primary": place.name, "ssh": provider.ssh}}
        opts = formerly(f"zones@{place.name}", opts)
        super().__init__(provider, f"zones@{place.at}", state, key=key, params=params, more=more, opts=opts)
