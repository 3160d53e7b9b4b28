"""Who logs in to the server, and by which host key the server is known: keys come, go and are rotated, and nobody is
locked out by it. Each is first shown to lock somebody out by itself."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from settings import fingerprint
from tests.scenario.harness import SERVER4, Stack, armed, merged

FILE = "/root/.ssh/authorized_keys"
LEFT = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE/kzWXiNHR38D6pSs7hyMkHiiI8Z+yFS2cVfc9n4HWC left@elsewhere"
"""A key that stands in the server's file before Sixstead, of somebody who left."""


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    """A server that is up and names no operators; `alice` is the lab's login key, `bob` a new one."""
    made = make_stack(engine)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bob", "-f", str(made.folder / "bob")], check=True
    )
    keys = {
        "alice": (made.lab.state / "id_ed25519.pub").read_text().strip(),
        "bob": (made.folder / "bob.pub").read_text().strip(),
    }
    made.write(guests={}, images={}, keys=keys)
    made.server("sh", "-c", f"printf '# mine\\n{LEFT}\\n' >> {FILE}")
    made.up()
    return made


def operators(stack: Stack, *names: str) -> None:
    """Write the list; no names leave it out."""
    stack.write(server=merged(stack.config["server"], operators=list(names) or None))


def keys(stack: Stack) -> dict[str, Path]:
    return {"alice": stack.lab.state / "id_ed25519", "bob": stack.folder / "bob"}


def logs_in(stack: Stack, name: str, user: str = "root") -> bool:
    """Whether ssh gets in by this key and no other."""
    lines = (stack.lab.state / "ssh_config").read_text().splitlines()
    config = stack.folder / "ssh_config"
    config.write_text(
        "\n".join(line for line in lines if not re.search("IdentityFile|KnownHosts|HostKey", line)) + "\n"
    )
    settings = ("BatchMode=yes", "IdentityAgent=none", "UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no")
    options = [f"-o{setting}" for setting in settings]
    command = ["ssh", "-F", str(config), *options, "-i", str(keys(stack)[name]), f"{user}@{SERVER4}", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def key_lines(stack: Stack, path: str = FILE) -> list[str]:
    return [line for line in stack.server("cat", path).splitlines() if not line.startswith("#")]


def test_without_operators_the_file_is_the_owner_s_alone(stack: Stack) -> None:
    assert LEFT in stack.server("cat", FILE)
    assert not logs_in(stack, "bob")
    assert (
        stack.server(
            "grep", "-rl", "authorized_keys", "/var/lib/sixstead/manifest", "/var/lib/sixstead/before", check=False
        )
        == ""
    )


def test_another_stack_does_not_take_the_server_unless_it_is_told_to(stack: Stack) -> None:
    other = Stack(stack.lab, stack.folder / "other", stack.engine, dict(stack.config), f"{stack.name}-other")
    other.init()
    record = "/var/lib/sixstead/holder"
    times = ("sh", "-c", "find /var/lib/sixstead /etc -printf '%p %T@ %C@\\n' | sort")
    before = stack.server(*times)
    refused = other.up(check=False)
    assert refused.code != 0
    assert f"the stack sixstead/{stack.name} holds this server (since 20" in refused.text, refused.text
    assert f"and this is sixstead/{other.name}; nothing was changed" in refused.text
    assert f"what to do: `./sixstead destroy -s {stack.name}` gives the server back first" in refused.text
    assert "Traceback" not in refused.text
    assert stack.server(*times) == before
    other.run("firewall")  # who only looks is let in
    assert record in refused.text
    stack.server("rm", record)
    other.up()
    destroyed = stack.destroy(check=False)
    assert destroyed.code != 0
    assert f"the stack sixstead/{other.name} holds this server" in destroyed.text, destroyed.text
    stack.server("rm", record)
    stack.up("--refresh")


def test_a_list_without_the_key_in_use_is_refused_before_the_first_write(stack: Stack) -> None:
    operators(stack, "bob")
    before = stack.server("sh", "-c", f"stat -c %Y.%i {FILE}; find /var/lib/sixstead /etc -newer {FILE} | sort")
    network = stack.config["networks"]["main"]
    # a second change, of a resource that would be written before the network
    stack.write(networks={"main": merged(network, nat64=False, dns64=False)})
    done = stack.up(check=False)
    stack.write(networks={"main": network})
    assert done.code != 0
    assert f"the key that logged in, {fingerprint(stack.config['keys']['alice'])}, is not in" in done.text, done.text
    assert "`sixstead:server.operators`" in done.text
    assert "nothing was changed" in done.text
    assert "what to do: add it to `sixstead:keys` and `operators`" in done.text
    assert "Traceback" not in done.text
    after = stack.server("sh", "-c", f"stat -c %Y.%i {FILE}; find /var/lib/sixstead /etc -newer {FILE} | sort")
    assert after == before
    assert logs_in(stack, "alice")


def test_a_preview_that_looks_shows_the_keys_that_would_go(stack: Stack) -> None:
    operators(stack, "alice", "bob")
    seen = stack.preview("--refresh", "--diff")
    assert stack.config["keys"]["bob"] in seen.text, seen.text
    removed = seen.text.partition("removes")[2].partition("authorized_keys")[0]
    assert LEFT.split()[1] in removed, seen.text
    assert stack.config["keys"]["alice"].split()[1] not in removed, seen.text


def test_a_key_that_was_added_gets_in_and_one_that_is_not_listed_does_not(stack: Stack) -> None:
    assert not logs_in(stack, "bob")
    steps = stack.up()
    assert steps.steps() == {"HostNetwork host-network": "update", "Operators operators": "create"}
    assert f"taken out of {FILE}: {fingerprint(LEFT)} left@elsewhere" in steps.text, steps.text
    assert logs_in(stack, "bob")
    assert logs_in(stack, "alice")
    assert key_lines(stack) == list(stack.config["keys"].values())
    assert stack.server("stat", "-c", "%a %U:%G", FILE) == "600 root:root\n"
    stack.preview("--refresh", "--expect-no-changes")


def test_a_key_added_by_hand_is_drift_and_goes(stack: Stack) -> None:
    stack.server("sh", "-c", f"echo '{LEFT}' >> {FILE}")
    seen = stack.preview("--refresh", "--diff")
    assert seen.shows("-", LEFT), seen.text
    stack.up("--refresh")
    assert LEFT not in stack.server("cat", FILE)
    stack.preview("--refresh", "--expect-no-changes")


def test_a_file_that_lets_nobody_in_is_undone(stack: Stack) -> None:
    before = stack.server("cat", FILE)
    operators(stack, "alice")
    # sshd takes no key from a folder that others can write (StrictModes): so the new file is good for nothing
    spoil = f"while [ $(grep -c ^ssh- {FILE}) != 1 ]; do sleep 0.02; done; chmod 777 /root/.ssh"
    stack.server("sh", "-c", f"({spoil}) >/dev/null 2>&1 &")
    done = stack.up(check=False)
    assert not logs_in(stack, "alice")
    stack.server("chmod", "700", "/root/.ssh")
    assert done.code != 0
    assert "the network change was not confirmed, so it was undone" in done.text, done.text
    assert stack.server("cat", FILE) == before
    assert not armed(stack)
    stack.up("--refresh")
    assert key_lines(stack) == [stack.config["keys"]["alice"]]
    assert not logs_in(stack, "bob")


def test_a_file_that_sshd_does_not_read_is_refused(stack: Stack) -> None:
    operators(stack, "alice", "bob")
    conf = "/etc/ssh/sshd_config.d/elsewhere.conf"
    before = stack.server("cat", FILE)
    stack.server("sh", "-c", f"echo 'AuthorizedKeysFile /etc/ssh/keys/%u' > {conf}")
    done = stack.up(check=False)
    stack.server("rm", conf)
    assert done.code != 0
    assert f"sshd on this server does not read {FILE}, but /etc/ssh/keys/root" in done.text, done.text
    assert stack.server("cat", FILE) == before
    stack.up()


def test_a_rotated_host_key_is_refused_and_trusted_in_one_step(stack: Stack) -> None:
    old = stack.config["server"]["ssh"]["host_key"]
    stack.server("sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; systemctl restart ssh")
    new = " ".join(stack.server("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
    text = "# mine\n" + stack.file.read_text().replace(old, f"{old}  # read on the console")
    stack.file.write_text(text)
    done = stack.up("--refresh", check=False)
    assert done.code != 0
    assert fingerprint(old) in done.text
    assert fingerprint(new) in done.text
    assert "`./sixstead trust -s STACK`" in done.text

    for arguments, why in (
        (("--yes", "--fingerprint", fingerprint(old)), f"that is not {fingerprint(old)}"),
        (("--yes",), "--yes needs --fingerprint"),
        ((), f"then add --yes --fingerprint {fingerprint(new)}"),
    ):
        refused = stack.run("trust", *arguments, check=False)
        assert refused.code == 1, refused.text
        assert why in refused.text
        assert stack.file.read_text() == text

    logins = stack.server("sh", "-c", "journalctl -b -t sshd -t sshd-session -o cat | grep -c Accepted; true")
    done = stack.run("trust", "--yes", "--fingerprint", fingerprint(new))
    assert fingerprint(old) in done.text
    assert fingerprint(new) in done.text
    assert stack.file.read_text() == text.replace(old, new)
    assert "nothing to do" in stack.run("trust", "--yes", "--fingerprint", fingerprint(new)).text
    assert stack.server("sh", "-c", "journalctl -b -t sshd -t sshd-session -o cat | grep -c Accepted; true") == logins
    stack.up("--refresh", "--expect-no-changes")
    stack.config["server"]["ssh"]["host_key"] = new


@pytest.mark.parametrize(("answer", "code"), [("no", 8), ("", 8), ("yes", 0)])
def test_the_owner_is_asked_for_a_new_host_key_on_a_terminal(stack: Stack, answer: str, code: int) -> None:
    right = stack.config["server"]
    stranger = " ".join(stack.config["keys"]["bob"].split()[:2])
    stack.write(server=merged(right, ssh=merged(right["ssh"], host_key=stranger)))
    text = stack.file.read_text()
    trusted = text.replace(f"host_key: {stranger}", f"host_key: {right['ssh']['host_key']}")
    ours, theirs = pty.openpty()
    with subprocess.Popen(stack.command("trust"), env=stack.environ(), stdin=theirs, stdout=theirs) as process:
        os.write(ours, answer.encode() + b"\n")
        process.wait(timeout=60)
    os.close(theirs)
    os.close(ours)
    stack.config["server"] = right
    assert process.returncode == code
    assert stack.file.read_text() == (trusted if code == 0 else text)
    stack.write()


def test_giving_a_file_back_that_lacks_the_key_in_use_is_refused(stack: Stack) -> None:
    server = stack.config["server"]
    operators(stack, "bob")
    by_bob = merged(stack.config["server"]["ssh"], identity_file=str(keys(stack)["bob"]))
    stack.write(server=merged(stack.config["server"], ssh=by_bob))
    stack.up()
    assert not logs_in(stack, "alice")
    operators(stack)
    done = stack.up(check=False)
    assert done.code != 0
    assert f"before Sixstead {FILE} did not have the key that logged in" in done.text, done.text
    assert "the network was not changed" in done.text
    assert logs_in(stack, "bob")
    stack.write(server=server)
    operators(stack, "alice", "bob")
    stack.write(server=merged(stack.config["server"], ssh=by_bob))
    stack.up()
    stack.write(server=merged(stack.config["server"], ssh=server["ssh"]))


def test_another_login_user_has_a_file_of_its_own_and_the_first_one_s_comes_back(stack: Stack) -> None:
    home, server = "/home/admin", stack.config["server"]
    stack.server(
        "sh",
        "-c",
        f"useradd -m -s /bin/sh admin && echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin"
        f" && install -d -o admin -g admin -m 700 {home}/keys && cp {FILE} {home}/keys/ && chown -R admin: {home}/keys"
        f" && ln -s keys {home}/.ssh",
    )
    stack.write(server=merged(server, ssh=merged(server["ssh"], user="admin")))
    done = stack.up(check=False)
    assert done.code != 0
    assert f"{home}/.ssh is a symbolic link" in done.text, done.text
    assert not armed(stack)
    stack.server("sh", "-c", f"rm {home}/.ssh && mv {home}/keys {home}/.ssh")
    stack.up()
    assert LEFT in stack.server("cat", FILE)
    assert key_lines(stack, f"{home}/.ssh/authorized_keys") == list(stack.config["keys"].values())
    assert stack.server("stat", "-c", "%a %U:%G", f"{home}/.ssh/authorized_keys") == "600 admin:admin\n"
    assert logs_in(stack, "bob", "admin")
    stack.preview("--refresh", "--expect-no-changes")
    stack.write(server=server)
    stack.up()


def test_destroy_brings_the_old_file_back(stack: Stack) -> None:
    stack.up()
    assert LEFT not in stack.server("cat", FILE)
    stack.destroy()
    text = stack.server("cat", FILE)
    assert text == f"{stack.config['keys']['alice']}\n# mine\n{LEFT}\n"
    assert not logs_in(stack, "bob")
    assert stack.server("ls", "/var/lib/sixstead", check=False) == ""
