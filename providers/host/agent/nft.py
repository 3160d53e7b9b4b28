"""nftables: a table of ours is loaded from a file of ours; nobody else's table is ever flushed.

The value says which file a table is loaded from. Whether the kernel's table still is that file's is found out by loading
the file into an empty network namespace and comparing nft(8)'s own listings of both.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .system import HostError, run, understood

LOAD_AND_LIST = 'nft -f "$1" && nft -s list table $2'


def canonical(path: str, table: str) -> str | None:
    """nft's own listing of a table as this file makes it; None where the file is missing or not loadable."""
    done = run(["unshare", "--net", "sh", "-c", LOAD_AND_LIST, "sh", path, table], check=False)
    return done.out if done.code == 0 else None


def loaded(table: str) -> str | None:
    """nft's listing of a table in the kernel; None where it is missing."""
    done = run(["nft", "-s", "list", "table", *table.split()], check=False)
    return done.out if done.code == 0 else None


def counted(tables: Iterable[str]) -> list[dict[str, Any]]:
    """The counted rules of tables that have a comment, in their order: chain, comment, verdict, packets, bytes."""
    found = []
    for table in tables:
        done = run(["nft", "-j", "list", "table", *table.split()], check=False)
        if done.code == 0:
            with understood("`nft -j list table`", done.out):
                ruleset = json.loads(done.out)
            found += parse_counted(ruleset)
    return found


def parse_counted(ruleset: dict[str, Any]) -> list[dict[str, Any]]:
    """See counted; libnftables-json(5)."""
    rules = []
    with understood("`nft -j list table`", ruleset):
        for rule in (entry["rule"] for entry in ruleset["nftables"] if "rule" in entry):
            expressions = {name: value for expression in rule["expr"] for name, value in expression.items()}
            counter = expressions.get("counter")
            if counter and rule.get("comment"):
                verdict = "accept" if "accept" in expressions else "drop"
                rules.append({
                    "chain": str(rule["chain"]), "comment": str(rule["comment"]), "verdict": verdict,
                    "packets": int(counter["packets"]), "bytes": int(counter["bytes"]),
                })  # fmt: skip
    return rules


FAMILIES, HOOKS = ("ip", "ip6", "inet"), ("input", "forward")


def foreign(ours: Iterable[str]) -> list[dict[str, Any]]:
    """The chains of tables that are not ours and filter what comes in or is forwarded; see parse_foreign.

    Sets are told without their elements: a blocklist may have many thousands.
    """
    done = run(["nft", "-j", "-t", "list", "ruleset"], check=False)
    if done.code != 0:
        return []
    with understood("`nft -j list ruleset`", done.out):
        ruleset = json.loads(done.out)
    return parse_foreign(ruleset, ours)


def parse_foreign(ruleset: dict[str, Any], ours: Iterable[str]) -> list[dict[str, Any]]:
    """Chains with their rules' statements, of whole tables; `hook` and `policy` are None where a chain is no base chain."""
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    filtering = set()
    with understood("`nft -j list ruleset`", ruleset):
        for chain in (entry["chain"] for entry in ruleset["nftables"] if "chain" in entry):
            family, table, hook = chain["family"], chain["table"], chain.get("hook")
            if family in FAMILIES and f"{family} {table}" not in ours:
                place = {"family": family, "table": table, "chain": chain["name"]}
                chains[family, table, chain["name"]] = {
                    **place, "hook": hook, "policy": chain.get("policy"), "rules": [],
                }  # fmt: skip
                if hook in HOOKS:
                    filtering.add((family, table))
        for rule in (entry["rule"] for entry in ruleset["nftables"] if "rule" in entry):
            if found := chains.get((rule["family"], rule["table"], rule["chain"])):
                found["rules"].append(rule["expr"])
    return [chain for (family, table, _), chain in chains.items() if (family, table) in filtering]


class Nft:
    """Tables, by family and name: `inet sixstead` -> `as in /etc/sixstead/firewall.nft`."""

    keeps_edits = False
    reads_files = True

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """`as in FILE`, or what differs from it."""
        values: dict[str, Any] = {}
        for table, value in wanted.items():
            live = loaded(table)
            if live is None:
                continue
            path = value.removeprefix("as in ")
            should = canonical(path, table) if os.path.exists(path) else None
            if should == live:
                values[table] = value
            else:
                lines = difflib.unified_diff((should or "").splitlines(), live.splitlines(), lineterm="", n=0)
                values[table] = "differs from the file:\n" + "\n".join(list(lines)[2:])
        return values

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """The whole table as it is loaded."""
        return {table: loaded(table) for table in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Check the file, then load it: nft(8) replaces the table in one transaction."""
        for value in wanted.values():
            path = value.removeprefix("as in ")
            checked = run(["nft", "-c", "-f", path], check=False)
            if checked.code != 0:
                raise HostError(f"nft refuses {path}: {checked.err.strip()}")
            run(["nft", "-f", path])

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Delete our table, or load the one that was there."""
        for table, was in captured.items():
            if loaded(table) is not None:
                run(["nft", "-f", "-"], stdin=f"delete table {table}\n{was or ''}")
            elif was:
                run(["nft", "-f", "-"], stdin=was)
