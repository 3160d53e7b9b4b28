"""A zone's records at a primary server that takes DNS updates, as one resource: all of them change in one step.

Create writes names that nobody uses or that are marked as ours; update writes what differs; delete removes what was
written, and keeps what somebody has changed since. A resource is named after the server and its port, so that a primary may
be called otherwise. A primary of the same name that has another `server` or `port` has moved: all is written there, and nothing
is removed where it was, which may be the same server by another address. By which key it is asked is today's config's to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers.host.errors import ServerError
from providers.host.provider import clean_errors, plain
from providers.host.sessions import warn
from settings.dns_model import Primary as Place

from .keys import key_named
from .ownership import Seen, owned, plan
from .places import dns_of, formerly
from .records import by_name

Props = dict[str, Any]
PRIMARIES: dict[tuple[Any, ...], Any] = {}
PRIMARIES_LOCK = threading.Lock()
REGISTERED: dict[tuple[str, str], tuple[str, int]] = {}
"""Server and port, by zone and primary's name, of the resources that the program has made in this run; `destroy` makes none."""


class ZoneRecordsProvider(ResourceProvider):
    """All of a process share one connection's worth of knowledge about each server, see `primary_of`."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the way to the stack's config: nothing is asked yet."""
        self.config: Callable[[str], Any] = req.config.get
        clean_errors()

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Nothing is left to refuse: the program has checked it all."""
        news = plain(news)
        REGISTERED[news["zone"], news["primary"]] = place_of(news)
        return CheckResult(news, [])

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Another zone is another resource. Another key or primary's name sends nothing, and is kept for the next time."""
        olds, news = plain(_olds), plain(_news)
        replaces = ["zone"] if olds.get("zone") != news.get("zone") else []
        counted = ("records", "owner", "server", "port", "key", "primary")
        changed = any(olds.get(key) != news.get(key) for key in counted)
        return DiffResult(changes=bool(replaces) or changed, replaces=replaces, delete_before_replace=True)

    def create(self, props: Props) -> CreateResult:
        """Write all of them."""
        props = plain(props)
        self.written(props, {}, props["records"])
        return CreateResult(f"{props['zone']}@{props['server']}", props)

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Write what differs, and remove what is no longer wanted."""
        olds, news = plain(_olds), plain(_news)
        moved = place_of(olds) != place_of(news)
        self.written(news, {} if moved else olds.get("records") or {}, news["records"], olds["owner"])
        return UpdateResult(news)

    def read(self, id_: str, props: Props) -> ReadResult:
        """What the server says of the names, as far as they are ours; gone where none of them is."""
        props = plain(props)
        if not props.get("records"):
            return ReadResult(id_, props, inputs=dict(props))
        seen = self.primary(props).look(props["zone"], by_name(props["records"]))
        records = owned(props["owner"], seen)
        if not records:
            return ReadResult(None, {})
        found = {**props, "records": records}
        return ReadResult(id_, found, inputs=dict(found))

    def delete(self, _id: str, _props: Props) -> None:
        """Remove what was written, unless the primary has moved."""
        props = plain(_props)
        now = REGISTERED.get((props["zone"], str(props.get("primary"))))
        if now and now != place_of(props):
            where = f"{props['zone']} at {props['server']} port {props['port']}"
            warn(
                f"{where}: the primary {props['primary']} is {now[0]} port {now[1]} now; what is here is left as it is"
            )
            return
        self.written(props, props.get("records") or {}, {})

    def primary(self, props: Mapping[str, Any]) -> Any:
        """The server that the zone is at."""
        return primary_of(self.config, props)

    def written(
        self, props: Props, previous: Mapping[str, str], wanted: Mapping[str, str], former: str | None = None
    ) -> None:
        """Make the names that differ have the wanted records. Raises ServerError, then none of them has changed.

        `former`: the owner until now, where that is another one: then all names get the new one's markers.
        """
        zone, owner = props["zone"], props["owner"]
        before, after = by_name(previous), by_name(wanted)
        handed = former not in (None, owner)
        names = [name for name in dict.fromkeys([*after, *before]) if handed or before.get(name) != after.get(name)]
        if not names:
            return
        primary = self.primary(props)
        intended = plan(zone, owner, names, previous, wanted, primary.look(zone, names), former or owner)
        if intended.refused:
            remedy = "rename it, or take the name over by changing that record; see docs/config.md, sixstead:dns"
            raise ServerError(zone, "\n  ".join([*intended.refused, "nothing was changed"]), remedy)
        primary.change(zone, intended.changes)
        for note in intended.kept:
            warn(f"{zone}: {note}")
        self.verify(props, wanted, intended.changes.keys() & after.keys(), primary.look)

    def verify(
        self,
        props: Props,
        wanted: Mapping[str, str],
        names: Iterable[str],
        look: Callable[[str, Iterable[str]], Mapping[str, Seen]],
    ) -> None:
        """Raises ServerError where the server took the update and says something else: it ignores what it finds absurd."""
        seen, after = look(props["zone"], sorted(names)), by_name(wanted)
        wrong = [name for name, there in seen.items() if dict(there.records) != after[name]]
        if wrong:
            what = f"{props['server']} took the update, and {', '.join(wrong)} does not say what was written"
            raise ServerError(props["zone"], what, "look at that server's log; another server may write there, too")


class ZoneRecords(Resource, module="sixstead", name="ZoneRecords"):
    """A zone's records. `records`: see records.py."""

    zone: pulumi.Output[str]
    records: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        zone: str,
        place: Place,
        owner: str,
        records: pulumi.Input[Mapping[str, str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs: dict[str, Any] = {"zone": zone, "owner": owner, "primary": place.name}
        inputs |= {"server": place.server, "port": place.port, "key": place.key, "records": records}
        opts = formerly(f"{zone}@{place.name}", opts)
        super().__init__(ZoneRecordsProvider(), f"{zone}@{place.at}", inputs, opts)


def place_of(props: Mapping[str, Any]) -> tuple[str, int]:
    """Server and port of a resource's inputs."""
    return str(props["server"]), int(props["port"])


def key_of(config: Callable[[str], Any], props: Mapping[str, Any]) -> str:
    """The name of the key that this server takes: as today's config says, or as it was where that has left the config."""
    found = dns_of(config)
    here = [p for p in found.primaries.values() if (p.server, p.port) == place_of(props)] if found else []
    zone = found.zones.get(str(props["zone"])) if found else None
    here.sort(key=lambda place: zone is None or place not in zone.primaries)
    return here[0].key if here else str(props["key"])


def primary_of(config: Callable[[str], Any], props: Mapping[str, Any]) -> Any:
    """The server of a resource's inputs, with the key of that name from the secret `tsigKey`: one for each process."""
    from .primary import Primary  # here, as dnspython is needed by the provider only

    server, port = place_of(props)
    key = key_named(config("tsigKey"), key_of(config, props), str(props["zone"]))
    with PRIMARIES_LOCK:
        return PRIMARIES.setdefault((server, port, key), Primary(server, port, key))
