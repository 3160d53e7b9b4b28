"""Who needs whom. Source: pulumi pkg/resource/graph/dependency_graph.go.

Lists of resources are in dependency order: each follows everything it needs.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from engine.state import State


def dependents(root: State, resources: list[State], ignore: Container[str] = (), children: bool = False) -> list[State]:
    """What needs `root`, directly or not, in dependency order; with `children`, also what lies below it."""
    reached = {root.urn}
    found = []
    try:
        start = resources.index(root) + 1
    except ValueError:
        return []
    for state in resources[start:]:
        if state.urn in ignore:
            continue
        if any(d in reached for d in state.all_dependencies()) or (children and state.parent in reached):
            found.append(state)
            reached.add(state.urn)
    return found


def needed_urns(roots: Iterable[State], resources: list[State]) -> set[str]:
    """URNs of everything that the roots need, parents included, directly or not."""
    reached: set[str] = set()
    for root in roots:
        reached.update(root.all_dependencies())
        if root.parent:
            reached.add(root.parent)
    for state in reversed(resources):
        if state.urn in reached:
            reached.update(state.all_dependencies())
            if state.parent:
                reached.add(state.parent)
    return reached


def deletion_order(condemned: list[State]) -> list[list[State]]:
    """Groups to delete one after the other, those of a group side by side: dependents and children go first."""
    by_urn: dict[str, list[State]] = {}
    for state in condemned:
        by_urn.setdefault(state.urn, []).append(state)
    children: dict[str, list[State]] = {}
    for state in condemned:
        if state.parent:
            children.setdefault(state.parent, []).append(state)
    position = {state: index for index, state in enumerate(condemned)}

    def needs(state: State) -> set[State]:
        urns = set(state.all_dependencies())
        found = {d for urn in urns for d in by_urn.get(urn, []) if d is not state}
        # A component stands for what lies below it, as far as that came before.
        below = [d for d in found if not d.custom]
        while below:
            for child in children.get(below.pop().urn, []):
                if child not in found and child is not state and position[child] < position[state]:
                    found.add(child)
                    below.append(child)
        if state.parent:
            found.update(d for d in by_urn.get(state.parent, []) if d is not state)
        return found

    depth: dict[State, int] = {}
    left = list(condemned)
    needed = {state: needs(state) for state in condemned}
    while left:
        ready = [s for s in left if all(d in depth for d in needed[s])]
        if not ready:  # a circle, which a sound checkpoint does not have
            ready = left
        for state in ready:
            depth[state] = 1 + max((depth[d] for d in needed[state] if d in depth), default=-1)
        left = [s for s in left if s not in depth]
    groups: list[list[State]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for state, level in depth.items():
        groups[level].append(state)
    return groups[::-1]
