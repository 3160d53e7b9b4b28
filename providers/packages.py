"""The Debian packages that all features of a server need, in one apt transaction.

Deleted, the packages stay; the units that they brought are stopped and disabled. apt-get(8), dpkg(1).
"""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from settings import Settings

FIREWALL = ("nftables",)
ROUTER = ("radvd",)
NAT64 = ("tayga",)
DNS64 = ("unbound", "dns-root-data")
GUESTS = (
    "libvirt-daemon-system",
    "libvirt-clients",
    "python3-libvirt",
    "qemu-system-x86",
    "qemu-utils",
    "genisoimage",
)

BACKENDS = {"ifupdown": ("ifupdown",), "networkd": (), "netplan": ("netplan.io",)}

NOT_STARTED = ("tayga.service",)
"""A unit that its package would start with a configuration that is not ours is masked first, until the next boot."""


def names(settings: Settings) -> list[str]:
    """Package names, sorted."""
    networks = settings.networks.values()
    wanted = {*FIREWALL, *BACKENDS[settings.server.backend], *(ROUTER if networks else ())}
    wanted |= {*(NAT64 if settings.nat64_gateways else ()), *(DNS64 if any(n.dns64 for n in networks) else ())}
    wanted |= set(GUESTS if settings.guests else ())
    return sorted(wanted)


def needed(names: Iterable[str]) -> State:
    """What a feature wants of its packages: they are installed together, but what they brought is stopped only when the
    feature itself is gone, not while it still needs them to go."""
    return {"packages": dict.fromkeys(names, "installed")}


class PackagesProvider(HostProvider):
    """Only the name differs."""


class Packages(HostResource, module="sixstead", name="Packages"):
    """Installed packages."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        params = {"not_started": list(NOT_STARTED)}
        super().__init__(PackagesProvider(), name, needed(names(settings)), params=params, opts=opts)
