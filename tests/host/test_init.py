"""`./sixstead init` against a real bare server: Debian 13 and 12, as the lab's hoster installs them."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cli import init
from lab.keys import public_key
from lab.lab import Lab
from settings import Settings, fingerprint, parse

ROOT = Path(__file__).parents[2]
SYSTEMS = {"trixie": "debian-13", "bookworm": "debian-12"}


@pytest.fixture(scope="module", params=list(SYSTEMS))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")  # tests side by side share no lab
    made = Lab(f"init-{request.param}-{worker}")
    try:
        made.up(suite=request.param)
        yield made
    finally:
        made.down()


@pytest.fixture
def config(lab: Lab) -> str:
    return str(lab.state / "ssh_config")


def host_key(lab: Lab) -> str:
    return public_key(lab.name, "host")


def accepted(lab: Lab) -> list[str]:
    return ["--accept-host-key", fingerprint(host_key(lab))]


def on(lab: Lab, command: str) -> str:
    done = lab.exec("server", ["sh", "-c", command])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def logins(lab: Lab) -> int:
    return on(lab, "journalctl -b -t sshd -t sshd-session -o cat").count("Accepted publickey")


def stack(root: Path) -> Settings:
    config = yaml.safe_load((root / "stacks" / "Pulumi.kvm1.yaml").read_text())["config"]
    return parse({key.removeprefix("sixstead:"): value for key, value in config.items()}, "kvm1")


def test_the_stack_says_what_the_hoster_set_up(lab: Lab, config: str, tmp_path: Path) -> None:
    assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config, *accepted(lab)], tmp_path) == 0
    found = stack(tmp_path)
    topology = lab.topology
    assert found.server.os.name == SYSTEMS[topology.suite]
    assert found.server.ssh.host_keys == (host_key(lab),)
    assert found.server.ssh.config == config
    assert (found.uplink.name, found.uplink.mac, found.uplink.mtu) == (topology.uplink, topology.mac, topology.mtu)
    assert found.uplink.ipv4 is not None
    assert (found.uplink.ipv4.address, found.uplink.ipv4.gateway) == (topology.ipv4, topology.ipv4_gateway)
    main = found.prefixes["main"]
    assert (main.prefix, main.gateway, main.address, main.delivery) == (
        topology.main.network,
        topology.main.gateway,
        topology.main.address,
        topology.main.delivery,
    )


def test_one_login_is_enough_and_the_server_stays_as_it_was(lab: Lab, config: str, tmp_path: Path) -> None:
    before, listing = logins(lab), "find /etc /usr /var/lib -xdev -printf '%p %T@ %s\\n' | sort | sha256sum"
    files = on(lab, listing)
    assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config, *accepted(lab)], tmp_path) == 0
    assert logins(lab) == before + 1
    assert on(lab, listing) == files


def test_a_server_is_read_by_its_ipv6_address_too(lab: Lab, config: str, tmp_path: Path) -> None:
    host = str(lab.topology.main.address)
    assert init.main(["kvm1", "--host", host, "--ssh-config", config, "--yes"], tmp_path) == 0
    assert stack(tmp_path).server.ssh.host == host


def test_another_host_key_than_the_accepted_one_gets_no_login(
    lab: Lab, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logins(lab)
    arguments = ["kvm1", "--host", "192.0.2.10", "--ssh-config", config, "--accept-host-key", "SHA256:other"]
    assert init.main(arguments, tmp_path) == 1
    said = capsys.readouterr()
    assert fingerprint(host_key(lab)) in said.out
    assert said.err == "that is not the accepted SHA256:other: nothing was sent to this server\n"
    assert logins(lab) == before
    assert not (tmp_path / "stacks").exists()


def test_a_key_that_known_hosts_contradicts_is_refused_even_with_yes(
    lab: Lab, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"192.0.2.10 {public_key('another', 'host')}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config, "--yes"], tmp_path) == 1
    assert "your known_hosts has another key for this server" in capsys.readouterr().err
    (tmp_path / ".ssh" / "known_hosts").write_text(f"192.0.2.10 {host_key(lab)}\n")
    assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config, "--yes"], tmp_path) == 0
    assert "your known_hosts has the same key" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1), ("", 1)])
def test_the_owner_is_asked_on_a_terminal(lab: Lab, config: str, tmp_path: Path, answer: str, code: int) -> None:
    program = "import sys, pathlib; from cli.init import main; sys.exit(main(sys.argv[2:], pathlib.Path(sys.argv[1])))"
    ours, theirs = pty.openpty()
    arguments = ["kvm1", "--host", "192.0.2.10", "--ssh-config", config]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), *arguments],
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        os.close(theirs)
        os.write(ours, answer.encode() + b"\n")
        out = process.communicate(timeout=60)[0].decode()
    os.close(ours)
    assert fingerprint(host_key(lab)) in out
    assert process.returncode == code, out
    assert (tmp_path / "stacks").exists() == (code == 0)


def test_nobody_to_ask_means_no(
    lab: Lab, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config], tmp_path) == 1
    assert f"then add --accept-host-key {fingerprint(host_key(lab))}" in capsys.readouterr().err


def test_an_alias_of_the_ssh_config_and_a_key_in_the_agent_are_enough(
    lab: Lab, config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = next(line for line in Path(config).read_text().splitlines() if "ProxyCommand" in line)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(f"Host box\n  HostName 192.0.2.10\n  User root\n{proxy}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    listening = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(listening)], stdout=subprocess.PIPE) as agent:
        try:
            assert agent.stdout is not None
            agent.stdout.readline()  # it names its socket once that is there
            monkeypatch.setenv("SSH_AUTH_SOCK", str(listening))
            subprocess.run(["ssh-add", "-q", str(lab.state / "id_ed25519")], check=True)
            assert init.main(["kvm1", "--host", "box", *accepted(lab)], tmp_path) == 0
        finally:
            agent.terminate()
    ssh = stack(tmp_path).server.ssh
    assert (ssh.host, ssh.user, ssh.config) == ("box", "root", "~/.ssh/config")


def test_a_login_without_sudo_reads_the_server_and_is_told_what_it_lacks(
    lab: Lab, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(lab, "useradd -m guest1 && cp -r /root/.ssh /home/guest1/ && chown -R guest1: /home/guest1/.ssh")
    try:
        arguments = ["kvm1", "--host", "192.0.2.10", "--user", "guest1", "--ssh-config", config, *accepted(lab)]
        assert init.main(arguments, tmp_path) == 0
    finally:
        on(lab, "userdel -rf guest1 2>&1")
    assert "This login can't become root without a password" in capsys.readouterr().out
    assert stack(tmp_path).server.ssh.user == "guest1"


def test_a_refused_login_and_a_closed_port_are_told_in_words(
    lab: Lab, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = ["kvm1", "--host", "192.0.2.10", "--ssh-config", config, *accepted(lab), "--user", "nobody"]
    assert init.main(refused, tmp_path) == 1
    assert re.match(r"kvm1 \(192\.0\.2\.10\): the login as nobody was refused; tried: ", capsys.readouterr().err)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "empty").touch()
    closed = ["kvm1", "--host", "127.0.0.1", "--port", str(port), "--ssh-config", str(tmp_path / "empty")]
    assert init.main(closed, tmp_path) == 1
    assert capsys.readouterr().err.startswith(f"kvm1 (127.0.0.1): cannot be reached by SSH on port {port}: ")


def test_a_server_with_more_in_its_interfaces_file_is_refused_and_nothing_is_written(
    lab: Lab, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(lab, "cp -a /etc/network/interfaces /root/before; printf 'iface eth9 inet manual\\n' >> /etc/network/interfaces")
    try:
        assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config, *accepted(lab)], tmp_path) == 1
    finally:
        on(lab, "mv /root/before /etc/network/interfaces")
    assert capsys.readouterr().err == (
        "192.0.2.10 can't be taken as it is; nothing was written, nothing was changed:\n"
        "  - /etc/network/interfaces also configures eth9: move these lines to files in /etc/network/interfaces.d, "
        "which sixstead leaves alone\n"
    )
    assert not (tmp_path / "stacks").exists()


def test_a_server_without_python_is_told_what_it_lacks(
    lab: Lab, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on(lab, "mv /usr/bin/python3 /usr/bin/python3.away")
    try:
        assert init.main(["kvm1", "--host", "192.0.2.10", "--ssh-config", config, *accepted(lab)], tmp_path) == 1
    finally:
        on(lab, "mv /usr/bin/python3.away /usr/bin/python3")
    assert "install the package python3 there" in capsys.readouterr().err
