"""libvirt on the host: its sockets, and what starts guests with the server and shuts them down with it. libvirtd(8).

The daemon itself is started by its socket and ends when it has nothing to do, so only whether it starts at boot is wanted
of it: then it starts the guests that have autostart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi

from providers import packages
from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from settings import Settings

DAEMON, KEEPER = "libvirtd.service", "libvirt-guests.service"
DROP_IN = "/etc/systemd/system/{}.d/sixstead.conf"
PATH = "/etc/sixstead/shut-down-guests"
SCRIPT = Path(__file__).with_name("shut_down_guests.sh").read_text(encoding="utf-8")
PARAMS = {"on_change": {KEEPER: "start"}}
"""systemd reads what changed, and nothing is restarted for it: that would shut the guests down."""
SHUTDOWN_SECONDS = 300
"""How long a server that goes down waits for its guests: more than the script's own 180 s."""
BRIDGE_SECONDS = 30
"""How long libvirt waits at boot for the bridges of its guests."""


def render(settings: Settings) -> State:
    """The units of Debian's monolithic libvirtd, and what they lack for a boot and a shutdown."""
    units = {
        DAEMON: "enabled",
        "libvirtd.socket": "enabled, running",
        "virtlogd.socket": "enabled, running",
        KEEPER: "enabled, running",
    }
    files: dict[str, Any] = {
        PATH: {"text": SCRIPT, "mode": "0755", "owner": "root:root"},
        DROP_IN.format(KEEPER): shutdown(),
        DROP_IN.format(DAEMON): boot(settings),
    }
    return {"files": files, "units": units, **packages.needed(packages.GUESTS)}


def shutdown() -> str:
    """Guests are shut down before libvirt stops: Debian's unit stops beside it, finds nobody to ask, and the guests are
    killed with the server. What is After= another stops before it (systemd.unit(5)); nothing more, as guests go on while
    libvirtd restarts. All are asked together, before the unit's own command would go from one to the next.
    Debian sets no limit: a libvirtd that hangs would keep the server from ever going down."""
    stop = f"ExecStop=\nExecStop=/bin/sh {PATH}\nTimeoutStopSec={SHUTDOWN_SECONDS}\n"
    return f"# Written by Sixstead.\n[Unit]\nAfter={DAEMON}\n\n[Service]\n{stop}"


def boot(settings: Settings) -> str:
    """Guests are started once their bridges are there: systemd-networkd says that it is ready before it has made them,
    and libvirt tries to start a guest once."""
    bridges = " ".join(network.bridge for network in settings.networks.values())
    wait = (
        f"n={BRIDGE_SECONDS * 10}; for bridge in {bridges}; do "
        "until [ -e /sys/class/net/$$bridge ] || [ $$n -le 0 ]; do sleep 0.1; n=$$((n - 1)); done; done"
    )
    return f"# Written by Sixstead.\n[Service]\nExecStartPre=-/bin/sh -c '{wait}'\n"


class HypervisorProvider(HostProvider):
    """Only the name differs."""


class Hypervisor(HostResource, module="sixstead", name="Hypervisor"):
    """libvirt's units."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(HypervisorProvider(), name, render(settings), params=PARAMS, opts=opts)
