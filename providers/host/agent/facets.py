"""Converging a host: what is wanted is compared with what is observed, and only what differs is touched.

Everything is written ahead: the before-state of an item is durable before the item is first taken over, and the
manifest names an item before it is changed, so that whoever comes after a kill knows what was half made.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from .checks import refuse_wrong
from .holder import hold
from .stale import mark_stale
from .system import STATE_DIR, HostError, Progress, Records

State = dict[str, dict[str, Any]]
"""Facet name -> item -> value; what a resource wants and what was observed have the same shape."""


@dataclass
class Context:
    """What facets share while one change is made."""

    progress: Progress
    params: dict[str, Any] = field(default_factory=dict)
    """How, never what: URLs to download from, time limits, and of units: `on_change` (restart or reload), `reads` (its own
    files, where a unit does not read all of its resource's), `check` (a command that refuses a configuration that it would
    not start with). A change in these alone is no change."""
    notes: list[str] = field(default_factory=list)
    """What the owner should read although nothing failed: edits that were kept, things left in place."""
    reload: set[str] = field(default_factory=set)
    """Whose files were written: the daemons that must read them once all is done, see reload.py."""
    undo: bool = False
    """A change that did not hold is undone: what it made goes, whoever made it."""
    at_boot: bool = False
    """Nothing runs yet: daemons will read their files when they start."""
    told: Callable[[str], None] | None = None
    """Is given a line for each item that is put back, where somebody reads along."""


class Facet(Protocol):
    """One kind of thing on a host."""

    keeps_edits: bool
    """Whether an item that is no longer as we wrote it is left alone when it is given back."""
    reads_files: bool
    """Whether its items are made from files: then they may differ only once the files are written."""

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The present values of the wanted items; an absent item is left out. Reads only."""
        ...

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """All that is needed to put each item back as it is now (None: it does not exist)."""
        ...

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Make each of the wanted items so; called with those that differ only."""
        ...

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Put items back as `capture` saw them; None means: remove."""
        ...


class Registry:
    """The facets in the order in which they are applied; things are taken away in the reverse order."""

    def __init__(
        self,
        facets: Mapping[str, Facet],
        first_to_go: Iterable[str] = (),
        last: Iterable[str] = (),
        afterwards: Callable[[Context], None] = lambda context: None,
    ) -> None:
        self.facets = dict(facets)
        self.first_to_go = tuple(first_to_go)
        self.last = tuple(last)
        self.afterwards = afterwards
        self.manifest = Records(f"{STATE_DIR}/manifest")
        self.stack = ""
        """Which server's stack makes the changes; empty where that is not told."""

    def before(self, facet: str) -> Records:
        """The before-state of a facet's items: first writer wins."""
        return Records(f"{STATE_DIR}/before/{facet}")

    def observe(self, wanted: State) -> State:
        """The present state of all wanted items, in the same shape. Raises HostError for a facet it does not know."""
        unknown = sorted(set(wanted) - set(self.facets))
        if unknown:
            raise HostError(f"this agent knows nothing of {', '.join(unknown)}")
        observed = {name: self.facets[name].observe(items) for name, items in wanted.items() if items}
        return {name: items for name, items in observed.items() if items}

    def observe_many(self, wanted: Mapping[str, State]) -> dict[str, State]:
        """Observe several resources at once: each item is looked at once, each facet asked once."""
        together = union(*wanted.values())
        observed = self.observe(together)
        return {
            key: {
                name: values
                for name, items in state.items()
                if (values := {i: observed[name][i] for i in items if i in observed.get(name, {})})
            }
            for key, state in wanted.items()
        }

    def owned(self) -> dict[str, State]:
        """What the manifest says is ours, by resource key."""
        return {key: (self.manifest.get(key) or {}).get("state", {}) for key in self.manifest.names()}

    def plan(self, entries: Mapping[str, State], previous: Iterable[State], gone: Iterable[str]) -> Plan:
        """What must change so that these resources are as wanted and those that are gone leave nothing behind."""
        owned = self.owned()
        wanted = union(*entries.values())
        ours = union(*previous, *(owned.get(key, {}) for key in (*entries, *gone)))
        others = union(*(state for key, state in owned.items() if key not in entries and key not in set(gone)))
        left = without(without(ours, wanted), others)
        observed = self.observe(union(left, wanted))
        differing = {
            name: items
            for name, values in wanted.items()
            if (items := {i: v for i, v in values.items() if observed.get(name, {}).get(i) != v})
        }
        return Plan(wanted, differing, left, observed)

    def take_over(self, plan: Plan, entries: Mapping[str, State]) -> None:
        """Record the before-state of what is not ours yet, then name it in the manifest; nothing else is written.

        Raises HostError, before that, for what a facet never does (its `refuse`, where it has one).
        """
        for name, items in plan.differing.items():
            getattr(self.facets[name], "refuse", lambda items: None)(items)
        hold(self.stack)
        owned = self.owned()
        ours = union(*owned.values())
        for name, items in plan.wanted.items():
            records = self.before(name)
            new = [i for i in items if i not in ours.get(name, {}) and records.get(i) is None]
            facet = self.facets[name]
            for item, captured in getattr(facet, "before", facet.capture)(new).items():
                records.put(item, {"captured": captured})
        for key, state in entries.items():
            mine = union(owned.get(key, {}), state)
            if mine != owned.get(key):
                entry = self.manifest.get(key) or {"state": {}}
                self.manifest.put(key, {"state": mine, "earlier": [*entry.get("earlier", []), entry["state"]]})

    def carry_out(self, plan: Plan, context: Context) -> None:
        """Make the planned changes; what must go before anything else (units, domains) goes first."""
        early = {name: plan.left[name] for name in self.first_to_go if name in plan.left}
        self.give_back(early, plan.observed, context)
        for name in self.facets:
            if name in self.last:
                continue
            if self.facets[name].reads_files and name in plan.wanted:
                self.apply_anew(name, plan.wanted[name], context)
            elif name in plan.differing:
                if name == "files":
                    mark_stale(outdated(plan, context))
                self.facets[name].apply(plan.differing[name], plan.observed.get(name, {}), context)
        late = {name: items for name, items in plan.left.items() if name not in self.first_to_go}
        self.give_back(late, plan.observed, context)
        self.afterwards(context)
        for name in self.last:
            self.apply_anew(name, plan.wanted.get(name, {}), context)

    def apply_anew(self, name: str, wanted: Mapping[str, Any], context: Context) -> None:
        """Make those items so that are not so by now."""
        now = self.facets[name].observe(wanted) if wanted else {}
        differing = {item: value for item, value in wanted.items() if now.get(item) != value}
        if differing:
            self.facets[name].apply(differing, now, context)

    def give_back(self, state: State, observed: State, context: Context) -> None:
        """Restore the before-state of items; an edit that somebody made since is kept, and noted."""
        for name in self.backwards():
            items = state.get(name)
            if not items:
                continue
            facet, records = self.facets[name], self.before(name)
            captured: dict[str, Any] = {}
            for item, written in items.items():
                if (record := records.get(item)) is None:
                    continue  # it was given back before, by a change whose answer was lost
                if self.edited(name, item, written, observed):
                    context.notes.append(f"{item} was changed by somebody else and is kept as it is")
                    continue
                captured[item] = record["captured"]
            facet.restore(captured, context)

    def edited(self, facet: str, item: str, written: Any, observed: State) -> bool:
        """Whether somebody changed an item since we wrote it, so that it is kept as it is."""
        now = observed.get(facet, {}).get(item)
        return self.facets[facet].keeps_edits and now is not None and now not in (written, *self.written(facet, item))

    def backwards(self) -> list[str]:
        """The order in which things are taken away. Routes need their addresses, so these come back first."""
        order = [name for name in reversed(list(self.facets)) if name != "addresses"]
        if "routes" in order and "addresses" in self.facets:
            order.insert(order.index("routes"), "addresses")
        return order

    def written(self, facet: str, item: str) -> list[Any]:
        """Every value that we may have written to an item since the last change that held: a kill leaves any of them."""
        values = []
        for key in self.manifest.names():
            entry = self.manifest.get(key) or {}
            values += [s[facet][item] for s in entry.get("earlier", []) if item in s.get(facet, {})]
        return values

    def settle(self, entries: Mapping[str, State], gone: Iterable[str], left: Mapping[str, Iterable[str]]) -> None:
        """The change held: the manifest names just what is wanted now, and what was given back has no before-state."""
        for key, state in entries.items():
            if self.manifest.get(key) != {"state": state}:
                self.manifest.put(key, {"state": state})
        for key in gone:
            self.manifest.remove(key)
        for name, items in left.items():
            for item in items:
                self.before(name).remove(item)


@dataclass
class Plan:
    """What a change comes to."""

    wanted: State
    differing: State
    left: State
    """What was ours and is not wanted any more, with the value that we wrote."""
    observed: State

    def touched(self, registry: Registry) -> State:
        """All items that carrying it out may change, for whoever must be able to undo it."""
        made_from_files = {n: items for n, items in self.wanted.items() if registry.facets[n].reads_files}
        return union(self.differing, self.left, made_from_files)

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return not self.differing and not self.left


def outdated(plan: Plan, context: Context) -> list[str]:
    """The units that are there and read one of the files that change."""
    there, changed = plan.observed.get("units", {}), plan.differing["files"].keys()
    reads = context.params.get("reads", {})
    return [
        u for u in context.params.get("on_change", {}) if u in there and not changed.isdisjoint(reads.get(u, changed))
    ]


def union(*states: State) -> State:
    """All items of all states; a later state's value wins."""
    result: State = {}
    for state in states:
        for name, items in state.items():
            result.setdefault(name, {}).update(items)
    return result


def without(state: State, other: State) -> State:
    """The items of a state that the other does not have."""
    result = {name: {i: v for i, v in items.items() if i not in other.get(name, {})} for name, items in state.items()}
    return {name: items for name, items in result.items() if items}


def converge(
    registry: Registry,
    entries: Mapping[str, State],
    previous: Iterable[State],
    gone: Iterable[str],
    context: Context,
) -> dict[str, State]:
    """Bring resources to the wanted state and return what is observed then.

    Raises HostError if the host is not as wanted afterwards, naming what is not so.
    """
    gone = list(gone)
    plan = registry.plan(entries, previous, gone)
    refuse_wrong(plan.differing.get("files", {}))
    registry.take_over(plan, entries)
    if not plan.empty:
        registry.carry_out(plan, context)
        observed = registry.observe(plan.wanted)
        wrong = shortfall(plan.wanted, observed)
        if wrong:
            raise HostError("after the change the host is still not as wanted: " + "; ".join(wrong))
    registry.settle(entries, gone, plan.left)
    return registry.observe_many(entries) if not plan.empty else {key: dict(state) for key, state in entries.items()}


def shortfall(wanted: State, observed: State) -> list[str]:
    """In words, what is not as wanted; empty when all is."""
    wrong = []
    for name, items in wanted.items():
        for item, value in items.items():
            now = observed.get(name, {}).get(item)
            if now != value:
                wrong.append(f"{name} {item}: {describe(value, now)}")
    return wrong


def describe(wanted: Any, observed: Any) -> str:
    """The difference of two values in one short text."""
    if observed is None:
        return "missing"
    if isinstance(wanted, str) and isinstance(observed, str) and "\n" in wanted + observed:
        lines = list(
            difflib.unified_diff(wanted.splitlines(), observed.splitlines(), "wanted", "found", lineterm="", n=0)
        )
        return "differs: " + " | ".join(lines[2:8])
    return f"{observed!r} instead of {wanted!r}"
