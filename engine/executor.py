"""Running steps: each is announced in the checkpoint before it begins and recorded when it is done.

Source: pulumi pkg/resource/deploy/step.go and step_executor.go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from engine import urn as urns
from engine.errors import Bail, DeleteProtected, EngineError
from engine.provider import InitError, ProviderError
from engine.registry import Registry
from engine.snapshot import Snapshot
from engine.state import State, now
from engine.steps import Step
from engine.values import Props, Secret, same


class Watcher(Protocol):
    """Who is told how it goes: the display."""

    def begun(self, step: Step) -> None: ...

    def ended(self, step: Step, seconds: float, error: str | None) -> None: ...

    def say(self, severity: str, urn: str, message: str, raw: str = "") -> None: ...


class Executor:
    """Runs chains of steps, `parallel` at a time. After a failure, or `stop`, no further step begins."""

    def __init__(
        self,
        registry: Registry,
        snapshot: Snapshot,
        flush: Callable[[], Awaitable[None]],
        watcher: Watcher,
        *,
        preview: bool,
        parallel: int,
        deletes: set[str],
    ) -> None:
        self.registry = registry
        self.snapshot = snapshot
        self.watcher = watcher
        self.preview = preview
        self.failed = False
        self.stopping = asyncio.Event()
        self._flush = flush
        self._slots = asyncio.Semaphore(max(1, parallel))
        self._deletes = deletes
        self._tasks: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        self.stopping.set()

    async def run(self, chain: list[Step]) -> None:
        """Run steps one after the other. Raises Bail when one fails or the operation has been stopped.

        The steps go on when whoever waits for them goes away: what has begun is brought to its end and recorded.
        """
        task = asyncio.create_task(self._run(chain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def settle(self) -> None:
        """Wait for everything that has begun."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, chain: list[Step]) -> None:
        async with self._slots:
            for step in chain:
                if self.stopping.is_set():
                    raise Bail
                await self._step(step)

    async def _step(self, step: Step) -> None:
        if not self.preview and self.snapshot.begin(step):
            await self._flush()
        began = time.monotonic()
        self.watcher.begun(step)
        error: EngineError | None = None
        try:
            await self._apply(step)
        except EngineError as err:
            error, step.failed = err, True
        if step.new is not None and step.op != "replace":
            step.new.outputs = with_secrets(step.new)
        successful = error is None or (isinstance(error, InitError) and not self.preview)
        if not self.preview:
            # A refresh that changed nothing, or a step that keeps things as they are, needs no write.
            must = self.snapshot.end(step, successful)
            if must:
                await self._flush()
        self.watcher.ended(step, time.monotonic() - began, str(error) if error else None)
        if error is not None:
            self.failed = True
            self.watcher.say("error", step.urn, str(error), error.raw if isinstance(error, ProviderError) else "")
            if not isinstance(error, DeleteProtected):
                self.stop()
            raise Bail from error

    async def _apply(self, step: Step) -> None:
        old, new = step.old, step.new
        if step.op == "same":
            assert new is not None
            if old is not None:
                new.id, new.outputs, new.init_errors = old.id, old.outputs, old.init_errors
                if urns.is_provider_type(new.type) and not step.skipped and not step.untargeted:
                    await self.registry.keep(new, old)
        elif step.op in ("create", "create-replacement"):
            assert new is not None
            await self._create(step, new)
        elif step.op == "update":
            assert old is not None
            assert new is not None
            await self._update(old, new)
        elif step.op in ("delete", "delete-replaced"):
            assert old is not None
            await self._delete(step, old)
        elif step.op in ("read", "read-replacement"):
            assert new is not None
            await self._read(step, new)
        elif step.op == "refresh":
            assert old is not None
            await self._refresh(step, old)

    async def _create(self, step: Step, new: State) -> None:
        failure: InitError | None = None
        if new.custom:
            try:
                new.id, outputs = await self.registry.create(new, self.preview)
            except InitError as err:
                failure = err
                new.id, outputs, new.init_errors = err.id, err.outputs, err.reasons
            new.outputs = outputs
        new.created = new.modified = now()
        if step.pending_delete and step.old is not None:
            step.old.delete = True
        if failure is not None:
            raise failure

    async def _update(self, old: State, new: State) -> None:
        new.id, new.created, new.modified = old.id, old.created, old.modified
        if not new.custom:
            new.outputs = old.outputs
            return
        failure: InitError | None = None
        try:
            outputs = await self.registry.update(old, new, self.preview)
        except InitError as err:
            failure = err
            outputs, new.init_errors = err.outputs, err.reasons
        new.outputs = outputs
        new.modified = now()
        if failure is not None:
            raise failure

    async def _delete(self, step: Step, old: State) -> None:
        if step.op == "delete" and old.protect:
            raise DeleteProtected(old.urn)
        leave = self.preview or old.external or old.retain_on_delete or old.deleted_with in self._deletes
        if old.custom and not leave:
            await self.registry.delete(old)
        if step.pending_replace:
            old.pending_replacement = True

    async def _read(self, step: Step, new: State) -> None:
        id_, outputs, inputs = await self.registry.read(new)
        if not id_:
            raise EngineError(f"resource {new.id} does not exist")
        new.id, new.outputs = id_, outputs
        if inputs is not None:
            new.inputs = inputs
        new.created = step.old.created if step.old else now()
        new.modified = step.old.modified if step.old else new.created
        if step.pending_delete and step.old is not None:
            step.old.delete = True

    async def _refresh(self, step: Step, old: State) -> None:
        if not old.custom or urns.is_provider_type(old.type) or old.pending_replacement:
            step.new = old.copy()
            return
        id_, outputs, inputs = await self.registry.read(old)
        if not id_:
            step.gone, step.new = True, None
            return
        new = old.copy()
        new.id, new.init_errors = id_, []
        new.outputs = outputs
        if inputs is not None:
            new.inputs = inputs
        new.outputs = with_secrets(new)
        if not (same(dict(new.inputs), dict(old.inputs)) and same(dict(new.outputs), dict(old.outputs))):
            new.modified = now()
        step.new = new
        if old.external:
            step.changed = [k for k in new.outputs if not same(new.outputs[k], old.outputs.get(k))]
        else:
            diff = await self.registry.refresh_diff(old, new)
            if diff.changes:
                step.changed = diff.keys or [k for k in new.outputs if not same(new.outputs[k], old.outputs.get(k))]
                step.changed = step.changed or ["id"]


def with_secrets(state: State) -> Props:
    """A resource's outputs, secret where additionalSecretOutputs says so or the input of the same name is one."""
    names = {*state.additional_secret_outputs, *(k for k, v in state.inputs.items() if isinstance(v, Secret))}
    if not names.intersection(k for k, v in state.outputs.items() if not isinstance(v, Secret)):
        return state.outputs
    return {k: Secret(v) if k in names and not isinstance(v, Secret) else v for k, v in state.outputs.items()}
