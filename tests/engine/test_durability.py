"""Killed at any point nothing is lost: what was done is in the checkpoint, what had begun is begun again."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import ENGINES, Toy
from tests.engine.test_planning import file, of

THREE = [file("a"), file("b", of("a")), file("c", of("b"))]
CHANGED = [file("a", "y"), file("b", of("a")), file("c", of("b"))]
# Where everything is killed: op, the resource, before or after the host has changed.
POINTS = [
    (op, at, when) for op, at in (("create", "a"), ("create", "c"), ("update", "b")) for when in ("before", "after")
]
POINTS += [("delete", "b", "before"), ("delete", "b", "after")]


def children(pid: int) -> list[int]:
    """Processes below one, itself excluded."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found += [int(entry.name), *children(int(entry.name))]
    return found


def kill_at(toy: Toy, op: str, at: str, when: str, *argv: str) -> list[int]:
    """Run a verb and kill its processes at a point; the pids of what it had started."""
    pipe = toy.dir / "reached"
    os.mkfifo(pipe)
    environment = {**toy.environment(), "TOY_HOLD": f"{op}:{when}", "TOY_HOLD_AT": at}
    process = subprocess.Popen(
        toy.command(*argv, "--yes", "--skip-preview", "-s", "dev"),
        cwd=toy.dir,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert pipe.read_text() == f"{op}:{when}"
    below = children(process.pid)
    assert below
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pipe.unlink()
    return below


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("op", "at", "when"), POINTS)
def test_the_next_up_finishes_what_a_kill_cut_off(
    make_toy: Callable[[str], Toy], engine: str, op: str, at: str, when: str
) -> None:
    toy = make_toy(engine)
    toy.has(*THREE)
    if op != "create":
        toy.up()
        toy.has(*(CHANGED if op == "update" else [file("a")]))
    kill_at(toy, op, at, when, "up")
    toy.calls()
    toy.up()
    calls = toy.calls()
    assert len(calls) == len(set(calls)), "nothing is done twice"
    expected = {"a"} if op == "delete" else {"a", "b", "c"}
    assert set(toy.host()) == expected
    assert {n for n, r in toy.resources().items() if r["type"].endswith("toy:File")} == expected
    assert len(toy.deployment()["resources"]) == len(toy.resources()), "no resource twice"
    toy.run("preview", "--expect-no-changes")
    if engine == "embedded":
        assert "pending_operations" not in toy.deployment()


def test_what_was_done_before_the_kill_is_not_done_again(toy: Toy) -> None:
    toy.has(*THREE)
    kill_at(toy, "create", "c", "before", "up")
    assert set(toy.resources()) >= {"a", "b"}
    assert [o["resource"]["urn"].rsplit("::", 1)[1] for o in toy.deployment()["pending_operations"]] == ["c"]
    toy.calls()
    said = toy.up().stdout
    assert toy.calls() == ["create c"]
    assert "toy:File c: it was being made when the last run ended; it is made again" in said


def test_destroy_takes_along_what_a_kill_left_half_made(toy: Toy) -> None:
    """What was made on the host, but is not in the state, is made again (which adopts it) and then deleted."""
    toy.has(*THREE)
    kill_at(toy, "create", "b", "after", "up")
    assert "b" in toy.host()
    assert "b" not in toy.resources()
    toy.calls()
    done = toy.run("destroy", "--yes")
    assert toy.calls() == ["create b", "delete b", "delete a"], "c was not being made yet"
    assert "toy:File b: it was being made when the last run ended" in done.stdout
    assert toy.host() == {}
    assert toy.resources() == {}
    assert "pending_operations" not in toy.deployment()


def test_a_cut_off_create_that_nobody_wants_any_more_is_said_until_it_is_cleared(toy: Toy) -> None:
    toy.has(*THREE)
    kill_at(toy, "create", "c", "before", "up")
    toy.has(*THREE[:2])
    assert "toy:File c: it was being made when an earlier run ended" in toy.up().stdout
    assert "refresh --clear-pending-creates" in toy.up().stdout
    toy.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    assert "an earlier run ended" not in toy.up().stdout
    assert "pending_operations" not in toy.deployment()


def test_what_the_engine_started_ends_with_it(toy: Toy) -> None:
    toy.has(*THREE)
    below = kill_at(toy, "create", "a", "before", "up")
    assert len(below) == 2, "one program and one provider process"
    for pid in below:
        # The kernel sends the signal at the parent's death; that it has been dealt with shows in /proc.
        for _ in range(1000):
            if gone(pid):
                break
            os.sched_yield()
        assert gone(pid) or _wait_gone(pid)


def _wait_gone(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    import select

    readable, _, _ = select.select([descriptor], [], [], 10)
    os.close(descriptor)
    return bool(readable)


def test_a_lock_whose_process_is_dead_is_broken_and_said(toy: Toy) -> None:
    toy.has(*THREE)
    kill_at(toy, "create", "b", "after", "up")
    done = toy.up()
    assert "broke the lock of " in done.stderr
    assert "that process has ended" in done.stderr
    assert not list((toy.dir / ".pulumi" / "locks").rglob("*.json"))


def lock(toy: Toy, **changed: object) -> Path:
    directory = toy.dir / ".pulumi" / "locks" / "organization" / "toy" / "dev"
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": os.getpid(),
        "username": "alice",
        "hostname": socket.gethostname(),
        "timestamp": "2020-01-01T00:00:00.123456789Z",
        **changed,
    }
    path = directory / "0.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "changed", [{}, {"hostname": "elsewhere", "pid": 1}], ids=["a live process", "another machine"]
)
def test_any_other_lock_is_refused_with_holder_and_age(toy: Toy, changed: dict[str, object]) -> None:
    toy.has(file("a"))
    toy.run("stack", "init", "dev")
    started = {} if changed else {"timestamp": "2100-01-01T00:00:00Z"}
    path = lock(toy, **{**started, **changed})
    refused = toy.up(status=1).stderr
    assert f"alice@{changed.get('hostname', socket.gethostname())} (pid" in refused
    assert "old" in refused
    assert "`cancel`" in refused
    assert path.exists()
    assert toy.host() == {}
    toy.run("cancel", "--yes")
    toy.up()


def test_a_pid_that_was_given_again_does_not_hold_a_lock(toy: Toy) -> None:
    toy.has(file("a"))
    toy.run("stack", "init", "dev")
    lock(toy)
    assert "broke the lock of alice@" in toy.up().stderr


def test_a_failed_create_keeps_what_was_done_and_is_tried_again(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"), file("b", fail="create"))
        done = toy.up(status=1)
        assert "could not create b: the disk is full" in done.stdout + done.stderr
        assert "Resource monitor" not in done.stdout + done.stderr
        assert " errored" in done.stdout
        assert set(toy.resources()) >= {"a"}
        assert "b" not in toy.resources()
        toy.has(file("a"), file("b"))
        toy.calls()
        toy.up()
        assert toy.calls() == ["create b"]


def test_an_interrupt_lets_what_has_begun_come_to_its_end(toy: Toy) -> None:
    """Ctrl-C reaches the engine only; the step under way is recorded, the next one does not begin."""
    toy.has(file("a"), file("b", of("a")))
    pipe = toy.dir / "reached"
    os.mkfifo(pipe)
    environment = {**toy.environment(), "TOY_PAUSE_AT": "a"}
    process = subprocess.Popen(
        toy.command("up", "--yes", "--skip-preview", "-s", "dev"),
        cwd=toy.dir,
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    pipe.read_text()
    os.killpg(process.pid, signal.SIGINT)
    # The provider goes on when somebody writes to the pipe.
    pipe.write_text("go on")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 8, out
    assert "Interrupted" in out
    assert "a" in toy.resources()
    assert "b" not in toy.resources()
    assert "pending_operations" not in toy.deployment()


def test_a_checkpoint_that_cannot_be_written_is_one_clear_error(toy: Toy) -> None:
    toy.has(file("a"))
    toy.run("stack", "init", "dev")
    toy.checkpoint.write_text(toy.checkpoint.read_text()[:40])
    refused = toy.run("preview", status=1).stderr
    assert "dev.json is damaged" in refused
    assert "Traceback" not in refused
