"""Streams between the lab's internet and a guest, and what became of them while something was changed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.scenario.harness import WEB, Stack, wait_until

SENDER = str(Path(__file__).with_name("sender.py"))
PORT = 8080
"""Where the internet sends from, and where the guest listens: open it."""
DOWNLOADS = {"IPv6": ("v6.example", "2001:db8:ffff::10"), "NAT64": ("v4only.example", "203.0.113.10")}
"""What the guest downloads: its host's name, and that host's own address."""
INBOUND = "inbound"
NAMES = (*DOWNLOADS, INBOUND)


@dataclass
class Streams:
    """Running streams. What they came to is known when they have ended."""

    log: Path
    began: float = 0
    marks: list[tuple[str, float]] = field(default_factory=list)
    """What was done, and when it was over."""
    ended: float = 0
    received: dict[str, int] = field(default_factory=dict)
    """Bytes that arrived in the guest, by stream; whoever lost its connection has none."""
    lookups: int = 0
    lookups_failed: int = 0
    """Names that the guest asked for all the while, and those that it was told nothing of."""

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Say what is done to them."""
        yield
        time.sleep(0.3)
        self.marks.append((what, time.monotonic()))

    def said(self, name: str, word: str) -> list[tuple[float, str]]:
        """When the sender said so of a stream, and its whole words."""
        rows = (line.split(maxsplit=2) for line in self.log.read_text().splitlines())
        return [(float(at), what) for at, of, what in rows if of == name and what.startswith(word)]

    def lost(self) -> dict[str, str]:
        """The connections that did not live to the end, and why."""
        found = {}
        for name in NAMES:
            sent = [int(what.split()[1]) for _, what in self.said(name, "sent")]
            if not sent or sent[0] != self.received.get(name):
                why = [what for _, what in self.said(name, "lost")]
                found[name] = ", ".join(why) or f"{sent} bytes sent, {self.received.get(name)} received"
        return found

    def gaps(self) -> dict[str, dict[str, float]]:
        """The longest time without a byte that arrived, in ms: by what was done, and by stream."""
        found: dict[str, dict[str, float]] = {what: {} for what, _ in self.marks}
        for name in NAMES:
            times = [self.began, *(at for at, _ in self.said(name, "acked")), self.ended]
            start = self.began
            for what, end in self.marks:
                found[what][name] = max((min(b, end) - max(a, start)) * 1000 for a, b in pairwise(times) if b > start and a < end)
                start = end
        return found


@contextmanager
def streaming(stack: Stack) -> Iterator[Streams]:
    """A download by IPv6, one through NAT64 and an inbound connection, while the block runs; prints the gaps."""
    listen = {name: ("listen", address, PORT) for name, (_, address) in DOWNLOADS.items()}
    plan = json.dumps({**listen, INBOUND: ("connect", WEB, PORT)})
    stack.guest("web", "sh", "-c", "rm -f /tmp/received.*")
    asking = "while [ -e /tmp/asking ]; do nslookup v6.example >/dev/null 2>&1 && echo told || echo failed; sleep 0.1; done"
    stack.guest("web", "sh", "-c", f"touch /tmp/asking; ({asking}) > /tmp/lookups 2>/dev/null &")
    receive(stack, INBOUND, f"sleep 1000 | nc -l -p {PORT}")
    streams = Streams(stack.folder / "streams.log")
    with streams.log.open("w") as log:
        command = [*stack.lab.entering("internet"), sys.executable, "-I", "-S", SENDER, plan]
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log)
    try:
        for name, (host, _) in DOWNLOADS.items():
            receive(stack, name, f"wget -q -O - http://{host}:{PORT}/")
        started = lambda: all(streams.said(name, "acked") for name in NAMES)  # noqa: E731
        wait_until(started, 20, "the streams do not start")
        streams.began = time.monotonic()
        yield streams
    finally:
        streams.ended = time.monotonic()
        sender.communicate(timeout=30)
        stack.guest("web", "rm", "/tmp/asking")
    time.sleep(0.5)
    told = stack.guest("web", "cat", "/tmp/lookups").split()
    streams.lookups, streams.lookups_failed = len(told), told.count("failed")
    for name in NAMES:
        words = stack.guest("web", "cat", f"/tmp/received.{name}").split()
        streams.received.update({name: int(words[0])} if words else {})
    for what, gaps in streams.gaps().items():
        print(f"{what}: longest gap {', '.join(f'{name} {gap:.0f} ms' for name, gap in gaps.items())}")
    print(f"lost: {streams.lost() or 'none'}; {streams.lookups_failed} of {streams.lookups} lookups failed")


def receive(stack: Stack, name: str, command: str) -> None:
    """Start counting what a command in the guest receives."""
    stack.guest("web", "sh", "-c", f"{command} | wc -c > /tmp/received.{name} 2>/dev/null &")
