"""`./sixstead changed` and `./sixstead review`: what a change of the repository does to the servers, as one comment.

The program and its engine are those of the checkout that this runs in, which must be the base's; of the change only stack
files are read, as data. A change of code is told and not previewed: this code can't know what that code would do, and a
stranger's code is never run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.comment import CUT, LIMIT, cut, marker
from cli.markdown import code, fenced, size
from cli.touched import Touched, touched
from engine.errors import EngineError
from providers.host.sessions import OBSERVER_KEY

ABOUT = "review"
"""What the marker of a review's comment says."""
SECONDS = 900
"""How long one preview may take."""
HARMLESS = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PULUMI_HOME", "SIXSTEAD_ENGINE", "PULUMI_SKIP_UPDATE_CHECK")
"""Variables of a preview without secrets; it gets no other."""
NOT_ITS = (
    "GITHUB_TOKEN",
    "SIXSTEAD_REVIEW_TOKEN",
    "CI_JOB_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
)
"""Variables that no preview needs."""
MOST = 20
"""Stacks that one comment shows."""


Run = Callable[[list[str], Path, bool], tuple[str, int | None]]
"""`said`, or what stands for it."""


def run(args: argparse.Namespace, root: Path) -> int:
    """Print what is touched, or the comment; 1 where a preview failed."""
    try:
        found = touched(root, args.since, args.head)
    except EngineError as error:
        if args.verb == "review":
            print("\n".join([marker(ABOUT), "", "## Nothing is previewed", "", *fenced(str(error)), ""]), end="")
        raise
    if args.verb == "changed":
        if args.json:
            print(json.dumps({"stacks": found.names, "code": found.code}, indent=2))
        else:
            print("".join(f"{name}\n" for name in found.names), end="")
        return 0
    text, failed = review(found, args, root)
    print(text, end="")
    return 1 if failed else 0


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
    failed = False
    with tempfile.TemporaryDirectory(prefix="sixstead-") as directory:
        files = {stack: Path(directory) / f"{number}.yaml" for number, stack in enumerate(shown)}
        rehearsals: dict[str, str] = {}
        for stack, file in files.items():
            content = found.stacks[stack]
            if content is None:
                continue
            file.write_bytes(content)
            if args.rehearse:
                text, status = rehearsal(stack, file, found.since, root, run)
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


def rehearsal(stack: str, file: Path, since: str, root: Path, run: Run) -> tuple[str, int]:
    """The change made in a simulated server, as a part of the comment; 0 where it went well, 1 where it would lock out or
    did not hold. It gets no secret: it needs none."""
    verb = ["rehearse", "-s", stack, "--from", since, "--proposed", str(file), "--markdown"]
    text, status = run(verb, root, True)
    if status is None:
        return f"### {code(stack)}: the rehearsal took longer than {SECONDS} s\n", 2
    if status not in (0, 1) or not text.strip():
        return f"### {code(stack)}: it could not be rehearsed here (status {status})\n", 2
    return text, status


def verdict(stack: str, status: int) -> list[str]:
    """What the top of the comment says of a rehearsal; nothing of one that went well."""
    if status == 1:
        return [f"**{code(stack)}: the rehearsal went wrong. Read why below, before this is merged.**", ""]
    return [f"{code(stack)} could not be rehearsed.", ""] if status else []


def said(verb: list[str], root: Path, without_secrets: bool) -> tuple[str, int | None]:
    """What a verb of ours prints, and its status; None where it took too long. Its standard error is dropped: a job's log is
    read by strangers, and nobody masks secrets in it."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *verb],
            cwd=root,
            env=environment(without_secrets),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "", None
    return done.stdout.decode(errors="replace"), done.returncode


def environment(without_secrets: bool) -> dict[str, str]:
    """What a preview gets of this process's variables."""
    package = str(Path(__file__).resolve().parent.parent)
    if without_secrets:
        found = {name: os.environ[name] for name in HARMLESS if name in os.environ}
    else:
        found = {name: value for name, value in os.environ.items() if name not in NOT_ITS}
    return {**found, "PYTHONPATH": package}
