"""Provider resources and the processes behind them. Source: pulumi pkg/resource/deploy/providers/registry.go.

A provider resource's check starts its process; what its step turns out to be (same, create, update) configures it. One
process for each provider resource, one for an operation.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from engine import urn as urns
from engine.builtin import Builtin
from engine.config import StackConfig
from engine.errors import EngineError, Unsupported
from engine.goal import Goal
from engine.planner import Failures
from engine.provider import Provider
from engine.state import State
from engine.steps import Diff
from engine.values import Props

Start = Callable[[str, str], Awaitable[Provider]]
UNKNOWN_ID = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Registry:
    """Answers for every custom resource: by the provider it names, or itself where the resource is a provider."""

    def __init__(self, start: Start, config: StackConfig, builtin: Builtin, olds: dict[str, State]) -> None:
        self._start = start
        self._config = config
        self._builtin = builtin
        self._olds = olds
        self._checked: dict[str, Provider] = {}
        self._ready: dict[str, Provider] = {}
        self._aliases: dict[str, str] = {}
        self._defaults: dict[str, asyncio.Future[str]] = {}
        self._news: dict[str, State] = {}
        self.started = 0

    async def default(self, package: str, options: dict[str, str], register: Callable[[Goal], Awaitable[State]]) -> str:
        """The reference of a package's default provider, registered when it is first needed.

        options: the plugin's version and pluginDownloadURL, "" where the program does not say.
        """
        version = options["version"]
        name = f"default_{version.replace('.', '_').replace('-', '_').replace('+', '_')}" if version else "default"
        key = f"{package}-{version}"
        if key not in self._defaults:
            self._defaults[key] = asyncio.get_running_loop().create_future()
            props = self._config.package(package)
            props.update({k: v for k, v in options.items() if v})
            try:
                state = await register(Goal(f"pulumi:providers:{package}", name, True, props))
            except BaseException as err:
                self._defaults[key].set_exception(err)
                self._defaults[key].exception()
                raise
            self._defaults[key].set_result(f"{state.urn}::{state.id or UNKNOWN_ID}")
        return await asyncio.shield(self._defaults[key])

    def note_alias(self, urn: str, alias: str) -> None:
        """A provider resource that was known by another URN: what still names that one gets the same process."""
        self._aliases[urn] = alias

    async def _launch(self, state: State) -> Provider:
        for key in ("__internal", "pluginChecksums"):
            if key in state.inputs:
                raise Unsupported(f"provider option {key.strip('_')} of {state.urn}")
        version = state.inputs.get("version")
        self.started += 1
        return await self._start(urns.provider_package(state.type), version if isinstance(version, str) else "")

    def _put(self, urn: str, id_: str, provider: Provider) -> None:
        self._ready[f"{urn}::{id_ or UNKNOWN_ID}"] = provider
        if urn in self._aliases:
            self._ready[f"{self._aliases[urn]}::{id_ or UNKNOWN_ID}"] = provider

    async def load_old(self, reference: str) -> None:
        """Make ready the provider that an old resource names, from what the checkpoint says of it."""
        if not reference or reference in self._ready:
            return
        urn, id_ = urns.split_reference(reference)
        old = self._olds.get(urn)
        if old is None or old.id != id_:
            raise EngineError(f"the checkpoint names the provider {reference}, but does not hold it")
        if urns.provider_package(old.type) == "pulumi":
            return
        provider = await self._launch(old)
        self._put(urn, id_, provider)
        await provider.configure(urn, id_, old.inputs)

    def _of(self, state: State) -> Provider:
        found = self._ready.get(state.provider)
        if found is None:
            raise EngineError(f"{state.urn} names the provider {state.provider}, which is not there")
        return found

    def _is_builtin(self, state: State) -> bool:
        return urns.package_of(state.type) == "pulumi" and not urns.is_provider_type(state.type)

    async def check(self, new: State, olds: Props, news: Props, seed: bytes) -> tuple[Props, Failures]:
        if self._is_builtin(new):
            return self._builtin.check(new, news)
        if not urns.is_provider_type(new.type):
            return await self._of(new).check(new.urn, olds, news, seed)
        if urns.provider_package(new.type) == "pulumi":
            return news, []
        stale = self._checked.pop(new.urn, None)
        if stale is not None:
            await stale.stop()
        self._checked[new.urn] = await self._launch(new)
        inputs, failures = await self._checked[new.urn].check_config(new.urn, olds, news)
        for key in ("version", "pluginDownloadURL"):
            if key in news:
                inputs[key] = news[key]
        self._news[new.urn] = new
        return inputs, failures

    async def diff(self, old: State, new: State, news: Props, ignore_changes: list[str]) -> Diff:
        if self._is_builtin(new):
            return self._builtin.diff(old, news)
        if not urns.is_provider_type(new.type):
            return await self._of(new).diff(old, news, ignore_changes)
        if urns.provider_package(new.type) == "pulumi":
            return Diff(False)
        provider = self._checked.get(new.urn)
        if provider is None:
            await self.load_old(f"{old.urn}::{old.id}")
            provider = self._ready[f"{old.urn}::{old.id}"]
        return await provider.diff_config(new.urn, old.id, old, news)

    async def provider_needs_replacement(self, old: State, new: State) -> bool:
        """Whether a resource must be replaced because it now names another provider."""
        if not old.provider or not new.provider:
            return True
        old_urn, new_urn = urns.split_reference(old.provider)[0], urns.split_reference(new.provider)[0]
        if self._aliases.get(new_urn) == old_urn:
            return False
        before, after = self._olds.get(old_urn), self._news.get(new_urn)
        if before is None or after is None:
            return False
        diff = await self._of(new).diff_config(new_urn, before.id, before, after.inputs)
        return diff.changes and bool(diff.replaces)

    async def keep(self, new: State, old: State) -> None:
        """A provider resource that has not changed: configure its process with what it had."""
        await self._configure(new.urn, new.id, new, old.inputs)

    async def _configure(self, urn: str, id_: str, state: State, inputs: Props) -> None:
        if urns.provider_package(state.type) == "pulumi" or f"{urn}::{id_ or UNKNOWN_ID}" in self._ready:
            return
        provider = self._checked.pop(urn, None) or await self._launch(state)
        self._put(urn, id_, provider)
        await provider.configure(urn, id_ or UNKNOWN_ID, inputs)

    async def create(self, new: State, preview: bool) -> tuple[str, Props]:
        if self._is_builtin(new):
            return self._builtin.create(new)
        if not urns.is_provider_type(new.type):
            return await self._of(new).create(new, preview)
        id_ = "" if preview else str(uuid.uuid4())
        await self._configure(new.urn, id_, new, new.inputs)
        return id_, dict(new.inputs)

    async def update(self, old: State, new: State, preview: bool) -> Props:
        if self._is_builtin(new):
            return dict(new.inputs)
        if not urns.is_provider_type(new.type):
            return await self._of(new).update(old, new, preview)
        stale = self._ready.pop(f"{new.urn}::{old.id}", None)
        await self._configure(new.urn, old.id, new, new.inputs)
        if stale is not None:
            await stale.stop()
        return dict(new.inputs)

    async def read(self, state: State) -> tuple[str, Props, Props | None]:
        if self._is_builtin(state):
            return self._builtin.read(state)
        await self.load_old(state.provider)
        return await self._of(state).read(state)

    async def delete(self, old: State) -> None:
        if self._is_builtin(old) or urns.is_provider_type(old.type):
            return
        await self.load_old(old.provider)
        await self._of(old).delete(old)

    async def refresh_diff(self, old: State, new: State) -> Diff:
        """What an update would change back: the inputs as they were against what was read."""
        await self.load_old(new.provider)
        return await self._of(new).diff(new, old.inputs, old.ignore_changes)

    async def invoke(self, reference: str, token: str, args: Props, preview: bool) -> tuple[Props, Failures]:
        await self.load_old(reference)
        return await self._ready[reference].invoke(token, args, preview)

    async def cancel(self) -> None:
        await asyncio.gather(*(p.cancel() for p in self._all()), return_exceptions=True)

    async def stop(self) -> None:
        await asyncio.gather(*(p.stop() for p in self._all()))

    def _all(self) -> set[Provider]:
        return {*self._ready.values(), *self._checked.values()}
