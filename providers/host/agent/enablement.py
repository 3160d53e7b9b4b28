"""Units' enablement where no systemd runs that may be asked: the links in /etc/systemd/system. systemctl(1), systemd.unit(5).

By hand rather than with `systemctl --root`: the rescue system's may be missing, older than the unit files, or follow
links out of the root; the root's own may be of another architecture. `Also=` is not followed: what was captured names
its units one by one.
"""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .system import HostError, make_dirs, sync_directory

SYSTEM = "/etc/systemd/system"
SEARCHED = (SYSTEM, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
WANTED = {"WantedBy": "wants", "RequiredBy": "requires", "UpheldBy": "upholds"}


class Enablement:
    """`enabled`, `disabled` or `masked`: what the links say. Nothing is started or stopped."""

    keeps_edits = False
    reads_files = True

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the units that exist."""
        return {unit: value for unit in wanted if (value := state_of(unit)) is not None}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """The values; None where there is no such unit."""
        return {unit: state_of(unit) for unit in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Make the links so."""
        self.restore(wanted, context)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Make or remove links; a unit that cannot be enabled by its file (static, generated) is left alone.

        Raises HostError, after all others, for a unit that was enabled and whose file does not say how.
        """
        wrong = []
        for unit, was in captured.items():
            word = str(was or "disabled").split(", ")[0]
            if word == "masked":
                link("/dev/null", f"{SYSTEM}/{unit}")
                continue
            if word == "enabled":
                unmask(unit)
                found = file_of(unit)
                text = read(found) if found else ""
                links = links_by(unit, text)
                if not links:
                    wrong.append(unit)
                for path in links:
                    link(found or "", path)
            elif word in ("disabled", "transient") or word.startswith("masked until"):
                unmask(unit)
                for path in links_of(unit):
                    os.unlink(path)
                    sync_directory(os.path.dirname(path))
        if wrong:
            raise HostError(f"{', '.join(wrong)} must be enabled by hand after the boot: `systemctl enable`")


def state_of(unit: str) -> str | None:
    """What the links say of a unit; None where there is no such unit."""
    with contextlib.suppress(OSError):
        if os.readlink(f"{SYSTEM}/{unit}") == "/dev/null":
            return "masked"
    if links_of(unit):
        return "enabled"
    found = file_of(unit)
    return None if found is None else "disabled" if links_by(unit, read(found)) else "static"


def links_of(unit: str) -> list[str]:
    """The links that enable a unit, its aliases among them."""
    name = glob.escape(unit)
    found = [
        path for kind in WANTED.values() for path in glob.glob(f"{SYSTEM}/*.{kind}/{name}") if os.path.islink(path)
    ]
    for path in glob.glob(f"{SYSTEM}/*"):
        if os.path.islink(path) and os.path.basename(path) != unit and os.path.basename(os.readlink(path)) == unit:
            found.append(path)
    return found


def links_by(unit: str, text: str) -> list[str]:
    """The links that a unit file's [Install] section asks for; those with specifiers (`%i`) are left out."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line
        elif section == "[Install]" and "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found[key.strip()] = [*found.get(key.strip(), []), *value.split()] if value.strip() else []
    links = [f"{SYSTEM}/{other}.{kind}/{unit}" for key, kind in WANTED.items() for other in found.get(key, [])]
    links += [f"{SYSTEM}/{alias}" for alias in found.get("Alias", []) if alias != unit]
    return [path for path in links if "%" not in path]


def file_of(unit: str) -> str | None:
    """Where a unit's file is; an instance's is its template's."""
    name, _, suffix = unit.rpartition(".")
    template = f"{name.partition('@')[0]}@.{suffix}" if "@" in name else unit
    for directory in SEARCHED:
        for candidate in (unit, template):
            if os.path.isfile(f"{directory}/{candidate}"):
                return f"{directory}/{candidate}"
    return None


def read(path: str) -> str:
    """A unit file's text."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def unmask(unit: str) -> None:
    """Remove the link to /dev/null, where it is one."""
    with contextlib.suppress(OSError):
        if os.readlink(f"{SYSTEM}/{unit}") == "/dev/null":
            os.unlink(f"{SYSTEM}/{unit}")


def link(target: str, path: str) -> None:
    """A symbolic link, unless it is there; durable when this returns."""
    make_dirs(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.symlink(target, path)
        sync_directory(os.path.dirname(path))
