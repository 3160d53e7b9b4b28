"""What somebody changed by hand stays, where a network change is about something else: its preview does not show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .facets import Plan, Registry, State, union, without


def settled(registry: Registry, entries: Mapping[str, State], changed: Iterable[str]) -> set[str]:
    """The sections that this host was given before just as they are now, all of them, and that nobody asks to mend."""
    asked = set(changed)
    return {
        key for key, state in entries.items() if key not in asked and registry.manifest.get(key) == {"state": state}
    }


def kept(plan: Plan, entries: Mapping[str, State], untouched: Iterable[str]) -> tuple[Plan, list[str]]:
    """The plan without the differences that lie in untouched sections alone, and what these are, in words. Pure."""
    here = set(untouched)
    theirs = union(*(entries[key] for key in here))
    theirs = without(theirs, union(*(state for key, state in entries.items() if key not in here)))
    stays = {
        name: {item: value for item, value in items.items() if item in theirs.get(name, {})}
        for name, items in plan.differing.items()
    }
    stays = {name: items for name, items in stays.items() if items}
    told = [f"{name} {item}" for name, items in stays.items() for item in items]
    return replace(plan, wanted=without(plan.wanted, stays), differing=without(plan.differing, stays)), told


def note(told: Iterable[str]) -> str:
    """What the owner should know of it."""
    return (
        f"changed by hand, and left so, as this change is about something else: {', '.join(sorted(told))};"
        " `preview --refresh --diff` shows it, `up --refresh` undoes it"
    )
