"""Daemons that keep the network's configuration in memory: once its files are written, they read it anew.

The kernel is changed by the agent itself; what the daemon does then comes to the same, and is waited for.
"""

from __future__ import annotations

import glob
import os
import time

from .facets import Context
from .system import HostError, run

NETWORKD, NETPLAN = "/etc/systemd/network/", "/etc/netplan/"
UNMANAGED, STOP = "-unmanaged.network", "stop"
"""A file of ours by which networkd leaves links alone. Told to reload, networkd takes from such a link what it has configured,
and so it does when it is restarted; stopped, it leaves all as it is, and at the next boot there is nothing to take."""
SETTLE_SECONDS = 15
UNSETTLED = ("pending", "initialized", "configuring")


def wrote(path: str, context: Context) -> None:
    """Remember that a file of a daemon's was written or removed."""
    context.reload.update(prefix for prefix in (NETWORKD, NETPLAN) if path.startswith(prefix))
    if path.startswith(NETWORKD) and path.endswith(UNMANAGED):
        context.reload.add(STOP)


def reload(context: Context) -> None:
    """Let the daemons whose files changed read them. Raises HostError if a link does not come to rest."""
    changed, context.reload = context.reload, set()
    if not changed:
        return
    if NETPLAN in changed:
        # at boot netplan's own generator has already run, with the files as they were then
        run(["netplan", "generate"])
    if context.at_boot:
        return
    if run(["systemctl", "is-active", "--quiet", "systemd-networkd.service"], check=False).code != 0:
        return
    if STOP in changed and glob.glob(f"{NETWORKD}*{UNMANAGED}"):
        context.notes.append("systemd-networkd is stopped until the next boot: it would take the addresses away")
        run(["systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service"])
        return
    context.progress("systemd-networkd reads its configuration")
    run(["networkctl", "reload"])
    deadline = time.monotonic() + SETTLE_SECONDS
    while moving := unsettled():
        if time.monotonic() > deadline:
            raise HostError(f"systemd-networkd is still configuring {', '.join(moving)} after {SETTLE_SECONDS} s",
                            "look at `networkctl status` on the server")  # fmt: skip
        time.sleep(0.1)


def unsettled() -> list[str]:
    """The links, by number, that systemd-networkd is at work on: its state files, as sd-network reads them."""
    found = []
    for path in glob.glob("/run/systemd/netif/links/*"):
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            continue
        if any(line == f"ADMIN_STATE={state}" for line in lines for state in UNSETTLED):
            found.append(os.path.basename(path))
    return sorted(found)
