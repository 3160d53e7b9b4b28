"""The server itself: its packages and its network, changed as one transaction."""

from __future__ import annotations

from typing import NamedTuple

import pulumi

from providers import bridge, firewall, forwarding, ndp_proxy, operators, uplink
from providers.bridge import Bridge, BridgeProvider
from providers.firewall import Firewall, FirewallProvider
from providers.forwarding import Forwarding, ForwardingProvider
from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from providers.host_network import HostNetwork
from providers.ndp_proxy import NdpProxy, NdpProxyProvider
from providers.operators import Operators, OperatorsProvider
from providers.packages import Packages
from providers.uplink import UplinkMember, UplinkProvider
from settings import Settings


class Member(NamedTuple):
    """A part of the host network: its resource class, its provider, its name and what it wants."""

    kind: type[HostResource]
    provider: type[HostProvider]
    key: str
    state: State


def members(settings: Settings) -> list[Member]:
    """All parts of the host network."""
    found = [
        Member(Forwarding, ForwardingProvider, "forwarding", forwarding.render()),
        Member(UplinkMember, UplinkProvider, "uplink", uplink.render(settings)),
    ]
    for network in settings.networks.values():
        found.append(Member(Bridge, BridgeProvider, f"bridge-{network.name}", bridge.render(settings, network)))
    if any(prefix.on_link for prefix in settings.prefixes.values()):
        found.append(Member(NdpProxy, NdpProxyProvider, "ndp-proxy", ndp_proxy.render(settings)))
    if settings.server.operators:
        found.append(Member(Operators, OperatorsProvider, "operators", operators.render(settings)))
    return [*found, Member(Firewall, FirewallProvider, "firewall", firewall.render(settings))]


class Server(pulumi.ComponentResource):
    """Packages, then the host network; `ready` is what everything else depends on."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("sixstead:Server", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        packages = Packages("packages", settings, child)
        wanted = members(settings)
        sections = {member.key: member.state for member in wanted}
        self.network = HostNetwork(
            "host-network", settings, sections, pulumi.ResourceOptions(parent=self, depends_on=[packages])
        )
        # After it, so that a change that did not hold is shown by the next preview again, line by line.
        applied = pulumi.ResourceOptions(parent=self, depends_on=[self.network])
        for member in wanted:
            member.kind(member.provider(), member.key, member.state, opts=applied)
        self.register_outputs({})
