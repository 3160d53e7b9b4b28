"""The fault table, second half: what happens in the middle of a network change. `make faults` prints it."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from providers.host.agent.facets import State
from providers.host.errors import ServerError
from tests.scenario.faults import (
    ANOTHER_PREFIX,
    FIREWALL,
    SECONDS,
    agents,
    applied,
    in_the_middle,
    is_applied,
    measured,
    show_table,
    stopped_when_applied,
    survives,
    with_another_prefix,
)
from tests.scenario.harness import SERVER4, SERVER6, WEB, Stack, answers, armed, kill_group, merged, wait_until


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = make_stack("embedded")
    made.write(guests={"web": made.config["guests"]["web"]})
    made.up()
    yield made
    show_table()


def is_written(stack: Stack) -> bool:
    """Whether the firewall's new file is in place."""
    found = ["grep", "-q", ANOTHER_PREFIX.removesuffix("/96"), FIREWALL]
    return stack.lab.exec("server", found).returncode == 0


def is_confirming(stack: Stack) -> bool:
    """Whether the confirmation is on its way."""
    return stack.cost_file.exists() and " exchange confirm" in stack.cost_file.read_text()


MOMENTS: dict[str, Callable[[Stack], bool]] = {
    "armed": armed,
    "applied": is_written,
    "verified": is_applied,
    "confirmed": is_confirming,
}

ENDINGS = [(ending, moment) for ending in ("killed", "interrupted") for moment in MOMENTS]


@pytest.mark.parametrize(("ending", "moment"), ENDINGS)
def test_the_operator_goes(stack: Stack, ending: str, moment: str) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        wait_until(lambda: MOMENTS[moment](stack), 30, f"nothing was {moment}")
        if ending == "killed":
            kill_group(process)
            return
        os.killpg(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=120)
        assert "Traceback" not in text, text

    survives(stack, f"operator {ending} while it is {moment}", lambda: in_the_middle(stack, do))


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


@pytest.mark.parametrize("moment", ["armed", "applied", "verified"])
def test_the_power_fails(stack: Stack, moment: str) -> None:
    def do(process: subprocess.Popen[str], provider: int) -> None:
        wait_until(lambda: MOMENTS[moment](stack), 30, f"nothing was {moment}")
        os.kill(provider, signal.SIGSTOP)
        stack.lab.cut_power()
        kill_group(process)
        stack.lab.power_on()

    survives(stack, f"power cut while it is {moment}", lambda: in_the_middle(stack, do))


def test_sshd_moves_to_another_port(stack: Stack) -> None:
    moved = "echo 'Port 2222' > /etc/ssh/sshd_config.d/moved.conf && systemctl restart ssh"

    def do(process: subprocess.Popen[str], provider: int) -> None:
        wait_until(lambda: armed(stack), 30, "nothing was armed")
        stack.server("sh", "-c", moved)
        text, _ = process.communicate(timeout=120)
        assert process.returncode != 0, text
        assert "it was undone" in text, text
        stack.server("sh", "-c", "rm /etc/ssh/sshd_config.d/moved.conf && systemctl restart ssh")

    survives(stack, "sshd on another port", lambda: in_the_middle(stack, do))


def test_two_operators_at_once(stack: Stack) -> None:
    """Both want another change: one after the other is made, and the server is as the later one wants it."""
    other = Stack(stack.lab, stack.folder / "other", stack.engine, copy.deepcopy(stack.config), stack.name)
    shutil.copytree(stack.folder / "state", stack.folder / "other" / "state", dirs_exist_ok=True)

    def do() -> None:
        network = stack.config["networks"]["main"]
        with_another_prefix(stack)
        other.write(networks={"main": merged(network, nat64={"prefix": "2001:db8:69::/96"})})
        both = [one.start("up", "--yes", "--skip-preview") for one in (stack, other)]
        said = [process.communicate(timeout=200)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], "\n".join(said)

    survives(stack, "two operators at once", do)


def test_the_timer_goes_by_a_clock_that_does_not_jump(stack: Stack) -> None:
    """The lab's server shares the machine's clock, so it can't be set: what the timer goes by is looked at instead."""

    def do(process: subprocess.Popen[str], provider: int) -> None:
        wait_until(lambda: armed(stack), 30, "nothing was armed")
        shown = stack.server("systemctl", "show", "sixstead-restore-timer.timer")
        assert "TimersMonotonic={ OnActiveUSec=45s" in shown, shown
        assert "TimersCalendar=" not in shown, shown
        process.communicate(timeout=120)

    right = copy.deepcopy(stack.config)
    in_the_middle(stack, do)
    stack.write(**right)
    stack.up()


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
    measured(
        stack, "operator killed in a destroy", lambda: in_the_middle(stack, do, "destroy", "--yes", "--skip-preview")
    )
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


SMALL = """
set -e
mkdir -p /small; mount -t tmpfs -o size=$1k tmpfs /small
for d in /etc/sixstead /var/lib/sixstead; do
  mkdir -p /small$d; cp -a $d/. /small$d/; mount --bind /small$d $d
done
left=$(df --output=avail -k /small | tail -1)
head -c $(( (left - $2) * 1024 )) /dev/zero > /small/filled
"""
LARGE = """
set -e
rm -f /small/filled
for d in /etc/sixstead /var/lib/sixstead; do
  umount $d; rm -rf $d/* ; cp -a /small$d/. $d/
done
umount /small; rmdir /small
"""
FREE = [0, 4, 16, 64, 128, 256, 320, 384, 416, 448, 480, 512, 640, 800]
"""KiB that are left on the disk; by turns too little for each of the files that a change writes."""


def refused(stack: Stack) -> str:
    """What is said against a change that opens another port; empty if it was made."""
    try:
        applied(stack, lambda wrong: add_a_port(wrong, 2200))
    except ServerError as error:
        return str(error)
    return ""


def test_the_disk_is_full_at_each_write(stack: Stack) -> None:
    before = stack.server("cat", FIREWALL)
    ended = []

    def one(free: int) -> bool:
        stack.server("sh", "-c", SMALL, "sh", "4096", str(free))
        try:
            said = refused(stack)
            if not said:
                return True
            assert "no space is left" in said or "No space left" in said, said
            wait_until(lambda: not armed(stack), SECONDS, f"{free} KiB: the change still waits")
            assert stack.server("cat", FIREWALL) == before
            assert answers(stack, SERVER4)
            assert answers(stack, SERVER6)
            return False
        finally:
            stack.server("sh", "-c", LARGE)

    def do() -> None:
        for free in FREE:
            ended.append(one(free))
        assert ended[0] is False
        assert ended[-1] is True

    survives(stack, "disk full at each write", do)


def add_a_port(wrong: dict[str, State], port: int) -> None:
    text = wrong["firewall"]["files"][FIREWALL]
    wrong["firewall"]["files"][FIREWALL] = text.replace("tcp dport 22 ", f"tcp dport {{ 22, {port} }} ")
