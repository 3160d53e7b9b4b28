"""`./sixstead` as a rehearsal runs it: with the embedded engine, a state of its own, and nothing of the caller's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError
from lab.lab import PROJECT, Lab

_SECONDS = 600
"""How long one run may take; within what the whole rehearsal may (lab.rehearse.WITHIN)."""


@dataclass(frozen=True)
class Done:
    """How a run of `./sixstead` ended: `error` is empty where it did what it should."""

    error: str
    steps: Mapping[str, str]
    interruptions: tuple[str, ...]


@dataclass
class Runs:
    """`./sixstead` with the embedded engine and a state of its own."""

    lab: Lab
    stack: str
    folder: Path
    salt: str = ""

    @property
    def file(self) -> Path:
        return self.folder / f"Pulumi.{self.stack}.yaml"

    def write(self, document: dict[str, Any]) -> None:
        """Write the stack file. The engine gave it a salt, by which it reads its own state."""
        salt = yaml.safe_load(self.file.read_text()).get("encryptionsalt") if self.file.exists() else None
        self.file.write_text(
            yaml.safe_dump({**document, **({"encryptionsalt": salt} if salt else {})}, sort_keys=False)
        )

    def sixstead(self, verb: str, *arguments: str) -> Done:
        """Run a verb to its end. Nothing of the caller's keys, secrets and settings is handed on."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "SIXSTEAD_", "SSH_"))}
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        environment = {
            **kept,
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "SIXSTEAD_ENGINE": "embedded",
            "SIXSTEAD_LOG": str(self.folder / "sixstead.log"),
        }
        command = [str(PROJECT / "sixstead"), verb, *arguments, "--json", "--non-interactive"]
        command += ["-s", self.stack, "--config-file", str(self.file)]
        try:
            done = subprocess.run(
                self.lab.member(command), cwd=PROJECT, env=environment, text=True, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=_SECONDS, check=False, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise LabError(f"`./sixstead {verb}` in the lab took longer than {_SECONDS} s") from error
        return outcome(done.returncode, done.stdout, done.stderr)


def outcome(code: int, out: str, err: str) -> Done:
    """What `--json` prints, in short. Pure."""
    try:
        document = json.loads(out)
    except ValueError:
        document = {}
    said = [entry["message"] for entry in document.get("diagnostics", []) if entry["severity"] == "error"]
    error = reason(said) or reason([err.removeprefix("error: ")]) or f"it ended with {code}"
    steps: dict[str, str] = {}
    for step in document.get("steps", []):
        kind, name = step["urn"].split("::")[2].rsplit("$", 1)[-1].rsplit(":", 1)[-1], step["urn"].split("::", 3)[-1]
        op = step.get("resultOp") or step["op"]
        if op in ("create-replacement", "delete-replaced"):
            op = "replace"
        if op not in ("same", "read"):
            steps[f"{kind} {name}"] = op
    return Done(
        error if code else "",
        steps,
        tuple(text.removeprefix("INTERRUPTION: ") for text in document.get("interruptions", [])),
    )


def reason(messages: Iterable[str]) -> str:
    """What failed, without what to do on the real server next, and without the echo of a failure. Pure."""
    lines = [line.strip() for message in dict.fromkeys(messages) for line in message.splitlines()]
    return " ".join(
        line for line in lines if line and not line.startswith(("what to do:", "Resource monitor has term"))
    )
