"""What the person at the terminal sees while an operation goes on."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO

from engine import urn as urns
from engine.errors import clean_message
from engine.steps import DOING, DONE, SIGNS, Step, summary_op


@dataclass
class Message:
    severity: str
    urn: str
    text: str


@dataclass
class Display:
    preview: bool
    out: TextIO = field(default_factory=lambda: sys.stdout)
    steps: list[Step] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def begun(self, step: Step) -> None:
        if step.op not in DOING or hidden(step) or self.preview:
            return
        print(f" {SIGNS[step.op]:2} {step.state.type} {step.state.name} {DOING[step.op]}...", file=self.out, flush=True)

    def ended(self, step: Step, seconds: float, error: str | None) -> None:
        self.steps.append(step)
        if step.op not in DOING or hidden(step) or self.preview:
            return
        what = DONE[step.op] if error is None else f"{DOING[step.op]} failed"
        print(
            f" {SIGNS[step.op]:2} {step.state.type} {step.state.name} {what} ({seconds:.2f}s)",
            file=self.out,
            flush=True,
        )

    def say(self, severity: str, urn: str, message: str, raw: str = "") -> None:
        if severity == "debug":
            return
        self.messages.append(Message(severity, urn, clean_message(message)))
        print(f"{severity}: {urn} {clean_message(message)}", file=self.out, flush=True)

    def provider_line(self, package: str, line: str) -> None:
        print(line, file=self.out, flush=True)

    def program_line(self, line: str) -> None:
        print(line, file=self.out, flush=True)

    def summary(self) -> Counter[str]:
        return Counter(summary_op(s) for s in self.steps if s.logical and not hidden(s))


def hidden(step: Step) -> bool:
    return urns.is_provider_type(step.state.type)
