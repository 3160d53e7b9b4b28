"""What can go wrong on the way to a server and on it: one clear error each, nothing lost, and the next up works.

The tests run in this order on one server, first bare, then up; without guests but where a guest's image is the point.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.keys import public_key
from tests.scenario.harness import Run, Stack, lab_config, merged


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.write(guests={}, images={})
    return made


def refused(stack: Stack, *arguments: str) -> Run:
    """A run that must fail, with the server's name and without a traceback; the state must not lose a resource."""
    before = {r["urn"] for r in stack.deployment().get("resources") or []} if has_state(stack) else set()
    done = stack.run(*arguments, check=False)
    assert done.code != 0, done.text
    assert "Traceback" not in done.text, done.text
    assert 'File "' not in done.text, done.text
    assert "192.0.2." in done.text or "2001:db8" in done.text, done.text
    assert "what to do:" in done.text, done.text
    if before:
        after = {r["urn"] for r in stack.deployment().get("resources") or []}
        assert before <= after
    return done


def has_state(stack: Stack) -> bool:
    try:
        return bool(stack.deployment())
    except (FileNotFoundError, KeyError):
        return False


UP = ("up", "--yes", "--skip-preview")
REFRESH = ("refresh", "--yes")


@contextmanager
def ssh(stack: Stack, **changes: Any) -> Iterator[None]:
    """The stack with other SSH settings, for a while."""
    right = stack.config["server"]
    stack.write(server=merged(right, ssh=merged(right["ssh"], **changes)))
    try:
        yield
    finally:
        stack.write(server=right)


def test_bad_settings_are_all_told_at_once_before_anything_is_touched(stack: Stack) -> None:
    right = stack.config["uplink"]
    stack.write(uplink=merged(right, mac="90:1b", colour="red"))
    done = stack.run(*UP, check=False)
    stack.write(uplink=right)
    assert done.code != 0
    assert "sixstead:uplink.mac" in done.text
    assert "sixstead:uplink.colour" in done.text
    assert "Traceback" not in done.text
    assert stack.cost() == []


def test_apt_repository_down(stack: Stack) -> None:
    stack.lab.service("stop", "repository")
    try:
        done = refused(stack, *UP)
    finally:
        stack.lab.service("start", "repository")
    assert "apt-get update failed" in done.text
    assert "check the server's package sources and its network" in done.text


def test_apt_lock_held(stack: Stack) -> None:
    hold = "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)"
    pid = stack.server("sh", "-c", f'setsid python3 -c "{hold}" >/dev/null 2>&1 & echo $!').strip()
    done = refused(stack, *UP)
    stack.server("kill", pid)
    assert f"the package database is locked by process {pid} (python3)" in done.text
    assert "wait until that is done, then run `up` again" in done.text


def test_dpkg_interrupted(stack: Stack) -> None:
    stack.server("touch", "/var/lib/dpkg/updates/0000")
    done = refused(stack, *UP)
    assert "dpkg was interrupted on this server" in done.text
    assert "`dpkg --configure -a`" in done.text
    stack.server("dpkg", "--configure", "-a")


def test_a_package_s_question_is_not_asked_and_the_owner_s_file_stays(stack: Stack) -> None:
    stack.server("sh", "-c", "echo '# mine' > /etc/tayga.conf")
    stack.up()
    assert stack.server("cat", "/etc/tayga.conf") == "# mine\n"
    stack.preview("--refresh", "--expect-no-changes")


def test_wrong_host_key(stack: Stack) -> None:
    with ssh(stack, host_key=public_key("another", "host")):
        done = refused(stack, *REFRESH)
        assert "the host key is not the pinned one" in done.text
        assert "`sixstead:server.ssh.host_key`" in done.text
    stack.up("--refresh", "--expect-no-changes")


def test_refused_login(stack: Stack) -> None:
    key = stack.folder / "stranger"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with ssh(stack, identity_file=str(key)):
        done = refused(stack, *REFRESH)
    assert "the login as root was refused" in done.text
    assert "stranger" in done.text


def test_nothing_listens(stack: Stack) -> None:
    with ssh(stack, port=2223):
        done = refused(stack, *REFRESH)
    assert "cannot be reached by SSH on port 2223" in done.text
    assert "the stack's state is as it was" in done.text


def test_a_host_that_never_answers(stack: Stack) -> None:
    with ssh(stack, host="192.0.2.99"):
        done = refused(stack, *REFRESH)
    assert "cannot be reached by SSH on port 22" in done.text


def test_no_sudo(stack: Stack) -> None:
    home = "/home/admin"
    key = (stack.lab.state / "id_ed25519.pub").read_text().strip()
    stack.server(
        "sh", "-c", f"useradd -m -s /bin/sh admin && mkdir {home}/.ssh && echo '{key}' > {home}/.ssh/authorized_keys"
    )
    with ssh(stack, user="admin"):
        done = refused(stack, *REFRESH)
        assert "admin may not become root with sudo" in done.text
        stack.server("sh", "-c", "echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin")
        stack.preview("--refresh", "--expect-no-changes")


def test_a_frame_that_is_garbage(stack: Stack) -> None:
    wrapper = '#!/bin/sh\\necho not what anybody expected\\nexec /usr/bin/python3 "$@"\\n'
    stack.server("sh", "-c", f"printf '{wrapper}' > /usr/local/bin/python3; chmod +x /usr/local/bin/python3")
    done = refused(stack, *REFRESH)
    stack.server("rm", "/usr/local/bin/python3")
    assert "the server sent what is not an answer of the agent" in done.text


def test_disk_full(stack: Stack) -> None:
    folder = "/etc/unbound/unbound.conf.d"
    stack.server("sh", "-c", f"mount -t tmpfs -o size=4k none {folder}; head -c 4096 /dev/zero > {folder}/fill")
    done = refused(stack, *UP, "--refresh")
    stack.server("umount", folder)
    assert "no space is left on the server" in done.text
    assert "free space (`df -h`)" in done.text
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_an_image_with_another_checksum(stack: Stack) -> None:
    whole = lab_config(stack.lab.name)
    kernel = {"url": whole["images"]["tiny"]["kernel"]["url"], "sha512": "0" * 128}
    stack.write(images={"tiny": merged(whole["images"]["tiny"], kernel=kernel)}, guests={"web": whole["guests"]["web"]})
    done = refused(stack, *UP)
    assert "tiny-vmlinuz" in done.text
    assert "0000000000" in done.text
    stack.write(images={}, guests={})
    stack.up()
    assert "sha512-00000000" not in stack.server("ls", "-a", "/var/lib/libvirt/images/sixstead/base", check=False)
    stack.preview("--refresh", "--expect-no-changes")


def test_a_new_address_host_key_and_login_key_are_used_by_every_verb(stack: Stack) -> None:
    stack.cost()
    with ssh(stack, host="2001:db8:1::2"):
        stack.run(*REFRESH)
        assert connections(stack) == {"2001:db8:1::2"}
    new = stack.folder / "rotated"
    if not new.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(new)], check=True)
    own = Path(f"{new}.pub").read_text().strip()
    stack.server(
        "sh",
        "-c",
        f"rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; systemctl restart ssh; echo '{own}' > /root/.ssh/authorized_keys",
    )
    host_key = " ".join(stack.server("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    refused(stack, *REFRESH)
    right = stack.config["server"]
    stack.write(server=merged(right, ssh=merged(right["ssh"], host_key=host_key, identity_file=str(new))))
    stack.run(*REFRESH)
    stack.up("--refresh", "--expect-no-changes")
    stack.destroy()
    assert "br-main" not in stack.server("ip", "-br", "link")


def connections(stack: Stack) -> set[str]:
    return {line.split()[1] for line in stack.cost() if line.startswith("connection")}
