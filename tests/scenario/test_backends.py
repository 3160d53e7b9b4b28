"""The same on each backend, and the switch to the new network loses no packet.

The server is found with a /26, which the stack makes a /32, as `init` does at Hetzner: with its last address an interface
loses its IPv4 routes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
import yaml

from tests.scenario.harness import LAB_STACK, SERVER4, SERVER6, WEB, Stack, answers, armed, merged, wait_until, watched
from tests.scenario.snapshot import assert_brought_back, install_alone, look
from tests.scenario.test_kills import kill_inside
from tests.scenario.test_life import answers_everything

CELLS = [("ifupdown", "routed"), ("networkd", "routed"), ("netplan", "on-link")]
"""Which kind of hoster each is tried with."""
EVERY = [(backend, delivery) for backend in ("ifupdown", "networkd", "netplan") for delivery in ("routed", "on-link")]
FILES = {
    "ifupdown": "/etc/network/interfaces",
    "networkd": "/etc/systemd/network/0-sixstead-eth0.network",
    "netplan": "/etc/netplan/90-sixstead-eth0.yaml",
}
LATE_BRIDGE_FILE = "/etc/systemd/system/late-bridge.service"
LATE_BRIDGE = """[Unit]
After=networking.service systemd-networkd.service
Before=libvirtd.service
[Service]
Type=forking
ExecStart=/bin/sh -c 'until {remove}; do sleep 0.01; done; (sleep 4; {make}) &'
[Install]
WantedBy=multi-user.target
"""
LATE = {
    "ifupdown": ("ifdown br-main", "ifup br-main"),
    **dict.fromkeys(("networkd", "netplan"), ("ip link delete br-main", "systemctl restart systemd-networkd")),
}
LONGEST_MS = 500
pristine: dict[str, Any] = {}
packaged: dict[str, Any] = {}


@pytest.fixture(scope="module", params=EVERY if os.environ.get("TEST_ALL") else CELLS, ids="-".join)
def cell(request: pytest.FixtureRequest) -> tuple[str, str]:
    backend, delivery = request.param
    return backend, delivery


@pytest.fixture(scope="module")
def backend(cell: tuple[str, str]) -> str:
    return cell[0]


@pytest.fixture(scope="module")
def stack(cell: tuple[str, str], make_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    backend, delivery = cell
    document = yaml.safe_load(LAB_STACK.read_text())
    document["config"]["sixstead:server"]["backend"] = backend
    document["config"]["sixstead:uplink"]["ipv4"]["address"] = f"{SERVER4}/26"
    like = Path(tmp_path_factory.mktemp(backend)) / f"Pulumi.{backend}.yaml"
    like.write_text(yaml.safe_dump(document))
    made = make_stack("embedded", up={"like": str(like), "delivery": delivery})
    prefixes = {"main": merged(made.config["prefixes"]["main"], delivery=delivery)}
    guests = {"web": made.config["guests"]["web"]}
    made.write(server=merged(made.config["server"], backend=backend), prefixes=prefixes, guests=guests)
    packaged.update(install_alone(made))
    pristine.update(look(made))
    return made


def test_another_backend_than_the_servers_is_refused_before_the_first_write(stack: Stack, backend: str) -> None:
    right = stack.config["server"]
    other = "networkd" if backend == "ifupdown" else "ifupdown"
    stack.write(server=merged(right, backend=other))
    refused = stack.up(check=False)
    stack.write(server=right)
    assert refused.code != 0
    assert f"the stack's config says {other}, the server uses {backend}; nothing was changed" in refused.text
    assert_brought_back(pristine, stack, packaged)


def test_a_guest_answers_and_the_server_never_stopped_to(stack: Stack) -> None:
    assert not stack.reachable(WEB)
    with watched(stack) as gaps:
        stack.up()
    answers_everything(stack)
    stack.preview("--refresh", "--expect-no-changes")
    assert max(gaps.values()) < LONGEST_MS


def test_after_a_reboot_all_answers_without_an_up(stack: Stack) -> None:
    stack.guest("web", "sh", "-c", "mount -o remount,async /disk; echo not yet on the disk > /disk/written")
    stack.lab.reboot()
    answers_everything(stack)
    assert stack.guest("web", "cat", "/disk/written") == "not yet on the disk\n", "the guest was not shut down"
    stack.preview("--refresh", "--expect-no-changes")


def test_a_guest_starts_although_its_bridge_comes_late_at_boot(stack: Stack, backend: str) -> None:
    remove, make = LATE[backend]
    unit = LATE_BRIDGE.format(remove=remove, make=make)
    stack.server("sh", "-c", f"echo {quote(unit)} > {LATE_BRIDGE_FILE} && systemctl --quiet enable late-bridge")
    stack.lab.reboot()
    stack.server("sh", "-c", f"systemctl --quiet disable late-bridge; rm {LATE_BRIDGE_FILE}")
    answers_everything(stack)


def test_a_file_edited_and_an_address_removed_are_shown_and_mended(stack: Stack, backend: str) -> None:
    stack.server("sh", "-c", f"echo '# by hand' >> {FILES[backend]}")
    stack.server("ip", "-6", "address", "delete", f"{SERVER6}/64", "dev", "br-main")
    seen = stack.preview("--refresh", "--diff")
    assert seen.shows("-", "# by hand"), seen.text
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")
    answers_everything(stack)


def test_a_wrong_gateway_is_undone(stack: Stack) -> None:
    right = stack.config["prefixes"]
    before = stack.server("ip", "-6", "route", "show", "default")
    stack.write(prefixes={"main": merged(right["main"], gateway="fe80::99")})
    done = stack.up(check=False)
    stack.write(prefixes=right)
    assert done.code != 0
    assert "the network change was undone: after the change the gateway" in done.text, done.text
    wait_until(lambda: stack.server("ip", "-6", "route", "show", "default") == before, 60, "the owner is locked out")
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_a_destroy_that_nobody_confirmed_is_undone_and_can_be_done_again(stack: Stack, backend: str) -> None:
    firewall = ["test", "-e", "/etc/sixstead/firewall.nft"]
    gone = lambda: stack.lab.exec("server", firewall).returncode != 0  # noqa: E731
    kill_inside(stack, "network", gone, "destroy", "--yes", "--skip-preview")
    wait_until(lambda: not armed(stack), 60, "the destroy still waits")
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)
    assert stack.server("systemctl", "is-enabled", "sixstead-firewall.service").strip() == "enabled"
    stack.lab.reboot()
    assert "policy drop" in stack.server("nft", "list", "table", "inet", "sixstead")


def test_destroy_brings_back_what_was_there(stack: Stack) -> None:
    with watched(stack) as gaps:
        stack.destroy()
    assert max(gaps.values()) < LONGEST_MS
    assert_brought_back(pristine, stack, packaged)
    stack.lab.reboot()
    assert_brought_back(pristine, stack, packaged)
    assert stack.lab.counters()["foreign_mac_frames"] == 0
