"""One writer a host: a second one waits and is told for whom; a writer that froze is not waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from lab import Lab
from providers.host import bundle
from providers.host.connection import Target, target
from providers.host.errors import ServerError
from providers.host.session import Session

WRITER = """
import sys, time
from tests.host.test_sessions import session_of, write
session = session_of(sys.argv[1])
write(session, "first")
print("written", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab(f"sessions{os.getpid()}")
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


def where(name: str) -> Target:
    state = Lab(name).state
    host_key = " ".join((state / "known_hosts").read_text().splitlines()[0].split()[1:3])
    return target({"host": "192.0.2.10", "host_key": host_key, "config": str(state / "ssh_config")}, {}, name)


def session_of(name: str, progress: list[str] | None = None) -> Session:
    return Session(where(name), (progress if progress is not None else []).append)


def write(session: Session, text: str) -> None:
    session.request("converge", {"entries": {"a": {"files": {"/etc/sixstead-test": f"{text}\n"}}}, "previous": []})


@pytest.fixture
def writer(lab: Lab) -> Iterator[subprocess.Popen[str]]:
    """An operator in a process of its own that has written, and holds the lock."""
    command = [sys.executable, "-c", WRITER, lab.name]
    process = subprocess.Popen(command, cwd=lab.project, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_waits_and_is_told_for_whom(lab: Lab, writer: subprocess.Popen[str]) -> None:
    progress: list[str] = []
    session = session_of(lab.name, progress)
    waiting = threading.Thread(target=write, args=(session, "second"))
    waiting.start()
    deadline = time.monotonic() + 20
    while not progress and time.monotonic() < deadline:
        time.sleep(0.05)
    assert progress[0].startswith("waiting: ")
    assert f"process {writer.pid} (since 20" in progress[0]
    assert lab.exec("server", ["cat", "/etc/sixstead-test"]).stdout == b"first\n"
    writer.kill()
    waiting.join(20)
    assert lab.exec("server", ["cat", "/etc/sixstead-test"]).stdout == b"second\n"
    session.close()


def test_a_writer_that_does_not_let_go_is_named(
    lab: Lab, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch, "LOCK_WAIT = 100", "LOCK_WAIT = 1")
    session = session_of(lab.name)
    with pytest.raises(ServerError) as raised:
        write(session, "second")
    session.close()
    assert f"process {writer.pid} (since 20" in raised.value.what
    assert raised.value.what.endswith("is changing this server")
    assert raised.value.remedy == "wait until that is done, then run it again"


def test_a_frozen_writer_loses_the_lock(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "SILENCE = 75", "SILENCE = 3")
    frozen = session_of(lab.name)
    write(frozen, "frozen")
    monkeypatch.setattr(frozen, "send", lambda frame: None)  # its beat goes nowhere; the connection stays
    session = session_of(lab.name)
    began = time.monotonic()
    write(session, "second")
    assert 1 < time.monotonic() - began < 20
    assert not session.broken
    session.close()


def test_a_server_that_falls_silent_is_not_waited_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.host.session.BEAT_SECONDS", 0.5)
    monkeypatch.setattr("providers.host.session.SILENCE_SECONDS", 2)
    session = session_of(lab.name)
    agents = lab.exec("server", ["pgrep", "-f", "SIXSTEAD"]).stdout.decode().split()
    lab.exec("server", ["kill", "-STOP", *agents])
    try:
        with pytest.raises(ServerError) as raised:
            session.request("observe", {"wanted": {}})
    finally:
        lab.exec("server", ["kill", "-CONT", *agents])
    assert "has said nothing for" in raised.value.what


def test_a_long_silence_of_both_is_bridged_by_their_beat(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.host.session.BEAT_SECONDS", 0.5)
    monkeypatch.setattr("providers.host.session.SILENCE_SECONDS", 2)
    shorten(monkeypatch, "SILENCE = 75", "SILENCE = 3")
    session = session_of(lab.name)
    write(session, "before")
    time.sleep(5)
    write(session, "after")
    session.close()


def shorten(monkeypatch: pytest.MonkeyPatch, long: str, short: str) -> None:
    """Send an agent with a shorter time limit."""
    source = bundle.bundle()
    assert source.count(long) == 1
    monkeypatch.setattr(bundle, "bundle", lambda: source.replace(long, short))
