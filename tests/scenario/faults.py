"""Faults of a network change: each must end with the server reachable over both families, without a human, the guest
answering, nothing left armed, and the next correct `up` clean.
"""

from __future__ import annotations

import copy
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

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
    columns = f"{'noticed':>10}{'restored':>10}{'IPv4 gap':>10}{'IPv6 gap':>10}{'lost':>6}"
    print(f"\n{'fault':<52}{columns}", *table, sep="\n")


@contextmanager
def connected(stack: Stack) -> Iterator[list[str]]:
    """Hold an SSH connection to each address of the server; afterwards the addresses whose connection was lost."""
    lost: list[str] = []
    with ExitStack() as stacked:
        held = {}
        for address in (SERVER4, SERVER6):
            command = ["ssh", "-F", str(stack.lab.state / "ssh_config"), address, "cat"]
            held[address] = stacked.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
                )
            )
        assert all(echoes(process) for process in held.values())
        yield lost
        lost += [address for address, process in held.items() if not echoes(process)]
        for process in held.values():
            process.kill()


def echoes(process: subprocess.Popen[bytes], seconds: float = 20) -> bool:
    """Whether a line that goes there comes back."""
    assert process.stdin
    assert process.stdout
    with suppress(BrokenPipeError):
        process.stdin.write(b"there?\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return bool(ready) and bool(process.stdout.readline())
    return False


@dataclass
class Measured:
    """One line of the table: seconds, and how many of two connections were lost."""

    noticed: float
    restored: float
    gaps: dict[str, float]
    lost: list[str]

    def line(self, fault: str) -> str:
        """As it is printed."""
        times = (self.noticed, self.restored, self.gaps[SERVER4] / 1000, self.gaps[SERVER6] / 1000)
        return f"{fault:<52}" + "".join(f"{seconds:>8.2f} s" for seconds in times) + f"{len(self.lost):>6}"


def measured(stack: Stack, fault: str, do: Callable[[], None]) -> Measured:
    """Do it; then the server must come back by itself. `restored` counts from the beginning, as `noticed` does."""
    right = copy.deepcopy(stack.config)
    with connected(stack) as lost, watched(stack) as gaps:
        began = time.monotonic()
        try:
            do()
        finally:
            noticed = time.monotonic() - began
            stack.write(**right)
        both = lambda: answers(stack, SERVER4) and answers(stack, SERVER6)  # noqa: E731
        wait_until(both, SECONDS, f"{fault}: the owner is locked out")
        wait_until(lambda: not armed(stack), SECONDS, f"{fault}: the change still waits for its confirmation")
        wait_until(both, SECONDS, f"{fault}: the owner is locked out")
        restored = time.monotonic() - began
    found = Measured(noticed, restored, gaps, lost)
    table.append(found.line(fault))
    assert max(gaps.values()) < SECONDS * 1000
    return found


def survives(stack: Stack, fault: str, do: Callable[[], None]) -> Measured:
    """Do it; then the server and its guest must come back by themselves, and the next `up` must be clean."""
    found = measured(stack, fault, do)
    assert stack.reachable(WEB, 60)
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")
    return found


def settings_of(stack: Stack, config: Mapping[str, Any] | None = None) -> Settings:
    """Of the stack's own config, or of another one on its lab."""
    lists = (stack.lab.state / "SHA512SUMS").read_text()
    return parse(stack.config if config is None else config, stack.name, lambda name: lists)


def sections_of(settings: Settings) -> dict[str, State]:
    return {member.key: member.state for member in members(settings)}


def sections(stack: Stack) -> dict[str, State]:
    return sections_of(settings_of(stack))


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
