"""From a registration and what was there before to steps. Source: pulumi pkg/resource/deploy/step_generator.go.

The planner starts nothing and writes nothing; what it must ask (check and diff) it asks of `Answers`. Registrations are
planned one at a time, in the order they arrive.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, Protocol

from engine import graph, paths
from engine import urn as urns
from engine.aliases import Names
from engine.errors import CheckFailed, EngineError, Protected
from engine.goal import Goal, ReadGoal
from engine.state import State
from engine.steps import Diff, Step, with_replace_on_changes
from engine.values import UNKNOWN, Props, copy_props, same

Mode = Literal["update", "refresh", "destroy"]
Failures = list[tuple[str, str]]


class Answers(Protocol):
    """What the planner asks of providers."""

    async def check(self, new: State, olds: Props, news: Props, seed: bytes) -> tuple[Props, Failures]: ...

    async def diff(self, old: State, new: State, news: Props, ignore_changes: list[str]) -> Diff: ...

    async def load_old(self, reference: str) -> None: ...

    async def provider_needs_replacement(self, old: State, new: State) -> bool: ...


@dataclass(frozen=True)
class Settings:
    """How an operation plans. targets: URNs (with `*` and `**`) that alone may change; empty for all."""

    mode: Mode = "update"
    preview: bool = False
    targets: tuple[str, ...] = ()
    target_dependents: bool = False


class Planner:
    """One operation's plan, as it grows."""

    def __init__(self, settings: Settings, names: Names, base: list[State], answers: Answers) -> None:
        self.settings = settings
        self.names = names
        self.base = base
        self.answers = answers
        self.errors: list[EngineError] = []  # found in a preview, which goes on
        self.operated: set[str] = set()
        self.deletes: set[str] = set()
        self.replaces: set[str] = set()
        self.skipped: set[str] = set()
        self.pending_deletes: set[State] = set()
        self.to_delete: list[State] = []
        self.cut_off: set[str] = set()  # being created when an earlier run ended
        self.refreshed: dict[State, State] = {}
        self._replace_keys: dict[str, list[str]] = {}
        self._seed = os.urandom(32)

    def new_state(self, goal: Goal, urn: str, old: State | None, alias: str) -> State:
        """What the checkpoint will say of a registration."""
        return State(
            urn=urn,
            type=goal.type,
            custom=goal.custom,
            inputs=copy_props(goal.props),
            parent=goal.parent,
            protect=bool(goal.protect),
            dependencies=sorted(goal.dependencies),
            provider=goal.provider,
            property_dependencies=goal.property_dependencies,
            additional_secret_outputs=goal.additional_secret_outputs,
            aliases=[alias] if alias else [],
            custom_timeouts=goal.custom_timeouts,
            retain_on_delete=bool(goal.retain_on_delete),
            deleted_with=goal.deleted_with,
            created=old.created if old else "",
            modified=old.modified if old else "",
            source_position=goal.source_position,
            ignore_changes=goal.ignore_changes,
            hide_diff=goal.hide_diff,
            replace_on_changes=goal.replace_on_changes,
        )

    def targeted(self, urn: str, implicit: bool = False) -> bool:
        targets = self.settings.targets
        return implicit or not targets or any(urns.matches(t, urn) for t in targets)

    async def plan(self, goal: Goal, new: State, old: State | None) -> list[Step]:
        """The steps of one registration. Raises CheckFailed, Protected, or what the provider said."""
        urn = new.urn
        manages = goal.custom and not urns.is_provider_type(goal.type)
        if self.settings.mode == "destroy":
            skip = self._plan_destroy(new, old, manages)
            if skip is not None:
                return skip
        recreating = urn in self.deletes
        implicit = urns.is_provider_type(goal.type) or goal.type == urns.STACK_TYPE
        if not self.targeted(urn, implicit):
            return self._untargeted(new, old)
        self._refuse_skipped(new)
        if old is not None:
            new.inputs, _ = paths.ignoring(goal.ignore_changes, old.inputs, new.inputs)
        if goal.custom:
            fresh = recreating or old is None or old.external
            olds = {} if fresh or old is None else old.inputs
            news = goal.props if fresh else new.inputs
            new.inputs = await self._check(new, olds, news)
        self.operated.add(urn)
        if recreating:
            assert old is not None
            self.deletes.discard(urn)
            self.replaces.add(urn)
            keys = self._replace_keys.get(urn, [])
            return [Step("replace", old, new), Step("create-replacement", old, new, keys)]
        if old is None:
            return [Step("create", None, new)]
        if old.external:
            return [Step("create-replacement", old, new, pending_delete=True), Step("replace", old, new)]
        diff = await self._diff(goal, old, new)
        return await self._from_diff(goal, old, new, diff)

    def _plan_destroy(self, new: State, old: State | None, manages: bool) -> list[Step] | None:
        unmade = manages and old is None and new.urn not in self.cut_off
        if unmade or any(d in self.skipped for d in (*new.all_dependencies(), new.parent)):
            self.skipped.add(new.urn)
            if old is not None:
                new.outputs = old.outputs
            return [Step("same", old, new, skipped=True)]
        self.to_delete.append(new)
        # What a kill left half made is made whole, so that there is something whose deletion takes it along.
        if not manages or old is None:
            return None
        self.operated.add(new.urn)
        new.inputs = old.inputs
        return [Step("same", old, new)]

    def _untargeted(self, new: State, old: State | None) -> list[Step]:
        if old is None:
            self.skipped.add(new.urn)
            return [Step("same", None, new, skipped=True)]
        return self.keep(old)

    def keep(self, old: State) -> list[Step]:
        """Steps that keep a resource as it is, after those for what it needs and has not been seen."""
        if old.delete or old.urn in self.operated:
            return []
        self.operated.add(old.urn)
        steps: list[Step] = []
        for needed in (*old.all_dependencies(), old.parent):
            found = self.names.olds.get(needed)
            if found is not None and self.names.new_urn.get(needed, needed) not in self.operated:
                steps += self.keep(found)
        copied = old.copy()
        return [*steps, Step("same", old, copied, untargeted=True)]

    def _refuse_skipped(self, new: State) -> None:
        for needed in (*new.all_dependencies(), new.parent):
            if needed in self.skipped and self.settings.mode == "update":
                self.error(
                    EngineError(
                        f"Resource '{new.urn}' depends on '{needed}' which was not specified in --target list.\n"
                        "Either include resource in --target list or pass --target-dependents to proceed."
                    )
                )

    def error(self, error: EngineError) -> None:
        """Raise in an update; in a preview note it and go on, so that all of them are seen."""
        if not self.settings.preview:
            raise error
        self.errors.append(error)

    async def _check(self, new: State, olds: Props, news: Props) -> Props:
        inputs, failures = await self.answers.check(new, olds, news, self._seed)
        if failures:
            raise CheckFailed(new.urn, failures)
        return inputs

    async def _diff(self, goal: Goal, old: State, new: State) -> Diff:
        if new.deleted_with in self.replaces:
            return Diff(True, ["deletedWith"])
        if old.provider != new.provider and await self.answers.provider_needs_replacement(old, new):
            return Diff(True, ["provider"])
        if not goal.custom:
            return Diff(not same(dict(old.inputs), dict(new.inputs)))
        return await self.answers.diff(old, new, new.inputs, goal.ignore_changes)

    async def _from_diff(self, goal: Goal, old: State, new: State, diff: Diff) -> list[Step]:
        diff = with_replace_on_changes(diff, goal.replace_on_changes, bool(old.init_errors))
        if not diff.changes and not old.pending_replacement:
            if old.init_errors:
                return [Step("update", old, new)]
            return [Step("same", old, new)]
        if not diff.replaces and not old.pending_replacement and not old.taint:
            return [Step("update", old, new, changed=diff.keys)]
        if new.protect and old.protect:
            self.error(Protected(new.urn, "replace"))
        self.replaces.add(new.urn)
        if goal.custom:
            new.inputs = await self._check(new, {}, goal.props)
        first = diff.delete_before_replace if goal.delete_before_replace is None else goal.delete_before_replace
        if not first:
            return [
                Step("create-replacement", old, new, diff.replaces, diff.keys, pending_delete=True),
                Step("replace", old, new, diff.replaces, diff.keys),
            ]
        steps = await self._delete_dependents(old, new)
        if not old.pending_replacement:
            await self.answers.load_old(old.provider)
            self.deletes.add(old.urn)
            steps.append(Step("delete-replaced", old, pending_replace=True))
        return [
            *steps,
            Step("replace", old, new, diff.replaces, diff.keys),
            Step("create-replacement", old, new, diff.replaces, diff.keys),
        ]

    async def _delete_dependents(self, root: State, new: State) -> list[Step]:
        """Before a resource can be deleted first, what would be replaced with it goes, dependents first."""
        found: list[tuple[State, list[str]]] = []
        gone = {root.urn}
        for state in graph.dependents(root, self.base, self.operated | self.deletes):
            needed, keys = await self._replaced_with(state, gone)
            if needed:
                found.append((state, keys))
                gone.add(state.urn)
        listed = {state for state, _ in found}
        found += [(s, []) for s in self.base if s.deleted_with == new.urn and s not in listed and not s.delete]
        steps = []
        for state, keys in reversed(found):
            if state in self.pending_deletes:
                continue
            if state.protect and not state.delete:
                raise Protected(state.urn, f"replace {new.urn} without")
            await self.answers.load_old(state.provider)
            self._replace_keys[state.urn] = keys
            steps.append(
                Step("delete", state) if state.delete else Step("delete-replaced", state, pending_replace=True)
            )
            self.deletes.add(state.urn)
            self.pending_deletes.add(state)
        return steps

    async def _replaced_with(self, state: State, gone: set[str]) -> tuple[bool, list[str]]:
        if not state.custom or state.external:
            return False, []
        if state.provider and urns.split_reference(state.provider)[0] in gone:
            return True, []
        if state.deleted_with in gone:
            return True, []
        news = dict(state.inputs)
        affected = [k for k, needs in state.property_dependencies.items() if k in news and gone & set(needs)]
        if not affected:
            return False, []
        news.update({key: UNKNOWN for key in affected})
        await self.answers.load_old(state.provider)
        diff = await self.answers.diff(state, state, news, state.ignore_changes)
        diff = with_replace_on_changes(diff, state.replace_on_changes, False)
        return diff.changes and bool(diff.replaces), diff.replaces

    def plan_read(self, goal: ReadGoal) -> list[Step]:
        """The steps of a resource that is only read."""
        urn = self.names.claim(goal.type, goal.name, goal.parent)
        old, alias = self.names.find_old(urn, goal.parent, [])
        new = State(
            urn=urn,
            type=goal.type,
            custom=True,
            id=goal.id,
            inputs=goal.props,
            parent=goal.parent,
            external=True,
            dependencies=sorted(goal.dependencies),
            provider=goal.provider,
            additional_secret_outputs=goal.additional_secret_outputs,
            aliases=[alias] if alias else [],
            source_position=goal.source_position,
        )
        self.operated.add(urn)
        if old is not None and not old.external and old.id != goal.id:
            self.replaces.add(urn)
            return [Step("read-replacement", old, new, pending_delete=True), Step("replace", old, new)]
        if self.settings.mode == "destroy":
            self.to_delete.append(new)
        return [Step("read", old, new)]
