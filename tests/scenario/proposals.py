"""A repository of stack files on a forge, with a server of a lab, and what a stranger proposes to it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cli.comment import marker
from engine.secrets import Passphrase, new_salt
from tests.scenario.harness import PROJECT, Stack
from tests.scenario.runner import Runner
from tests.unit.forge_server import NAMES, ForgeServer, forge_server

PASSPHRASE, PASSWORD = "planted-passphrase-51c7", "planted-robot-password-9d"
TOKEN = "planted-forge-token"  # noqa: S105


@dataclass
class World:
    """A stack with a server, the repository of its files, and an observer's key."""

    stack: Stack
    folder: Path
    key: Path
    canary: Path
    listener: int
    heard: list[bytes] = field(default_factory=list)

    @property
    def origin(self) -> Path:
        """The repository that the forge has."""
        return self.folder / "owner" / "servers"

    def git(self, *arguments: str) -> str:
        name = ["-c", "user.name=t", "-c", "user.email=t@example.net"]
        done = subprocess.run(["git", *name, *arguments], cwd=self.origin, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    @property
    def stack_file(self) -> str:
        return f"stacks/Pulumi.{self.stack.name}.yaml"

    def propose(self, files: dict[str, str], links: dict[str, str] | None = None, number: int = 5) -> str:
        """A change with these files, as every forge offers it; its commit. The branch's name is hostile, too."""
        self.git("checkout", "-q", "--detach", "main")
        for name, text in files.items():
            (self.origin / name).parent.mkdir(parents=True, exist_ok=True)
            (self.origin / name).write_text(text)
        for name, goal in (links or {}).items():
            (self.origin / name).symlink_to(goal)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"$(touch {self.canary})")
        commit = self.git("rev-parse", "HEAD")
        for ref in (f"pull/{number}", f"merge-requests/{number}"):
            self.git("update-ref", f"refs/{ref}/head", commit)
        self.git("update-ref", f"refs/heads/$(touch${{IFS}}{self.canary.name})`id`", commit)
        self.git("checkout", "-q", "main")
        return commit

    def config(self) -> dict[str, Any]:
        """The stack file as it is on the default branch."""
        found: dict[str, Any] = yaml.safe_load((self.origin / self.stack_file).read_text())
        return found

    def proposal(self, **sections: Any) -> dict[str, str]:
        """The stack file with whole sections changed."""
        document = self.config()
        document["config"].update({f"sixstead:{name}": value for name, value in sections.items()})
        return {self.stack_file: yaml.safe_dump(document, sort_keys=False)}

    def run(
        self, kind: str, commit: str, fork: bool = False, key: str | None = None, agit: bool = False
    ) -> tuple[str, Runner]:
        """Let a forge's workflow run; the comment that is there afterwards. agit: see `offer`."""
        with forge_server(kind) as forge:
            offer(forge, commit, fork, agit)
            runner = self.runner(forge, f"{kind}-{commit[:12]}-{fork}", key)
            runner.pull_request(5, fork)
            found = [c["body"] for c in forge.comments.get(5, []) if c["author"] == NAMES[kind]]
            assert len(found) == 1, runner.said
            assert found[0].startswith(marker("review"))
            return found[0], runner

    def runner(self, forge: ForgeServer, folder: str, key: str | None = None, **variables: str) -> Runner:
        """A forge's runner, with what the repository's owner has set."""
        place = self.folder / folder
        shutil.rmtree(place, ignore_errors=True)
        made = Runner(
            forge.kind,
            self.origin,
            place,
            {**forge.variables(), "GITHUB_SERVER_URL": f"file://{self.folder}", **self.stack_variables()},
            {
                "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
                "SIXSTEAD_OBSERVER_KEY": self.key.read_text() if key is None else key,
            },
            {
                "PULUMI_BACKEND_URL": f"file://{self.stack.folder}/state",
                "REPOSITORY": "owner/servers",
                "BRANCH": "main",
                **variables,
            },
        )
        if forge.kind != "github":
            made.secrets["SIXSTEAD_REVIEW_TOKEN"] = TOKEN
        return made

    def stack_variables(self) -> dict[str, str]:
        return {"SIXSTEAD_ENGINE": self.stack.engine, "PULUMI_SKIP_UPDATE_CHECK": "1"}

    def secrets(self) -> list[str]:
        """What must be seen nowhere."""
        lines = [line for line in self.key.read_text().splitlines() if "-----" not in line]
        return [PASSPHRASE, PASSWORD, TOKEN, *lines]


def offer(forge: ForgeServer, commit: str, fork: bool, agit: bool = False) -> None:
    """Make a forge have the change, as number 5."""
    forge.changes = [offered(forge.kind, 5, commit, fork, agit)]


def offered(kind: str, number: int, commit: str, fork: bool = False, agit: bool = False) -> dict[str, Any]:
    """A change as a forge lists it. agit: one that was pushed to Forgejo's refs/for/main, by anybody who may read."""
    if kind == "gitlab":
        project = {"source_project_id": 8 if fork else 7, "target_project_id": 7}
        return {"id": number, "iid": number, "sha": commit, "target_branch": "main", **project}
    own, theirs = {"full_name": "owner/servers"}, {"full_name": "mallory/servers"}
    branch = {"label": "", "ref": f"refs/pull/{number}/head"} if agit else {"label": "topic", "ref": "topic"}
    head = {"sha": commit, "repo": theirs if fork else own, **branch}
    return {"id": number, "number": number, "head": head, "base": {"ref": "main", "repo": own}}


def salted(stack: Stack) -> None:
    """Give the stack a salt of its own passphrase, and an empty state."""
    os.environ["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
    try:
        salt = new_salt(Passphrase(stack.name).get())
    finally:
        del os.environ["PULUMI_CONFIG_PASSPHRASE"]
    text = re.sub(r"(?m)^encryptionsalt: .*$", f"encryptionsalt: {salt}", stack.file.read_text())
    stack.file.write_text(text)
    shutil.rmtree(stack.folder / "state")
    stack.init()


def listen(listener: socket.socket, heard: list[bytes]) -> None:
    """An attacker's server: whatever connects to it is noted."""
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        heard.append(b"somebody came")
        line.close()


def make_origin(world: World) -> None:
    """The repository as it is on the default branch: this work tree's files and the stack's; `setup` uses this .venv."""
    world.origin.mkdir(parents=True)
    names = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=PROJECT, capture_output=True, check=True
    )
    for name in names.stdout.decode().split("\0"):
        if name and (PROJECT / name).is_file() and not name.startswith(("stacks/", "tests/")):
            (world.origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, world.origin / name)
    (world.origin / "setup").write_text(f"#!/bin/sh\nln -sfn {PROJECT}/.venv .venv\necho setup: $*\n")
    (world.origin / "stacks").mkdir()
    shutil.copy(world.stack.file, world.origin / world.stack_file)
    world.git("init", "-q", "-b", "main", ".")
    world.git("add", "-A")
    world.git("commit", "-q", "-m", "base")
