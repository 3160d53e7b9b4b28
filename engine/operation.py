"""An operation from end to end: open the stack, run the program against it, leave a checkpoint behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from asyncio.subprocess import Process
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2_grpc, resource_pb2, resource_pb2_grpc

from engine import checkpoint as checkpoints
from engine.aliases import Names
from engine.backend import Backend
from engine.builtin import Builtin, stack_of
from engine.checkpoint import Checkpoint
from engine.config import Project, StackConfig
from engine.deployment import Deployment
from engine.display import Display
from engine.errors import EngineError
from engine.journal import Journal
from engine.launch import start_provider
from engine.monitor import Services
from engine.planner import Mode, Settings
from engine.provider import Provider
from engine.registry import Registry
from engine.spawn import end, spawn
from engine.values import Props

_HOST = Path(__file__).with_name("program.py")


@dataclass(frozen=True)
class Stack:
    """An opened stack: where its config and its checkpoint are."""

    project: Project
    name: str
    config: StackConfig
    backend: Backend

    @classmethod
    def open(cls, root: Path, name: str, config_file: str | None = None) -> Stack:
        project = Project.load(root)
        config = StackConfig(project.config_file(name, config_file), name, project.name)
        return cls(project, name, config, Backend(project.backend_url, project.root))

    def load(self) -> Checkpoint:
        """The checkpoint, secrets decrypted. Raises EngineError when there is no such stack."""
        deployment = checkpoints.deployment_of(self.backend.load(self.project.name, self.name))
        codec = checkpoints.codec_of(deployment, self.config.passphrase, self.config.crypter)
        return checkpoints.load(deployment, codec)

    def save(self, checkpoint: Checkpoint) -> None:
        self.backend.save(self.project.name, self.name, self.render(checkpoint))

    def render(self, checkpoint: Checkpoint) -> str:
        return checkpoints.to_file(checkpoint, self.project.name, self.name, self.config.crypter)

    def outputs(self) -> Props:
        stack = checkpoints.stack_resource(self.load())
        return stack.outputs if stack else {}


@dataclass(frozen=True)
class Options:
    """What an operation is to do. parallel: how many steps at once (Pulumi's default here is 16)."""

    mode: Mode = "update"
    preview: bool = False
    refresh: bool = False
    targets: tuple[str, ...] = ()
    target_dependents: bool = False
    parallel: int = 16
    clear_pending_creates: bool = False


@dataclass
class Outcome:
    """How it went. interrupted: by Ctrl-C."""

    failed: bool = False
    interrupted: bool = False
    writes: int = 0
    outputs: Props = field(default_factory=dict)
    old_outputs: Props = field(default_factory=dict)


async def operate(stack: Stack, options: Options, display: Display) -> Outcome:
    """Run the program once. The caller holds the stack's lock, unless it is a preview.

    Raises EngineError for what goes wrong before the program starts; later failures are told to the display.
    """
    base = stack.load()
    made = {s.urn for s in base.resources if not s.delete}
    # What has been made since is not pending, though Pulumi goes on saying so.
    pending = [o for o in base.pending if not (o.type == "creating" and o.resource.urn in made)]
    forgotten = options.clear_pending_creates or len(pending) != len(base.pending)
    base = replace(base, pending=[] if options.clear_pending_creates else pending)
    before = checkpoints.stack_resource(base)
    run = _Run(stack, options, base, display)
    run.deployment.snapshot.changed |= forgotten
    outcome = Outcome(old_outputs=dict(before.outputs) if before else {})
    loop = asyncio.get_running_loop()
    handled = (signal.SIGINT, signal.SIGTERM)
    for number in handled:
        loop.add_signal_handler(number, run.interrupt)
    try:
        await run.go()
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
    outcome.failed, outcome.interrupted = run.failed, run.interruptions > 0
    outcome.writes = run.journal.writes
    outcome.outputs = run.deployment.stack_outputs or {}
    return outcome


class _Run:
    """One run: its services, its processes, and their end."""

    def __init__(self, stack: Stack, options: Options, base: Checkpoint, display: Display) -> None:
        self.stack = stack
        self.options = options
        self.display = display
        self.failed = False
        self.interruptions = 0
        self._address = ""
        self._program: Process | None = None
        self._base = base
        olds = {s.urn: s for s in base.resources if not s.delete}
        registry = Registry(self._start_provider, stack.config, Builtin(self._outputs_of), olds)
        self.journal = Journal(
            lambda: stack.render(self.deployment.snapshot.checkpoint()),
            lambda text: stack.backend.save(stack.project.name, stack.name, text),
        )
        self.deployment = Deployment(
            Names(stack.name, stack.project.name, olds),
            base,
            Settings(options.mode, options.preview, options.targets, options.target_dependents),
            registry,
            display,
            self.journal.flush,
            refresh=options.refresh or options.mode == "refresh",
            parallel=options.parallel,
        )

    async def _start_provider(self, package: str, version: str) -> Provider:
        return await start_provider(
            package, version, self.stack.project, self.stack.name, self._address, self.display.provider_line
        )

    def _outputs_of(self, name: str) -> Props:
        project, stack = stack_of(name)
        other = self.stack.backend.load(project or self.stack.project.name, stack)
        deployment = checkpoints.deployment_of(other)
        codec = checkpoints.codec_of(deployment, self.stack.config.passphrase, self.stack.config.crypter)
        found = checkpoints.stack_resource(checkpoints.load(deployment, codec))
        return dict(found.outputs) if found else {}

    def interrupt(self) -> None:
        """Ctrl-C: first let what has begun come to its end, the second time give up waiting."""
        self.interruptions += 1
        if self.interruptions == 1:
            self.display.say(
                "warning", "", "Interrupted: no further step begins; those under way are brought to an end"
            )
            self.deployment.executor.stop()
            asyncio.get_running_loop().create_task(self.deployment.registry.cancel())
        else:
            os._exit(130)

    async def go(self) -> None:
        if not self.options.preview:
            self.stack.config.ensure_salt()
            self.stack.config.crypter.check()
            self.stack.backend.back_up(self.stack.project.name, self.stack.name)
        server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", 400 * 2**20), ("grpc.max_send_message_length", 400 * 2**20)]
        )
        project = self.stack.project
        info = resource_pb2.DeploymentInfo(
            project=project.name,
            stack=self.stack.name,
            organization="organization",
            dryRun=self.options.preview,
            parallel=self.options.parallel,
        )
        services = Services(self.deployment, info, project.root, self.display.say)
        resource_pb2_grpc.add_ResourceMonitorServicer_to_server(services, server)
        engine_pb2_grpc.add_EngineServicer_to_server(services, server)
        self._address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            program_ok = await self._run_program()
            await self.deployment.finish(program_ok)
            self.failed = self.deployment.failed or not program_ok or self.interruptions > 0
            if not self.options.preview and self.deployment.snapshot.changed:
                await self.journal.flush()
        finally:
            if self._program is not None:
                await end(self._program)
            await self.deployment.registry.stop()
            await server.stop(0)

    async def _run_program(self) -> bool:
        """Run the program to its end; whether it ended well."""
        config = self.stack.config
        given = {
            "monitor": self._address,
            "project": self.stack.project.name,
            "stack": self.stack.name,
            "root": str(self.stack.project.root),
            "main": str(self.stack.project.main),
            "parallel": self.options.parallel,
            "preview": self.options.preview,
            "config": config.values(),
            "secret_keys": config.secret_keys(),
        }
        project = self.stack.project
        env = {**os.environ, "PULUMI_PROJECT": project.name, "PULUMI_STACK": self.stack.name}
        # -P: the program's modules are found in its own directory, not beside program.py.
        argv = [str(project.python), "-P", "-u", str(_HOST)]
        program = self._program = await spawn(argv, cwd=project.main, env=env, stdin=True)
        assert program.stdin
        assert program.stdout
        assert program.stderr
        program.stdin.write(json.dumps(given).encode())
        program.stdin.close()
        readers = [
            asyncio.create_task(self._lines(program.stdout)),
            asyncio.create_task(self._lines(program.stderr)),
        ]
        status = await program.wait()
        for reader in readers:
            await reader
        if status not in (0, 32) and not self.deployment.executor.stopping.is_set():
            raise EngineError(f"the program ended with status {status} before it had told what it wants")
        return status == 0

    async def _lines(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.display.program_line(line.decode(errors="replace").rstrip("\n"))
