"""Which file systemd-networkd configures an interface by: `eth0` -> `/run/systemd/network/10-netplan-eth0.network`.

The first file that matches counts, in the order of their names, so one that an owner left behind can stand before the one
that is meant. systemd.network(5); the state files are those that sd-network reads.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .files import Files, capture_file
from .reload import NETWORKD, reload
from .system import sync_directory

CGROUP = "/sys/fs/cgroup/system.slice/systemd-networkd.service/cgroup.procs"
MOST = 5
"""So many files in a row are put away."""


def network_file(interface: str, root: str = "") -> str | None:
    """The file, or None where networkd does not run or does not configure this interface. Without a process."""
    with contextlib.suppress(OSError):
        with open(f"{root}{CGROUP}", encoding="ascii") as file:
            if not file.read().strip():
                return None
        with open(f"{root}/sys/class/net/{interface}/ifindex", encoding="ascii") as file:
            number = file.read().strip()
        with open(f"{root}/run/systemd/netif/links/{number}", encoding="utf-8") as file:
            found = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        return found.get("NETWORK_FILE") if found.get("ADMIN_STATE") != "unmanaged" else None
    return None


class Configured:
    """By this file and no other."""

    keeps_edits = False
    reads_files = True

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The path of the file that counts now."""
        return {name: path for name in wanted if (path := network_file(name))}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """All of the owner's .network files, whole."""
        paths = [entry.path for entry in os.scandir(NETWORKD)] if os.path.isdir(NETWORKD) else []
        files = {path: capture_file(path) for path in sorted(paths) if path.endswith(".network") and is_owners(path)}
        return {name: files for name in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Put away each of the owner's files that networkd takes instead; it is kept as the before-state."""
        reload(context)
        for name, path in wanted.items():
            for _ in range(MOST):
                now = network_file(name)
                if now is None or now == path or not now.startswith(NETWORKD) or not is_owners(now):
                    break
                os.unlink(now)
                sync_directory(os.path.dirname(now))
                context.notes.append(f"{now} also matched {name}: it is put away until `destroy`")
                context.reload.add(NETWORKD)
                reload(context)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Put back what is missing now."""
        for files in captured.values():
            missing = {path: was for path, was in (files or {}).items() if not os.path.lexists(path)}
            Files().restore(missing, context)


def is_owners(path: str) -> bool:
    """Whether a file is none of ours: those are named by the resource that they belong to."""
    return not os.path.basename(path).startswith("0-sixstead")
