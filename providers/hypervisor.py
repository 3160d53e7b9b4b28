"""libvirt on the host: its sockets, and what starts guests with the server and shuts them down with it. libvirtd(8).

The daemon itself is started by its socket and ends when it has nothing to do, so only whether it starts at boot is wanted
of it: then it starts the guests that have autostart.
"""

from __future__ import annotations

import pulumi

from providers import packages
from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource


def render() -> State:
    """The units of Debian's monolithic libvirtd."""
    units = {
        "libvirtd.service": "enabled",
        "libvirtd.socket": "enabled, running",
        "virtlogd.socket": "enabled, running",
        "libvirt-guests.service": "enabled, running",
    }
    return {"units": units, **packages.needed(packages.GUESTS)}


class HypervisorProvider(HostProvider):
    """Only the name differs."""


class Hypervisor(HostResource, module="sixstead", name="Hypervisor"):
    """libvirt's units."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(HypervisorProvider(), name, render(), opts=opts)
