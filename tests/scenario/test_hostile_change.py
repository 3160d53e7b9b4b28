"""A pull request is a stranger's: whatever it has in it, it gets neither a secret nor a byte changed on the server."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.comment import marker
from engine.secrets import Passphrase, new_salt
from lab.keys import public_key
from tests.scenario.harness import PROJECT, Stack
from tests.scenario.runner import Runner
from tests.scenario.test_observer import state_of
from tests.unit.forge_server import NAMES, ForgeServer, forge_server

PASSPHRASE, PASSWORD = "planted-passphrase-51c7", "planted-robot-password-9d"
TOKEN = "planted-forge-token"  # noqa: S105
DNS64 = "/etc/unbound/unbound.conf.d/sixstead.conf"
FORGES = ["github", "forgejo", "gitlab"]
EVIL_CODE = "import os, pathlib\npathlib.Path('{canary}').write_text(repr(dict(os.environ)))\nprint(dict(os.environ))\n"


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

    def propose(self, files: dict[str, str], links: dict[str, str] | None = None) -> str:
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
        for ref in ("pull/5", "merge-requests/5"):
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

    def run(self, kind: str, commit: str, fork: bool = False, key: str | None = None) -> tuple[str, Runner]:
        """Let a forge's workflow run; the comment that is there afterwards."""
        with forge_server(kind) as forge:
            offer(forge, commit, fork)
            place = self.folder / f"{kind}-{commit[:12]}-{fork}"
            shutil.rmtree(place, ignore_errors=True)
            runner = Runner(
                kind,
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
                },
            )
            if kind != "github":
                runner.secrets["SIXSTEAD_REVIEW_TOKEN"] = TOKEN
            runner.pull_request(5, fork)
            found = [c["body"] for c in forge.comments.get(5, []) if c["author"] == NAMES[kind]]
            assert len(found) == 1, runner.said
            assert found[0].startswith(marker("review"))
            return found[0], runner

    def stack_variables(self) -> dict[str, str]:
        return {"SIXSTEAD_ENGINE": self.stack.engine, "PULUMI_SKIP_UPDATE_CHECK": "1"}

    def secrets(self) -> list[str]:
        """What must be seen nowhere."""
        lines = [line for line in self.key.read_text().splitlines() if "-----" not in line]
        return [PASSPHRASE, PASSWORD, TOKEN, *lines]


def offer(forge: ForgeServer, commit: str, fork: bool) -> None:
    """Make a forge have the change."""
    own, theirs = {"full_name": "owner/servers"}, {"full_name": "mallory/servers"}
    forge.changes = [
        {
            "id": 5,
            "iid": 5,
            "sha": commit,
            "target_branch": "main",
            "source_project_id": 8 if fork else 7,
            "target_project_id": 7,
        }
        if forge.kind == "gitlab"
        else {
            "id": 5,
            "number": 5,
            "head": {"sha": commit, "repo": theirs if fork else own},
            "base": {"ref": "main", "repo": own},
        }
    ]


@pytest.fixture(scope="module")
def world(make_stack: Callable[..., Stack], engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    stack = make_stack(engine)
    stack.environment["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
    stack.config["server"]["ssh"]["config"] = str(PROJECT / ".lab" / stack.lab.name / "ssh_config")
    stack.write(guests={}, images={})
    salted(stack)
    subprocess.run(
        stack.command("config", "set", "--secret", "robotPassword"),
        cwd=PROJECT, env=stack.environ(), input=PASSWORD, text=True, check=True,
    )  # fmt: skip
    stack.up()
    folder = Path(tmp_path_factory.mktemp("forge"))
    key = folder / "observer"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    stack.run("observer-key", f"{key}.pub")
    listener = socket.create_server(("127.0.0.1", 0))
    made = World(stack, folder, key, folder / "canary", listener.getsockname()[1])
    threading.Thread(target=listen, args=(listener, made.heard), daemon=True).start()
    make_origin(made)
    yield made
    listener.close()


def salted(stack: Stack) -> None:
    """Give the stack a salt of its own passphrase, and an empty state."""
    import os

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
        if name and (PROJECT / name).is_file() and not name.startswith(("stacks/", "tests/", "lab/")):
            (world.origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, world.origin / name)
    (world.origin / "setup").write_text(f"#!/bin/sh\nln -sfn {PROJECT}/.venv .venv\n")
    (world.origin / "stacks").mkdir()
    shutil.copy(world.stack.file, world.origin / world.stack_file)
    world.git("init", "-q", "-b", "main", ".")
    world.git("add", "-A")
    world.git("commit", "-q", "-m", "base")


def unharmed(world: World, before: str, comment: str, runner: Runner) -> None:
    """Fails the test with what a stranger got."""
    for secret in world.secrets():
        assert secret not in comment
        assert secret not in runner.said
    assert not world.canary.exists()
    assert not list(runner.folder.rglob(world.canary.name))
    assert world.heard == []
    assert state_of(world.stack) == before


@pytest.mark.parametrize("kind", FORGES)
def test_an_honest_change_is_previewed_with_the_servers_drift(world: World, kind: str) -> None:
    networks = {"main": {**world.config()["config"]["sixstead:networks"]["main"], "ra": {"lifetime": 1234}}}
    commit = world.propose(world.proposal(networks=networks))
    world.stack.server("sh", "-c", f"cp -a {DNS64} /root/ && echo '# by hand' >> {DNS64}")
    before = state_of(world.stack)
    try:
        comment, runner = world.run(kind, commit)
        unharmed(world, before, comment, runner)
    finally:
        world.stack.server("sh", "-c", f"mv /root/sixstead.conf {DNS64}")
    assert "secrets.SIXSTEAD_OBSERVER_KEY" in runner.given
    assert "AdvDefaultLifetime 1234" in comment
    assert "**Drift**: 1." in comment
    assert "# by hand" in comment


@pytest.mark.parametrize("kind", FORGES)
def test_code_of_a_change_is_never_run(world: World, kind: str) -> None:
    evil = EVIL_CODE.format(canary=world.canary)
    places = ["__main__.py", "cli/__main__.py", "engine/__init__.py", "settings/__init__.py", "sitecustomize.py"]
    files = {name: evil for name in places}
    files |= {"setup": f"#!/bin/sh\nenv > {world.canary}\n", "sixstead": f"#!/bin/sh\nenv > {world.canary}\n"}
    files |= {".gitattributes": "* filter=x merge=x diff=x\n", f"$(touch {world.canary.name})": "", "`id`\n@all.py": ""}
    for workflow in (".github/workflows/preview.yml", ".forgejo/workflows/preview.yml", ".gitlab-ci.yml"):
        files[workflow] = f"on: push\njobs: {{x: {{steps: [{{run: 'env > {world.canary}'}}]}}}}\n"
    commit = world.propose({**files, **world.proposal(keys={})})
    before = state_of(world.stack)
    comment, runner = world.run(kind, commit)
    unharmed(world, before, comment, runner)
    assert "**This changes code**" in comment
    assert "<details>" not in comment


@pytest.mark.parametrize("kind", FORGES)
def test_a_fork_gets_neither_host_nor_secrets(world: World, kind: str) -> None:
    document = world.config()
    document["config"]["sixstead:server"]["name"] = "renamed.example"
    commit = world.propose({world.stack_file: yaml.safe_dump(document, sort_keys=False)})
    before = state_of(world.stack)
    world.stack.cost()
    comment, runner = world.run(kind, commit, fork=True)
    unharmed(world, before, comment, runner)
    assert "Made without the stack's state, credentials and server" in comment
    assert "No drift" not in comment
    if kind == "github":
        assert runner.given == []


def test_without_an_observers_key_no_server_is_asked(world: World) -> None:
    comment, _ = world.run("gitlab", world.propose(world.proposal(keys={})), key="")
    assert "SIXSTEAD_OBSERVER_KEY is not set, so no server is asked." in comment
    assert "The server was not asked: drift is not shown." in comment


def test_a_new_stack_is_previewed_without_secrets_and_leaves_nothing_behind(world: World) -> None:
    example = (PROJECT / "stacks" / "Pulumi.example.yaml").read_text()
    before = state_of(world.stack)
    comment, runner = world.run("gitlab", world.propose({"stacks/Pulumi.brandnew.yaml": example}))
    unharmed(world, before, comment, runner)
    assert "### Preview of `brandnew` on `192.0.2.10`" in comment
    assert "The stack has no state yet: everything is shown as new." in comment
    assert not list(runner.folder.rglob("Pulumi.brandnew.yaml"))


def ssh_to(world: World, **changes: Any) -> dict[str, Any]:
    """The server section with another way to the server."""
    server: dict[str, Any] = world.config()["config"]["sixstead:server"]
    return {**server, "ssh": {**server["ssh"], **changes}}


def test_a_change_of_the_connection_sends_nothing_elsewhere(world: World) -> None:
    proxy = f"Host *\n  ProxyCommand touch {world.canary}\n"
    attacks: list[dict[str, Any]] = [
        {"host": "127.0.0.1", "port": world.listener, "host_key": public_key(world.stack.lab.name, "login")},
        {"config": "stacks/evil_config"},
        {"identity_file": str(world.key)},
    ]
    for attack in attacks:
        commit = world.propose(world.proposal(server=ssh_to(world, **attack)))
        before = state_of(world.stack)
        comment, runner = world.run("gitlab", commit)
        unharmed(world, before, comment, runner)
        assert "**The change alters `server.ssh`.** It was not used" in comment
        assert "No drift: the server is as the last `up` left it." in comment, "the base's server was asked"
    commit = world.propose(
        {"stacks/evil_config": proxy, **world.proposal(server=ssh_to(world, config="stacks/evil_config"))}
    )
    comment, runner = world.run("gitlab", commit)
    unharmed(world, before, comment, runner)
    rdns = {"domain": "example.net", "endpoint": f"http://127.0.0.1:{world.listener}"}
    comment, runner = world.run("gitlab", world.propose(world.proposal(rdns=rdns)))
    unharmed(world, before, comment, runner)


def test_a_secret_that_is_copied_elsewhere_is_not_told(world: World) -> None:
    cipher = world.config()["config"]["sixstead:robotPassword"]
    before = state_of(world.stack)
    for sections in (
        {"keys": {"alice": cipher}},
        {"server": {**world.config()["config"]["sixstead:server"], "name": cipher}},
        {"guests": {"web": {"image": "x", "memory": cipher}}},
        {"images": {"x": {"url": "http://x.example/y", "sha512sums": "/proc/self/environ"}}},
    ):
        comment, runner = world.run("gitlab", world.propose(world.proposal(**sections)))
        unharmed(world, before, comment, runner)
        assert "look at this change yourself" in comment


def test_hostile_names_and_files_stay_words(world: World) -> None:
    before = state_of(world.stack)
    touch = f"$(touch {world.canary})`touch {world.canary}`;touch {world.canary}\n/close @all <img src=x>"
    guests = {touch: {"image": touch, "memory": "1GiB", "user_data": touch}}
    keys = {"alice": f"ssh-ed25519 {touch}"}
    comment, runner = world.run("gitlab", world.propose(world.proposal(guests=guests, keys=keys)))
    unharmed(world, before, comment, runner)
    assert "**The preview failed:**" in comment
    commit = world.propose({}, links={f"stacks/Pulumi.{world.stack.name}-2.yaml": str(world.key)})
    comment, runner = world.run("gitlab", commit)
    unharmed(world, before, comment, runner)
    assert "**This changes code**" in comment
    commit = world.propose({"stacks/Pulumi.$(id).yaml": "config: {}\n", "stacks/Pulumi.-x.yaml": "config: {}\n"})
    comment, runner = world.run("gitlab", commit)
    unharmed(world, before, comment, runner)


def test_the_comment_is_updated_and_nobody_elses(world: World) -> None:
    commit = world.propose(world.proposal(keys={}))
    with forge_server("gitlab") as forge:
        offer(forge, commit, False)
        forge.comments[5] = [{"id": 1, "body": f"{marker('review')}\nby mallory", "author": "mallory"}]
        place = world.folder / "twice"
        runner = Runner(
            "gitlab", world.origin, place, {**forge.variables(), **world.stack_variables()},
            {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE, "SIXSTEAD_OBSERVER_KEY": str(world.key), "SIXSTEAD_REVIEW_TOKEN": TOKEN},
            {"PULUMI_BACKEND_URL": f"file://{world.stack.folder}/state"},
        )  # fmt: skip
        assert runner.pull_request(5, False), runner.said
        written = len([r for r in forge.requests if r[0] != "GET"])
        assert runner.pull_request(5, False), runner.said
        assert len([r for r in forge.requests if r[0] != "GET"]) == written, (
            "what has its comment is not previewed again"
        )
        offer(forge, world.propose(world.proposal(keys={}, firewall=[])), False)
        assert runner.pull_request(5, False), runner.said
        assert [c["author"] for c in forge.comments[5]] == ["mallory", NAMES["gitlab"]]
        assert forge.comments[5][0]["body"].endswith("by mallory")
