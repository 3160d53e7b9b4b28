"""What `./sixstead doctor` wants to know of this server: facts as the server says them. Nothing is written, no lock is taken.

What they mean is decided on the operator's side, by pure functions. A fact that could not be had is None.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import time
from collections.abc import Mapping
from typing import Any

from .facets import Registry
from .network import ip_json
from .nft import foreign
from .sshd import configuration
from .stale import stale
from .system import run
from .transaction import UNDO
from .units import parse, show

SYNCHRONISED_BELOW = 16_000_000
"""Microseconds: the kernel's maximum error of a clock that nothing disciplines (NTP_PHASE_LIMIT); timedatectl looks at it too."""


def examine(registry: Registry, args: Mapping[str, Any]) -> dict[str, Any]:
    """All facts. `args`: `sysctls`, `units`, `nft`, `disks` name what is looked at (`nft` as the facet wants it)."""
    looked = {"sysctls": dict.fromkeys(args["sysctls"], ""), "nft": args["nft"]}
    return {
        "time": time.time(),
        "synchronised": synchronised(),
        "owned": any(registry.manifest.names()),
        "armed": age(UNDO),
        "links": ip_json(["-details", "address", "show"]),
        "routes4": ip_json(["-4", "route", "show", "default"]),
        "routes6": ip_json(["-6", "route", "show"]),
        **{"sysctls": {}, "nft": {}, **registry.observe(looked)},
        "filters": foreign(args["nft"]),
        "units": {unit: parse(shown, stale(unit)) for unit, shown in show(args["units"]).items()},
        "mdstat": text("/proc/mdstat"),
        "disks": {path: space(path) for path in args["disks"]},
        "kernel": {"release": os.uname().release, "version": os.uname().version},
        "packages": packages("linux-image-[0-9]*", "radvd"),
        "reboot_required": reboot_required(),
        "sshd": configuration("root"),
        "root_shadow": password_of("root"),
    }


def text(path: str) -> str | None:
    """A file's text."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
    return None


def age(path: str) -> float | None:
    """Seconds since a file was written; None where there is none."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return time.time() - os.stat(path).st_mtime
    return None


def synchronised() -> bool | None:
    """Whether something disciplines the clock: adjtimex(2) with nothing to set; `struct timex` of 64-bit Linux."""
    buffer = ctypes.create_string_buffer(1024)
    if ctypes.CDLL(None).adjtimex(buffer) < 0:
        return None
    maxerror: int = struct.unpack_from("@I4x3q", buffer.raw)[3]
    return maxerror < SYNCHRONISED_BELOW


def space(path: str) -> dict[str, int] | None:
    """Size and what is free of a path's file system, in bytes and in inodes (0 where it counts none)."""
    with contextlib.suppress(OSError):
        found = os.statvfs(path)
        return {
            "device": os.stat(path).st_dev,
            "bytes": found.f_blocks * found.f_frsize,
            "bytes_free": found.f_bavail * found.f_frsize,
            "inodes": found.f_files,
            "inodes_free": found.f_favail,
        }
    return None


def packages(*patterns: str) -> dict[str, str]:
    """Versions of installed packages, by name."""
    form = "${db:Status-Status} ${Package} ${Version}\n"
    said = run(["dpkg-query", "--show", "--showformat", form, *patterns], check=False).out
    rows = [line.split() for line in said.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == "installed"}


def reboot_required() -> list[str] | None:
    """The packages that ask for a reboot (the file is made by their hooks); None where nothing asks."""
    if not os.path.exists("/run/reboot-required"):
        return None
    return sorted(set((text("/run/reboot-required.pkgs") or "").split()))


def password_of(user: str) -> str | None:
    """`set`, `empty` or `locked` (shadow(5)); the hash stays here."""
    for line in (text("/etc/shadow") or "").splitlines():
        name, _, rest = line.partition(":")
        if name == user:
            field = rest.partition(":")[0]
            return "locked" if field.startswith(("!", "*")) else "set" if field else "empty"
    return None
