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
from pathlib import Path

from cli.comment import LIMIT, marker
from cli.markdown import code, fenced
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


def review(found: Touched, args: argparse.Namespace, root: Path) -> tuple[str, bool]:
    """The comment, and whether any preview failed."""
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
        return "\n".join(head), False
    if not found.stacks:
        return "\n".join([*head, "No stack is touched.", ""]), False
    if args.without_secrets:
        head += ["From a fork: no server is asked, and no state or secret is read.", ""]
    elif args.refresh and not os.environ.get(OBSERVER_KEY):
        # Else the key of the stack's own config would be used, which may do everything.
        args.refresh = False
        head += [f"{OBSERVER_KEY} is not set, so no server is asked.", ""]
    shown = sorted(found.stacks)[:MOST]
    limit = (LIMIT - len("\n".join(head)) - 4000) // len(shown)
    sections, failed = [], False
    for stack in shown:
        content = found.stacks[stack]
        if content is None:
            sections.append(
                f"### {code(stack)}: its file is removed\n\nThat changes nothing on the server: `destroy` does.\n"
            )
            continue
        text, well = section(stack, content, args, root, limit)
        sections.append(text)
        failed |= not well
    left = sorted(found.stacks)[MOST:]
    sections += [f"**Cut:** {len(left)} more stacks are touched.\n"] if left else []
    return "\n".join([*head, *sections]), failed


def section(stack: str, content: bytes, args: argparse.Namespace, root: Path, limit: int) -> tuple[str, bool]:
    """One stack's part of the comment, and whether its preview went well."""
    with tempfile.TemporaryDirectory(prefix="sixstead-") as directory:
        file = Path(directory) / "proposed.yaml"
        file.write_bytes(content)
        command = [sys.executable, "-m", "cli", "preview", "--markdown", f"--limit={limit}", "-s", stack]
        command += ["--proposed", str(file), "--non-interactive"]
        command += ["--offline"] if args.without_secrets else ["--refresh"] if args.refresh else []
        command += ["--engine", args.engine] if args.engine else []
        try:
            done = subprocess.run(
                command,
                cwd=root,
                env=environment(args.without_secrets),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a job's log is read by strangers, and nobody masks secrets in this
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"### {code(stack)}: the preview took longer than {SECONDS} s\n", False
    text = done.stdout.decode(errors="replace")
    if not text.startswith(marker(stack)):
        return f"### {code(stack)}: the preview failed with status {done.returncode}\n", False
    return text.split("\n", 1)[1], done.returncode == 0


def environment(without_secrets: bool) -> dict[str, str]:
    """What a preview gets of this process's variables."""
    package = str(Path(__file__).resolve().parent.parent)
    if without_secrets:
        found = {name: os.environ[name] for name in HARMLESS if name in os.environ}
    else:
        found = {name: value for name, value in os.environ.items() if name not in NOT_ITS}
    return {**found, "PYTHONPATH": package}
