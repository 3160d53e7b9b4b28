"""What keeps the backends that a server does not use off its interfaces, whether they are there or not.

After a move from one backend to another, the old one's files may still name the interfaces; two that configure the same
interface at boot end in a server that can't be reached. ifup(8), systemd.network(5).
"""

from __future__ import annotations

from collections.abc import Sequence

from providers.host.agent.facets import State
from settings import Settings

HEADER = "# Written by Sixstead: another backend configures these interfaces.\n"
UNMANAGED = "/etc/systemd/network/0-sixstead-unmanaged.network"
SYSTEM = "/etc/systemd/system"
BOOT_UNIT = "networking.service"


def interfaces(settings: Settings) -> list[str]:
    """The uplink and the guest bridges."""
    return [settings.uplink.name, *(network.bridge for network in settings.networks.values())]


def networkd(names: Sequence[str]) -> State:
    """The first .network file that matches an interface counts, and this one says: leave it alone."""
    text = f"[Match]\nName={' '.join(names)}\n\n[Link]\nUnmanaged=yes\n"
    return {"files": {UNMANAGED: HEADER + text}}


def ifupdown(names: Sequence[str]) -> State:
    """`ifup -a` at boot passes over them, and what udev(7) starts for `allow-hotplug` does nothing."""
    excluded = f'[Service]\nEnvironment="EXCLUDE_INTERFACES={" ".join(names)}"\n'
    files = {f"{SYSTEM}/{BOOT_UNIT}.d/sixstead.conf": HEADER + excluded}
    for name in names:
        path = f"{SYSTEM}/ifup@{name}.service.d/sixstead.conf"
        files[path] = HEADER + f"[Unit]\nConditionPathExists=!{path}\n"
    return {"files": files}
