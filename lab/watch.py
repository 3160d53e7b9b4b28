"""Traffic all the while: pings from the lab's operator and internet, and the longest time without an answer."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import IO

from lab.errors import LabError
from lab.lab import Lab
from lab.topology import Topology

EVERY = 0.02
"""Seconds between two pings."""


@dataclass(frozen=True)
class Target:
    """Something to reach: `before` and `after` are its addresses before and after the change; without one it isn't there."""

    name: str
    place: str
    before: str
    after: str

    @property
    def addresses(self) -> tuple[str, ...]:
        """Each address once."""
        return tuple(dict.fromkeys(address for address in (self.before, self.after) if address))


@dataclass
class Watch:
    """When each address answered, in seconds of the epoch; known when the watching has ended."""

    began: float
    ended: float = 0
    answers: dict[str, list[float]] = field(default_factory=dict)

    def gap(self, target: Target) -> int:
        """The longest time, in whole ms, in which a target answered at none of its addresses."""
        return longest_gap((at for address in target.addresses for at in self.answers[address]), self.began, self.ended)


def targets(before: Topology, after: Topology, guests: Iterable[str]) -> list[Target]:
    """What is there before the change: the server over each address family, and these guests. Pure."""
    found = []
    if before.ipv4:
        found.append(Target("server, IPv4", "operator", str(before.ipv4.ip), str(after.ipv4.ip) if after.ipv4 else ""))
    same = next((prefix for prefix in after.prefixes if prefix.name == before.main.name), after.main)
    found.append(Target("server, IPv6", "operator", str(before.main.address), str(same.address)))
    old, new = ({guest.name: str(guest.address) for guest in side.guests} for side in (before, after))
    found += [Target(f"guest {name}", "internet", old[name], new.get(name, "")) for name in guests if name in old]
    return found


def longest_gap(times: Iterable[float], began: float, ended: float) -> int:
    """The longest time without an answer, in whole ms, from the beginning to the end. Pure."""
    inside = sorted(at for at in times if began <= at <= ended)
    return round(max(b - a for a, b in pairwise([began, *inside, ended])) * 1000)


def answered(text: str) -> list[float]:
    """When answers came, from what `ping -D` prints. Pure."""
    return [float(at) for at in re.findall(r"^\[([\d.]+)\] \d+ bytes from", text, re.MULTILINE)]


@contextmanager
def watching(lab: Lab, wanted: Iterable[Target]) -> Iterator[Watch]:
    """Ping every address of the targets while the block runs."""
    places = {address: target.place for target in wanted for address in target.addresses}
    with ExitStack() as stack:
        running: dict[str, tuple[subprocess.Popen[str], IO[str]]] = {}
        for address, place in places.items():
            said = stack.enter_context(tempfile.TemporaryFile("w+"))
            ping = [*lab.entering(place), "ping", "-n", "-D", "-i", str(EVERY), address]
            process = subprocess.Popen(lab.member(ping), stdout=said, stderr=subprocess.DEVNULL, text=True)
            stack.callback(_end, process)
            running[address] = (process, said)
        # the first answers take longer, as neighbours are looked for
        time.sleep(1)
        watch = Watch(time.time())
        yield watch
        watch.ended = time.time()
        for address, (process, printed) in running.items():
            if process.poll() is not None:
                raise LabError(f"ping {address} ended by itself ({process.returncode}); what it saw can't be told")
            _end(process)
            printed.seek(0)
            watch.answers[address] = answered(printed.read())


def _end(process: subprocess.Popen[str]) -> None:
    """ping(8) prints what it still holds when it is interrupted."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def reachable(lab: Lab, addresses: Iterable[tuple[str, str]], seconds: float) -> list[str]:
    """Wait until each address answers from its place; which of them do not, when the time is over."""
    left = list(addresses)
    until = time.monotonic() + seconds
    while left:
        tries = [(lab.entering(place), address) for place, address in left]
        pings = [
            subprocess.Popen([*enter, "ping", "-n", "-c1", "-W1", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for enter, address in tries
        ]  # fmt: skip
        left = [where for where, ping in zip(left, pings, strict=True) if ping.wait() != 0]
        if time.monotonic() > until:
            break
    return [address for _, address in left]
