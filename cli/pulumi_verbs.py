"""The verbs of a stack, done by `pulumi`: its arguments, and what the embedded engine does besides.

Before an update the preview is made by a process of its own, with Pulumi's event log, so that what would be lost is
said before anybody is asked; the update then skips its own preview.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cli import changes, preview_comment
from cli.arguments import interactive
from cli.credentials import refuse_plain
from cli.pulumi_output import readable
from engine import lock
from engine.backend import Backend
from engine.config import Project
from engine.display import LogFile
from engine.errors import EngineError, GivenUp
from engine.report import interruption_line, loss_line

_OPERATIONS = ("preview", "up", "refresh", "destroy")
_QUESTION = {"up": "perform this update", "refresh": "perform this refresh", "destroy": "perform this destroy"}


def run(args: argparse.Namespace, root: Path) -> int:
    """Do a verb; pulumi's own exit status."""
    stack = args.stack or getattr(args, "name", None) or os.environ.get("PULUMI_STACK") or ""
    call = _Pulumi(args, root, stack.rsplit("/", 1)[-1] if args.verb != "outputs" else args.stack or "")
    if args.verb in _OPERATIONS:
        return call.operate()
    if args.verb == "outputs":
        return call.run(["stack", "output", *([args.name] if args.name else []), "--json", *call.secrets()])
    if args.verb == "cancel":
        return call.run(["cancel", "--yes"])
    if args.verb == "config":
        argv = _config(args)
        call.make_ready()
        return call.run(argv)
    return call.run(_stack(args), with_stack=args.subverb not in ("init", "ls", "rm"))


def _stack(args: argparse.Namespace) -> list[str]:
    argv = ["stack", args.subverb]
    if args.subverb in ("init", "rm"):
        name = args.name or args.stack
        if not name:
            raise EngineError(f"stack {args.subverb}: say the stack's name")
        argv.append(name)
    flags = ("yes", "force", "preserve_config", "json", "show_secrets")
    argv += [f"--{f.replace('_', '-')}" for f in flags if getattr(args, f, False)]
    if getattr(args, "file", None):
        argv += ["--file", args.file]
    return argv


def _config(args: argparse.Namespace) -> list[str]:
    if not args.subverb:
        return ["config"]
    if args.subverb == "set":
        refuse_plain(args.key, args.secret)
    argv = ["config", args.subverb]
    argv += [f"--{f}" for f in ("path", "secret", "plaintext") if getattr(args, f, False)]
    argv.append(args.key)
    return [*argv, "--", args.value] if getattr(args, "value", None) is not None else argv


class _Pulumi:
    """Calls of pulumi for one verb."""

    def __init__(self, args: argparse.Namespace, root: Path, stack: str) -> None:
        self.args = args
        self.root = root
        self.stack = stack
        self.env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        self.env.pop("PULUMI_STACK", None)
        chosen = "PULUMI_CONFIG_PASSPHRASE" in self.env or "PULUMI_CONFIG_PASSPHRASE_FILE" in self.env
        if stack == "lab" and not chosen:
            self.env["PULUMI_CONFIG_PASSPHRASE"] = ""

    def secrets(self) -> list[str]:
        return ["--show-secrets"] if getattr(self.args, "show_secrets", False) else []

    def run(self, argv: list[str], *, with_stack: bool = True, quiet: bool = False) -> int:
        """Run pulumi; Ctrl-C is its own business, and it ends when this process is killed."""
        options = ["--stack", self.stack] if with_stack and self.stack else []
        if self.args.config_file and argv[0] in (*_OPERATIONS, "config"):
            options += ["--config-file", self.args.config_file]
        if self.args.color != "auto":
            options.append(f"--color={self.args.color}")
        if argv[0] in _OPERATIONS or not interactive(self.args):
            options.append("--non-interactive")
        end = argv.index("--") if "--" in argv else len(argv)
        command = ["pulumi", *argv[:end], *options, *argv[end:]]
        filtered = argv[0] in _OPERATIONS and not self.args.json and not quiet
        if filtered and self.args.color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ:
            command.append("--color=always")
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with subprocess.Popen(
                command,
                cwd=self.root,
                env=self.env,
                stdout=subprocess.PIPE if filtered else subprocess.DEVNULL if quiet else None,
                text=True,
                errors="replace",
                preexec_fn=_end_with_parent,
            ) as process:
                if process.stdout is not None:
                    log = LogFile(self.root / ".pulumi" / "logs", self.stack)
                    for line in readable((line.rstrip("\n") for line in process.stdout), log):
                        print(line, flush=True)
            return process.returncode
        finally:
            signal.signal(signal.SIGINT, before)

    def operate(self) -> int:
        """preview, up, refresh, destroy."""
        args = self.args
        self.make_ready()
        only = args.verb == "preview" or getattr(args, "preview_only", False)
        if not only and not args.yes and not args.skip_preview and not interactive(args):
            raise EngineError(
                "--yes or --skip-preview must be passed in to proceed when running in non-interactive mode"
            )
        if only or not args.skip_preview:
            status = self._preview(expect=only, quiet=(args.json and not only) or getattr(args, "markdown", False))
            if only or status != 0:
                return status
            if not args.yes:
                answer = input(f"Do you want to {_QUESTION[args.verb]}? [y/N] ")
                if answer.strip().lower() not in ("y", "yes"):
                    raise GivenUp("confirmation declined, nothing was changed")
        argv = [args.verb, "--yes", "--skip-preview", *self._flags(preview=False)]
        if getattr(args, "remove", False):
            argv.append("--remove")
        if getattr(args, "clear_pending_creates", False):
            argv.append("--clear-pending-creates")
        return self.run([*argv, *(["--expect-no-changes"] if args.expect_no_changes else [])])

    def make_ready(self) -> None:
        """What the embedded engine does too: make a stack that has a config, break a dead process's lock."""
        project = Project.load(self.root)
        if not project.backend_url.startswith("file://") or not self.stack:
            return
        backend = Backend(project.backend_url, project.root)
        for holder in lock.holders(backend.lock_dir(project.name, self.stack)):
            if holder.dead() and self.args.verb != "preview":
                holder.path.unlink(missing_ok=True)
                print(f"broke the lock of {holder}: that process has ended", file=sys.stderr)
        there = project.config_file(self.stack, self.args.config_file).exists()
        if there and not backend.exists(project.name, self.stack):
            saved, self.args.config_file = self.args.config_file, None
            own = project.config_file(self.stack, None)
            had = own.exists()
            status = self.run(["stack", "init", self.stack], with_stack=False, quiet=True)
            self.args.config_file = saved
            if not had:
                own.unlink(missing_ok=True)  # pulumi writes one although the config is elsewhere
            if status != 0:
                raise EngineError(f"pulumi could not make the stack {self.stack}")

    def _flags(self, preview: bool) -> list[str]:
        args = self.args
        flags = [f"--target={t}" for t in args.target]
        flags.append(f"--parallel={args.parallel}")
        flags += ["--target-dependents"] if args.target_dependents else []
        flags += ["--diff"] if args.diff and (preview or args.skip_preview) else []
        flags += ["--json"] if args.json else []
        flags += self.secrets() if args.verb in ("preview", "up") else []
        flags += ["--suppress-outputs"] if args.suppress_outputs else []
        refresh = bool(getattr(args, "refresh", False))
        flags += ["--refresh"] if refresh else []
        # Else the credentials and the addresses that stand in the state are used, not today's.
        flags += ["--run-program"] if refresh or args.verb in ("refresh", "destroy") else []
        return flags

    def _preview(self, *, expect: bool, quiet: bool) -> int:
        argv = ["preview"] if self.args.verb in ("preview", "up") else [self.args.verb, "--preview-only"]
        argv += self._flags(preview=True)
        argv += ["--expect-no-changes"] if expect and self.args.expect_no_changes else []
        with tempfile.TemporaryDirectory(prefix="sixstead-") as directory:
            events = Path(directory) / "events"
            # The flag is Pulumi's own, behind its switch for debugging.
            self.env["PULUMI_DEBUG_COMMANDS"] = "true"
            status = self.run([*argv, f"--event-log={events}"], quiet=quiet)
            self.env.pop("PULUMI_DEBUG_COMMANDS")
            if getattr(self.args, "markdown", False):
                preview, refreshed = changes.from_events(events), bool(self.args.refresh)
                if status != 0 and not preview.errors:
                    preview.errors.append(f"pulumi ended with status {status}; its log has the reason")
                text = preview_comment.text_of(self.args, self.root, self.stack, preview, refreshed=refreshed)
                print(text, end="", flush=True)
                return status
            for line in dict.fromkeys(warnings(events)):
                print(line, file=sys.stderr if self.args.json else sys.stdout, flush=True)
        return status


def warnings(events: Path) -> Iterator[str]:
    """The INTERRUPTION and DATA LOSS lines of a preview's event log; see engine.report."""
    try:
        lines = events.read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        metadata = (json.loads(line).get("resourcePreEvent") or {}).get("metadata") or {}
        op, urn, old, new = (metadata.get(k) for k in ("op", "urn", "old", "new"))
        before, after = _text(old, "dataLoss"), _text(new, "dataLoss")
        kept = isinstance(old, dict) and (old.get("retainOnDelete") or old.get("external"))
        text = ""
        if op in ("delete", "delete-replaced", "create-replacement", "replace"):
            text = "" if kept else before
        elif op == "update" and after != before:
            text = after
        if op == "update" and (interrupts := _text(new, "interrupts")):
            yield interruption_line(interrupts)
        if text:
            yield loss_line(str(metadata.get("type", "")), str(urn).rsplit("::", 1)[-1], text)


def _text(state: object, name: str) -> str:
    inputs = state.get("inputs") if isinstance(state, dict) else None
    value = inputs.get(name) if isinstance(inputs, dict) else None
    return value if isinstance(value, str) else ""


def _end_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
