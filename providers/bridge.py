"""A guest bridge: the server is the router on it, with its own address and the whole /64. ip-link(8).

The uplink is not a port of it, so that no guest's MAC address ever leaves the server. A member of the host network.
"""

from __future__ import annotations

from providers.backends import backend_of
from providers.host.agent.facets import State, union
from providers.host.provider import MemberProvider
from providers.host.resource import HostResource
from settings import Network, Settings


def render(settings: Settings, network: Network) -> State:
    """The bridge now and at boot."""
    now: State = {
        "links": {network.bridge: f"bridge, {network.mac}, mtu {network.mtu}, up"},
        "addresses": {network.bridge: str(network.prefix.bridge_address)},
    }
    return union(backend_of(settings).bridge(network), now)


class BridgeProvider(MemberProvider):
    """Only the name differs."""


class Bridge(HostResource, module="sixstead", name="Bridge"):
    """A guest bridge's description."""
