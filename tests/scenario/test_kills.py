"""SIGKILL to every process of a run, inside the create of each kind after the host changed and before the checkpoint.

The provider process is stopped as soon as it has sent its request, the host finishes what it was asked for, then all
processes are killed: so the answer is never seen. The next run is killed at the next point, and the last one finishes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tests.scenario.harness import WEB, Stack, kill_group, merged, wait_until
from tests.scenario.test_life import answers_everything, processes

MANIFEST = "/var/lib/sixstead/manifest"


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.write(guests={"web": made.config["guests"]["web"]})
    return made


def kill_inside(stack: Stack, request: str, settled: Callable[[], bool], *arguments: str) -> None:
    """Start an up, kill it when the host has carried out this request and the provider has not heard of it."""
    stack.cost()
    process = stack.start(*(arguments or ("up", "--yes", "--skip-preview")), "--parallel", "1")
    try:
        provider = sender(stack, request, process.poll)
        os.kill(provider, signal.SIGSTOP)
        wait_until(settled, 120, f"the host did not carry out {request}")
    finally:
        kill_group(process)
    if stack.engine == "pulumi":
        stack.run("cancel", "--yes")


def sender(stack: Stack, request: str, ended: Callable[[], int | None]) -> int:
    """The process that sends this request, as soon as it has."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if stack.cost_file.exists():
            for line in stack.cost_file.read_text().splitlines():
                pid, _, what = line.split(maxsplit=2)
                if what.startswith(request):
                    return int(pid)
        assert ended() is None, f"the run ended before it sent {request}"
        time.sleep(0.002)
    raise AssertionError(f"no {request} was sent")


def in_manifest(stack: Stack, key: str) -> Callable[[], bool]:
    """Whether a change of this resource has settled on the host."""
    name = key.replace(" ", "%20")
    command = ["sh", "-c", f"test -e {MANIFEST}/{name}.json && ! grep -q earlier {MANIFEST}/{name}.json"]
    return lambda: stack.lab.exec("server", command).returncode == 0


def names(stack: Stack) -> list[str]:
    """The resources in the state, by name; what is pending is not among them."""
    return [r["urn"].split("::")[-1] for r in stack.deployment().get("resources") or []]


CREATES = {
    "packages": "converge packages",
    "router-advertisement": "converge router-advertisement",
    "nat64": "converge nat64",
    "dns64": "converge dns64",
    "hypervisor": "converge hypervisor",
    "image tiny": "converge image tiny",
    "guest web": "converge guest web",
    "guests-ready": "converge guests-ready",
}
pids: dict[str, str] = {}


def test_killed_inside_the_create_of_the_packages(stack: Stack) -> None:
    kill_inside(stack, CREATES["packages"], in_manifest(stack, "packages"))
    assert "radvd" in stack.server("dpkg-query", "-W", "-f", "${Package}\n")
    assert "packages" not in names(stack)


def test_killed_while_the_network_change_is_applied_and_before_it_is_confirmed(stack: Stack) -> None:
    table = ["nft", "list", "table", "inet", "sixstead"]
    kill_inside(stack, "network", lambda: stack.lab.exec("server", table).returncode == 0)
    assert "host-network" not in names(stack)


@pytest.mark.parametrize("key", [key for key in CREATES if key != "packages"])
def test_killed_inside_the_create_of(stack: Stack, key: str) -> None:
    kill_inside(stack, CREATES[key], in_manifest(stack, key))
    assert key.split()[-1] not in names(stack) or key.startswith("guest ")
    assert not any(r.get("id") == key for r in stack.deployment()["resources"])
    if key == "guest web":
        pids.update(processes(stack))


def test_the_next_up_finishes_with_nothing_lost_or_made_twice(stack: Stack) -> None:
    stack.up()
    assert sorted(set(names(stack))) == sorted(names(stack))
    assert not stack.deployment().get("pending_operations")
    answers_everything(stack)
    assert processes(stack) == pids
    assert stack.server("virsh", "-q", "list", "--all", "--name").split() == ["web"]
    stack.preview("--refresh", "--expect-no-changes")
    leftovers = stack.server(
        "sh", "-c", "ls /var/lib/sixstead; systemctl list-timers --all --no-legend | grep sixstead; true"
    )
    assert set(leftovers.split()) <= {"before", "manifest", "stale"}


def test_killed_inside_an_update_and_the_next_up_finishes(stack: Stack) -> None:
    network = stack.config["networks"]["main"]
    stack.write(networks={"main": merged(network, ra={"max_interval": 300})})
    kill_inside(stack, "converge router-advertisement", in_manifest(stack, "router-advertisement"))
    stack.up()
    assert "MaxRtrAdvInterval 300;" in stack.server("cat", "/etc/radvd.conf")
    stack.preview("--refresh", "--expect-no-changes")


def test_killed_inside_a_delete_and_destroy_finishes(stack: Stack) -> None:
    def gone() -> bool:
        return stack.lab.exec("server", ["test", "-e", f"{MANIFEST}/dns64.json"]).returncode != 0

    kill_inside(stack, "remove dns64", gone, "destroy", "--yes")
    stack.destroy()
    assert not stack.reachable(WEB)
    assert stack.server("ls", "/var/lib/sixstead", check=False) == ""
    assert stack.lab.counters()["foreign_mac_frames"] == 0
