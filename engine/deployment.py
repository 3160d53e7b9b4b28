"""One run of a program against a checkpoint: registrations in, steps out, deletions at the end.

Source: pulumi pkg/resource/deploy/deployment_executor.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine import graph
from engine import urn as urns
from engine.aliases import Names
from engine.checkpoint import Checkpoint
from engine.errors import Bail, EngineError
from engine.executor import Executor, Watcher
from engine.goal import Goal, ReadGoal
from engine.planner import Planner, Settings
from engine.registry import Registry
from engine.snapshot import Snapshot
from engine.state import State
from engine.steps import Step
from engine.values import Props, Secret, Value, same


@dataclass(frozen=True)
class Registered:
    """The answer to a registration. unknown: it is not made in this run, so its outputs can't be known."""

    state: State
    unknown: bool = False


class Deployment:
    """Takes registrations while the program runs; `finish` then deletes what is left over."""

    def __init__(
        self,
        names: Names,
        base: Checkpoint,
        settings: Settings,
        registry: Registry,
        watcher: Watcher,
        flush: Callable[[], Awaitable[None]],
        *,
        refresh: bool,
        parallel: int,
    ) -> None:
        self.snapshot = Snapshot(base)
        self.settings = settings
        self.registry = registry
        self.watcher = watcher
        self.refresh = refresh
        self.goals: dict[str, Goal] = {}
        self.stack_outputs: Props | None = None
        self.gone: set[State] = set()
        self.components: dict[str, tuple[Step, State]] = {}
        self.planner = Planner(settings, names, base.resources, registry)
        self.executor = Executor(
            registry,
            self.snapshot,
            flush,
            watcher,
            preview=settings.preview,
            parallel=parallel,
            deletes=self.planner.deletes,
        )
        self.planner.cut_off = {o.resource.urn for o in base.pending if o.type == "creating"}
        self._names = names
        self._flush = flush
        self._turn = asyncio.Lock()
        self._base = base

    @property
    def failed(self) -> bool:
        return self.executor.failed or bool(self.planner.errors)

    def fail(self, urn: str, error: EngineError) -> None:
        """Report a failure outside of any step and let nothing further begin."""
        self.executor.failed = True
        self.watcher.say("error", urn, str(error), getattr(error, "raw", ""))
        if not self.settings.preview:
            self.executor.stop()

    async def register(self, goal: Goal) -> Registered:
        """Plan and run one registration. Raises Bail when it failed or the operation is stopped."""
        if self.executor.stopping.is_set():
            raise Bail
        urn = urns.make(self._names.stack, self._names.project, goal.parent, goal.type, goal.name)
        try:
            async with self._turn:
                urn = self._names.claim(goal.type, goal.name, goal.parent)
                old, alias = self._names.find_old(urn, goal.parent, goal.aliases)
                if alias and urns.is_provider_type(goal.type):
                    self.registry.note_alias(urn, alias)
                self.goals[urn] = goal
                new = self.planner.new_state(goal, urn, old, alias)
            if old is not None and self.refresh and self.planner.targeted(old.urn):
                old = await self._refresh_one(old, goal)
            manages = goal.custom and not urns.is_provider_type(goal.type)
            if self.settings.mode == "refresh" and manages:
                return self._refreshed(new, old)
            async with self._turn:
                chain = await self.planner.plan(goal, new, old)
            if urn in self.planner.cut_off and any(s.op == "create" for s in chain):
                self.planner.cut_off.discard(urn)
                self.watcher.say("info", urn, "it was being made when the last run ended; it is made again")
        except EngineError as err:
            self.fail(urn, err)
            raise Bail from err
        await self.executor.run(chain)
        last = next((s for s in reversed(chain) if s.urn == urn and s.new is not None), None)
        if last is None:
            return Registered(old or new)
        if not goal.custom:
            self.components[urn] = (last, last.state)
        return Registered(last.state, last.skipped)

    async def _refresh_one(self, old: State, goal: Goal) -> State | None:
        if goal.custom and not urns.is_provider_type(goal.type):
            # Read with the provider as the program configures it now, not as it was when the resource was made.
            old_reference = old.provider
            if old_reference != goal.provider and goal.provider:
                await self.registry.load_old(old_reference)
            return await self._refresh_step(old)
        return old

    async def _refresh_step(self, old: State) -> State | None:
        step = Step("refresh", old)
        await self.executor.run([step])
        if step.new is None:
            self.gone.add(old)
        else:
            self.planner.refreshed[old] = step.new
        return step.new

    def _refreshed(self, new: State, old: State | None) -> Registered:
        if old is None:
            self.planner.skipped.add(new.urn)
            return Registered(new, True)
        self.planner.operated.add(new.urn)
        return Registered(old)

    async def read(self, goal: ReadGoal) -> State:
        try:
            async with self._turn:
                chain = self.planner.plan_read(goal)
        except EngineError as err:
            self.fail("", err)
            raise Bail from err
        await self.executor.run(chain)
        return chain[0].state

    async def register_outputs(self, urn: str, outputs: Props) -> None:
        """A component's outputs. The stack's own are kept until the end, when it is known whether all went well."""
        if urns.type_of(urn) == urns.STACK_TYPE:
            self.stack_outputs = {k: _without_marks(v) for k, v in outputs.items()}
            return
        found = self.components.pop(urn, None)
        if found is None:
            raise EngineError(f"outputs of {urn} came before the resource itself, or twice")
        step, state = found
        if step.skipped:
            return
        await self._set_outputs(state, outputs)

    async def _set_outputs(self, state: State, outputs: Props) -> None:
        changed = not same(dict(state.outputs), dict(outputs))
        state.outputs = outputs
        if changed and not self.settings.preview:
            self.snapshot.changed = True
            await self._flush()

    async def finish(self, program_ok: bool) -> None:
        """What is left: refreshes or deletions, then the stack's outputs. Failures are reported, not raised."""
        await self.executor.settle()
        if program_ok and not self.executor.stopping.is_set() and not self.executor.failed:
            try:
                if self.settings.mode == "refresh":
                    await self._refresh_rest()
                else:
                    await self._delete_rest()
            except EngineError as err:
                self.fail("", err)
        await self.executor.settle()
        for error in self.planner.errors:
            self.watcher.say("error", getattr(error, "urn", ""), str(error))
        for urn in sorted(self.planner.cut_off) if program_ok else []:
            self.watcher.say(
                "warning",
                urn,
                "it was being made when an earlier run ended, and the program does not want it any more: the state does "
                "not hold what is there of it. Look at the server, then `refresh --clear-pending-creates`",
            )
        stack = next((s for u, (_, s) in self.components.items() if urns.type_of(u) == urns.STACK_TYPE), None)
        if stack is not None and self.stack_outputs is not None and self.settings.mode != "destroy":
            outputs = self.stack_outputs
            if self.failed or not program_ok:
                outputs = {**stack.outputs, **outputs}
            await self._set_outputs(stack, outputs)

    async def _refresh_rest(self) -> None:
        left = [s for s in self._base.resources if s not in self.planner.refreshed and s not in self.gone]
        left = [s for s in left if self._claimed(s) not in self.planner.operated and self.planner.targeted(s.urn)]
        await asyncio.gather(*(self._refresh_step(s) for s in left), return_exceptions=True)

    def _claimed(self, state: State) -> str:
        return self._names.new_urn.get(state.urn, state.urn)

    async def _delete_rest(self) -> None:
        planner = self.planner
        allowed = self._allowed_to_delete()
        steps: list[Step] = []
        keep: list[Step] = []
        for base in self._base.resources:
            if base in self.gone:
                continue
            state = planner.refreshed.get(base, base)
            if state.urn not in allowed:
                keep += planner.keep(state) if self._claimed(state) not in planner.operated else []
            elif state.delete:
                if state not in planner.pending_deletes:
                    planner.deletes.add(state.urn)
                    steps.append(Step("delete-replaced", state))
            elif self._claimed(state) not in planner.operated:
                planner.deletes.add(state.urn)
                steps.append(Step("remove-pending-replace" if state.pending_replacement else "delete", state))
        for state in planner.to_delete:
            if state.urn in allowed:
                planner.deletes.add(state.urn)
                steps.append(Step("delete", state))
        for step in keep:
            await self.executor.run([step])
        await self._run_deletes(steps)

    def _allowed_to_delete(self) -> set[str]:
        everything = self._base.resources + self.planner.to_delete
        if not self.settings.targets:
            return {s.urn for s in everything}
        allowed = {s.urn for s in everything if self.planner.targeted(s.urn)}
        implied: set[str] = set()
        for state in self._base.resources:
            if state.urn in allowed:
                implied.update(d.urn for d in graph.dependents(state, self._base.resources, allowed, True))
        if implied and not self.settings.target_dependents and self.settings.mode == "destroy":
            for urn in sorted(implied):
                self.planner.error(
                    EngineError(
                        f"Resource '{urn}' will be destroyed but was not specified in --target list.\n"
                        "Either include resource in --target list or pass --target-dependents to proceed."
                    )
                )
        return allowed | (implied if self.settings.target_dependents else set())

    async def _run_deletes(self, steps: list[Step]) -> None:
        by_state = {step.state: step for step in steps}
        order = graph.deletion_order(list(by_state))
        kept: set[str] = set()
        for group in order:
            ready = [by_state[s] for s in group if s.urn not in kept]
            results = await asyncio.gather(*(self.executor.run([s]) for s in ready), return_exceptions=True)
            for step, result in zip(ready, results, strict=True):
                if isinstance(result, Bail):
                    kept |= graph.needed_urns([step.state], list(by_state))
                elif isinstance(result, BaseException):
                    raise result


def _without_marks(value: Value) -> Value:
    """A stack's output without the mark that the SDK puts on resources in a preview."""
    if isinstance(value, dict):
        return {k: _without_marks(v) for k, v in value.items() if k != "@isPulumiResource"}
    if isinstance(value, Secret):
        return Secret(_without_marks(value.value))
    return [_without_marks(v) for v in value] if isinstance(value, list) else value
