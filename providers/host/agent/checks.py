"""Files are read by the tool that they are for before they are put in place: what it refuses is never written.

Each check is given copies in a folder that nothing else reads. Not every reader has one: systemd-networkd's .network
files, for one, can't be tried (systemd.network(5)); what comes of them is looked at after the change, which is undone else.
"""

from __future__ import annotations

import fnmatch
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .system import HostError, run

Check = Callable[[dict[str, str], str], str]
"""Copies by the path that they are for, and their folder -> what the tool says against them, empty where it is content."""


def refuse_wrong(files: Mapping[str, Any]) -> None:
    """Raises HostError with the tools' own words if one of these files is not what its reader understands."""
    texts = {path: value["text"] if isinstance(value, dict) else value for path, value in files.items()}
    complaints = list(said_against(texts))
    if complaints:
        raise HostError("nothing was changed: " + "; ".join(complaints), "correct the config and run `up` again")


def said_against(texts: Mapping[str, str]) -> Iterator[str]:
    """What the tools say, one text a tool."""
    for patterns, check in CHECKS:
        mine = {path: text for path, text in texts.items() if any(fnmatch.fnmatch(path, p) for p in patterns)}
        if not mine:
            continue
        with tempfile.TemporaryDirectory(prefix="sixstead-") as folder:
            copies = {path: copied(folder, path, text) for path, text in mine.items()}
            if said := check(copies, folder):
                yield said.replace(folder, "")


def copied(folder: str, path: str, text: str) -> str:
    """Where the copy of one file lies."""
    copy = folder + path
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return copy


def outcome(argv: list[str]) -> str:
    """What a tool says if it refuses; a tool that is not there refuses nothing."""
    done = run(argv, check=False)
    words = " | ".join((done.err.strip() or done.out.strip()).splitlines()[-4:])
    return f"{argv[0]} refuses it: {words or f'status {done.code}'}" if done.code not in (0, 127) else ""


def interfaces(copies: dict[str, str], folder: str) -> str:
    """ifquery(8) reads each by itself."""
    return "; ".join(filter(None, (outcome(["ifquery", "-i", copy, "--list", "--all"]) for copy in copies.values())))


def units(copies: dict[str, str], folder: str) -> str:
    """systemd-analyze(1); what other units do wrong is not our matter."""
    return outcome(["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", *copies.values()])


def drop_ins(copies: dict[str, str], folder: str) -> str:
    """The same, each as a service of its own: what the unit's other files say is not our matter either."""
    services = {}
    for number, (path, copy) in enumerate(copies.items()):
        with open(copy, encoding="utf-8") as file:
            text = f"[Service]\nType=oneshot\nExecStart=/bin/true\n{file.read()}"
        services[path] = copied(folder, f"/drop-in-{number}.service", text)
    return units(services, folder)


def netplan(copies: dict[str, str], folder: str) -> str:
    """netplan-generate(8), for a root directory that holds these files alone."""
    return outcome(["netplan", "generate", "--root-dir", folder])


def tables(copies: dict[str, str], folder: str) -> str:
    """nft(8), in a network namespace that has no tables yet."""
    checked = (outcome(["unshare", "--net", "nft", "-c", "-f", copy]) for copy in copies.values())
    return "; ".join(said.replace("unshare refuses", "nft refuses", 1) for said in checked if said)


def sysctls(copies: dict[str, str], folder: str) -> str:
    """sysctl(8); interfaces that are still to be made have no keys yet, and that is no mistake."""
    found = []
    for copy in copies.values():
        done = run(["sysctl", "--dry-run", "-e", "-p", copy], check=False)
        if "invalid syntax" in done.err:
            found.append(f"sysctl refuses it: {done.err.strip()}")
    return "; ".join(found)


CHECKS: tuple[tuple[tuple[str, ...], Check], ...] = (
    (("/etc/network/interfaces", "/etc/network/interfaces.d/*"), interfaces),
    (("/etc/systemd/system/*.service", "/etc/systemd/system/*.timer"), units),
    (("/etc/systemd/system/*.service.d/*.conf",), drop_ins),
    (("/etc/netplan/*.yaml",), netplan),
    (("*.nft",), tables),
    (("/etc/sysctl.d/*.conf",), sysctls),
)
