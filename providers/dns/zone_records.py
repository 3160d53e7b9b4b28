"""A zone's records at a primary server that takes DNS updates, as one resource: all of them change in one step.

Create writes names that nobody uses or that are marked as ours; update writes what differs; delete removes what was
written, and keeps what somebody has changed since. Another `server` or `port` is the same zone elsewhere: all is written
there, and nothing is removed where it was.
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
from .records import by_name

Props = dict[str, Any]
PRIMARIES: dict[tuple[Any, ...], Any] = {}
PRIMARIES_LOCK = threading.Lock()


class ZoneRecordsProvider(ResourceProvider):
    """All of a process share one connection's worth of knowledge about each server, see `primary_of`."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the way to the stack's config: nothing is asked yet."""
        self.config: Callable[[str], Any] = req.config.get
        clean_errors()

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Nothing is left to refuse: the program has checked it all."""
        return CheckResult(plain(news), [])

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Another zone or owner is another resource; by which key the server is asked is no part of it."""
        olds, news = plain(_olds), plain(_news)
        replaces = [key for key in ("zone", "owner") if olds.get(key) != news.get(key)]
        changed = any(olds.get(key) != news.get(key) for key in ("records", "server", "port"))
        return DiffResult(changes=bool(replaces) or changed, replaces=replaces, delete_before_replace=True)

    def create(self, props: Props) -> CreateResult:
        """Write all of them."""
        props = plain(props)
        self.written(props, {}, props["records"])
        return CreateResult(f"{props['zone']}@{props['server']}", props)

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Write what differs, and remove what is no longer wanted."""
        olds, news = plain(_olds), plain(_news)
        moved = (olds.get("server"), olds.get("port")) != (news["server"], news["port"])
        self.written(news, {} if moved else olds.get("records") or {}, news["records"])
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
        """Remove what was written."""
        props = plain(_props)
        self.written(props, props.get("records") or {}, {})

    def primary(self, props: Mapping[str, Any]) -> Any:
        """The server that the zone is at."""
        return primary_of(self.config, props)

    def written(self, props: Props, previous: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Make the names that differ have the wanted records. Raises ServerError, then none of them has changed."""
        before, after = by_name(previous), by_name(wanted)
        names = [name for name in dict.fromkeys([*after, *before]) if before.get(name) != after.get(name)]
        if not names:
            return
        zone, owner, primary = props["zone"], props["owner"], self.primary(props)
        intended = plan(zone, owner, names, previous, wanted, primary.look(zone, names))
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
        inputs = {"zone": zone, "owner": owner, "server": place.server, "port": place.port, "key": place.key}
        super().__init__(ZoneRecordsProvider(), f"{zone}@{place.name}", {**inputs, "records": records}, opts)


def primary_of(config: Callable[[str], Any], props: Mapping[str, Any]) -> Any:
    """The server of a resource's inputs, with the key of that name from the secret `tsigKey`: one for each process."""
    from .primary import Primary  # here, as dnspython is needed by the provider only

    server, port = str(props["server"]), int(props["port"])
    key = key_named(config("tsigKey"), str(props["key"]), str(props["zone"]))
    with PRIMARIES_LOCK:
        return PRIMARIES.setdefault((server, port, key), Primary(server, port, key))
