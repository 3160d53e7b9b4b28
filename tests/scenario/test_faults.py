"""The fault table: what is done to a network change, how soon it was noticed, how long the server could not be reached.

Each ends with the server reachable over both families, without a human, the guest answering, nothing left armed, and the
next correct `up` clean. `make faults` prints the table. Faults that no config can say are put into the sections that the
host network gets; those that are refused by the settings are in tests/unit.
"""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components.server import members
from providers.host.agent.facets import State
from providers.host.errors import ServerError
from providers.host_network import HostNetworkProvider
from settings import parse
from tests.scenario.harness import SERVER4, SERVER6, WEB, Stack, answers, armed, kill_group, merged, wait_until, watched
from tests.scenario.test_kills import sender

SECONDS = 60
"""The longest that a server may stay unreachable."""
FIREWALL = "/etc/sixstead/firewall.nft"
ANOTHER_PREFIX = "2001:db8:66::/96"
table: list[str] = []


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = make_stack("embedded")
    made.write(guests={"web": made.config["guests"]["web"]})
    made.up()
    yield made
    print(f"\n{'fault':<52}{'noticed':>10}{'IPv4 gap':>10}{'IPv6 gap':>10}", *table, sep="\n")


def survives(stack: Stack, fault: str, do: Callable[[], None]) -> None:
    """Do it; then the server and its guest must come back by themselves, and the next `up` must be clean."""
    right = copy.deepcopy(stack.config)
    with watched(stack) as gaps:
        began = time.monotonic()
        do()
        noticed = time.monotonic() - began
        stack.write(**right)
        both = lambda: answers(stack, SERVER4) and answers(stack, SERVER6)  # noqa: E731
        wait_until(both, SECONDS, f"{fault}: the owner is locked out")
        wait_until(lambda: not armed(stack), SECONDS, f"{fault}: the change still waits for its confirmation")
        wait_until(both, SECONDS, f"{fault}: the owner is locked out")
    table.append(
        f"{fault:<52}{noticed:>8.1f} s{gaps[SERVER4] / 1000:>8.2f} s{gaps[SERVER6] / 1000:>8.2f} s",
    )
    assert max(gaps.values()) < SECONDS * 1000
    assert stack.reachable(WEB, 60)
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


# Wrong lines in the config


def changed(stack: Stack, section: str, **changes: Any) -> dict[str, Any]:
    config = stack.config[section]
    if section == "prefixes":
        return {section: {"main": merged(config["main"], **changes)}}
    return {section: merged(config, **changes)}


CONFIG: dict[str, Callable[[Stack], dict[str, Any]]] = {
    "wrong IPv4 gateway": lambda s: changed(s, "uplink", ipv4=merged(s.config["uplink"]["ipv4"], gateway="192.0.2.99")),
    "wrong IPv4 address": lambda s: changed(
        s, "uplink", ipv4=merged(s.config["uplink"]["ipv4"], address="192.0.2.77/32")
    ),
    "wrong IPv6 gateway": lambda s: changed(s, "prefixes", gateway="fe80::99"),
    "wrong prefix": lambda s: changed(s, "prefixes", prefix="2001:db8:bad::/64"),
    "wrong uplink name": lambda s: changed(s, "uplink", name="eth9"),
    "wrong uplink MAC": lambda s: changed(s, "uplink", mac="52:54:00:aa:00:99"),
}


@pytest.mark.parametrize("fault", CONFIG)
def test_a_wrong_line_of_the_config_is_undone(stack: Stack, fault: str) -> None:
    def do() -> None:
        stack.write(**CONFIG[fault](stack))
        done = stack.up(check=False)
        assert done.code != 0, done.text
        assert "undone" in done.text, done.text
        assert "Traceback" not in done.text, done.text

    survives(stack, fault, do)


# Wrong sections


def sections(stack: Stack) -> dict[str, State]:
    lists = (stack.lab.state / "SHA512SUMS").read_text()
    settings = parse(stack.config, stack.name, lambda name: lists)
    return {member.key: member.state for member in members(settings)}


def applied(stack: Stack, change: Callable[[dict[str, State]], None]) -> None:
    """Apply sections that no config makes, as the host network applies them."""
    right = sections(stack)
    wrong = copy.deepcopy(right)
    change(wrong)
    provider = HostNetworkProvider()
    provider.config = stack.config.get
    params = {"confirm_at": [SERVER4, SERVER6]}
    try:
        provider.transact(wrong, right, params, [])
    finally:
        if session := provider.host.session:
            session.close()


def firewall(old: str, new: str) -> Callable[[dict[str, State]], None]:
    """Another line in the firewall's file."""

    def change(wrong: dict[str, State]) -> None:
        text = wrong["firewall"]["files"][FIREWALL]
        assert old in text
        wrong["firewall"]["files"][FIREWALL] = text.replace(old, new)

    return change


def without_default_route(wrong: dict[str, State]) -> None:
    route = "IPv6 default dev eth0"
    wrong["uplink"]["routes"][route] = "via fe80::bad"


SECTIONS: dict[str, Callable[[dict[str, State]], None]] = {
    "SSH closed by the firewall": firewall("tcp dport 22 ", "tcp dport 2222 "),
    "ICMPv6 dropped": firewall('\t\tiif "lo" accept', "\t\tmeta l4proto ipv6-icmp drop"),
    "a firewall file that nft refuses": firewall("tcp dport 22 ", "tcp doprt 22 "),
    "a default route through nobody": without_default_route,
}


@pytest.mark.parametrize("fault", SECTIONS)
def test_a_wrong_section_is_undone(stack: Stack, fault: str) -> None:
    def do() -> None:
        with pytest.raises(ServerError) as raised:
            applied(stack, SECTIONS[fault])
        assert any(word in str(raised.value) for word in ("undone", "nothing was changed"))

    survives(stack, fault, do)


# Things that happen in the middle


def with_another_prefix(stack: Stack) -> None:
    network = stack.config["networks"]["main"]
    stack.write(networks={"main": merged(network, nat64={"prefix": ANOTHER_PREFIX})})


def is_applied(stack: Stack) -> bool:
    command = f"nft list table inet sixstead | grep -q {ANOTHER_PREFIX.removesuffix('/96')}"
    return stack.lab.exec("server", ["sh", "-c", command]).returncode == 0


def agents(stack: Stack) -> list[str]:
    found: str = stack.lab.exec("server", ["pgrep", "-f", "SIXSTEAD"]).stdout.decode()
    return found.split()


def in_the_middle(stack: Stack, do: Callable[[subprocess.Popen[str], int], None], *arguments: str) -> None:
    """Start an `up` with a change of the network, and do something once its request was sent."""
    if not arguments:
        with_another_prefix(stack)
    stack.cost()
    process = stack.start(*(arguments or ("up", "--yes", "--skip-preview")), "--parallel", "1")
    try:
        provider, _ = sender(stack, ["network"], process.poll)
        do(process, provider)
    finally:
        kill_group(process)


def stopped_when_applied(stack: Stack, provider: int) -> None:
    """Hold the operator's side until the host has made the change."""
    os.kill(provider, signal.SIGSTOP)
    wait_until(lambda: is_applied(stack), 30, "the change was not made")


def test_the_operator_is_killed_as_soon_as_the_change_is_asked_for(stack: Stack) -> None:
    survives(
        stack, "operator killed while the change is made", lambda: in_the_middle(stack, lambda p, _: kill_group(p))
    )


def test_the_operator_is_killed_before_the_confirmation(stack: Stack) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        stopped_when_applied(stack, provider)
        kill_group(process)

    survives(stack, "operator killed before the confirmation", lambda: in_the_middle(stack, do))


def test_the_operator_interrupts(stack: Stack) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        os.killpg(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=120)
        assert "Traceback" not in text, text

    survives(stack, "Ctrl-C while the change is made", lambda: in_the_middle(stack, do))


def test_the_operator_freezes(stack: Stack) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        stopped_when_applied(stack, provider)
        wait_until(lambda: not armed(stack), SECONDS, "a frozen operator keeps the change")
        assert not is_applied(stack)

    survives(stack, "operator frozen before the confirmation", lambda: in_the_middle(stack, do))


def test_the_agent_is_killed(stack: Stack) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        wait_until(lambda: armed(stack), 30, "nothing was armed")
        stack.lab.exec("server", ["kill", "-KILL", *agents(stack)])
        text, _ = process.communicate(timeout=120)
        assert process.returncode != 0, text
        assert "Traceback" not in text, text

    survives(stack, "agent killed while the change is made", lambda: in_the_middle(stack, do))


def test_the_power_fails(stack: Stack) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        stopped_when_applied(stack, provider)
        kill_group(process)
        stack.lab.cut_power()
        stack.lab.power_on()

    survives(stack, "power cut before the confirmation", lambda: in_the_middle(stack, do))


def test_the_operator_is_killed_in_a_destroy(stack: Stack) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        os.kill(provider, signal.SIGSTOP)
        gone = lambda: stack.lab.exec("server", ["test", "-e", FIREWALL]).returncode != 0  # noqa: E731
        wait_until(gone, 30, "the network was not given back")
        kill_group(process)

    guests = copy.deepcopy(stack.config["guests"])
    stack.write(guests={})
    stack.up()
    stack.config["guests"] = guests
    fault = "operator killed in a destroy"
    right = copy.deepcopy(stack.config)
    with watched(stack) as gaps:
        began = time.monotonic()
        in_the_middle(stack, do, "destroy", "--yes", "--skip-preview")
        noticed = time.monotonic() - began
        wait_until(lambda: not armed(stack), SECONDS, "the change still waits for its confirmation")
    stack.write(**right)
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)
    table.append(f"{fault:<52}{noticed:>8.1f} s{gaps[SERVER4] / 1000:>8.2f} s{gaps[SERVER6] / 1000:>8.2f} s")
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")
    assert stack.reachable(WEB, 60)


# Where the agent can't write


def test_nothing_is_changed_where_its_undoing_cannot_be_written_down(stack: Stack) -> None:
    def do() -> None:
        stack.server("mount", "--bind", "/var/lib/sixstead", "/var/lib/sixstead")
        stack.server("mount", "-o", "remount,ro,bind", "/var/lib/sixstead")
        with_another_prefix(stack)
        done = stack.up(check=False)
        stack.server("umount", "/var/lib/sixstead")
        assert done.code != 0
        assert "Read-only file system" in done.text, done.text
        assert "Traceback" not in done.text, done.text
        assert not is_applied(stack)

    survives(stack, "/var/lib/sixstead read-only", do)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_an_operator_with_one_family_causes_no_roll_back(stack: Stack, family: str) -> None:
    network = stack.config["networks"]["main"]
    last = "67" if family == "ipv4" else "68"
    right = stack.config["server"]
    stack.lab.cut(family)
    try:
        stack.write(networks={"main": merged(network, nat64={"prefix": f"2001:db8:{last}::/96"})})
        if family == "ipv4":
            with_ipv6 = merged(stack.config["server"], ssh=merged(stack.config["server"]["ssh"], host=SERVER6))
            stack.write(server=with_ipv6)
        stack.up()
    finally:
        stack.lab.restore(family)
        stack.write(server=right)
    assert f"2001:db8:{last}::" in stack.server("nft", "list", "table", "inet", "sixstead")
    stack.preview("--refresh", "--expect-no-changes")
