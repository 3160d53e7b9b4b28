"""Which stack holds this server: only that one changes it, until it gives the last thing back.

The record is written with the first change that a stack makes, and counts while the manifest names something of a server's
stack. Zone files are another stack's, and of no account here.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable

from .system import STATE_DIR, HostError, make_dirs, write_durably

PATH = f"{STATE_DIR}/holder"
ZONE_FILES = "zone files of "
"""How the names of resources begin that a stack with `sixstead:dns` has on a server."""


def refuse_other(stack: str, names: Iterable[str]) -> None:
    """Raises HostError where another stack holds the server. `names`: the manifest's. A change that names no stack passes."""
    holder, since = recorded()
    if not stack or holder in ("", stack) or not held(names):
        return
    raise HostError(
        f"the stack {holder} holds this server (since {since or 'an unknown time'}), and this is {stack}; nothing was changed",
        f"`./sixstead destroy -s {holder.rpartition('/')[2]}` gives the server back first; if that stack was renamed or is"
        f" lost, remove {PATH} on the server, and the next `up` takes it over as it is",
    )


def hold(stack: str) -> None:
    """Record that this stack holds the server; one that does so already keeps its time."""
    if stack and recorded()[0] != stack:
        make_dirs(STATE_DIR, 0o700)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        write_durably(PATH, json.dumps({"stack": stack, "since": since}).encode(), 0o600)


def release(names: Iterable[str]) -> None:
    """Forget the holder once the manifest names nothing of a server's stack any more."""
    if not held(names):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(PATH)


def held(names: Iterable[str]) -> bool:
    """Whether one of these resources is of a server's stack."""
    return any(not name.startswith(ZONE_FILES) for name in names)


def recorded() -> tuple[str, str]:
    """The stack, as `project/stack`, and since when; empty where there is no record, or none that can be read."""
    try:
        with open(PATH, encoding="utf-8") as file:
            found = json.load(file)
        return str(found["stack"]), str(found.get("since", ""))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "", ""
