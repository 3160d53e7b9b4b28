"""libvirt on the host, through python3-libvirt as the distribution packages it."""

from __future__ import annotations

import contextlib
import glob
import importlib
import os
from collections.abc import Iterator
from typing import Any

from .system import HostError

URI = "qemu:///system"
DEFINITIONS = "/etc/libvirt/qemu"
"""Where libvirt keeps the persistent definitions, one file a domain."""
RUNNING = "/run/libvirt/qemu"
"""Where libvirt keeps the state of each running domain, NAME.xml."""


class NoLibvirt(HostError):
    """libvirt is not there or does not answer, so nobody can tell how the guests are."""


def module() -> Any:
    """The libvirt module. Raises NoLibvirt where it is not installed."""
    try:
        # libvirt is no part of the standard library: only those who need it import it.
        libvirt = importlib.import_module("libvirt")
    except ImportError:
        raise NoLibvirt("python3-libvirt is not installed", "run `up` again: it installs the packages first") from None
    libvirt.registerErrorHandler(lambda context, error: None, None)  # it would write each error to stderr
    return libvirt


@contextlib.contextmanager
def connection() -> Iterator[Any]:
    """A connection to the host's libvirt; its errors become HostErrors in libvirt's own words.

    Raises NoLibvirt where it can't be reached.
    """
    libvirt = module()
    try:
        connected = libvirt.open(URI)
    except libvirt.libvirtError as error:
        raise NoLibvirt(
            f"libvirt does not answer: {error}", "look at `systemctl status libvirtd` on the server"
        ) from None
    try:
        yield connected
    except libvirt.libvirtError as error:
        raise HostError(f"libvirt: {error}", "look at `journalctl -u libvirtd` on the server") from None
    finally:
        connected.close()


def definitions() -> Iterator[str]:
    """The text of each persistent definition, read without libvirt."""
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(DEFINITIONS):
            if entry.name.endswith(".xml") and entry.is_file():
                with open(entry.path, encoding="utf-8") as file:
                    yield file.read()


def running() -> list[str]:
    """The names of all domains that run, whoever made them; read without libvirt."""
    return sorted(path.removesuffix(".xml").rpartition("/")[2] for path in glob.glob(f"{RUNNING}/*.xml"))


def serves_others(unit: str) -> bool:
    """Whether stopping this unit would take a running domain down, or what it needs: once ours are gone, it is the owner's."""
    return unit.startswith(("libvirt", "virt")) and bool(running())


def is_defined(name: str) -> bool:
    """Whether a domain has a persistent definition; tells so without libvirt."""
    return os.path.exists(f"{DEFINITIONS}/{name}.xml")
