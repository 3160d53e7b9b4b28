"""Whether guests answer under their global addresses.

Item: the address; value: `answers`, with whatever the resource adds to it so that a changed guest is waited for anew
(`answers, as defined by 3f2a`). `params["answers"]` names the guest of each address; `params["timeout"]` is in seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .hypervisor import NoLibvirt, connection
from .probes import answering
from .system import HostError

TIMEOUT = 180
"""Seconds that all guests together get to answer."""
LOOK = 2.2
"""Seconds that an observation waits: each address is asked four times."""
TELL_EVERY = 5
CONSOLES = "/var/log/libvirt/qemu"
LINES = 12
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Za-z]|[@-Z\\-_])")


class Answers:
    """Addresses that must answer."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Those that answer now; all are asked at once."""
        found = answering(wanted, LOOK)
        return {address: value for address, value in wanted.items() if address in found}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Nothing: an answer leaves no trace."""
        return dict.fromkeys(items)

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Wait until all answer. Raises HostError naming the guests that don't, with the end of their consoles."""
        names = context.params.get("answers", {})
        timeout = float(context.params.get("timeout", TIMEOUT))
        missing, begun = set(wanted), time.monotonic()
        context.progress("waiting for " + ", ".join(sorted(names.get(a, a) for a in missing)))
        while missing and (left := timeout - (time.monotonic() - begun)) > 0:
            missing -= (found := answering(missing, min(left, TELL_EVERY)))
            seconds = time.monotonic() - begun
            if found:
                context.progress(f"{', '.join(sorted(names.get(a, a) for a in found))}: answers after {seconds:.0f} s")
            elif missing:
                waiting = ", ".join(sorted(names.get(a, a) for a in missing))
                context.progress(f"still waiting for {waiting} after {seconds:.0f} s")
        if missing:
            raise HostError(silence({a: names.get(a, a) for a in sorted(missing)}, timeout),
                            "look at the guest's console (`virsh console NAME` on the server), then run `up` again")  # fmt: skip

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Nothing is left behind by asking."""


def silence(missing: Mapping[str, str], timeout: float) -> str:
    """Which guests don't answer, what libvirt says of them and what they said last."""
    parts = []
    for address, name in missing.items():
        parts.append(f"guest {name} does not answer under {address} after {timeout:.0f} s; it {condition(name)}")
        lines = console(name)
        parts += [f"the end of its console:\n{lines}"] if lines else ["its console is empty"]
    return "\n".join(parts)


def condition(name: str) -> str:
    """Whether a guest runs, in words."""
    try:
        with connection() as libvirt:
            active = [domain.name() for domain in libvirt.listAllDomains() if domain.isActive()]
    except NoLibvirt:
        return "is managed by a libvirt that does not answer"
    return "runs" if name in active else "does not run"


def console(name: str) -> str:
    """The last lines of a guest's console, without control characters, each indented."""
    try:
        with open(f"{CONSOLES}/{name}-console.log", "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8192))
            return last_lines(file.read())
    except OSError:
        return ""


def last_lines(content: bytes, count: int = LINES) -> str:
    """The last lines of a terminal's output as plain text."""
    text = _ESCAPES.sub("", content.decode(errors="replace")).replace("\r\n", "\n")
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    plain = ["".join(c if c.isprintable() else "?" for c in line.replace("\t", " ")).rstrip()[:200] for line in lines]
    return "\n".join(f"    {line}" for line in [line for line in plain if line][-count:])
