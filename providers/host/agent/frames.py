"""What goes over a connection: frames of JSON, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from typing import Any, BinaryIO


def read_frame(source: BinaryIO) -> dict[str, Any] | None:
    """The next frame: four bytes of length (big endian), then JSON. None at the end of input or when it makes no sense."""
    header = source.read(4)
    if len(header) < 4:
        return None
    size = struct.unpack(">I", header)[0]
    if size > 64 * 1024 * 1024:
        return None
    content = source.read(size)
    if len(content) < size:
        return None
    try:
        frame = json.loads(content.decode())
    except (ValueError, RecursionError):
        return None
    return frame if isinstance(frame, dict) else None


def own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Where frames come from and go to; what anything else prints goes to standard error. No hang-up ends the agent."""
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o022)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return source, sink


def refused_user(sink: BinaryIO) -> bool:
    """Whether this is not root; the other side is told."""
    if os.geteuid() == 0:
        return False
    content = json.dumps({"id": 0, "error": {"what": "the agent does not run as root", "remedy": ""}}).encode()
    sink.write(struct.pack(">I", len(content)) + content)
    sink.flush()
    return True
