"""The restore script on the server: the agent's own source in one file, entered by rescue.py. python3 is all it needs.

It is there from the first network change to the last resource's end; the timer and the boot unit of a change that waits
run it, and so does the owner, from the server's console or from a rescue system.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable

from .system import STATE_DIR, HostError, make_dirs, write_durably, write_if_other

SCRIPT = f"{STATE_DIR}/restore"
SECTIONS = f"{STATE_DIR}/network.json"
"""Which keys of the manifest are the host network's."""


def text_of(bundle: str) -> str:
    """The whole script."""
    return (
        f"#!/usr/bin/python3\n{bundle.rstrip()}\nfrom sixstead_agent.rescue import main\nsys.exit(main(sys.argv[1:]))\n"
    )


def write_script(bundle: str) -> None:
    """Write the script, for root only; one that is this agent's already stays as it is."""
    make_dirs(STATE_DIR, 0o700)
    write_if_other(SCRIPT, text_of(bundle).encode(), 0o700)


def refresh_script(bundle: str) -> None:
    """Where a script is, it becomes this agent's."""
    if os.path.exists(SCRIPT):
        write_script(bundle)


def sections() -> set[str]:
    """The keys of the host network's sections, those of a change that was undone included."""
    try:
        with open(SECTIONS, encoding="utf-8") as file:
            return set(json.load(file))
    except FileNotFoundError:
        return set()
    except ValueError:
        raise HostError(f"{SECTIONS} is damaged", "the next change of the network writes it anew") from None


def remember_sections(keys: Iterable[str], owned: Iterable[str]) -> None:
    """Say which sections there are: these, and those of before that the host still has."""
    wanted = set(keys)
    with contextlib.suppress(HostError):
        known = sections()
        wanted |= known & set(owned)
        if known == wanted:
            return
    write_durably(SECTIONS, json.dumps(sorted(wanted)).encode(), 0o600)


def remove_script() -> None:
    """The last resource is gone."""
    for path in (SCRIPT, SECTIONS):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
