"""SIGKILL to every process of a run, inside the create of each kind after the host changed and before the checkpoint.

The provider process is stopped as soon as it has sent its request, the host finishes what it was asked for, then all
processes are killed: so the answer is never seen. The next run is killed at the next point, and the last one finishes.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable

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
    kill_inside_first(stack, {request: settled}, *arguments)


def kill_inside_first(stack: Stack, requests: dict[str, Callable[[], bool]], *arguments: str) -> str:
    """The same inside whichever of these requests is sent first; returns which it was."""
    stack.cost()
    process = stack.start(*(arguments or ("up", "--yes", "--skip-preview")), "--parallel", "1")
    try:
        provider, request = sender(stack, requests, process.poll)
        os.kill(provider, signal.SIGSTOP)
        wait_until(requests[request], 120, f"the host did not carry out {request}")
    finally:
        kill_group(process)
    if stack.engine == "pulumi":
        stack.run("cancel", "--yes")
    return request


def sender(stack: Stack, requests: Iterable[str], ended: Callable[[], int | None]) -> tuple[int, str]:
    """The process that sends one of these requests, as soon as it has, and which."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if stack.cost_file.exists():
            for line in stack.cost_file.read_text().splitlines():
                pid, _, what = line.split(maxsplit=2)
                for request in requests:
                    if what.startswith(request):
                        return int(pid), request
        assert ended() is None, f"the run ended before it sent any of {', '.join(requests)}"
        time.sleep(0.002)
    raise AssertionError(f"none of {', '.join(requests)} was sent")


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


def test_killed_inside_the_create_of_each_other_kind(stack: Stack) -> None:
    left = {request: in_manifest(stack, key) for key, request in CREATES.items() if key != "packages"}
    while left:
        request = kill_inside_first(stack, left)
        del left[request]
        key = request.removeprefix("converge ")
        assert not any(r.get("id") == key for r in stack.deployment()["resources"]), request
        if key == "guest web":
            pids.update(processes(stack))


def test_the_next_up_finishes_with_nothing_lost_or_made_twice(stack: Stack) -> None:
    stack.up()
    assert sorted(set(names(stack))) == sorted(names(stack))
    # pulumi keeps them, with a warning, until `refresh --clear-pending-creates`
    assert stack.engine == "pulumi" or not stack.deployment().get("pending_operations")
    answers_everything(stack)
    assert processes(stack) == pids
    assert stack.server("virsh", "-q", "list", "--all", "--name").split() == ["web"]
    stack.preview("--refresh", "--expect-no-changes")
    leftovers = stack.server(
        "sh", "-c", "ls /var/lib/sixstead; systemctl list-timers --all --no-legend | grep sixstead; true"
    )
    assert set(leftovers.split()) <= {"before", "holder", "manifest", "network.json", "restore", "stale"}


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
