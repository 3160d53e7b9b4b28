"""A key that may only observe: `preview --refresh` works with it, and nothing on the server changes by whatever it tries."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from providers.host.connection import Target
from providers.host.errors import ServerError
from providers.host.session import Session
from tests.scenario.harness import PROJECT, Stack, merged

EVERYTHING = (
    "find /etc /root /var/lib/sixstead /tmp /usr/local -printf '%p %T@ %s %m\\n' 2>/dev/null | sort;"
    " nft list ruleset | grep -v counter"
)


KEYS = "/root/.ssh/authorized_keys"
BOB = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE/kzWXiNHR38D6pSs7hyMkHiiI8Z+yFS2cVfc9n4HWC"


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.write(guests={}, images={})
    made.up()
    return made


@pytest.fixture(scope="module")
def before(stack: Stack) -> str:
    """The server's authorized_keys as it was before the observer's key."""
    return stack.server("cat", KEYS)


@pytest.fixture(scope="module")
def key(stack: Stack, before: str) -> Path:
    """A new key pair, installed as an observer's."""
    path = stack.folder / "observer"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    assert "may observe and nothing else" in stack.run("observer-key", f"{path}.pub").text
    return path


def state_of(stack: Stack) -> str:
    """All files of the server that could be written, and its rules."""
    return stack.server("sh", "-c", EVERYTHING)


def observed(stack: Stack, key: Path, *arguments: str) -> tuple[int, str]:
    """Run a verb with the observer's key."""
    stack.environment["SIXSTEAD_OBSERVER_KEY"] = str(key)
    try:
        done = stack.run(*arguments, check=False)
    finally:
        del stack.environment["SIXSTEAD_OBSERVER_KEY"]
    return done.code, done.text


def ssh(stack: Stack, key: Path, *arguments: str, program: str = "ssh") -> subprocess.CompletedProcess[str]:
    """ssh(1) or sftp(1) to the lab's server, with this key alone."""
    config = [line for line in (stack.lab.state / "ssh_config").read_text().splitlines() if "IdentityFile" not in line]
    (stack.folder / "config").write_text("\n".join(config) + "\n")
    options = ["-F", str(stack.folder / "config"), "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    options += ["-o", f"IdentityFile={key}", "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=/dev/null"]
    return subprocess.run(
        [program, *options, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def target(stack: Stack, key: Path) -> Target:
    """The server, by the observer's key."""
    from providers.host.connection import target as target_of

    return target_of(stack.config["server"]["ssh"], {"sshKey": key.read_text()}, "lab", PROJECT)


def test_a_private_key_is_refused(stack: Stack, key: Path) -> None:
    done = stack.run("observer-key", str(key), check=False)
    assert done.code != 0
    assert "is a private key" in done.text


def test_a_key_that_may_do_everything_is_not_made_an_observers(stack: Stack) -> None:
    done = stack.run("observer-key", str(stack.lab.state / "id_ed25519.pub"), check=False)
    assert done.code != 0
    assert "may do everything" in done.text


def test_a_preview_with_refresh_works_and_writes_nothing(stack: Stack, key: Path) -> None:
    before = state_of(stack)
    code, text = observed(stack, key, "preview", "--refresh", "--diff", "--expect-no-changes")
    assert code == 0, text
    assert state_of(stack) == before


def test_drift_is_in_the_comment(stack: Stack, key: Path) -> None:
    stack.server(
        "sh",
        "-c",
        "cp /etc/radvd.conf /root/radvd.conf && sed -i 's/RDNSS .* {/RDNSS 2001:db8:bad::1 {/' /etc/radvd.conf",
    )
    try:
        code, text = observed(stack, key, "preview", "--refresh", "--markdown")
    finally:
        stack.server("cp", "/root/radvd.conf", "/etc/radvd.conf")
    assert code == 0, text
    assert text.startswith(f"<!-- sixstead-preview: {stack.name} -->\n")
    assert "**Drift**: 1." in text
    assert "- `RouterAdvertisement` `router-advertisement`: `/etc/radvd.conf`" in text
    assert "RDNSS 2001:db8:bad::1" in text


def test_the_firewalls_counters_are_shown(stack: Stack, key: Path) -> None:
    code, text = observed(stack, key, "firewall")
    assert code == 0, text
    assert "dropped" in text


@pytest.mark.parametrize("verb", [("up", "--yes", "--skip-preview"), ("destroy", "--yes")])
def test_what_would_change_the_server_is_refused_in_words(stack: Stack, key: Path, verb: tuple[str, ...]) -> None:
    stack.server("sh", "-c", "touch /etc/sysctl.d/marker")
    before, ra = state_of(stack), stack.config["networks"]["main"].get("ra")
    stack.config["networks"]["main"]["ra"] = {"lifetime": 1234}
    stack.write()
    try:
        code, text = observed(stack, key, *verb)
    finally:
        stack.config["networks"]["main"].pop("ra")
        stack.config["networks"]["main"].update({"ra": ra} if ra else {})
        stack.write()
    assert code != 0
    assert "this SSH key may only observe; nothing was changed" in text
    assert "Traceback" not in text
    assert state_of(stack) == before


def test_a_command_of_the_client_is_not_run(stack: Stack, key: Path) -> None:
    before = state_of(stack)
    for command in ("touch /root/x", "sh", 'python3 -c \'open("/root/x", "w")\'', ""):
        done = ssh(stack, key, "192.0.2.10", *([command] if command else []))
        assert done.returncode != 0
        assert "may only observe" in done.stderr
    (stack.folder / "batch").write_text("put /etc/hostname /root/x\n")
    assert ssh(stack, key, "-b", str(stack.folder / "batch"), "192.0.2.10", program="sftp").returncode != 0
    forward = ssh(stack, key, "-W", "[::1]:22", "192.0.2.10")
    assert forward.returncode != 0
    assert "SSH-2.0" not in forward.stdout
    assert state_of(stack) == before


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("converge", {"entries": {"x": {"files": {"/root/x": "x"}}}}),
        ("remove", {"gone": ["firewall"], "previous": []}),
        ("network", {"entries": {}}),
        ("confirm", {"token": "x"}),
        ("roll_back", {}),
        ("observer_key", {"key": ""}),
        ("observe", {"wanted": {"firewall": {"files": {"/etc/shadow": ""}}}}),
        ("observe", {"wanted": {"mine": {"files": {"/etc/shadow": ""}}}}),
        ("observe", {"wanted": {"firewall": {"nft": {"inet x": "as in /etc/shadow"}}}}),
        ("observe", {"wanted": {"x": 1}}),
    ],
)
def test_requests_that_write_or_pry_are_refused(
    stack: Stack, key: Path, operation: str, arguments: dict[str, object]
) -> None:
    before = state_of(stack)
    session = Session(target(stack, key))
    try:
        with pytest.raises(ServerError):
            session.request(operation, arguments, 30)
        with pytest.raises(ServerError, match="makes no sense"):
            session.request("counted", {"tables": ["-f /etc/shadow"]}, 30)
        assert session.request("counted", {"tables": ["inet others"]}, 30) == {"rules": []}
    finally:
        session.close()
    assert state_of(stack) == before


def test_a_user_with_sudo_can_have_such_a_key(stack: Stack, key: Path) -> None:
    stack.up()  # the destroy that was refused has forgotten what is only described
    mine = (stack.lab.state / "id_ed25519.pub").read_text().strip()
    stack.server(
        "sh",
        "-c",
        f"useradd -m -s /bin/sh admin && mkdir /home/admin/.ssh && echo '{mine}' > /home/admin/.ssh/authorized_keys"
        " && chown -R admin: /home/admin && echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin",
    )
    root = stack.config["server"]
    other = stack.folder / "admins"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    stack.write(server=merged(root, ssh=merged(root["ssh"], user="admin")))
    try:
        assert "/home/admin/.ssh/authorized_keys" in stack.run("observer-key", f"{other}.pub").text
        before = state_of(stack)
        code, text = observed(stack, other, "preview", "--refresh", "--expect-no-changes")
        assert code == 0, text
        assert ssh(stack, other, "-l", "admin", "192.0.2.10", "sudo touch /root/x").returncode != 0
        assert state_of(stack) == before
    finally:
        stack.write(server=root)


def test_the_copy_on_the_server_is_that_of_the_last_up(stack: Stack, key: Path) -> None:
    stack.server("sh", "-c", "echo '# old' >> /var/lib/sixstead/observer/observe.py")
    stack.config["networks"]["main"]["ra"] = {"lifetime": 1700}
    stack.write()
    stack.up()
    assert "# old" not in stack.server("cat", "/var/lib/sixstead/observer/observe.py")


def test_operators_and_an_observer_s_key_stand_in_one_file(stack: Stack, key: Path) -> None:
    mine, line = stack.server("cat", KEYS).splitlines()
    assert "sixstead-observer" in line
    names = {"alice": mine, "bob": f"{BOB} bob"}
    stack.write(keys=names, server=merged(stack.config["server"], operators=["alice"]))
    said = stack.up().text
    assert "taken out of" not in said
    assert stack.server("cat", KEYS).splitlines()[1:] == [mine, line]
    stack.preview("--refresh", "--expect-no-changes")
    code, text = observed(stack, key, "preview", "--refresh", "--expect-no-changes")
    assert code == 0, text

    intruders = line.replace("restrict,", "").replace(line.split()[-2], BOB.split()[1])
    stack.server("sh", "-c", f"echo '{intruders}' >> {KEYS}")
    assert stack.preview("--refresh", "--diff").shows("-", intruders)
    text = observed(stack, key, "preview", "--refresh", "--markdown")[1]
    assert f"- `Operators` `operators`: `{KEYS}`" in text, text
    assert "command=" not in text

    stack.write(server=merged(stack.config["server"], operators=["alice", "bob"]))
    stack.up("--refresh")
    assert stack.server("cat", KEYS).splitlines()[1:] == [*names.values(), line]
    code, text = observed(stack, key, "preview", "--refresh", "--expect-no-changes")
    assert code == 0, text

    assert stack.run("observer-key", "--remove").shows("removed from", KEYS)
    assert stack.server("cat", KEYS).splitlines()[1:] == [*names.values()]
    stack.run("observer-key", f"{key}.pub")
    assert stack.server("cat", KEYS).splitlines()[1:] == [*names.values(), line]


def test_destroy_takes_the_key_off(stack: Stack, key: Path, before: str) -> None:
    assert "sixstead-observer" in stack.server("cat", KEYS)
    stack.destroy()
    assert stack.server("cat", KEYS) == before
    assert stack.server("ls", "/var/lib/sixstead", check=False) == ""
    assert stack.server("grep", "-rl", "sixstead-observer", "/root", "/home", check=False) == ""
