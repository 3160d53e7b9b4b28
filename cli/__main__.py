"""Where every verb is found. Modules are imported when their verb is used: `lab` must not wait for an SDK."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

_ENGINE = "cli.engine_verbs"


@dataclass(frozen=True)
class Verb:
    """A verb: its line in the usage text, the module whose `main(argv)` does it, and whether argv begins with it."""

    help: str
    module: str
    keeps_name: bool = False


VERBS: dict[str, Verb] = {
    "init": Verb("read a bare server over SSH and write its stack", "cli.init"),
    "preview": Verb("show what `up` would do", _ENGINE, True),
    "up": Verb("make the server what its stack says", _ENGINE, True),
    "refresh": Verb("read what is there into the state", _ENGINE, True),
    "destroy": Verb("bring the server back to what it was", _ENGINE, True),
    "outputs": Verb("print the stack's outputs as JSON", _ENGINE, True),
    "cancel": Verb("remove a lock that nobody holds any more", _ENGINE, True),
    "firewall": Verb("who may talk to whom, with counters", _ENGINE, True),
    "doctor": Verb("check a server against known pitfalls, with remedies", _ENGINE, True),
    "trust": Verb("pin the server's new host key", _ENGINE, True),
    "restore": Verb("the way back through the hoster's rescue system", _ENGINE, True),
    "changed": Verb("which stacks a change of the repository touches", _ENGINE, True),
    "review": Verb("one comment on all that a change does to the servers", _ENGINE, True),
    "comment": Verb("post a comment on a pull request, or update it", "cli.forge_verb"),
    "observer-key": Verb("let a key observe the server, and nothing else", _ENGINE, True),
    "stack": Verb("stack init|ls|rm|export|import", _ENGINE, True),
    "config": Verb("config [set|get|rm]", _ENGINE, True),
    "rehearse": Verb("make a change in a simulated server first, under traffic", "lab.rehearse"),
    "lab": Verb("the simulated hoster: lab up|reset|reboot|exec|counters|status|down ...", "lab.__main__"),
}


def usage() -> str:
    width = max(map(len, VERBS))
    lines = [
        "usage: ./sixstead VERB ...",
        "",
        *(f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items()),
        "",
        "`./sixstead VERB --help` says more. The verbs of a stack take -s STACK.",
        "They use `pulumi` where it is on PATH, else the embedded engine; --engine embedded|pulumi,",
        "or the variable SIXSTEAD_ENGINE, decides otherwise.",
    ]
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Run one verb; its exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if argv else 2
    name = argv[0]
    # --engine may stand before the verb, too; the verbs' own parsers know it after theirs.
    if name == "--engine" or name.startswith("--engine="):
        taken = 1 if "=" in name else 2
        engine, argv = argv[:taken], argv[taken:]
        name = argv[0] if argv else ""
        end = argv.index("--") if "--" in argv else len(argv)
        argv = [*argv[:end], *engine, *argv[end:]]
    verb = VERBS.get(name)
    if verb is None:
        print(f"sixstead: no verb {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    result = importlib.import_module(verb.module).main(argv if verb.keeps_name else argv[1:])
    return int(result)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
