"""The host's network as one thing: all members' sections are applied as one transaction that must be confirmed.

Uplink, bridges, forwarding, NDP proxy, operators' keys and firewall are members: described, previewed and observed one
by one. This resource is given the same sections, comes before them, and is the only one that changes the host. The change is
armed to undo itself, applied, verified by the host, and confirmed by the operator over a new SSH connection, on every
address family that worked before. What left the list is removed in the same transaction. Deleted, it brings the old
network back, in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult, CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from providers.host.agent.facets import State
from providers.host.errors import ServerError, log
from providers.host.provider import HostProvider, Props, fingerprint, plain
from providers.host.sessions import Host, tell
from providers.uplink import plain as plain_uplink
from settings import Settings

ROLL_BACK_SECONDS = 15
"""How long the old connection may take to say that the change was undone; the server's own timer does it otherwise."""
RESCUE = "`./sixstead restore -s STACK` tells the way through the rescue system"


class HostNetworkProvider(HostProvider):
    """Applies all sections as one transaction."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Show which sections are applied, by a short hash each: their texts stand in the members."""
        news = plain(news)
        try:
            news["applies"] = fingerprint(json.loads(news["desired"]))
        except (TypeError, ValueError, AttributeError):
            return CheckResult(news, [CheckFailure("desired", "must be JSON: sections by name")])
        return CheckResult(news, [])

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Sections are compared by their hashes."""
        return DiffResult(changes=plain(_olds).get("applies") != plain(_news).get("applies"))

    def create(self, props: Props) -> CreateResult:
        """Apply; an existing network of ours is adopted without a change."""
        return CreateResult("host-network", self.apply(plain(props), {}, []))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Apply the difference."""
        olds = plain(_olds)
        addresses = (olds.get("params") or {}).get("confirm_at", [])
        return UpdateResult(self.apply(plain(_news), json.loads(olds.get("desired") or "{}"), addresses))

    def read(self, id_: str, props: Props) -> ReadResult:
        """Observe all sections."""
        props = plain(props)
        sections = json.loads(props.get("desired") or "{}")
        observed = self.host.observe_many(sections)
        seen = {**props, "desired": json.dumps(observed, sort_keys=True), "applies": fingerprint(observed)}
        return ReadResult(id_, seen, inputs=dict(seen))

    def delete(self, _id: str, _props: Props) -> None:
        """The network as it was before."""
        props = plain(_props)
        params = {**(props.get("params") or {}), "forwards": False, "guests": []}
        self.transact({}, json.loads(props.get("desired") or "{}"), params, params.get("confirm_at", []))

    def apply(self, props: Props, previous: Mapping[str, State], previous_addresses: Sequence[str]) -> Props:
        """The outputs after the transaction."""
        self.transact(json.loads(props["desired"]), previous, props.get("params") or {}, previous_addresses)
        return props

    def transact(
        self,
        sections: Mapping[str, State],
        previous: Mapping[str, State],
        params: Mapping[str, Any],
        previous_addresses: Sequence[str],
    ) -> None:
        """Begin, reconnect on every address family that worked before, confirm; undo at once where that fails."""
        host = self.host
        wanted = list(params.get("confirm_at", []))
        asked = list(dict.fromkeys([*wanted, *previous_addresses]))
        with ThreadPoolExecutor() as pool:
            answered = [a for a, yes in zip(asked, pool.map(host.answers_at, asked), strict=True) if yes]
        addresses = to_confirm(wanted, answered) or [host.where.host]
        gone = sorted(set(previous) - set(sections))
        # Of the others the preview said that they stay the same.
        changed = sorted(key for key, state in sections.items() if previous.get(key) != state)
        answer = self.change(
            "network",
            {
                "entries": dict(sections),
                "previous": list(previous.values()),
                "gone": gone,
                "changed": changed,
                "params": {**params, "login": host.login()},
            },
        )
        if answer["changed"]:
            confirm(host, addresses, answer["token"])


def to_confirm(wanted: Sequence[str], answered: Sequence[str]) -> list[str]:
    """At which of the server's future addresses the operator must get in: at those where that works already, and at
    one more of each address family in which it works now, where all of that family's addresses are new."""
    found = [address for address in wanted if address in answered]
    for version in {ip_address(address).version for address in answered}:
        mine = [address for address in wanted if ip_address(address).version == version]
        if not set(mine) & set(found):
            found += mine[:1]
    return found


def confirm(host: Host, addresses: list[str], token: str) -> None:
    """Come in anew at each address, then confirm. Raises ServerError after undoing the change."""
    tell(f"{host.where}: confirming the network change over new connections to {', '.join(addresses)}")
    try:
        for address in addresses[:-1]:
            if not host.answers_at(address):
                raise ServerError(str(host.where), f"no new SSH connection to {address} after the change")
        address = addresses[-1]
        host.confirm(address, token)
    except ServerError as error:
        undone = undo(host)
        if undone is False:
            raise ServerError(
                str(host.where),
                f"the network change holds, but the answer to its confirmation was lost: {error.what}",
                "run `up` again: it finds the network as it is wanted",
            ) from None
        now = "it was undone" if undone else "the server undoes it by itself within a minute"
        what = error.what if address in error.what else f"at {address}: {error.what}"
        raise ServerError(
            str(host.where),
            f"the network change was not confirmed, so {now}: {what}",
            what_to_do(bool(undone)),
        ) from None


def what_to_do(undone: bool) -> str:
    """After a change that was not confirmed; where the server did not say that it was undone, the way back is named."""
    again = "the server has its old network; correct the config and run `up` again"
    return again if undone else f"{again}. If it stays unreachable, {RESCUE}"


def undo(host: Host) -> bool | None:
    """Ask the server to undo the change now, over the old connection; False where nothing was left to undo, as the
    change is confirmed, None where that connection does not work any more."""
    if host.session is None or host.session.broken:
        return None
    try:
        return not bool(host.session.request("roll_back", {}, ROLL_BACK_SECONDS)["holds"])
    except ServerError as error:
        log(f"{host.where}: the change could not be undone over the old connection: {error}")
        return None


class HostNetwork(Resource, module="sixstead", name="HostNetwork"):
    """The transaction over all sections. `desired` is passed as a secret only so that it isn't shown twice."""

    applies: pulumi.Output[dict[str, str]]

    def __init__(
        self,
        name: str,
        settings: Settings,
        sections: Mapping[str, State],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "desired": pulumi.Output.secret(json.dumps(dict(sections), sort_keys=True)),
            "applies": {},
            "params": params_of(settings),
        }
        super().__init__(HostNetworkProvider().of_stack(), name, inputs, opts)


def params_of(settings: Settings) -> dict[str, Any]:
    """How a change is confirmed, and what the server looks at by itself before that."""
    uplink, networks, guests = settings.uplink, settings.networks.values(), settings.guests.values()
    own = [str(uplink.ipv4.address.ip)] if uplink.ipv4 else []
    return {
        "confirm_at": own + [str(prefix.address) for prefix in settings.prefixes.values()],
        "ssh_port": settings.server.ssh.port,
        "uplink": uplink.name,
        "mac": uplink.mac,
        "plain": plain_uplink(settings),
        "forwards": bool(networks),
        "guests": [str(guest.address) for guest in guests],
        "inside": [*(network.mac for network in networks), *(guest.mac for guest in guests)],
    }
