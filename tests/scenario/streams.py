"""Streams between the lab's internet and a guest, and what became of them while something was changed."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
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
DOWNLOADS = {"IPv6": ("2001:db8:ffff::10", "2001:db8:ffff::10"), "NAT64": ("2001:db8:64::cb00:710a", "203.0.113.10")}
"""What the guest downloads: its address as the guest sees it, and as it is."""
INBOUND = "inbound"
NAMES = (*DOWNLOADS, INBOUND)

RESOLVER, ASKING = "2001:db8:1::2", "/run/asking"
ASK = """
import os, socket, sys, time
asked = failed = 0
while os.path.exists(sys.argv[2]):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as question:
        question.settimeout(2)
        question.connect((sys.argv[1], 53))
        try:
            question.send(bytes.fromhex("0001 0100 0001 0000 0000 0000 02 7636 07 6578616d706c65 00 001c 0001"))
            failed += question.recv(512)[3] & 15 != 0
        except OSError:
            failed += 1
    asked += 1
    time.sleep(0.02)
print([asked, failed])
"""
"""Asks for the AAAA records of v6.example, each question once, while a file is there."""


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
    asked: int = 0
    unanswered: int = 0
    """Questions to the guests' resolver, and those that it did not answer, each being asked only once."""

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
                found[what][name] = max(
                    (min(b, end) - max(a, start)) * 1000 for a, b in pairwise(times) if b > start and a < end
                )
                start = end
        return found


@contextmanager
def streaming(stack: Stack) -> Iterator[Streams]:
    """A download by IPv6, one through NAT64 and an inbound connection, while the block runs; prints the gaps."""
    listen = {name: ("listen", address, PORT) for name, (_, address) in DOWNLOADS.items()}
    plan = json.dumps({**listen, INBOUND: ("connect", WEB, PORT)})
    stack.guest("web", "sh", "-c", "killall -q nc wget; rm -f /root/received.*")
    receive(stack, INBOUND, f"sleep 1000 | nc -l -p {PORT}")
    streams = Streams(stack.folder / "streams.log")
    answers: queue.Queue[list[int]] = queue.Queue()
    stack.server("touch", ASKING)
    ask = ["python3", "-c", ASK, RESOLVER, ASKING]
    asking = threading.Thread(target=lambda: answers.put(json.loads(stack.lab.exec("server", ask).stdout)))
    with streams.log.open("w") as log:
        command = [*stack.lab.entering("internet"), sys.executable, "-I", "-S", SENDER, plan]
        sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log)
    try:
        asking.start()
        # A download is refused, and not tried again, where nobody listens yet.
        wait_until(lambda: all(streams.said(name, "listening") for name in DOWNLOADS), 60, "the sender does not listen")
        for name, (address, _) in DOWNLOADS.items():
            receive(stack, name, f"wget -q -O - http://[{address}]:{PORT}/")
        started = lambda: all(streams.said(name, "acked") for name in NAMES)  # noqa: E731
        wait_until(started, 120, lambda: f"the streams do not start: {streams.log.read_text()[:2000]}")
        streams.began = time.monotonic()
        yield streams
    finally:
        streams.ended = time.monotonic()
        sender.communicate(timeout=30)
        stack.server("rm", "-f", ASKING)
        asking.join(timeout=30)
    time.sleep(0.5)
    streams.asked, streams.unanswered = answers.get(timeout=1)
    for name in NAMES:
        words = stack.guest("web", "cat", f"/root/received.{name}").split()
        streams.received.update({name: int(words[0])} if words else {})
    for what, gaps in streams.gaps().items():
        print(f"{what}: longest gap {', '.join(f'{name} {gap:.0f} ms' for name, gap in gaps.items())}")
    print(f"lost: {streams.lost() or 'none'}; {streams.unanswered} of {streams.asked} questions unanswered")


def receive(stack: Stack, name: str, command: str) -> None:
    """Start counting what a command in the guest receives."""
    stack.guest("web", "sh", "-c", f"{command} | wc -c > /root/received.{name} 2>/dev/null &")
