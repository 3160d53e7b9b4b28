"""What the verbs of a stack take: Pulumi's own flags, as far as the embedded engine has them."""

from __future__ import annotations

import argparse
import sys

from cli.comment import LIMIT


def parser() -> argparse.ArgumentParser:
    """One parser for all verbs; `args.verb` and `args.subverb` name what was asked for."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-s", "--stack", help="the stack (default: PULUMI_STACK, or the only one there is)")
    common.add_argument("--config-file", metavar="FILE", help="the stack's config, instead of stacks/Pulumi.STACK.yaml")
    common.add_argument("-C", "--cwd", metavar="DIR", help="run as if started in DIR")
    common.add_argument("--engine", choices=("embedded", "pulumi"), help=argparse.SUPPRESS)
    common.add_argument("--non-interactive", action="store_true", help="never ask")
    common.add_argument("--color", choices=("always", "never", "auto"), default="auto", help=argparse.SUPPRESS)

    run = argparse.ArgumentParser(add_help=False, parents=[common])
    run.add_argument("--diff", action="store_true", help="show what changes, line by line")
    run.add_argument("-j", "--json", action="store_true", help="print steps and summary as JSON")
    run.add_argument("--expect-no-changes", action="store_true", help="fail if there is anything to do")
    run.add_argument("-t", "--target", action="append", default=[], metavar="URN", help="change only this (may repeat)")
    run.add_argument("--target-dependents", action="store_true", help="and what depends on it")
    run.add_argument("-p", "--parallel", type=int, default=16, metavar="N", help="steps at once (default 16)")
    run.add_argument(
        "--run-program", action="store_true", help="run the program, for today's credentials (always done)"
    )
    run.add_argument("--show-secrets", action="store_true", help=argparse.SUPPRESS)
    run.add_argument("--suppress-outputs", action="store_true", help="do not show the stack's outputs")

    change = argparse.ArgumentParser(add_help=False, parents=[run])
    change.add_argument("-y", "--yes", action="store_true", help="do not ask")
    change.add_argument("-f", "--skip-preview", action="store_true", help="do not preview first")

    top = argparse.ArgumentParser(prog="./sixstead")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    refresh = {"nargs": "?", "const": True, "default": False, "type": _truth, "metavar": "BOOL"}
    for name, parent, what in (
        ("preview", run, "show what `up` would do"),
        ("up", change, "make the server what its stack says"),
        ("destroy", change, "bring the server back to what it was"),
    ):
        verb = verbs.add_parser(name, parents=[parent], help=what, description=what)
        verb.add_argument("-r", "--refresh", help="first read what is there", **refresh)  # type: ignore[arg-type]
        if name == "preview":
            verb.add_argument("--markdown", action="store_true", help="print a comment for a pull request")
            what = (
                "a stack file that somebody proposes: connection, credentials and secrets stay those of the stack's own"
            )
            verb.add_argument("--proposed", metavar="FILE", help=what)
            verb.add_argument("--limit", type=int, default=LIMIT, help=argparse.SUPPRESS)
            what = "with --proposed: without state, credentials and server"
            verb.add_argument("--offline", action="store_true", help=what)
        if name == "destroy":
            verb.add_argument("--preview-only", action="store_true", help="only show it")
            verb.add_argument("--remove", action="store_true", help="remove the stack afterwards")
    verb = verbs.add_parser("refresh", parents=[change], help="read what is there into the state")
    verb.add_argument("--preview-only", action="store_true", help="only show it")
    verb.add_argument("--clear-pending-creates", action="store_true", help="forget creates that a kill cut off")
    verb = verbs.add_parser("outputs", parents=[common], help="print the stack's outputs as JSON")
    verb.add_argument("name", nargs="?", help="only this one")
    verb.add_argument("-j", "--json", action="store_true", help="as JSON (always done)")
    verb.add_argument("--show-secrets", action="store_true", help="secrets in plain")
    verb = verbs.add_parser("cancel", parents=[common], help="remove a lock that nobody holds any more")
    verb.add_argument("name", nargs="?", help="the stack")
    verb.add_argument("-y", "--yes", action="store_true", help="do not ask")
    what = "who may talk to whom on the stack's server, and how often that was counted"
    verb = verbs.add_parser("firewall", parents=[common], help=what, description=what)
    verb.add_argument("-j", "--json", action="store_true", help="the counted rules as JSON")
    what = "check the stack's server against known pitfalls; changes nothing, and ends with 1 where it finds something"
    verb = verbs.add_parser("doctor", parents=[common], help=what, description=what)
    verb.add_argument("-j", "--json", action="store_true", help="the checks as JSON")
    what = "pin the host key that the server shows now, once you have compared it"
    verb = verbs.add_parser("trust", parents=[common], help=what, description=what)
    verb.add_argument("--fingerprint", metavar="SHA256:...", help="refuse any other key than this one")
    verb.add_argument("-y", "--yes", action="store_true", help="do not ask; needs --fingerprint")
    what = "the way back through the hoster's rescue system, when the server cannot be reached any more"
    verb = verbs.add_parser("restore", parents=[common], help=what, description=what)
    verb.add_argument("--root", metavar="DIR", help="in the rescue system itself: where the server's root is mounted")
    verb.add_argument("--before", action="store_true", help="with --root: put back the network from before Sixstead")
    what = "let a public key observe the stack's server, and nothing else"
    verb = verbs.add_parser("observer-key", parents=[common], help=what, description=what)
    verb.add_argument("file", nargs="?", help="the file of the public key, id_ed25519.pub")
    verb.add_argument("--remove", action="store_true", help="no key may observe any more")
    _review_verbs(verbs)
    _stack_verbs(verbs.add_parser("stack", help="stacks: init, ls, rm, export, import"), common)
    _config_verbs(verbs.add_parser("config", help="a stack's config: set, get, rm", parents=[common]), common)
    return top


def _review_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    since = argparse.ArgumentParser(add_help=False)
    since.add_argument("--since", required=True, metavar="REV", help="the base: where the change is to be merged")
    since.add_argument("--head", default="HEAD", metavar="REV", help="the change (default HEAD)")
    since.add_argument("-C", "--cwd", metavar="DIR", help="run as if started in DIR")
    since.add_argument("--engine", choices=("embedded", "pulumi"), help=argparse.SUPPRESS)
    since.set_defaults(stack=None, config_file=None)
    what = "which stacks a change touches, one a line; code touches all of them"
    verb = verbs.add_parser("changed", parents=[since], help=what, description=what)
    verb.add_argument("-j", "--json", action="store_true", help="stacks, and the files of code that are changed")
    what = "one comment on what a change of stack files does; its code is never run"
    verb = verbs.add_parser("review", parents=[since], help=what, description=what)
    verb.add_argument("-r", "--refresh", action="store_true", help="ask the servers, too")
    verb.add_argument("--rehearse", action="store_true", help="make each change in a simulated server, too (root)")
    verb.add_argument("--without-secrets", action="store_true", help="a stranger's: no state, credentials, server")


def _stack_verbs(top: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    verbs = top.add_subparsers(dest="subverb", required=True, metavar="init|ls|rm|export|import")
    verb = verbs.add_parser("init", parents=[common], help="make a stack")
    verb.add_argument("name", nargs="?")
    verb = verbs.add_parser("ls", parents=[common], help="list the stacks")
    verb.add_argument("-j", "--json", action="store_true")
    verb = verbs.add_parser("rm", parents=[common], help="forget a stack (what it made stays)")
    verb.add_argument("name", nargs="?")
    verb.add_argument("-y", "--yes", action="store_true")
    verb.add_argument("-f", "--force", action="store_true", help="even where it still has resources")
    verb.add_argument("--preserve-config", action="store_true", help="keep its config file")
    verb = verbs.add_parser("export", parents=[common], help="print the state")
    verb.add_argument("--file", metavar="FILE", help="to a file")
    verb.add_argument("--show-secrets", action="store_true", help="secrets in plain")
    verb = verbs.add_parser("import", parents=[common], help="replace the state")
    verb.add_argument("--file", metavar="FILE", help="from a file")
    verb.add_argument("-f", "--force", action="store_true", help=argparse.SUPPRESS)


def _config_verbs(top: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    verbs = top.add_subparsers(dest="subverb", metavar="set|get|rm")
    verb = verbs.add_parser("set", parents=[common], help="set a value")
    verb.add_argument("key")
    verb.add_argument("value", nargs="?", help="else read from standard input")
    verb.add_argument("--secret", action="store_true", help="store it encrypted")
    verb.add_argument("--plaintext", action="store_true", help="store it in plain, on purpose")
    verb.add_argument("--path", action="store_true", help="the key is a path, as in server.ssh.host")
    verb = verbs.add_parser("get", parents=[common], help="print a value, secrets in plain")
    verb.add_argument("key")
    verb.add_argument("--path", action="store_true")
    verb = verbs.add_parser("rm", parents=[common], help="remove a value")
    verb.add_argument("key")
    verb.add_argument("--path", action="store_true")


def _truth(text: str) -> bool:
    if text.lower() in ("true", "1", "yes"):
        return True
    if text.lower() in ("false", "0", "no"):
        return False
    raise argparse.ArgumentTypeError("true or false")


def interactive(args: argparse.Namespace) -> bool:
    """Whether there is somebody at a terminal to ask."""
    return not args.non_interactive and sys.stdin.isatty() and sys.stdout.isatty()
