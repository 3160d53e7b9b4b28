"""`./sixstead rehearse`: a change is made in a lab of its own first, and the lab is gone afterwards, whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.system import Cgroup, mounted
from tests.scenario.harness import LAB_STACK, PROJECT, SERVER4, SERVER6, WEB, Run, kill_group, merged

STARTED = "making the config of before"


class Change:
    """A stack in a git repository of its own, with one change that is not committed."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.file = folder / "Pulumi.kvm7.yaml"
        config = yaml.safe_load(LAB_STACK.read_text())["config"]
        config["sixstead:guests"] = {
            "web": {"image": "tiny", "memory": "64GiB", "disk": "64MiB", "open": {"tcp": [80]}}
        }
        # what a rehearsal must not use
        config["sixstead:server"]["ssh"] |= {"host": "203.0.113.99", "config": "/nonexistent"}
        config["sixstead:images"] = {"tiny": {"url": "https://images.invalid/x.qcow2", "sha512": "0" * 128}}
        config["sixstead:sshKey"] = {"secure": "v1:AAAA:BBBB"}
        folder.mkdir(exist_ok=True)
        self.write(config)
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "before"]):
            git(folder, *command)
        self.write({**config, **{f"sixstead:{key}": value for key, value in changes.items()}})

    def write(self, config: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump({"config": config}))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(PROJECT / "sixstead"), "rehearse", "-s", "kvm7", "--config-file", str(self.file), *arguments]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env={**os.environ, "PULUMI_CONFIG_PASSPHRASE_FILE": "/nonexistent"},
        )  # fmt: skip

    def rehearse(self, *arguments: str) -> Run:
        """Run it to its end; afterwards nothing is left of its lab."""
        process = self.start(*arguments)
        try:
            text, _ = process.communicate(timeout=400)
        except BaseException:
            kill_group(process)
            raise
        print(text)
        assert left_of(process.pid) == []
        return Run(process.returncode, text)


def git(folder: Path, *arguments: str) -> str:
    owner = ["-c", "user.name=owner", "-c", "user.email=owner@example.net"]
    done = subprocess.run(["git", "-C", str(folder), *owner, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def left_of(pid: int) -> list[str]:
    """What there is of the lab of a rehearsal that had this pid."""
    name = f"sixstead-rehearsal-{pid}"
    found = [str(path) for path in (*Path("/run/netns").glob(f"{name}-*"), *Path("/run").glob(f"{name}.*"))]
    found += [str(path) for path in (PROJECT / ".lab").glob(f"rehearsal-{pid}")]
    return found + list(map(str, mounted(name))) + ([name] if Cgroup(name).exists() else [])


def networks(**ra: Any) -> dict[str, Any]:
    main = yaml.safe_load(LAB_STACK.read_text())["config"]["sixstead:networks"]["main"]
    return {"main": merged(main, ra=ra)}


def test_a_good_change_shows_its_longest_gap(tmp_path: Path) -> None:
    web = {"image": "tiny", "memory": "64GiB", "disk": "64MiB", "open": {"tcp": [80, 443]}}
    change = Change(tmp_path, guests={"web": web}, networks=networks(rdnss=["2001:db8:53::1"]))
    done = change.rehearse()
    assert done.code == 0, done.text
    assert re.search(
        r"^Rehearsal of kvm7, from HEAD \(\w+\): nobody is locked out, longest gap \d+ ms", done.text, re.M
    )
    for name, address in (("server, IPv4", SERVER4), ("server, IPv6", SERVER6), ("guest web", WEB)):
        assert done.shows(name, address, "longest gap", "ms, reachable")
    assert done.shows("switch saw no foreign MAC address")
    assert done.shows("steps, as the preview said")
    assert done.shows("a preview afterwards, with a look at the server, is empty")


def test_a_review_rehearses_and_marks_what_would_lock_the_owner_out(tmp_path: Path) -> None:
    """One change of two stacks: the one is good, the other one's gateway is wrong."""
    good = Change(tmp_path / "kvm7")
    config = yaml.safe_load(good.file.read_text())["config"]
    uplink = config["sixstead:uplink"]
    wrong = merged(uplink, ipv4=merged(uplink["ipv4"], gateway="192.0.2.99"))
    repository = tmp_path / "servers"
    (repository / "stacks").mkdir(parents=True)
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(PROJECT / name, repository)
    (repository / ".venv").symlink_to(PROJECT / ".venv")
    (repository / ".gitignore").write_text(".venv\n")

    def commit(**sections: dict[str, Any]) -> str:
        for stack, changes in sections.items():
            document = {"config": config | {f"sixstead:{key}": value for key, value in changes.items()}}
            (repository / "stacks" / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(document))
        git(repository, "add", ".")
        git(repository, "commit", "-q", "-m", "a commit")
        return git(repository, "rev-parse", "HEAD")

    git(repository, "init", "-q")
    since = commit(kvm7={}, kvm8={"guests": {}})
    head = commit(kvm7={"networks": networks(rdnss=["2001:db8:53::1"])}, kvm8={"guests": {}, "uplink": wrong})
    command = [str(PROJECT / "sixstead"), "review", "--rehearse", "--without-secrets", "--since", since, "--head", head]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=400, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 1
    top, kvm7, kvm8 = re.split(r"(?m)^### Preview of ", done.stdout)
    assert "**`kvm8`: the rehearsal went wrong. Read why below, before this is merged.**" in top
    assert "kvm7" not in top
    assert re.search(r"### Rehearsal of `kvm7`: nobody is locked out, longest gap \d+ ms", kvm7)
    section = kvm8[kvm8.index("### Rehearsal") :].splitlines()
    assert section[0] == "### Rehearsal of `kvm8`: THIS CHANGE WOULD LOCK THE OWNER OUT"
    assert "**Why:**" in section[2]
    assert "the network change was undone: after the change the gateway 192.0.2.99" in section[2]
    assert "the server undid the change by itself, and all is reachable as before" in kvm8
    gap = next(int(row.split("|")[3].split()[0]) for row in section if row.startswith("| `server, IPv4`"))
    assert gap > 200, "no gateway, and no gap"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_rehearsal_leaves_no_lab(tmp_path: Path, number: signal.Signals) -> None:
    process = Change(tmp_path, networks=networks(rdnss=["2001:db8:53::1"])).start()
    assert process.stdout is not None
    try:
        assert any(STARTED in line for line in process.stdout)
        assert left_of(process.pid)
        process.send_signal(number)
        text, _ = process.communicate(timeout=60)
    except BaseException:
        kill_group(process)
        raise
    assert (process.returncode, left_of(process.pid)) == (130, []), text
    assert "Traceback" not in text


def test_a_rehearsal_that_takes_too_long_ends_and_leaves_no_lab(tmp_path: Path) -> None:
    done = Change(tmp_path, networks=networks(rdnss=["2001:db8:53::1"])).rehearse("--within", "4")
    assert done.code == 124
    assert done.shows("rehearse: it took longer than 4 s")
    assert "Traceback" not in done.text


def test_a_stack_that_no_lab_can_be_made_to_is_refused_by_its_key(tmp_path: Path) -> None:
    done = Change(tmp_path, server={"os": "debian-11"}).rehearse()
    assert (done.code, done.text) == (
        2,
        "rehearse: sixstead:server.os: the lab makes debian-12 or debian-13, not 'debian-11'\n",
    )


def test_a_change_of_secrets_alone_needs_no_lab(tmp_path: Path) -> None:
    done = Change(tmp_path, sshKey={"secure": "v1:CCCC:DDDD"}).rehearse("--markdown")
    assert (done.code, done.text.splitlines()[0]) == (0, "### Rehearsal of `kvm7`: nothing to rehearse")


def test_a_change_of_names_needs_no_lab(tmp_path: Path) -> None:
    change = Change(tmp_path)
    dns = {"servers": ["kvm1"], "zones": {"example.net": {}}}
    change.write({"sixstead:dns": dns})
    git(tmp_path, "commit", "-qam", "names")
    change.write({"sixstead:dns": {**dns, "settled": True}})
    done = change.rehearse("--markdown")
    assert (done.code, done.text.splitlines()[0]) == (0, "### Rehearsal of `kvm7`: nothing to rehearse")


def test_a_proposed_file_is_the_change(tmp_path: Path) -> None:
    change = Change(tmp_path)
    proposed = tmp_path / "proposed.yaml"
    proposed.write_text(change.file.read_text().replace("os: debian-13", "os: debian-11"))
    assert change.rehearse("--proposed", str(proposed)).shows("sixstead:server.os")


def test_a_revision_without_the_stack_is_an_error(tmp_path: Path) -> None:
    done = Change(tmp_path).rehearse("--from", "nowhere")
    assert done.code == 2
    assert done.shows("there is no Pulumi.kvm7.yaml in git at nowhere", "--from REV")
