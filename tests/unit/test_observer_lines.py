"""Observers' lines in an authorized_keys that is written whole: which these are, that they stay, and that they are no drift."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from providers.host.agent import observer_key
from providers.host.agent.facets import Context
from providers.host.agent.files import Files
from providers.host.agent.observer_key import COMMAND, KEY, line_of, lines_in, with_lines, without_lines

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIE/kzWXiNHR38D6pSs7hyMkHiiI8Z+yFS2cVfc9n4HWC"
OTHER = "AAAAC3NzaC1lZDI1NTE5AAAAIJon43Fz2MgHZaA/NBOWlDW8ryUL2EY7JR+xSZLEmx+V"
LINE = line_of("root", "ssh-ed25519", BLOB)
ADMINS = line_of("admin", "sk-ssh-ed25519@openssh.com", OTHER)
ALICE = f"ssh-ed25519 {OTHER} alice"


def test_the_line_is_as_the_docs_have_it() -> None:
    doc = (Path(__file__).parents[2] / "docs" / "review.md").read_text()
    assert LINE.replace(BLOB, "AAAA...") in doc


@pytest.mark.parametrize("user", ["root", "admin"])
@pytest.mark.parametrize(
    "kind",
    ["ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@x.y"],
)
@pytest.mark.parametrize("blob", [BLOB, BLOB + "=", BLOB * 9 + "=="])
def test_each_line_that_is_written_is_known_again(user: str, kind: str, blob: str) -> None:
    assert KEY.match(f"{kind} {blob} comment")
    line = line_of(user, kind, blob)
    assert lines_in(f"# mine\n{line}\n{ALICE}\n") == [line]


@pytest.mark.parametrize(
    "line",
    [
        ALICE,
        f"ssh-ed25519 {BLOB} sixstead-observer",
        LINE.replace("restrict,", ""),
        LINE.replace("restrict,", "restrict,pty,"),
        LINE.replace("restrict,", "restrict,port-forwarding,"),
        LINE.replace("restrict", "no-pty"),
        LINE.replace('.py" ', '.py",pty '),
        LINE.replace("-I ", ""),
        LINE.replace("observe.py", "observe.py; sh"),
        LINE.replace("observe.py", "observe_py"),
        LINE.replace("/usr/bin/python3", "/opt/python3"),
        LINE.replace(COMMAND, "/bin/sh"),
        LINE.replace(COMMAND, f"sudo {COMMAND}"),
        LINE.replace(COMMAND, f"sudo -n sudo -n {COMMAND}"),
        LINE.replace("sixstead-observer", "me"),
        LINE + " ",
        LINE + "\r",
        LINE + f" ssh-ed25519 {OTHER}",
        LINE.replace(f" {BLOB}", f"  {BLOB}"),
        LINE.replace(BLOB, BLOB[:20]),
        LINE.replace("ssh-ed25519", "ssh-dss"),
        " " + LINE,
        "#" + LINE,
        f"{ALICE}\x0b{LINE}",
        f"{ALICE}\r{LINE}",
        f"{ALICE}\u2028{LINE}",
        LINE.replace(" ssh-ed25519", "\nssh-ed25519"),
        LINE.upper(),
    ],
)
def test_what_only_resembles_such_a_line_is_anybody_s(line: str) -> None:
    text = f"{ALICE}\n{line}\n{ALICE}\n"
    assert lines_in(text) == []
    assert without_lines(text) == text


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("", ""),
        (LINE, ""),
        (f"{LINE}\n", ""),
        (f"{LINE}\n{ADMINS}\n", ""),
        (f"{ALICE}\n{LINE}", f"{ALICE}\n"),
        (f"{LINE}\n{ALICE}", ALICE),
        (f"# a\n{LINE}\n\n{ALICE}\n{ADMINS}\n# z\n", f"# a\n\n{ALICE}\n# z\n"),
    ],
)
def test_the_rest_of_a_file_is_left_to_the_letter(text: str, rest: str) -> None:
    assert without_lines(text) == rest


@pytest.mark.parametrize(
    ("text", "present", "result"),
    [
        ("", "", ""),
        ("x", ALICE, "x"),
        ("", f"{ALICE}\n{LINE}\n", f"{LINE}\n"),
        ("x\n", f"{LINE}\n{ALICE}\n{ADMINS}", f"x\n{LINE}\n{ADMINS}\n"),
        ("x", LINE, f"x\n{LINE}\n"),
        (f"x\n{ADMINS}\n", f"{LINE}\n", f"x\n{LINE}\n"),
        (f"x\n{LINE}\n", "", "x\n"),
    ],
)
def test_the_lines_that_are_there_stay_and_no_others_come(text: str, present: str, result: str) -> None:
    assert with_lines(text, present) == result


class Home:
    """A home with an authorized_keys, of a server that knows of an observer in it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.record = folder / "observer" / "files.json"
        monkeypatch.setattr(observer_key, "FILES", str(self.record))
        monkeypatch.setattr(observer_key, "DIRECTORY", str(folder / "observer"))
        self.file = folder / ".ssh" / "authorized_keys"
        self.file.parent.mkdir(mode=0o700)
        self.record.parent.mkdir()
        self.path, self.files = str(self.file), Files()
        self.context = Context(lambda text: None)
        self.record.write_text(json.dumps([self.path]))

    def observed(self) -> str:
        """The text that is compared with what is wanted."""
        value = self.files.observe({self.path: ""})[self.path]
        return str(value["text"] if isinstance(value, dict) else value)

    def write(self, *lines: str) -> None:
        self.files.apply({self.path: "".join(f"{line}\n" for line in lines)}, {}, self.context)

    def lines(self) -> list[str]:
        return self.file.read_text().splitlines()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    return Home(tmp_path, monkeypatch)


def test_an_observer_s_line_is_not_observed_and_stays_in_a_file_that_is_written(home: Home) -> None:
    home.file.write_text(f"# old\n{LINE}\n")
    assert home.observed() == "# old\n"
    home.write(ALICE)
    assert home.lines() == [ALICE, LINE]
    assert home.observed() == f"{ALICE}\n"


def test_a_line_in_a_file_where_no_observer_is_known_is_as_any_other(home: Home) -> None:
    home.record.unlink()
    home.file.write_text(f"{LINE}\n")
    assert home.observed() == f"{LINE}\n"
    home.write(ALICE)
    assert home.lines() == [ALICE]


def test_other_files_are_written_as_they_are_wanted(home: Home) -> None:
    other = home.file.parent / "other"
    other.write_text(f"{LINE}\n")
    assert LINE in str(home.files.observe({str(other): ""}))
    home.files.apply({str(other): "x\n"}, {}, home.context)
    assert other.read_text() == "x\n"


def test_what_is_given_back_has_the_observers_of_today(home: Home) -> None:
    home.file.write_text(f"# old\n{LINE}\n")
    captured = home.files.capture([home.path])
    home.write(ALICE)
    home.file.write_text(f"{ALICE}\n{ADMINS}\n")
    home.files.restore(captured, home.context)
    assert home.lines() == ["# old", ADMINS]


def test_a_key_that_was_withdrawn_does_not_come_back(home: Home) -> None:
    home.file.write_text(f"# old\n{LINE}\n")
    captured = home.files.capture([home.path])
    home.write(ALICE)
    assert observer_key.remove() == [home.path]
    assert home.lines() == [ALICE]
    for content in (None, f"# old\n{LINE}\n"):  # the second as an earlier version has captured it
        home.write(ALICE)
        if content:
            captured[home.path]["content"] = base64.b64encode(content.encode()).decode()
        home.files.restore(captured, home.context)
        assert home.lines() == ["# old"]


def test_a_file_that_was_not_there_keeps_the_observers_lines_alone_and_goes_with_them(home: Home) -> None:
    captured = home.files.capture([home.path])
    home.write(ALICE)
    home.file.write_text(f"{ALICE}\n{LINE}\n")
    home.files.restore(captured, home.context)
    assert home.lines() == [LINE]
    home.file.write_text(f"{ALICE}\n")
    home.files.restore(captured, home.context)
    assert not home.file.exists()


def test_a_link_that_comes_back_is_told(home: Home) -> None:
    home.file.symlink_to("elsewhere")
    captured = home.files.capture([home.path])
    home.write(ALICE)
    home.file.write_text(f"{ALICE}\n{LINE}\n")
    home.files.restore(captured, home.context)
    assert home.file.is_symlink()
    assert "no key may observe by it" in home.context.notes[0]


def test_bytes_that_are_no_text_stay_as_they_are(home: Home) -> None:
    before = b"# caf\xe9\r\n"
    home.file.write_bytes(before + LINE.encode() + b"\n")
    captured = home.files.capture([home.path])
    home.write(ALICE)
    home.files.restore(captured, home.context)
    assert home.file.read_bytes() == before + LINE.encode() + b"\n"


def test_the_copy_is_made_anew_where_it_is_and_differs(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "observe.py"
    monkeypatch.setattr(observer_key, "SCRIPT", str(script))
    observer_key.refresh("bundle")
    assert not script.exists()
    script.write_text("old")
    observer_key.refresh("bundle")
    assert (script.read_text(), script.stat().st_mode & 0o777) == ("bundle" + observer_key.MAIN, 0o600)
    made = script.stat().st_ino
    observer_key.refresh("bundle")
    assert script.stat().st_ino == made
    script.chmod(0o644)
    observer_key.refresh("bundle")
    assert script.stat().st_mode & 0o777 == 0o600
