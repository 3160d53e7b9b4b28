"""`./sixstead doctor`: known pitfalls, looked for on a live server; it changes nothing there and needs no state."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path

from cli import doctor_filters, doctor_forwarding, doctor_network, doctor_system
from cli.doctor_checks import Result, clock_offset, examined, questions
from cli.live import look
from providers.host.sessions import Host
from settings import Settings

CHECKS = (*doctor_network.CHECKS, *doctor_filters.CHECKS, *doctor_forwarding.CHECKS, *doctor_system.CHECKS)


def run(args: argparse.Namespace, root: Path, stack: str) -> int:
    """Show what was found on a stack's server. 0: nothing, or remarks only; 1: findings, or an error."""

    def show(settings: Settings, host: Host) -> int:
        session = host.connected()
        before = time.time()
        facts = session.request("examine", questions(settings))
        offset = clock_offset(before, facts["time"], time.time())
        known = {**facts, "offset": offset, "os": session.facts["os"], "backend": session.facts["backend"]}
        results = examined(CHECKS, settings, known, stack)
        print(json.dumps(plain(results), indent=2) if args.json else text(stack, results, known["owned"]))
        return int(any(result.grade == "finding" for result in results))

    return look(root, stack, args.config_file, show)


def plain(results: Iterable[Result]) -> list[dict[str, object]]:
    """The results for JSON."""
    return [
        {"check": r.name, "grade": r.grade, "findings": [only_told(asdict(finding)) for finding in r.findings]}
        for r in results
    ]


def only_told(finding: dict[str, object]) -> dict[str, object]:
    """Without what only decided how it is told."""
    return {key: value for key, value in finding.items() if key != "by_up"}


def text(stack: str, results: list[Result], owned: bool) -> str:
    """A line a check or finding; what to do below, once where it is the same."""
    width = max(len(result.name) for result in results)
    lines = [f"{stack}: {summary(results)}"]
    if not owned:
        lines.append("Sixstead has changed nothing on this server yet: what an `up` will do is only remarked.")
    for result in results:
        head = f"  {result.name:<{width}}  "
        if not result.findings:
            lines.append(f"{head}ok       {result.fine}")
        for finding, following in zip_longest(result.findings, result.findings[1:]):
            lines.append(f"{head}{'remark ' if finding.remark else 'FINDING'}  {finding.what}")
            head = f"  {'':<{width}}  "
            if following is None or following.remedy != finding.remedy:
                lines.append(f"{head}         what to do: {finding.remedy}")
    return "\n".join(lines)


def summary(results: Iterable[Result]) -> str:
    """`nothing found`, `2 findings, 1 remark`."""
    grades = Counter("remark" if f.remark else "finding" for result in results for f in result.findings)
    told = [f"{grades[g]} {g}{'s' if grades[g] > 1 else ''}" for g in ("finding", "remark") if grades[g]]
    return ", ".join(told) or "nothing found"
