"""`./sixstead changed` and `./sixstead review`: what a change of the repository does to the servers, as one comment.

The program and its engine are those of the checkout that this runs in, which must be the base's; of the change only stack
files are read, as data. A change of code is told and not previewed: this code can't know what that code would do, and a
stranger's code is never run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from cli.comment import CUT, LIMIT, cut, marker
from cli.markdown import code, fenced, size
from cli.own_verbs import SECONDS, Run, said
from cli.touched import Touched, touched
from engine.errors import EngineError
from providers.host.sessions import OBSERVER_KEY

ABOUT = "review"
"""What the marker of a review's comment says."""
MOST = 20
"""Stacks that one comment shows."""


WITHIN, TOGETHER, LEAST = 840, 1500, 60
"""Seconds: for one rehearsal, so that it ends by itself before SECONDS are over and takes its lab down; for all rehearsals of
a comment; and what must be left of them for another one."""
TOO_LONG = 124
"""How a rehearsal ends whose time is up (lab.rehearse)."""


def run(args: argparse.Namespace, root: Path) -> int:
    """Print what is touched, or the comment; 1 where a preview failed."""
    try:
        found = touched(root, args.since, args.head)
    except EngineError as error:
        if args.verb == "review":
            print("\n".join([marker(ABOUT), "", "## Nothing is previewed", "", *fenced(str(error)), ""]), end="")
        raise
    signal.signal(signal.SIGTERM, interrupted)
    if args.verb == "changed":
        if args.json:
            print(json.dumps({"stacks": found.names, "code": found.code}, indent=2))
        else:
            print("".join(f"{name}\n" for name in found.names), end="")
        return 0
    text, failed = review(found, args, root)
    print(text, end="")
    return 1 if failed else 0


def interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    """A job that is cancelled ends what it has begun, as Ctrl-C does."""
    raise KeyboardInterrupt


def review(found: Touched, args: argparse.Namespace, root: Path, run: Run | None = None) -> tuple[str, bool]:
    """The comment, and whether any preview failed. run: by what our own verbs are run."""
    run = run or said
    head = [marker(ABOUT), f"<!-- {found.head} on {found.since} -->"]
    head += [f"## Preview of {found.head[:10]} on {found.since[:10]}", ""]
    if found.code:
        some = ", ".join(code(path) for path in found.code[:10]) + (", ..." if len(found.code) > 10 else "")
        head += [
            f"**This changes code** ({len(found.code)} files: {some}), which is not run here, so nothing is previewed."
            " It may change every stack: look at it, and preview it on a machine of your own.",
            "",
            f"Stacks: {', '.join(code(name) for name in found.names) or 'none'}",
            "",
        ]
        return cut("\n".join(head), LIMIT), False
    if not found.stacks:
        return "\n".join([*head, "No stack is touched.", ""]), False
    if args.without_secrets:
        head += ["From a fork: no server is asked, and no state or secret is read.", ""]
    elif args.refresh and not os.environ.get(OBSERVER_KEY):
        # Else the key of the stack's own config would be used, which may do everything.
        args.refresh = False
        head += [f"{OBSERVER_KEY} is not set, so no server is asked.", ""]
    shown = sorted(found.stacks)[:MOST]
    if len(found.stacks) > MOST:
        head += [f"**Cut:** {len(found.stacks) - MOST} more stacks are touched.", ""]
    failed, until = False, time.monotonic() + TOGETHER
    with tempfile.TemporaryDirectory(prefix="sixstead-") as directory:
        files = {stack: Path(directory) / f"{number}.yaml" for number, stack in enumerate(shown)}
        rehearsals: dict[str, str] = {}
        for stack, file in files.items():
            content = found.stacks[stack]
            if content is None:
                continue
            file.write_bytes(content)
            if args.rehearse:
                left = int(until - time.monotonic())
                text, status = rehearsal(stack, file, found.since, root, min(left, WITHIN), run)
                head += verdict(stack, status)
                rehearsals[stack] = cut(text, LIMIT // (3 * len(shown)), "**Cut:** the rest of this rehearsal.")
                failed |= status != 0
        # What the previews may take is known when the rest is: a comment that is too long could not be posted at all.
        rest = LIMIT - sum(size(part) + 1 for part in [*head, *rehearsals.values()]) - CUT
        sections = []
        for stack, file in files.items():
            if found.stacks[stack] is None:
                sections.append(
                    f"### {code(stack)}: its file is removed\n\nThat changes nothing on the server: `destroy` does.\n"
                )
                continue
            text, well = section(stack, file, args, root, rest // len(shown), run)
            sections += [text, *([rehearsals[stack]] if stack in rehearsals else [])]
            failed |= not well
    return cut("\n".join([*head, *sections]), LIMIT), failed


def section(stack: str, file: Path, args: argparse.Namespace, root: Path, limit: int, run: Run) -> tuple[str, bool]:
    """One stack's part of the comment, and whether its preview went well."""
    verb = ["preview", "--markdown", f"--limit={limit}", "-s", stack, "--proposed", str(file), "--non-interactive"]
    verb += ["--offline"] if args.without_secrets else ["--refresh"] if args.refresh else []
    verb += ["--engine", args.engine] if args.engine else []
    text, status = run(verb, root, args.without_secrets)
    if status is None:
        return f"### {code(stack)}: the preview took longer than {SECONDS} s\n", False
    if not text.startswith(marker(stack)):
        return f"### {code(stack)}: the preview failed with status {status}\n", False
    return text.split("\n", 1)[1], status == 0


def rehearsal(stack: str, file: Path, since: str, root: Path, within: int, run: Run) -> tuple[str, int]:
    """The change made in a simulated server, as a part of the comment; 0 where it went well, 1 where it would lock out or
    did not hold. It gets no secret: it needs none. within: seconds."""
    if within < LEAST:
        return f"### {code(stack)}: not rehearsed, as rehearsals have {TOGETHER} s together\n", 2
    verb = ["rehearse", "-s", stack, "--from", since, "--proposed", str(file), "--markdown", f"--within={within}"]
    text, status = run(verb, root, True)
    if status in (None, TOO_LONG):
        return f"### {code(stack)}: the rehearsal took longer than {within} s\n", 2
    if status not in (0, 1) or not text.strip():
        return f"### {code(stack)}: it could not be rehearsed here (status {status})\n", 2
    return text, status


def verdict(stack: str, status: int) -> list[str]:
    """What the top of the comment says of a rehearsal; nothing of one that went well."""
    if status == 1:
        return [f"**{code(stack)}: the rehearsal went wrong. Read why below, before this is merged.**", ""]
    return [f"{code(stack)} could not be rehearsed.", ""] if status else []
