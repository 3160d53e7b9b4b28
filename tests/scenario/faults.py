"""Faults of a network change: each must end with the server reachable over both families, without a human, the guest
answering, nothing left armed, and the next correct `up` clean.
"""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import time
from collections.abc import Callable

from components.server import members
from providers.host.agent.facets import State
from providers.host_network import HostNetworkProvider, params_of
from settings import Settings, parse
from tests.scenario.harness import SERVER4, SERVER6, WEB, Stack, answers, armed, kill_group, merged, wait_until, watched
from tests.scenario.test_kills import sender

SECONDS = 60
"""The longest that a server may stay unreachable."""
FIREWALL = "/etc/sixstead/firewall.nft"
ANOTHER_PREFIX = "2001:db8:66::/96"
table: list[str] = []
"""The lines that `make faults` prints."""


def show_table() -> None:
    """Print what was measured so far."""
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


def settings_of(stack: Stack) -> Settings:
    lists = (stack.lab.state / "SHA512SUMS").read_text()
    return parse(stack.config, stack.name, lambda name: lists)


def sections(stack: Stack) -> dict[str, State]:
    return {member.key: member.state for member in members(settings_of(stack))}


def applied(stack: Stack, change: Callable[[dict[str, State]], None]) -> None:
    """Apply sections that no config makes, as the host network applies them."""
    right = sections(stack)
    wrong = copy.deepcopy(right)
    change(wrong)
    provider = HostNetworkProvider()
    provider.config = stack.config.get
    try:
        provider.transact(wrong, right, params_of(settings_of(stack)), [])
    finally:
        if session := provider.host.session:
            session.close()


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
