"""preview, up, refresh and destroy with the embedded engine: the preview, the question, and the work."""

from __future__ import annotations

import argparse
import io
import os
import sys
from dataclasses import replace

from cli import changes, preview_comment
from cli.arguments import interactive
from engine import lock, report
from engine.checkpoint import Checkpoint
from engine.display import Display, LogFile, Show
from engine.errors import ChangesUnexpected, EngineError, GivenUp
from engine.operation import Options, Outcome, Stack, operate

_MODES = {"preview": "update", "up": "update", "refresh": "refresh", "destroy": "destroy"}


def ask(args: argparse.Namespace, question: str) -> None:
    """Raise EngineError unless the person at the terminal says yes."""
    if not interactive(args):
        raise EngineError("--yes or --skip-preview must be passed in to proceed when running in non-interactive mode")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise GivenUp("confirmation declined, nothing was changed")


def create(stack: Stack) -> None:
    """Make a stack that has never been deployed."""
    stack.backend.prepare()
    stack.config.ensure_salt()
    stack.save(Checkpoint())


async def run(args: argparse.Namespace, stack: Stack) -> int:
    """Do it; its exit status."""
    stack.backend.prepare()
    if not stack.backend.exists(stack.project.name, stack.name) and stack.config.path.exists():
        create(stack)
        print(f"Created stack '{stack.name}'", file=sys.stderr)
    options = Options(
        mode=_MODES[args.verb],  # type: ignore[arg-type]
        refresh=bool(getattr(args, "refresh", False)) or args.verb == "refresh",
        targets=tuple(args.target),
        target_dependents=args.target_dependents,
        parallel=args.parallel,
        clear_pending_creates=getattr(args, "clear_pending_creates", False),
    )
    if args.verb == "preview" or getattr(args, "preview_only", False):
        outcome, display = await _once(args, stack, replace(options, preview=True), args.verb)
        return _status(args, outcome, display)
    with lock.held(stack.backend.lock_dir(stack.project.name, stack.name)) as said:
        for line in said:
            print(line, file=sys.stderr)
        if not args.skip_preview:
            if not args.yes and not interactive(args):
                raise EngineError(
                    "--yes or --skip-preview must be passed in to proceed when running in non-interactive mode"
                )
            outcome, display = await _once(args, stack, replace(options, preview=True), args.verb)
            if outcome.failed:
                return _status(args, outcome, display)
            if not args.yes:
                ask(args, f"Do you want to perform this {'update' if args.verb == 'up' else args.verb}?")
        outcome, display = await _once(args, stack, options, args.verb)
        if args.verb == "destroy" and args.remove and not outcome.failed:
            stack.backend.remove(stack.project.name, stack.name)
            stack.config.path.unlink(missing_ok=True)
    return _status(args, outcome, display)


_TITLES = {
    "preview": ("Previewing update", ""),
    "up": ("Previewing update", "Updating"),
    "refresh": ("Previewing refresh", "Refreshing"),
    "destroy": ("Previewing destroy", "Destroying"),
}


async def _once(args: argparse.Namespace, stack: Stack, options: Options, verb: str) -> tuple[Outcome, Display]:
    titles = _TITLES[verb]
    coloured = args.color == "always" or (args.color == "auto" and sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    # The preview before an update is there for those who are asked; as JSON only the last word counts.
    # What the preview has shown is not shown again by the update.
    seen = not options.preview and not args.skip_preview
    show = Show(args.diff and not seen, args.json, coloured, not args.suppress_outputs and options.mode != "destroy")
    silent = options.preview and verb != "preview" and args.json and not getattr(args, "preview_only", False)
    display = Display(
        f"{titles[0] if options.preview else titles[1]} ({stack.name}):",
        options.preview,
        show,
        LogFile(stack.project.root / ".pulumi" / "logs", stack.name),
        io.StringIO() if silent or getattr(args, "markdown", False) else sys.stdout,
    )
    outcome = await operate(stack, options, display)
    if getattr(args, "markdown", False):
        preview = changes.from_steps(display.steps, display.messages)
        print(preview_comment.text_of(args, stack.project.root, stack.name, preview, refreshed=options.refresh), end="")
        return outcome, display
    if silent and outcome.failed:
        display.out = sys.stdout
    display.finish(outcome.old_outputs, outcome.outputs, outcome.failed)
    return outcome, display


def _status(args: argparse.Namespace, outcome: Outcome, display: Display) -> int:
    if outcome.interrupted:
        return GivenUp.status
    if outcome.failed:
        return EngineError.status
    number = report.changes(display.steps)
    if args.expect_no_changes and number:
        what = "were proposed" if display.preview else "occurred"
        raise ChangesUnexpected(f"no changes were expected but {number} {what}")
    return 0
