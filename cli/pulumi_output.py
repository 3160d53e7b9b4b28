"""Pulumi's output without the tracebacks in it: a provider's whole traceback goes to the log file, its message stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from engine.display import LogFile
from engine.errors import clean_message

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HEAD = "Traceback (most recent call last):"
_ROW = re.compile(r"(.* pulumi:pulumi:Stack \S+ )(?:running|\w+ing(?: \(\d+s\))?) (.*)")
"""What the program prints while it runs, in the stack's line of progress; what Pulumi itself says there comes after it."""
_PULUMIS = re.compile(r"failed|error:|warning:|\d+ (?:error|warning|message)")


def readable(lines: Iterable[str], log: LogFile) -> Iterator[str]:
    """The lines, each traceback replaced by its last words.

    Pulumi shows one twice: in a line of its progress, which ends with the traceback's head, and as a block below
    "Diagnostics:", whose lines are indented at least as far as its head.
    """
    block: list[str] = []
    lead = ""
    row = ""  # how the stack's line of progress begins, once the program's traceback is in it
    for line in lines:
        text = _COLOUR.sub("", line)
        if block:
            indent = len(text) - len(text.lstrip())
            if text.strip() and indent >= len(lead) and not text[len(lead) :].startswith(("error:", "warning:")):
                block.append(text[len(lead) :])
                continue
            yield from _told(block, lead, log)
            block = []
        stripped = text.strip()
        shown = _ROW.match(text)
        if shown and shown[2] == _HEAD:
            row = shown[1]
        elif shown and shown[1] == row and not _PULUMIS.match(shown[2]):
            continue
        elif stripped in (_HEAD, f"error: {_HEAD}"):
            lead = text[: len(text) - len(text.lstrip())]
            block = [_HEAD]
        elif text.endswith(_HEAD):
            yield line.replace(f"error: {_HEAD}", "failed").replace(_HEAD, "failed")
        else:
            yield line
    if block:
        yield from _told(block, lead, log)
    if log.used:
        yield f"the whole story: {log.path}"


def _told(block: list[str], lead: str, log: LogFile) -> Iterator[str]:
    whole = "\n".join(block)
    log.write(whole)
    first, *rest = clean_message(whole).splitlines()
    if first == "KeyboardInterrupt":
        # Pulumi ends the program so when a step has failed.
        yield f"{lead}the program was stopped"
        return
    yield f"{lead}error: {first}"
    yield from (f"{lead}{line}" for line in rest)
