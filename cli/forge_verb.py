"""`./sixstead comment`: post what standard input has on a pull request, or list the pull requests that have none yet."""

from __future__ import annotations

import argparse
import sys

from cli import forges
from cli.comment import marker
from cli.review import ABOUT
from engine.errors import EngineError


def main(argv: list[str]) -> int:
    """Do it; its exit status."""
    parser = argparse.ArgumentParser(prog="./sixstead comment", description=__doc__)
    parser.add_argument("--forge", required=True, choices=("github", "forgejo", "gitlab"))
    parser.add_argument("--change", type=int, metavar="N", help="the pull request's number")
    parser.add_argument(
        "--list", action="store_true", help="print `NUMBER COMMIT same|fork` of those without a comment"
    )
    parser.add_argument("--base", metavar="COMMIT", help="with --list: a comment counts if it is about this base")
    parser.add_argument("--target", metavar="BRANCH", help="with --list: only those that go to this branch")
    args = parser.parse_args(argv)
    try:
        forge = forges.of_environment(args.forge)
        if args.list:
            for change in forge.open():
                if args.target and change.target != args.target:
                    continue
                found = forge.mine(change.number, marker(ABOUT))
                if found is None or f"<!-- {change.head} on {args.base} -->" not in found[1].split("\n")[:2]:
                    print(change.number, change.head, "fork" if change.fork else "same")
            return 0
        text = sys.stdin.read()
        if not args.change or not text.startswith("<!-- sixstead-preview: "):
            raise EngineError("comment: say --change N, and give what `review` or `preview --markdown` prints")
        print(forge.post(args.change, text))
        return 0
    except (EngineError, KeyError, TypeError) as error:
        said = error if isinstance(error, EngineError) else f"{args.forge}: an answer without {error}"
        print(f"error: {said}", file=sys.stderr)
        return 1
