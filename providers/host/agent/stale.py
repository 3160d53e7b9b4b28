"""Which units run with an older configuration than the one on disk: remembered on disk, so that a kill cannot hide it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from .system import STATE_DIR, make_dirs, quoted

DIRECTORY = f"{STATE_DIR}/stale"


def mark_stale(units: Iterable[str]) -> None:
    """Say that these units need a restart before their new configuration counts."""
    for unit in units:
        make_dirs(STATE_DIR, 0o700)
        make_dirs(DIRECTORY, 0o700)
        with open(f"{DIRECTORY}/{quoted(unit)}", "w", encoding="ascii"):
            pass


def clear_stale(unit: str) -> None:
    """The unit runs with what is on disk, or not at all."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(f"{DIRECTORY}/{quoted(unit)}")


def stale(unit: str) -> bool:
    """Whether a unit still runs with an older configuration."""
    return os.path.exists(f"{DIRECTORY}/{quoted(unit)}")
