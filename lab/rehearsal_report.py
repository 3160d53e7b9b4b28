"""What a rehearsal came to, as text and as a section of a pull request's comment. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reached:
    """Something that was there before the change. `gap`: the longest time without an answer, in ms. `after`: whether it
    answers afterwards; None where the change takes it away."""

    name: str
    address: str
    gap: int
    after: bool | None


@dataclass(frozen=True)
class Note:
    """A sentence of ours, and the names or texts of others that it is about."""

    text: str
    names: tuple[str, ...] = ()

    def shown(self, mark: Callable[[str], str]) -> str:
        """On one line, each name as `mark` shows it; the first twenty of them."""
        more = f" and {len(self.names) - 20} more" if len(self.names) > 20 else ""
        return self.text + (f": {', '.join(map(mark, self.names[:20]))}{more}" if self.names else "")


@dataclass(frozen=True)
class Report:
    """A rehearsal's result. `undone`: why the server undid the network change, empty where it did not. `failed`: why the
    change could not be made otherwise. Steps are ops by `Type name`: `announced` by the preview, `made` by the change,
    and `again` by a second preview with a look at the server. `foreign` counts frames with a foreign MAC address."""

    stack: str
    since: str
    reached: tuple[Reached, ...] = ()
    foreign: int = 0
    foreign_macs: tuple[str, ...] = ()
    undone: str = ""
    failed: str = ""
    announced: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)
    interruptions: tuple[str, ...] = ()
    left_out: tuple[Note, ...] = ()
    same: bool = False
    """Nothing that can be rehearsed was changed: nothing was done."""

    @property
    def lost(self) -> tuple[Reached, ...]:
        """What does not answer afterwards, and should."""
        return tuple(reached for reached in self.reached if reached.after is False)

    @property
    def locks_out(self) -> bool:
        """Whether the change would lock the owner out, if the server did not undo it."""
        return bool(self.undone) or any(reached.name.startswith("server") for reached in self.lost)

    @property
    def good(self) -> bool:
        return not (self.undone or self.failed or self.lost or self.again or self.foreign)

    @property
    def longest(self) -> Reached | None:
        """Who went without an answer the longest, of what the change leaves there."""
        return max((r for r in self.reached if r.after is not None), key=lambda reached: reached.gap, default=None)

    @property
    def differing(self) -> tuple[str, ...]:
        """Where the change was not what its preview said, in words."""
        if self.undone or self.failed:
            return ()
        names = sorted(self.announced.keys() | self.made.keys())
        pairs = [(name, self.announced.get(name, "nothing"), self.made.get(name, "nothing")) for name in names]
        return tuple(f"{name}: announced {said}, made {done}" for name, said, done in pairs if said != done)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why a rehearsal is not good, in words."""
        found = [text for text in (self.undone, self.failed) if text]
        found += [f"{reached.name} ({reached.address}) does not answer afterwards" for reached in self.lost]
        found += [f"{self.foreign} frames left with a foreign MAC address: {', '.join(self.foreign_macs)}"] * bool(
            self.foreign
        )
        if self.again:
            found.append("a preview afterwards is not empty: " + ", ".join(f"{op} {n}" for n, op in self.again.items()))
        return tuple(found)


def headline(report: Report) -> str:
    """The verdict in a few words. Pure."""
    if report.same:
        return "nothing to rehearse"
    if report.locks_out:
        return "THIS CHANGE WOULD LOCK THE OWNER OUT"
    if not report.good:
        return "this change does not hold"
    longest = report.longest
    return f"nobody is locked out, longest gap {longest.gap} ms ({longest.name})" if longest else "nobody is locked out"


def facts(report: Report) -> list[Note]:
    """What there is to know beside the gaps. Pure."""
    if report.same:
        return [Note("nothing that can be rehearsed differs from", (report.since,))]
    found = []
    if report.undone and not report.lost:
        found.append(Note("the server undid the change by itself, and all is reachable as before"))
    if report.reached and not report.foreign:
        found.append(Note("the hoster's switch saw no foreign MAC address"))
    if report.differing:
        found.append(Note("not as the preview said", report.differing))
    elif not report.undone and not report.failed:
        found.append(Note(f"{len(report.made)} steps, as the preview said"))
        found += [Note("a preview afterwards, with a look at the server, is empty")] * (not report.again)
    if report.interruptions:
        found.append(Note("the preview announces interruptions", report.interruptions))
    return found


def rehearsal_text(report: Report) -> str:
    """The report for a terminal. Pure."""
    lines = [f"Rehearsal of {report.stack}, from {report.since}: {headline(report)}"]
    lines += [f"  why: {one_line(reason)}" for reason in report.reasons]
    if report.reached:
        width = max(len(reached.name) for reached in report.reached)
        wide = max(len(reached.address) for reached in report.reached)
        lines.append("")
        lines += [f"  {r.name:<{width}}  {r.address:<{wide}}  {_seen(r)}" for r in report.reached]
    lines += ["", *(f"  {fact.shown(one_line)}" for fact in facts(report))]
    if report.left_out:
        lines += ["", "  Not rehearsed:", *(f"  - {note.shown(one_line)}" for note in report.left_out)]
    return "\n".join(lines) + "\n"


def rehearsal_markdown(report: Report) -> str:
    """The report as a section of a pull request's comment. What was written by others stands in code spans. Pure."""
    verdict = headline(report)
    lines = [f"### Rehearsal of {code(report.stack)}: {verdict if report.locks_out else _plain(verdict, report)}", ""]
    if report.reasons:
        lines += [*(f"**Why:** {code(reason)}  " for reason in report.reasons), ""]
    if report.reached:
        lines += ["| | address | longest gap | afterwards |", "|---|---|---|---|"]
        lines += [f"| {cell(r.name)} | {cell(r.address)} | {_gap(r)} | {_after(r)} |" for r in report.reached]
        lines.append("")
    told = facts(report)
    lines += [*(f"- {fact.shown(code)}" for fact in told), ""] if told else []
    if report.left_out:
        lines += ["<details><summary>What is not rehearsed</summary>", ""]
        lines += [f"- {note.shown(code)}" for note in report.left_out]
        lines += ["", "</details>", ""]
    if not report.same:
        lines += [f"In a simulated server, brought up as at {code(report.since)}: gaps are that lab's.", ""]
    return "\n".join(lines)


def _plain(verdict: str, report: Report) -> str:
    longest = report.longest
    return verdict.replace(longest.name, code(longest.name)) if longest and report.good else verdict


def _gap(reached: Reached) -> str:
    return "" if reached.after is None else f"{reached.gap} ms"


def _seen(reached: Reached) -> str:
    return _after(reached) if reached.after is None else f"longest gap {_gap(reached):>8}, {_after(reached)}"


def _after(reached: Reached) -> str:
    words: dict[Any, str] = {True: "reachable", False: "NOT reachable", None: "taken away by the change"}
    return words[reached.after]


def one_line(text: str) -> str:
    """A text of others on one line, without characters that a terminal obeys."""
    flat = " ".join(text.split())
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") else f"\\u{ord(c):04x}" for c in flat)


def code(text: str) -> str:
    """A text of others as a code span that it can't leave."""
    flat = one_line(text)
    flat = flat if len(flat) <= 1000 else flat[:1000] + "..."
    quotes = "`" * (max((len(run) for run in re.findall(r"`+", flat)), default=0) + 1)
    space = " " if "`" in flat else ""
    return f"{quotes}{space}{flat or '?'}{space}{quotes}"


def cell(text: str) -> str:
    """A code span in a table, where `|` ends a cell even in code."""
    return code(text.replace("|", "\\|"))
