"""Finding the resource that a registration was before. Source: pulumi pkg/resource/deploy/step_generator.go."""

from __future__ import annotations

from engine import urn as urns
from engine.errors import EngineError
from engine.goal import Alias
from engine.state import State


class Names:
    """URNs seen in this operation, and which old ones they stand for."""

    def __init__(self, stack: str, project: str, olds: dict[str, State]) -> None:
        self.stack = stack
        self.project = project
        self.olds = olds
        self.seen: set[str] = set()
        self.old_urn: dict[str, str] = {}  # new URN -> the old one it was found under
        self.new_urn: dict[str, str] = {}  # old URN -> the new one that claimed it

    def claim(self, type_: str, name: str, parent: str) -> str:
        """The URN of a new registration. Raises EngineError when it is taken."""
        urn = urns.make(self.stack, self.project, parent, type_, name)
        if urn in self.seen:
            raise EngineError(f"Duplicate resource URN '{urn}'; try giving it a unique name")
        self.seen.add(urn)
        return urn

    def find_old(self, urn: str, parent: str, aliases: list[Alias]) -> tuple[State | None, str]:
        """The resource as it was, and the alias it was found under ("" for its own URN)."""
        if urn in self.new_urn:
            raise EngineError(f"Duplicate resource URN '{urn}' conflicting with alias on resource {self.new_urn[urn]}")
        for candidate in (urn, *self._aliases(urn, parent, aliases)):
            old = self.olds.get(candidate)
            if old is None:
                continue
            if candidate == urn:
                return old, ""
            if candidate in self.seen or candidate in self.new_urn:
                raise EngineError(f"Duplicate resource alias '{candidate}' applied to resource {urn}: it is in use")
            self.new_urn[candidate] = urn
            self.old_urn[urn] = candidate
            return old, candidate
        return None, ""

    def _aliases(self, urn: str, parent: str, aliases: list[Alias]) -> list[str]:
        name, type_ = urns.name_of(urn), urns.type_of(urn)
        own = [self._collapse(name, type_, parent, alias) for alias in aliases]
        found = list(own)
        if parent in self.old_urn:
            before = self.old_urn[parent]
            found.append(self._inherit(type_, name, urns.name_of(parent), before))
            found += [self._inherit(urns.type_of(a), urns.name_of(a), urns.name_of(parent), before) for a in own]
        return list(dict.fromkeys(found))

    def _collapse(self, name: str, type_: str, parent: str, alias: Alias) -> str:
        if alias.urn:
            return alias.urn
        if alias.parent:
            parent = self.old_urn.get(alias.parent, alias.parent)
        if alias.no_parent:
            parent = ""
        return urns.make(
            alias.stack or self.stack, alias.project or self.project, parent, alias.type or type_, alias.name or name
        )

    def _inherit(self, type_: str, name: str, parent_name: str, before: str) -> str:
        if name.startswith(parent_name):
            name = urns.name_of(before) + name.removeprefix(parent_name)
        return urns.make(self.stack, self.project, before, type_, name)
