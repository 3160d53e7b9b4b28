"""A server moves from one network backend to another by an ordinary `up`, and is never unreachable on the way.

The unit that the old backend starts at boot, and what its owner once wrote, must not configure the same interfaces again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.errors import LabError
from tests.scenario.harness import LAB_STACK, SERVER4, SERVER6, Stack, answers, merged, wait_until, watched
from tests.scenario.snapshot import differences, look
from tests.scenario.test_kills import kill_inside

WAYS = [["ifupdown", "networkd", "netplan", "ifupdown"], ["networkd", "netplan", "ifupdown", "networkd"]]
LONGEST_MS = 500


@pytest.fixture(scope="module", params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


@pytest.fixture(scope="module")
def stack(way: list[str], make_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    document = yaml.safe_load(LAB_STACK.read_text())
    document["config"]["sixstead:server"]["backend"] = way[0]
    like = Path(tmp_path_factory.mktemp(way[0])) / f"Pulumi.{way[0]}.yaml"
    like.write_text(yaml.safe_dump(document))
    made = make_stack("embedded", up={"like": str(like)})
    made.write(server=merged(made.config["server"], backend=way[0]), guests={}, images={})
    made.up()
    return made


def both_answer(stack: Stack) -> None:
    wait_until(lambda: answers(stack, SERVER4) and answers(stack, SERVER6), 30, "the server does not answer")


def move(stack: Stack, backend: str) -> None:
    stack.write(server=merged(stack.config["server"], backend=backend))
    with watched(stack) as gaps:
        stack.up()
    assert max(gaps.values()) < LONGEST_MS
    stack.preview("--refresh", "--expect-no-changes")


def test_the_server_moves_and_comes_back_as_it_was(stack: Stack, way: list[str]) -> None:
    both_answer(stack)
    stack.lab.reboot()
    fresh = look(stack)
    for backend in way[1:]:
        move(stack, backend)
        stack.lab.reboot()
        both_answer(stack)
        stack.preview("--refresh", "--expect-no-changes")
    found = differences(fresh, look(stack), packaged_now(stack, fresh))
    assert found == [], "\n".join(found)


def packaged_now(stack: Stack, fresh: dict[str, Any]) -> dict[str, Any]:
    """What the packages of the other backends brought stays: files that were not there, and that no resource owns."""
    now = look(stack)
    return {"files": {path: what for path, what in now["files"].items() if path not in fresh["files"]}}


@pytest.mark.parametrize("way", WAYS[:1], indirect=True, ids="-".join)
def test_a_move_that_nobody_confirmed_is_undone(stack: Stack, way: list[str]) -> None:
    stack.write(server=merged(stack.config["server"], backend=way[1]))
    moved = ["test", "-e", "/etc/systemd/network/0-sixstead-unmanaged.network"]
    there = stack.lab.exec("server", moved).returncode
    kill_inside(stack, "network", lambda: stack.lab.exec("server", moved).returncode != there)
    stack.lab.cut_power()
    stack.lab.power_on()
    both_answer(stack)
    stack.write(server=merged(stack.config["server"], backend=way[-1]))
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


@pytest.mark.parametrize("way", WAYS[:1], indirect=True, ids="-".join)
def test_destroy_leaves_a_working_network_where_that_of_before_does_not_fit(stack: Stack) -> None:
    moved = "2001:db8:1::5"
    stack.write(prefixes={"main": merged(stack.config["prefixes"]["main"], address=moved)})
    stack.up()
    done = stack.destroy()
    assert "a plain configuration of it stays" in done.text, done.text
    boot = stack.server("cat", "/proc/sys/kernel/random/boot_id")
    stack.lab.exec("server", ["systemctl", "reboot"])  # the lab's own would wait for the address of before
    wait_until(lambda: booted(stack, boot), 60, "the server does not boot")
    wait_until(lambda: answers(stack, SERVER4) and answers(stack, moved), 60, "the server does not answer")
    assert stack.lab.exec("server", ["test", "-e", "/var/lib/sixstead"]).returncode != 0


def booted(stack: Stack, before: str) -> bool:
    """Whether another boot than this one is up."""
    try:
        found = stack.lab.exec("server", ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.decode()
    except LabError:
        return False
    return found not in ("", before)
