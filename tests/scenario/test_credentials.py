"""A credential is found nowhere but where it is kept: encrypted in the stack's config and state."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.keys import private_key
from tests.scenario.harness import PROJECT, Stack, merged

PASSWORD = "planted-sudo-password-7f3a"  # noqa: S105 - planted to be looked for


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    """A stack that logs in as a user with a sudo password, by a key that stands in its config as a secret."""
    made = make_stack(engine)
    key = (made.lab.state / "id_ed25519.pub").read_text().strip()
    made.server(
        "sh",
        "-c",
        "useradd -m -s /bin/sh admin && mkdir /home/admin/.ssh"
        f" && echo '{key}' > /home/admin/.ssh/authorized_keys && echo 'admin:{PASSWORD}' | chpasswd"
        " && echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin",
    )
    server = merged(made.config["server"], ssh=merged(made.config["server"]["ssh"], user="admin"))
    made.write(server=server, guests={}, images={})
    config = made.lab.state / "ssh_config"
    without_key = [line for line in config.read_text().splitlines() if "IdentityFile" not in line]
    (made.folder / "ssh_config").write_text("\n".join(without_key) + "\n")
    made.write(server=merged(server, ssh=merged(server["ssh"], config=str(made.folder / "ssh_config"))))
    return made


def key_lines(stack: Stack) -> list[str]:
    """The lines of the login key that nobody else has."""
    return [line for line in private_key(stack.lab.name, "login").splitlines() if "-----" not in line][1:-1]


def set_secret(stack: Stack, key: str, value: str, *options: str) -> subprocess.CompletedProcess[str]:
    """`config set`, the value by standard input."""
    command = [
        str(PROJECT / "sixstead"),
        "config",
        "set",
        key,
        *options,
        "-s",
        stack.name,
        "--config-file",
        str(stack.file),
    ]
    return subprocess.run(
        command, cwd=PROJECT, env=stack.environ(), input=value, text=True, capture_output=True, check=False
    )


def test_a_credential_without_secret_is_refused_and_not_written(stack: Stack) -> None:
    for key in ("sixstead:sshKey", "sixstead:sshKeyPassphrase", "sixstead:sudoPassword"):
        done = set_secret(stack, key, PASSWORD)
        assert done.returncode != 0
        assert "--secret" in done.stdout + done.stderr
    assert PASSWORD not in stack.file.read_text()


def test_no_key_at_all_is_told(stack: Stack) -> None:
    done = stack.up(check=False)
    assert done.code != 0
    assert "the login as admin was refused" in done.text
    assert "Traceback" not in done.text


def test_planted_secrets_log_in_and_are_found_nowhere(stack: Stack) -> None:
    assert set_secret(stack, "sixstead:sshKey", private_key(stack.lab.name, "login"), "--secret").returncode == 0
    assert set_secret(stack, "sixstead:sudoPassword", PASSWORD, "--secret").returncode == 0
    planted = [PASSWORD, *key_lines(stack)]
    seen: set[str] = set()
    over = threading.Event()
    watcher = threading.Thread(target=watch_argv, args=(planted, seen, over))
    watcher.start()
    try:
        texts = [stack.preview("--diff").text, stack.up().text]
        texts += [stack.preview("--refresh", "--diff", "--expect-no-changes").text, stack.run("outputs").text]
        texts += [stack.run("stack", "export", "-s", stack.name, stack_options=False).text]
    finally:
        over.set()
        watcher.join()
    assert seen == set()
    for text in texts:
        assert not any(secret in text for secret in planted)
    logs = [path for path in (PROJECT / ".pulumi" / "logs").glob(f"{stack.name}*") if path.is_file()]
    for path in [*logs, *(path for path in stack.folder.rglob("*") if path.is_file())]:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in planted), path
    for secret in planted:
        places = "/etc /var /root /home /tmp /run/sixstead*"
        found = stack.server("sh", "-c", f"grep -rlF -- '{secret}' {places} 2>/dev/null; true")
        assert found == ""


def watch_argv(planted: list[str], seen: set[str], over: threading.Event) -> None:
    """Look at every process's command line and environment, again and again, until it is over."""
    while not over.wait(0.02):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                try:
                    text = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if any(secret.encode() in text for secret in planted):
                    seen.add(text.decode(errors="replace"))


def test_destroy_uses_the_secrets_too(stack: Stack) -> None:
    stack.destroy()
    assert stack.server("ls", "/var/lib/sixstead", check=False) == ""
