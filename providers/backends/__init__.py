"""How a server keeps its network over a reboot: one module for each backend, all of the same form.

`uplink(settings)`, `bridge(network)` and `ndp_proxy(uplink, addresses)` give what must lie on the disk; what the kernel must
have now is the same for all of them, and stands in the members themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Protocol

from providers.backends import ifupdown, netplan, networkd
from providers.host.agent.facets import State
from settings import Network, Settings, Uplink


class Backend(Protocol):
    """What renders the persistent side of the network."""

    def uplink(self, settings: Settings) -> State:
        """The uplink with its addresses and routes."""
        ...

    def plain(self, settings: Settings) -> State:
        """The uplink as a server without us would have it: what `destroy` leaves where the old files do not fit."""
        ...

    def bridge(self, network: Network) -> State:
        """One guest bridge."""
        ...

    def ndp_proxy(self, uplink: Uplink, addresses: Sequence[IPv6Address]) -> State:
        """The addresses for which the uplink answers neighbour solicitations."""
        ...


BACKENDS: dict[str, Backend] = {"ifupdown": ifupdown, "networkd": networkd, "netplan": netplan}


def backend_of(settings: Settings) -> Backend:
    """The server's own."""
    return BACKENDS[settings.server.backend]
