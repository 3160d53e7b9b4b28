"""What the person at the terminal sees while an operation goes on, and at its end."""

from __future__ import annotations

import datetime
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from engine import report
from engine import urn as urns
from engine.errors import clean_message
from engine.render import colour, short_type
from engine.steps import DOING, DONE, SIGNS, Step
from engine.values import Props

_TRACEBACK = "Traceback (most recent call last):"


class LogFile:
    """Where tracebacks go: made when the first one comes, readable by its owner only."""

    def __init__(self, directory: Path, stack: str) -> None:
        self._path = directory / f"{stack}-{datetime.datetime.now():%Y%m%d-%H%M%S}.log"
        self.used = False

    @property
    def path(self) -> Path:
        return self._path

    def write(self, text: str) -> None:
        if not self.used:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self.used = True
        with self._path.open("a") as file:
            file.write(text.rstrip("\n") + "\n\n")


@dataclass
class Show:
    """How much is shown. json: nothing but one document at the end."""

    diff: bool = False
    json: bool = False
    coloured: bool = False
    outputs: bool = True


@dataclass
class Display:
    """Collects steps and messages, shows progress, and prints the end."""

    title: str
    preview: bool
    show: Show
    log: LogFile
    out: TextIO = field(default_factory=lambda: sys.stdout)
    steps: list[Step] = field(default_factory=list)
    messages: list[tuple[str, str, str]] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _swallowing: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.line(self.title)

    def line(self, text: str) -> None:
        if not self.show.json:
            print(text, file=self.out, flush=True)

    # Progress

    def begun(self, step: Step) -> None:
        if not self._quiet(step):
            self._progress(step, f"{DOING[step.op]}...")

    def ended(self, step: Step, seconds: float, error: str | None) -> None:
        self.steps.append(step)
        if not self._quiet(step):
            what = DONE[step.op] if error is None else f"{DOING[step.op]} failed"
            self._progress(step, f"{what} ({seconds:.1f}s)")

    def _quiet(self, step: Step) -> bool:
        return step.op not in DOING or step.op == "replace" or report.hidden(step) or self.preview

    def _progress(self, step: Step, what: str) -> None:
        sign = SIGNS[step.op]
        text = f" {sign:<2} {short_type(step.state.type)} {step.state.name} {what}"
        self.line(colour(text, sign[:1], self.show.coloured))

    # Messages

    def say(self, severity: str, urn: str, message: str, raw: str = "") -> None:
        """A message of the engine, the program (pulumi.log) or a provider. raw: the whole story, for the log file.

        What is said of severity `progress` is shown while it happens, and not again at the end.
        """
        if severity == "debug":
            return
        if severity == "progress":
            self.line(f"    {self._whose(urn)}{message}")
            return
        text = clean_message(message)
        whole = raw or message
        if whole.strip() != text:
            self.log.write(f"{urn}\n{whole}" if urn else whole)
        self.messages.append((severity, urn, text))
        if severity != "error":
            prefix = "" if severity == "info" else f"{severity}: "
            self.line(f"    {prefix}{self._whose(urn)}{text}")

    def _whose(self, urn: str) -> str:
        if not urns.is_urn(urn) or urns.type_of(urn) == urns.STACK_TYPE:
            return ""
        return f"{short_type(urns.type_of(urn))} {urns.name_of(urn)}: "

    def provider_line(self, package: str, line: str) -> None:
        self._foreign(f"provider {package}", line)

    def program_line(self, line: str) -> None:
        self._foreign("program", line)

    def _foreign(self, source: str, line: str) -> None:
        """A line that the program or a provider printed. Tracebacks among them go to the log file."""
        held = self._swallowing.get(source)
        if line.startswith(_TRACEBACK):
            self._swallowing[source] = [line]
        elif held is not None and (line.startswith(" ") or not line):
            held.append(line)
        elif held is not None:
            del self._swallowing[source]
            self.log.write(f"{source}:\n" + "\n".join([*held, line]))
            self.say("warning", "", f"{source}: {line}")
        elif line.strip():
            self.line(f"    {line}")

    # The end

    def finish(self, old_outputs: Props, new_outputs: Props, failed: bool) -> None:
        """Print what it came to."""
        if self.show.json:
            seconds = time.monotonic() - self._began
            print(json.dumps(report.as_document(self.steps, self.messages, seconds), indent=4), file=self.out)
            return
        coloured = self.show.coloured
        if self.show.diff:
            for text in report.blocks(self.steps, coloured):
                self.line(text)
        elif self.preview:
            for text in report.tree(self.steps, self.preview, coloured):
                self.line(text)
        self._diagnostics()
        if self.show.outputs and not failed:
            for text in report.outputs(old_outputs, new_outputs, self.preview, coloured):
                self.line(text)
        for text in report.summary(self.steps, self.preview, coloured):
            self.line(text)
        if self.preview:
            for text in report.interruptions(self.steps):
                self.line(colour(text, "~", coloured))
            for text in report.data_loss(self.steps):
                self.line(colour(text, "-", coloured))
        if not self.preview:
            self.line(f"Duration: {time.monotonic() - self._began:.1f}s")

    def _diagnostics(self) -> None:
        errors = [(urn, text) for severity, urn, text in self.messages if severity == "error"]
        if not errors:
            return
        self.line("Diagnostics:")
        for urn, text in errors:
            whose = self._whose(urn)
            self.line(f"  {whose.rstrip(': ') or 'stack'}:")
            indented = text.replace("\n", "\n    ")
            self.line(colour(f"    error: {indented}", "-", self.show.coloured))
        if self.log.used:
            self.line(f"  the whole story: {self.log.path}")
