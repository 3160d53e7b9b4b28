"""preview, up, refresh and destroy with the embedded engine: the preview, the question, and the work."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from cli.engine_verbs import interactive
from engine import lock
from engine.checkpoint import Checkpoint
from engine.display import Display
from engine.errors import EngineError
from engine.operation import Options, Outcome, Stack, operate

_MODES = {"preview": "update", "up": "update", "refresh": "refresh", "destroy": "destroy"}


def ask(args: argparse.Namespace, question: str) -> None:
    """Raise EngineError unless the person at the terminal says yes."""
    if not interactive(args):
        raise EngineError("--yes or --skip-preview must be passed in to proceed when running in non-interactive mode")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise EngineError("confirmation declined, nothing was changed")


def create(stack: Stack) -> None:
    """Make a stack that has never been deployed."""
    stack.backend.prepare()
    stack.config.ensure_salt()
    stack.save(Checkpoint())


async def run(args: argparse.Namespace, stack: Stack) -> int:
    """Do it; 0, 255 when it failed, 130 after Ctrl-C."""
    stack.backend.prepare()
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
                ask(args, f"Do you want to perform this {args.verb}?")
        outcome, display = await _once(args, stack, options, args.verb)
    return _status(args, outcome, display)


async def _once(args: argparse.Namespace, stack: Stack, options: Options, verb: str) -> tuple[Outcome, Display]:
    display = Display(options.preview)
    outcome = await operate(stack, options, display)
    print(display.summary())
    return outcome, display


def _status(args: argparse.Namespace, outcome: Outcome, display: Display) -> int:
    if outcome.interrupted:
        return 130
    if outcome.failed:
        return 255
    changes = sum(n for op, n in display.summary().items() if op != "same")
    if args.expect_no_changes and changes:
        print("error: no changes were expected but changes were proposed", file=sys.stderr)
        return 255
    return 0
