"""Where an SSH connection goes, from the stack's config and an ssh_config file."""

from __future__ import annotations

from pathlib import Path

from providers.host.connection import target

HOST = {"host": "192.0.2.10", "host_key": "ssh-ed25519 AAAA"}


def written(folder: Path, text: str) -> dict[str, str]:
    (folder / "ssh_config").write_text(text)
    return {**HOST, "config": "ssh_config"}


def test_a_proxy_command_keeps_its_tokens_for_the_address_that_is_dialled(tmp_path: Path) -> None:
    ssh = written(tmp_path, "Host *\n  ProxyCommand relay --to %h %p %r\n")
    where = target(ssh, {}, directory=tmp_path)
    assert where.proxy_command == "relay --to %h %p %r"
    assert where.at("2001:db8:1::2").host == "2001:db8:1::2"


def test_a_jump_host_is_reached_with_the_same_file(tmp_path: Path) -> None:
    where = target(written(tmp_path, "Host *\n  ProxyJump admin@jump.example\n"), {}, directory=tmp_path)
    assert where.proxy_command == f"ssh -F {tmp_path}/ssh_config -W [%h]:%p -- admin@jump.example"


def test_the_stack_says_more_than_the_file(tmp_path: Path) -> None:
    text = "Host 192.0.2.10\n  Port 2222\n  User admin\n  IdentityFile /keys/one\n  HostName 192.0.2.11\n"
    where = target(written(tmp_path, text), {}, directory=tmp_path)
    assert (where.host, where.port, where.user, where.identity_files) == ("192.0.2.11", 2222, "admin", ("/keys/one",))
    ssh = {**written(tmp_path, text), "port": 22.0, "user": "root", "identity_file": "/keys/two"}
    where = target(ssh, {}, directory=tmp_path)
    assert (where.port, where.user, where.identity_files) == (22, "root", ("/keys/two",))


def test_secrets_do_not_show(tmp_path: Path) -> None:
    credentials = {"sshKey": "PLANTED-1", "sshKeyPassphrase": "PLANTED-2", "sudoPassword": "PLANTED-3"}
    assert "PLANTED" not in repr(target(written(tmp_path, ""), credentials, directory=tmp_path))
