"""Files that a crash leaves whole: the old content or the new one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

PRIVATE, SHARED = 0o600, 0o644
"""For what may hold secrets, and for what is in a repository anyway."""


def write_durably(path: Path, text: str, mode: int) -> None:
    """Replace a file's content, and return when it is on the disk. A shared file that exists keeps its mode. Raises OSError."""
    if mode == SHARED and path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
