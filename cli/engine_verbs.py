"""The verbs of a stack, done by `pulumi` or by the embedded engine."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from cli.arguments import parser
from engine.errors import EngineError


def choose(asked: str | None) -> str:
    """`pulumi` or `embedded`: what was asked for, else SIXSTEAD_ENGINE, else pulumi where it is on PATH."""
    wanted = asked or os.environ.get("SIXSTEAD_ENGINE") or ""
    if wanted not in ("", "embedded", "pulumi"):
        raise EngineError(f"SIXSTEAD_ENGINE is {wanted!r}; it can be embedded or pulumi")
    found = shutil.which("pulumi") is not None
    if wanted == "pulumi" and not found:
        raise EngineError("--engine pulumi: there is no pulumi on PATH")
    return wanted or ("pulumi" if found else "embedded")


def project_root(start: Path) -> Path:
    """The nearest directory with a Pulumi.yaml, at or above `start`; else the one this program lies in."""
    for directory in (start, *start.parents):
        if (directory / "Pulumi.yaml").exists():
            return directory
    return Path(__file__).resolve().parent.parent


def main(argv: list[str]) -> int:
    """Run a verb. 0 when it is done, else `engine.errors.EngineError.status`."""
    args = parser().parse_args(argv)
    args.notes = []
    with tempfile.TemporaryDirectory(prefix="sixstead-") as directory:
        return _run(args, Path(directory))


def _run(args: argparse.Namespace, directory: Path) -> int:
    """The verb's exit status; `directory` is for what must not stay."""
    root = project_root(Path(args.cwd or ".").resolve())
    try:
        engine = choose(args.engine)
        args.config_file = str(Path(args.config_file).absolute()) if args.config_file else None
        if getattr(args, "proposed", None):
            from cli import proposed

            proposed.use(args, root, directory)
        if args.verb in ("firewall", "doctor", "trust", "restore", "observer-key"):
            from cli import doctor, firewall, observer_key, restore, trust
            from cli.embedded_verbs import stack_name

            if args.verb == "restore":
                return restore.run(args, root, lambda: stack_name(args, root))
            look = {"firewall": firewall, "doctor": doctor, "trust": trust, "observer-key": observer_key}[args.verb]
            status: int = look.run(args, root, stack_name(args, root))
            return status
        if args.verb in ("changed", "review"):
            from cli import review

            return review.run(args, root)
        if engine == "pulumi":
            from cli import pulumi_verbs

            return pulumi_verbs.run(args, root)
        from cli import embedded_verbs

        return embedded_verbs.run(args, root)
    except EngineError as err:
        if getattr(args, "markdown", False):
            from cli import preview_comment
            from cli.changes import Preview

            stack = str(args.stack or "?")
            failed = Preview(errors=[str(err)])
            print(preview_comment.text_of(args, root, stack, failed, refreshed=False), end="")
        print(f"error: {err}", file=sys.stderr)
        return err.status
