"""The forced command of a key that may only observe: the agent that lies on the host, with the operations that read.

Whoever holds the key is not trusted: what the client sends as code is skipped, and what it asks for is looked up in the
host's own manifest, by which alone things are observed. Texts that are not for everybody's eyes on the host (seeds, files
that others may not read) are not told: the answer is the text that the client itself has, where that is the very same.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO

from . import nft
from .facets import State
from .frames import own_streams, refused_user
from .main import Agent
from .system import HostError, Progress

READING = ("hello", "alive", "observe", "counted")
VEIL = "(differs; a key that may only observe is not told how)"
HANDSHAKE = 20
"""Seconds in which a client must have sent its program."""
ONLY = "this SSH key may only observe; nothing was changed"
REMEDY = "run it with a key that may change the server; this one is for `preview --refresh`"


class Observing(Agent):
    """Serves one connection, and writes nothing."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        super().__init__(source, sink, "")
        self.operations = {name: self.operations[name] for name in READING}

    def refusal(self, operation: str) -> HostError:
        return HostError(ONLY, REMEDY)

    def hello(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Who this host is, and that it is only looked at."""
        return {**super().hello({}, progress), "observer": True}

    def observe(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """As for everybody, but of what the manifest names alone, by the manifest's values."""
        owned = self.registry.owned()
        asked = as_states(args.get("wanted"))
        for key, state in asked.items():
            refuse_unknown(key, state, owned.get(key, {}))
        wanted = {key: state for key, state in owned.items() if args.get("all") or key in asked}
        observed = self.registry.observe_many(wanted)
        return veiled(wanted, observed, asked)

    def counted(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """What our own tables counted."""
        ours = {table for state in self.registry.owned().values() for table in state.get("nft", {})}
        return {"rules": nft.counted(table for table in args.get("tables", []) if table in ours)}


def as_states(wanted: Any) -> dict[str, State]:
    """What a client asks for. Raises HostError where it has not the shape of states by key."""
    if isinstance(wanted, dict) and all(
        isinstance(state, dict) and all(isinstance(items, dict) for items in state.values())
        for state in wanted.values()
    ):
        return wanted
    raise HostError("what is to be observed must be states by key")


def refuse_unknown(key: str, asked: State, owned: State) -> None:
    """Raises HostError for an item that the manifest does not name for this resource."""
    for facet, items in asked.items():
        for item in items:
            if item not in owned.get(facet, {}):
                raise HostError(
                    f"{facet} {item} of {key} is not in the server's own record, and this SSH key observes only what is",
                    "run `up`, or this preview with a key that may change the server",
                )


def veiled(wanted: Mapping[str, State], observed: Mapping[str, State], asked: Mapping[str, State]) -> dict[str, Any]:
    """The answer to `observe`, without texts that the client does not know already."""
    told: dict[str, dict[str, State]] = {"wanted": {}, "observed": {}}
    for key, state in wanted.items():
        for side in told.values():
            side[key] = {}
        for facet, items in state.items():
            for item, value in items.items():
                now = observed.get(key, {}).get(facet, {}).get(item)
                if not (hidden(facet, value) or hidden(facet, now)):
                    answer: Any = now
                elif item not in asked.get(key, {}).get(facet, {}):
                    continue  # the client asks again, with what it has
                else:
                    value = asked[key][facet][item]
                    answer = covered(value, now)
                told["wanted"][key].setdefault(facet, {})[item] = value
                if answer is not None:
                    told["observed"][key].setdefault(facet, {})[item] = answer
    return told


def hidden(facet: str, value: Any) -> bool:
    """Whether a value is for root's eyes: a seed, or a file that others may not read."""
    if facet == "files" and isinstance(value, dict):
        return not int(str(value.get("mode", "0")), 8) & 0o004
    return facet == "seeds"


def covered(known: Any, now: Any) -> Any:
    """What is there, as far as it is what the client has."""
    if now is None or now == known:
        return now
    if isinstance(now, dict):
        mine = known if isinstance(known, dict) else {}
        return {name: value if name in mine and mine[name] == value else VEIL for name, value in now.items()}
    return VEIL


def skip_program(source: BinaryIO) -> bool:
    """Read over the program that a client sends (`SIXSTEAD length`, then so many bytes); False where none comes."""
    while line := source.readline(65536):
        if line.startswith(b"SIXSTEAD ") and line[9:].strip().isdigit():
            left = int(line[9:])
            while left > 0 and (part := source.read(min(left, 1 << 20))):
                left -= len(part)
            return left == 0
    return False


def main() -> None:
    """Entered by the script that sshd(8) runs for such a key."""
    source, sink = own_streams()
    signal.alarm(HANDSHAKE)  # its default ends this process: sftp(1), say, waits for an answer and sends no line
    if not skip_program(source):
        sys.stderr.write(f"sixstead: {ONLY}\n")
        sys.exit(1)
    signal.alarm(0)
    if not refused_user(sink):
        Observing(source, sink).serve()
