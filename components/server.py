"""The server itself: its packages and its network, changed as one transaction."""

from __future__ import annotations

import pulumi

from providers import bridge, firewall, forwarding, ndp_proxy, uplink
from providers.bridge import Bridge, BridgeProvider
from providers.firewall import Firewall, FirewallProvider
from providers.forwarding import Forwarding, ForwardingProvider
from providers.host.agent.facets import State
from providers.host.resource import HostResource
from providers.host_network import HostNetwork
from providers.ndp_proxy import NdpProxy, NdpProxyProvider
from providers.packages import Packages
from providers.uplink import UplinkMember, UplinkProvider
from settings import Settings


class Server(pulumi.ComponentResource):
    """Packages, then the host network; `ready` is what everything else depends on."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("sixstead:Server", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        packages = Packages("packages", settings, child)
        sections: dict[str, State] = {}
        members: list[HostResource] = []

        def member(kind: type[HostResource], provider: type, key: str, state: State) -> None:
            sections[key] = state
            members.append(kind(provider(), key, state, opts=child))

        member(Forwarding, ForwardingProvider, "forwarding", forwarding.render())
        member(UplinkMember, UplinkProvider, "uplink", uplink.render(settings))
        for network in settings.networks.values():
            member(Bridge, BridgeProvider, f"bridge-{network.name}", bridge.render(settings, network))
        if any(prefix.on_link for prefix in settings.prefixes.values()):
            member(NdpProxy, NdpProxyProvider, "ndp-proxy", ndp_proxy.render(settings))
        member(Firewall, FirewallProvider, "firewall", firewall.render(settings))
        self.network = HostNetwork(
            "host-network", settings, sections, pulumi.ResourceOptions(parent=self, depends_on=[packages, *members])
        )
        self.register_outputs({})
