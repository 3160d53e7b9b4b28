"""authorized_keys: the text that is wanted, what stands in one, and which changes of it would lock the operator out."""

from __future__ import annotations

import base64
import json
import pwd
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers import operators
from providers.host.agent import facets, logins, observer_key
from providers.host.agent.facets import Context, Registry, converge
from providers.host.agent.files import Files
from providers.host.agent.logins import expanded, keys_in, refuse_lock_out, text_before, told
from providers.host.agent.observer_key import line_of
from providers.host.agent.system import HostError, write_durably
from settings import parse

GOLDEN = Path(__file__).parent / "golden" / "routed" / "config.yaml"
ALICE = "AAAAC3NzaC1lZDI1NTE5AAAAIE/kzWXiNHR38D6pSs7hyMkHiiI8Z+yFS2cVfc9n4HWC"
BOB = "AAAAC3NzaC1lZDI1NTE5AAAAIJon43Fz2MgHZaA/NBOWlDW8ryUL2EY7JR+xSZLEmx+V"


@pytest.mark.parametrize(
    ("user", "path"),
    [("root", "/root/.ssh/authorized_keys"), ("admin", "/home/admin/.ssh/authorized_keys")],
)
def test_the_file_is_the_login_user_s_and_for_that_user_alone(user: str, path: str) -> None:
    config = yaml.safe_load(GOLDEN.read_text())
    config["keys"] = {"alice": f"ssh-ed25519 {ALICE} alice@example", "bob": f"ssh-ed25519 {BOB}"}
    config["server"] |= {"operators": ["alice", "bob"], "ssh": {**config["server"]["ssh"], "user": user}}
    text = operators.HEADER + f"ssh-ed25519 {ALICE} alice@example\nssh-ed25519 {BOB}\n"
    value = {"text": text, "mode": "0600", "owner": f"{user}:{user}"}
    assert operators.render(parse(config, "kvm1")) == {"files": {path: value}}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (f"# ssh-ed25519 {ALICE}\n\n", []),
        (f"ssh-ed25519 {ALICE} alice\n  ssh-ed25519 {BOB}", [ALICE, BOB]),
        (f'from="192.0.2.0/24",command="echo a b" ssh-ed25519 {ALICE} alice', [ALICE]),
        (
            "ecdsa-sha2-nistp256 AAAAE2Vj x\nsk-ssh-ed25519@openssh.com AAAAGnNr\nssh-rsa AAAAB3Nz",
            ["AAAAE2Vj", "AAAAGnNr", "AAAAB3Nz"],
        ),
        ("ssh-ed25519", []),
        ("nonsense of somebody", []),
    ],
)
def test_keys_are_found_behind_options_and_not_in_comments(text: str, found: list[str]) -> None:
    assert list(keys_in(text)) == found


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (".ssh/authorized_keys", "/home/al/.ssh/authorized_keys"),
        ("/etc/ssh/keys/%u", "/etc/ssh/keys/al"),
        ("%h/keys", "/home/al/keys"),
        ("/etc/%%u/%u", "/etc/%u/al"),
    ],
)
def test_tokens_of_sshd_config_are_filled_in(name: str, path: str) -> None:
    assert expanded(name, "al", "/home/al") == path


def test_a_key_is_told_by_fingerprint_and_comment() -> None:
    assert told(BOB, f"ssh-ed25519 {BOB} bob at home").endswith(" bob at home")
    assert told(BOB, f"ssh-ed25519 {BOB}").startswith("SHA256:")
    assert told("AAA", "ssh-ed25519 AAA x") == "ssh-ed25519 AAA x"


def test_what_comes_back_is_the_old_text_or_what_the_link_led_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("text\n")
    path = str(tmp_path / "authorized_keys")
    assert text_before({"kind": "link", "target": "real"}, path) == "text\n"
    assert text_before({"kind": "file", "content": base64.b64encode(b"old").decode()}, path) == "old"
    assert text_before({"kind": "absent", "made": []}, path) == ""


def test_folders_of_a_private_file_are_its_owner_s_alone(tmp_path: Path) -> None:
    write_durably(str(tmp_path / "home" / ".ssh" / "authorized_keys"), b"", 0o600, "daemon:daemon")
    write_durably(str(tmp_path / "etc" / "file"), b"", 0o644, "daemon:daemon")
    private, shared = (tmp_path / "home" / ".ssh").stat(), (tmp_path / "etc").stat()
    assert (private.st_mode & 0o777, private.st_uid) == (0o700, pwd.getpwnam("daemon").pw_uid)
    assert (shared.st_mode & 0o777, shared.st_uid) == (0o755, 0)


class Server:
    """A home with an authorized_keys, and sshd as it is asked for it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(facets, "STATE_DIR", str(folder / "state"))
        monkeypatch.setattr(logins, "files_of_sshd", lambda user: [".ssh/authorized_keys", ".ssh/authorized_keys2"])
        entry = pwd.struct_passwd(("root", "x", 0, 0, "", str(folder), ""))
        monkeypatch.setattr(pwd, "getpwnam", lambda name: {"root": entry}[name])
        self.ssh = folder / ".ssh"
        self.file = self.ssh / "authorized_keys"
        self.registry = Registry({"files": Files()})
        self.notes: list[str] = []

    def change(self, *keys: str, login: str = ALICE, user: str = "root") -> None:
        """Check a change to these keys, then make it; none gives the file back."""
        login_of = {"user": user, "key": login, "fingerprint": "SHA256:x"}
        context = Context(lambda text: None, {"login": login_of}, self.notes)
        text = "".join(f"ssh-ed25519 {key}\n" for key in keys)
        value = {"text": text, "mode": "0600", "owner": "root:root"}
        entries: dict[str, Any] = {"operators": {"files": {str(self.file): value}}} if keys else {}
        gone = [] if keys else ["operators"]
        refuse_lock_out(self.registry.plan(entries, [], gone), self.registry, context)
        converge(self.registry, entries, [], gone, context)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def test_the_key_in_use_is_never_taken_out(server: Server) -> None:
    server.change(ALICE, BOB)
    with pytest.raises(HostError, match="authorized_keys would not have the key that logged in, SHA256:x"):
        server.change(BOB)
    server.change(BOB, login=BOB)
    assert [note for note in server.notes if note.startswith("taken out of") and "SHA256:" in note]


def test_a_file_is_not_given_back_without_the_key_in_use_unless_somebody_edited_it(server: Server) -> None:
    server.ssh.mkdir()
    server.file.write_text(f"ssh-ed25519 {ALICE}\n")
    server.change(ALICE, BOB)
    with pytest.raises(HostError, match=r"before Sixstead .* did not have the key that logged in"):
        server.change(login=BOB)
    with server.file.open("a") as file:
        file.write("# edited\n")
    server.change(login=BOB)
    assert BOB in server.file.read_text()


def test_observers_lines_stay_are_not_told_as_taken_out_and_let_nobody_in(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(observer_key, "FILES", str(tmp_path / "files.json"))
    (tmp_path / "files.json").write_text(json.dumps([str(server.file)]))
    server.ssh.mkdir()
    alice, observer = f"ssh-ed25519 {ALICE}\n", line_of("root", "ssh-ed25519", BOB) + "\n"
    server.file.write_text(alice + observer)
    server.change(ALICE)
    server.change(ALICE, BOB)
    assert server.file.read_text() == f"{alice}ssh-ed25519 {BOB}\n{observer}"
    with pytest.raises(HostError, match="would not have the key that logged in"):
        server.change(ALICE, login=BOB)
    with pytest.raises(HostError, match=r"before Sixstead .* did not have the key that logged in"):
        server.change(login=BOB)
    server.change()
    assert server.file.read_text() == alice + observer
    assert not server.notes


def test_another_user_s_file_is_not_taken_for_one_s_own(server: Server) -> None:
    with pytest.raises(HostError, match="logged in as somebody, whose keys are in"):
        server.change(ALICE, user="somebody")
    assert not server.ssh.exists()


def test_a_file_that_sshd_does_not_read_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "files_of_sshd", lambda user: ["/etc/ssh/keys/%u"])
    with pytest.raises(HostError, match=r"does not read .*, but /etc/ssh/keys/root"):
        server.change(ALICE)
    assert not server.ssh.exists()


def test_a_second_file_that_sshd_reads_is_told(server: Server) -> None:
    server.ssh.mkdir()
    (server.ssh / "authorized_keys2").write_text(f"ssh-ed25519 {BOB}\n")
    server.change(ALICE)
    assert [note for note in server.notes if "authorized_keys2 log in as root, too" in note]
