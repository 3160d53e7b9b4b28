"""The file backend's lock: one JSON file a holder, in Pulumi's own format and place. Source: pulumi pkg/backend/diy/lock.go."""

from __future__ import annotations

import datetime
import getpass
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import EngineError


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, and since when."""

    path: Path
    pid: int
    username: str
    hostname: str
    timestamp: str

    @classmethod
    def read(cls, path: Path) -> Holder | None:
        """The holder named by a lock file; None when the file went away meanwhile."""
        try:
            raw = json.loads(path.read_text())
            return cls(path, int(raw["pid"]), str(raw["username"]), str(raw["hostname"]), str(raw["timestamp"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            return cls(path, 0, "someone", "an unknown machine", "")

    def dead(self) -> bool:
        """Whether it is certain that nobody holds it any more: a process of this machine that has ended."""
        if self.pid <= 0 or self.hostname != socket.gethostname():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return self._ended() or self._started_later()

    def _ended(self) -> bool:
        """Whether the process has ended and only waits for its parent to notice."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except (OSError, IndexError):
            return False

    def _started_later(self) -> bool:
        """Whether the process of that number was started after the lock was made: the number was given again."""
        try:
            ticks = int(Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
            boot = next(int(x.split()[1]) for x in Path("/proc/stat").read_text().splitlines() if x.startswith("btime"))
            locked = datetime.datetime.fromisoformat(_whole_microseconds(self.timestamp)).timestamp()
        except (OSError, ValueError, IndexError, StopIteration):
            return False
        return boot + ticks / os.sysconf("SC_CLK_TCK") > locked + 2

    def age(self) -> str:
        try:
            since = datetime.datetime.fromisoformat(_whole_microseconds(self.timestamp))
        except ValueError:
            return "of unknown age"
        seconds = int((datetime.datetime.now(datetime.UTC) - since).total_seconds())
        for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
            if seconds >= size:
                return f"{seconds // size} {name}{'s' if seconds >= 2 * size else ''} old"
        return f"{max(seconds, 0)} s old"

    def __str__(self) -> str:
        return f"{self.username}@{self.hostname} (pid {self.pid}), {self.age()}"


def _whole_microseconds(text: str) -> str:
    """Go writes up to nine digits after the point; Python reads six."""
    head, point, tail = text.partition(".")
    if not point:
        return text.replace("Z", "+00:00")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:].replace('Z', '+00:00')}"


def holders(directory: Path) -> list[Holder]:
    return [h for h in (Holder.read(p) for p in sorted(directory.glob("*.json"))) if h is not None]


def break_all(directory: Path) -> list[Holder]:
    """`cancel`: remove every lock; who held them is returned."""
    found = holders(directory)
    for holder in found:
        holder.path.unlink(missing_ok=True)
    return found


@contextmanager
def held(directory: Path) -> Iterator[list[str]]:
    """Hold the stack's lock. Yields what is to be said: a line for each lock that was broken.

    A lock whose process has ended on this machine is broken; any other raises EngineError with its holder and age.
    """
    said: list[str] = []
    _clear(directory, None, said)
    directory.mkdir(parents=True, exist_ok=True)
    mine = directory / f"{uuid.uuid4()}.json"
    content = {
        "pid": os.getpid(),
        "username": getpass.getuser(),
        "hostname": socket.gethostname(),
        "timestamp": datetime.datetime.now(datetime.UTC).isoformat(),
    }
    mine.write_text(json.dumps(content))
    try:
        _clear(directory, mine, said)
        yield said
    finally:
        mine.unlink(missing_ok=True)
        mine.with_name(mine.name + ".attrs").unlink(missing_ok=True)


def _clear(directory: Path, mine: Path | None, said: list[str]) -> None:
    for holder in holders(directory):
        if holder.path == mine:
            continue
        if not holder.dead():
            raise EngineError(
                f"the stack is currently locked by {holder}. Wait for that process to end; if it is gone, "
                "remove the lock with `cancel`"
            )
        holder.path.unlink(missing_ok=True)
        holder.path.with_name(holder.path.name + ".attrs").unlink(missing_ok=True)
        said.append(f"broke the lock of {holder}: that process has ended")
