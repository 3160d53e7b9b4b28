"""`python -m lab VERB`: the lab's command line."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from lab.errors import LabError
from lab.lab import PROJECT, Lab
from lab.store import Say
from lab.system import become_root


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="A rented server, its hoster and an internet, simulated.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument("--name", default="lab", help="which lab, when there are several (default: lab)")
        return added

    up = verb("up", "bring the lab up, to the measure of a stack")
    up.add_argument("--like", default="lab", metavar="STACK", help="a stack's name or file (default: lab)")
    up.add_argument("--suite", choices=["trixie", "bookworm"], help="Debian 13 or 12 (default: what the stack says)")
    up.add_argument(
        "--delivery", choices=["routed", "on-link"], help="how prefixes arrive (default: as the stack says)"
    )
    verb("reset", "make the server factory-fresh")
    verb("reboot", "reboot the server from within")
    verb("cut-power", "pull the server's plug")
    verb("power-on", "boot a server that is off")
    swap = verb("swap-nic", "give a server that is off another network card")
    swap.add_argument("interface", help="what the server's system will call it, like eth1")
    swap.add_argument("mac")
    run = verb(
        "exec", "run a command: exec server|router|internet|operator|GUEST -- CMD... (a guest by name or address)"
    )
    run.add_argument("where")
    verb("counters", "what the switch port has counted, as JSON")
    verb("inject-foreign-frame", "send one frame from a foreign MAC out of the server, on purpose")
    cut = verb("cut", "take ipv4 or ipv6 from the operator")
    cut.add_argument("family", choices=["ipv4", "ipv6"])
    restore = verb("restore", "give the operator ipv4 or ipv6 back")
    restore.add_argument("family", choices=["ipv4", "ipv6"])
    service = verb("service", "start or stop services of the internet")
    service.add_argument("action", choices=["start", "stop"])
    service.add_argument("services", nargs="*", metavar="NAME", help="default: all")
    images = verb("image", "guest images: list them as JSON, or make the cloud-init one")
    images.add_argument("action", choices=["list", "cloud"])
    verb("status", "what exists of the lab, as JSON")
    verb("boot-log", "the server's console")
    down = verb("down", "remove the lab without a trace")
    down.add_argument("--purge", action="store_true", help="and the cache that all labs share")
    return parser


def _progress(started: float) -> Say:
    """Progress lines on standard error, with the seconds since the verb began."""

    def say(text: str) -> None:
        print(f"lab: {time.monotonic() - started:5.1f} s  {text}", file=sys.stderr, flush=True)

    return say


def main(argv: list[str]) -> int:
    """Run one verb. The exit status is 0, 1 after an error, or that of the command `exec` ran."""
    split = argv.index("--") if "--" in argv else len(argv)
    own, command = argv[:split], argv[split + 1 :]
    options = _parser().parse_args(own)
    lab = Lab(options.name, say=_progress(time.monotonic()))
    try:
        os.chdir(PROJECT)
        become_root(argv)
        return _run(lab, options, command)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `lab up` repairs what is half made, `lab down` removes it", file=sys.stderr)
        return 130


def _run(lab: Lab, options: argparse.Namespace, command: list[str]) -> int:
    match options.verb:
        case "up":
            lab.up(options.like, options.suite, options.delivery)
        case "reset" | "reboot" | "cut-power" | "power-on" | "inject-foreign-frame":
            getattr(lab, options.verb.replace("-", "_"))()
        case "swap-nic":
            lab.swap_nic(options.interface, options.mac)
        case "exec":
            if not command:
                raise LabError("exec needs a command: lab exec server -- CMD...")
            piped = None if sys.stdin.isatty() else sys.stdin.buffer.read()
            done = lab.exec(options.where, command, input=piped)
            sys.stdout.buffer.write(done.stdout)
            sys.stderr.buffer.write(done.stderr)
            return done.returncode
        case "counters":
            print(json.dumps(lab.counters(), indent=1))
        case "cut":
            lab.cut(options.family)
        case "restore":
            lab.restore(options.family)
        case "service":
            lab.service(options.action, *options.services)
        case "image":
            if options.action == "cloud":
                lab.make_cloud_image()
            print(json.dumps(lab.images(), indent=1))
        case "status":
            print(json.dumps(lab.status(), indent=1))
        case "boot-log":
            return subprocess.run(["cat", str(lab.state / "console.log")], check=False).returncode
        case "down":
            lab.down(options.purge)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
