"""What is wrong with a stack's config: every problem at once, each under the key as its owner typed it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True)
class Problem:
    """One refused value: `key` is dotted (`sixstead:guests.web.memory`), `message` says what would be right."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class SettingsError(Exception):
    """The stack's config can't be used. `problems` holds all there is to say, in the schema's order."""

    def __init__(self, problems: Iterable[Problem], stack: str = "") -> None:
        self.problems = list(problems)
        self.stack = stack
        super().__init__(self.problems, stack)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        where = f"the config of stack {self.stack}" if self.stack else "the stack's config"
        return "\n".join([f"{count} in {where}; nothing was touched:", *(f"  {problem}" for problem in self.problems)])


def child_key(parent: str, name: object) -> str:
    """The key of an entry, in Pulumi's path syntax: `parent.name`, `parent["odd name"]`, `parent[0]`."""
    if isinstance(name, int) and not isinstance(name, bool):
        return f"{parent}[{name}]"
    text = str(name).lower() if isinstance(name, bool) else str(name)
    if not _PLAIN.fullmatch(text):
        quoted = "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in text[:80])
        return f'{parent}["{quoted}"]'
    return f"{parent}{text}" if parent.endswith(":") else f"{parent}.{text}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` for the nearest known word, else the list of what is known."""
    names = choosable(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.75)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"known: {', '.join(names)}" if names else "none is defined"


def choosable(names: Iterable[str]) -> list[str]:
    """Names as a message may list them, sorted; those that no check of names would let pass are left out."""
    return sorted(name for name in names if len(name) <= 63 and name.isprintable())


def shown(raw: object) -> str:
    """A refused value as a message may show it: short, on one line."""
    try:
        text = repr(raw) if isinstance(raw, str) else str(raw)
    except ValueError:  # sys.set_int_max_str_digits
        text = "of thousands of digits"
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 60 else text[:57] + "..."
