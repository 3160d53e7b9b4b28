"""DNS64: unbound makes AAAA records for names that have only A (RFC 6147), for the guests and nobody else. unbound.conf(5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from providers import packages
from providers.host.agent.facets import State
from providers.host.provider import HostProvider, Props
from providers.host.resource import HostResource
from settings import Network, Settings

PATH = "/etc/unbound/unbound.conf.d/sixstead.conf"
UNIT, RUNNING = "unbound.service", "enabled, running"


def networks(settings: Settings) -> list[Network]:
    """Those whose guests are answered."""
    return [network for network in settings.networks.values() if network.dns64]


def render(settings: Settings) -> State:
    """unbound's additional configuration, and its unit.

    Answers are validated where unbound asks the roots itself; a forwarder is trusted to validate, as it is the only
    one that could be asked for the missing signatures.
    """
    served = networks(settings)
    dns64 = served[0].dns64
    assert dns64 is not None
    modules = "dns64 iterator" if dns64.forward else "dns64 validator iterator"
    lines = ["# Written by Sixstead.", "server:"]
    for network in served:
        lines.append(f"    interface: {network.prefix.address}")
        lines.append(f"    access-control: {network.prefix.prefix} allow")
        lines.append(f"    # for the guests on {network.bridge}; the firewall lets nobody else in")
    lines += ["    ip-freebind: yes", f'    module-config: "{modules}"', f"    dns64-prefix: {dns64.prefix}"]
    if dns64.forward:
        lines += ["forward-zone:", '    name: "."', *(f"    forward-addr: {address}" for address in dns64.forward)]
    text = "\n".join(lines) + "\n"
    return {"files": {PATH: text}, "units": {UNIT: RUNNING}, **packages.needed(packages.DNS64)}


def on_change(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """How unbound takes its new configuration. A reload leaves its sockets open, so that no question is lost; but it goes on
    listening on the old addresses (unbound.conf(5), `interface`)."""

    def listens(state: Mapping[str, Any]) -> list[str]:
        lines = str((state.get("files") or {}).get(PATH)).splitlines()
        return [line for line in lines if line.strip().startswith("interface:")]

    as_ours = (olds.get("units") or {}).get(UNIT) == RUNNING
    return "reload" if as_ours and listens(olds) == listens(news) else "restart"


def interruption(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """Whether guests are without their resolver for a moment."""
    value = (olds.get("units") or {}).get(UNIT, "")
    changed = (olds.get("files") or {}).get(PATH) != (news.get("files") or {}).get(PATH) or value.endswith("stale")
    restarts = "running" in value and changed and on_change(olds, news) == "restart"
    return "restarts the guests' resolver" if restarts else ""


class Dns64Provider(HostProvider):
    """How unbound takes a change depends on the change."""

    def interruption(self, olds: Props, news: Props) -> str:
        """Says when the resolver restarts."""
        return interruption(olds.get("state") or {}, news.get("state") or {})

    def how(self, props: Props, previous: State) -> Props:
        """A reload, or a restart."""
        return {**props["params"], "on_change": {UNIT: on_change(previous, props["state"])}}


class Dns64Resolver(HostResource, module="sixstead", name="Dns64"):
    """unbound with DNS64 on the guest bridges."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        params = {"on_change": {UNIT: "restart"}, "check": {UNIT: ["unbound-checkconf"]}}
        super().__init__(Dns64Provider(), name, render(settings), params=params, opts=opts)
