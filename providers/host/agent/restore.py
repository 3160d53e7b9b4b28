"""Putting items back as they were captured, in the order in which that can be done; and telling it line by line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from .facets import Context, Registry
from .system import HostError

AT_BOOT = ("files", "only", "configured", "units")
"""What is restored before the network comes up after a reboot: the kernel's own state went with the old boot."""
ORDER = ("files", "only", "configured", "links", "sysctls", "addresses", "routes", "proxies", "nft", "units")
"""The order of restoring: units of ours that were not there before are stopped first of all, while their files exist."""
KINDS = {
    "addresses": "addresses of ",
    "routes": "route ",
    "proxies": "NDP proxy entry ",
    "nft": "table ",
    "links": "link ",
}

Captured = Mapping[str, Mapping[str, Any]]
"""Facet -> item -> what was captured of it."""


def steps_back(undo: Captured) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Facets with what they restore, in the order in which that can be done."""
    units = undo.get("units", {})
    stopped = {unit: was for unit, was in units.items() if not str(was or "").endswith("running")}
    if stopped:
        yield "units", stopped
    for name in ORDER:
        captured = (
            {unit: was for unit, was in units.items() if unit not in stopped} if name == "units" else undo.get(name)
        )
        if captured:
            yield name, captured


def put_back(registry: Registry, undo: Captured, context: Context) -> set[str]:
    """Restore all of it; the facets that could not be restored wholly are returned, and noted."""
    failed = set()
    for name, captured in steps_back(undo):
        if context.at_boot and name not in AT_BOOT:
            continue
        facet = registry.facets[name]
        present: Mapping[str, Any] | None = None
        if context.told is not None:
            with contextlib.suppress(HostError, OSError):  # what can't be looked at may still be put back
                present = facet.capture(captured)
        try:
            facet.restore(captured, context)
        except Exception as error:
            # whatever it is, the rest must still be restored
            failed.add(name)
            context.notes.append(f"{name} could not be restored wholly: {error}")
            continue
        if context.told is not None and present is not None:
            for line in differences(name, present, captured, context.at_boot):
                context.told(line)
    try:
        registry.afterwards(context)
    except HostError as error:
        context.notes.append(str(error))
    return failed


def all_differences(registry: Registry, undo: Captured, at_boot: bool) -> list[str]:
    """What `put_back` would do, one a line. Reads only."""
    found = []
    for name, captured in steps_back(undo):
        if not at_boot or name in AT_BOOT:
            found += differences(name, registry.facets[name].capture(captured), captured, at_boot)
    return found


def differences(name: str, present: Mapping[str, Any], captured: Mapping[str, Any], at_boot: bool) -> list[str]:
    """In words, what becomes of the items of one facet. `at_boot`: nothing runs, so only enablement counts of units."""
    found = []
    for item, was in captured.items():
        now = present.get(item)
        if name in ("only", "configured"):
            found += paths(now or {}, was or {})
        elif name == "units":
            word, ended = (wording(value, at_boot) for value in (was, now))
            found += [f"{item}: {word}"] if now is not None and word != ended else []
        else:
            found += paths({f"{KINDS.get(name, '')}{item}": now}, {f"{KINDS.get(name, '')}{item}": was})
    return found


def paths(now: Mapping[str, Any], was: Mapping[str, Any]) -> list[str]:
    """Which of these are removed, and which are put back."""
    gone = [f"{item}: removed" for item in now if is_absent(was.get(item)) and not is_absent(now[item])]
    back = [f"{item}: put back" for item in was if not is_absent(was[item]) and was[item] != now.get(item)]
    return gone + back


def is_absent(captured: Any) -> bool:
    """Whether what was captured says that there was nothing."""
    return not captured or (isinstance(captured, dict) and captured.get("kind") == "absent")


def wording(value: Any, at_boot: bool) -> str:
    """A unit's state; one that did not exist is stopped and disabled."""
    text = str(value or "disabled, stopped")
    return text.split(", ")[0] if at_boot else text
