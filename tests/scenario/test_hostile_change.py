"""A pull request is a stranger's: whatever it has in it, it gets neither a secret nor a byte changed on the server."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.comment import marker
from lab.keys import public_key
from tests.scenario.harness import PROJECT, Stack
from tests.scenario.proposals import PASSPHRASE, PASSWORD, World, listen, make_origin, offer, offered, salted
from tests.scenario.runner import Runner
from tests.scenario.test_observer import state_of
from tests.unit.forge_server import NAMES, forge_server

DNS64 = "/etc/unbound/unbound.conf.d/sixstead.conf"
FORGES = ["github", "forgejo", "gitlab"]
EVIL_CODE = "import os, pathlib\npathlib.Path('{canary}').write_text(repr(dict(os.environ)))\nprint(dict(os.environ))\n"


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


@pytest.mark.parametrize(("kind", "agit"), [*((kind, False) for kind in FORGES), ("forgejo", True)])
def test_a_fork_gets_neither_host_nor_secrets(world: World, kind: str, agit: bool) -> None:
    document = world.config()
    document["config"]["sixstead:server"]["name"] = "renamed.example"
    commit = world.propose({world.stack_file: yaml.safe_dump(document, sort_keys=False)})
    before = state_of(world.stack)
    world.stack.cost()
    comment, runner = world.run(kind, commit, fork=not agit, agit=agit)
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
        runner = world.runner(forge, "twice")
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


@pytest.mark.parametrize("kind", ["forgejo", "gitlab"])
def test_a_change_that_takes_no_comment_does_not_stop_the_others(world: World, kind: str) -> None:
    commits = {number: world.propose(world.proposal(keys={}), number=number) for number in (3, 5)}
    with forge_server(kind) as forge:
        forge.locked.add(3)
        forge.changes = [offered(kind, number, commits.get(number, "0" * 40)) for number in (2, 3, 5)]
        runner = world.runner(forge, f"{kind}-locked")
        assert not runner.pull_request(5, False), "nobody is told that two changes have no comment"
        assert "status 403" in runner.said
        assert {number: len(comments) for number, comments in forge.comments.items()} == {2: 0, 3: 0, 5: 1}
        assert "### Preview of" in forge.comments[5][0]["body"]


@pytest.mark.parametrize("kind", FORGES)
def test_changes_are_rehearsed_where_the_owner_wants_it_and_forks_are_not(world: World, kind: str) -> None:
    """A change of a secret alone: a rehearsal of it needs no lab."""
    commit = world.propose(world.proposal(robotPassword={"secure": "v1:AAAA:BBBB"}))
    for fork, wanted, given in ((False, True, "yes"), (False, False, ""), (False, False, "no"), (True, False, "yes")):
        with forge_server(kind) as forge:
            offer(forge, commit, fork)
            runner = world.runner(forge, f"{kind}-rehearsed", SIXSTEAD_REHEARSE=given)
            runner.pull_request(5, fork)
            comment = forge.comments[5][0]["body"]
        assert ("### Rehearsal of `" in comment) == wanted, runner.said
        assert ("nothing to rehearse" in comment) == wanted
        assert ("### Preview of `" in comment) or fork
        # one job goes through all changes there, and makes ready for a lab whatever they are
        assert ("setup: --lab" in runner.said) == (given == "yes" and not (fork and kind == "github"))


def test_a_push_to_githubs_default_branch_previews_open_changes_anew(world: World) -> None:
    own = world.propose(world.proposal(keys={}), number=5)
    theirs = world.propose(world.proposal(keys={}), number=6)
    before = state_of(world.stack)
    main = world.git("rev-parse", "main")
    with forge_server("github") as forge:
        forge.locked.add(4)
        forge.changes = [
            offered("github", 4, world.propose(world.proposal(keys={}), number=4)),
            offered("github", 5, own),
            offered("github", 6, theirs, fork=True),
            offered("github", 7, "0" * 40),
        ]
        runner = world.runner(forge, "again")
        assert runner.push("topic")
        assert forge.requests == [], "another branch's push is none of this"
        assert not runner.push("main"), "nobody is told that two of them failed"
        found = {number: [c["body"] for c in comments] for number, comments in forge.comments.items()}
        written = len([r for r in forge.requests if r[0] != "GET"])
        forge.changes = forge.changes[1:3]
        assert runner.push("main"), runner.said
        assert len([r for r in forge.requests if r[0] != "GET"]) == written, "they have their comments"
    assert found[4] == []
    assert f"<!-- {own} on {main} -->" in found[5][0]
    assert "The server was not asked" not in found[5][0]
    assert f"<!-- {theirs} on {main} -->" in found[6][0]
    assert "Made without the stack's state, credentials and server" in found[6][0]
    assert "## Nothing is previewed" in found[7][0]
    unharmed(world, before, "".join(map(str, found.values())), runner)
