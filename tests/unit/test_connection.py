"""Where an SSH connection goes, from the stack's config and an ssh_config file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.init import known_hosts_key
from providers.host.connection import Target, fingerprint_of, proxy_arguments, target
from providers.host.errors import Unreachable

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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Host *\n  Port ssh\n", "the port is no number from 1 to 65535: ssh"),
        ("Host *\n  Port 99999\n", "the port is no number from 1 to 65535: 99999"),
        ("Match nonsense\n", "can't be read"),
        ("nonsense\n", "can't be read"),
    ],
)
def test_an_ssh_config_that_makes_no_sense_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Unreachable, match=words):
        target(written(tmp_path, text), {}, directory=tmp_path)


def test_an_ssh_config_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "ssh_config").write_bytes(b"Host \xff\n")
    with pytest.raises(Unreachable, match="no text in UTF-8"):
        target({**HOST, "config": "ssh_config"}, {}, directory=tmp_path)
    with pytest.raises(Unreachable, match="does not exist"):
        target({**HOST, "config": "~nobody-such/" + "x" * 5000}, {})


def test_what_is_filled_into_a_proxy_command_is_never_a_word_more() -> None:
    where = Target("x -oProxyCommand=reboot", 22, "root", (), proxy_command="relay --to %h:%p")
    assert proxy_arguments(where) == ["relay", "--to", "x -oProxyCommand=reboot:22"]


@pytest.mark.parametrize("command", ["relay '%h", " ", "# nothing'"])
def test_a_proxy_command_that_is_none_is_told(command: str) -> None:
    with pytest.raises(Unreachable, match="ProxyCommand cannot be started"):
        proxy_arguments(Target("x", 22, "root", (), proxy_command=command))


def test_a_pinned_key_of_a_kind_that_paramiko_does_not_know_has_a_fingerprint() -> None:
    assert fingerprint_of("sk-ssh-ed25519@openssh.com AAAA").startswith("SHA256:")


def test_a_line_of_known_hosts_that_makes_no_sense_hides_no_other(tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKSU9QcHje/xHyVcwmei9v3Z+5WsONKOGuhu5jyyRb4"
    path = tmp_path / "known_hosts"
    path.write_bytes(
        b"192.0.2.10 ssh-ed25519 A\n\xff \xff \xff\n|1|x|y ssh-rsa AAAA\n192.0.2.10 " + key.encode() + b"\n"
    )
    found = known_hosts_key(Target("192.0.2.10", 22, "root", ()), "ssh-ed25519", path)
    assert found
    assert found.get_base64() == key.split()[1]


def test_secrets_do_not_show(tmp_path: Path) -> None:
    credentials = {"sshKey": "PLANTED-1", "sshKeyPassphrase": "PLANTED-2", "sudoPassword": "PLANTED-3"}
    assert "PLANTED" not in repr(target(written(tmp_path, ""), credentials, directory=tmp_path))
