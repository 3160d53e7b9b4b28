"""`./sixstead firewall`: who may talk to whom on a server, and how often that was counted."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cli.live import look
from providers import firewall, guest_ports
from providers.host.sessions import Host
from settings import Settings


def run(args: argparse.Namespace, root: Path, stack: str) -> int:
    """Show the rules of a stack's server; reads only."""

    def show(_settings: Settings, host: Host) -> int:
        tables = [firewall.TABLE, guest_ports.TABLE]
        rules = host.connected().request("counted", {"tables": tables})["rules"]
        print(json.dumps(rules, indent=2) if args.json else text(stack, rules))
        return 0

    return look(root, stack, args.config_file, show)


def text(stack: str, rules: Iterable[Mapping[str, Any]]) -> str:
    """What may pass, with connections; then what was dropped, with packets. Rules of the same name are added up."""
    sums: dict[tuple[str, str], int] = {}
    for rule in rules:
        key = rule["verdict"], rule["comment"]
        sums[key] = sums.get(key, 0) + rule["packets"]
    if not sums:
        return f"{stack}: no firewall of Sixstead's is loaded; `./sixstead up -s {stack}` loads it"
    allowed = [(name, count) for (verdict, name), count in sums.items() if verdict == "accept"]
    dropped = [(name, count) for (verdict, name), count in sums.items() if verdict == "drop"]
    width = max(len(name) for _, name in sums)
    lines = ["may connect".ljust(width + 2) + "connections"]
    lines += [f"  {name:<{width}}  {count:>9}" for name, count in allowed]
    lines += ["dropped".ljust(width + 2) + "    packets"]
    lines += [f"  {name:<{width}}  {count:>9}" for name, count in dropped]
    return "\n".join(
        [*lines, "Echo requests, ICMPv6 errors, DNS for guests and what guests begin to the internet pass, too."]
    )
