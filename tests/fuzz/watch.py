"""Says so when code that must only look at data acts on it: Python's audit events (PEP 578)."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

COMMANDS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "pty.spawn",
)
CODE = ("exec", "compile", "ctypes.dlopen", "pickle.find_class")
CHANGES = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
)
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "urllib.Request")
FORBIDDEN = frozenset((*COMMANDS, *CODE, *CHANGES, *NETWORK))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_watching = False


class Acted(BaseException):
    """No Exception: nothing that is tested can catch it, and what it was about to do does not happen."""


def begin() -> None:
    """Install the hook, once a process: it can't be taken out. Codecs are modules that are loaded when first asked for."""
    for codec in ("ascii", "idna", "latin-1", "utf-16", "utf-16-be", "utf-32", "unicode-escape"):
        codecs.lookup(codec)
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    if event in FORBIDDEN or writes:
        raise Acted(f"{event} {arguments!r}"[:300])


@contextlib.contextmanager
def looking() -> Iterator[None]:
    """Within it, no command runs, no text becomes code, no file is written, and no connection is made."""
    global _watching
    _watching = True
    try:
        yield
    finally:
        _watching = False
