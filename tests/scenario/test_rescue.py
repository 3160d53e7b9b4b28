"""The way back through a rescue system: the root of the server that is off, as this machine sees it, is put right.

Each lock-out is first shown to last over a reboot.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import LabError
from providers.host.agent.script import text_of
from providers.host.bundle import bundle
from tests.scenario.harness import SERVER4, SERVER6, Run, Stack, answers, armed, merged
from tests.scenario.test_kills import kill_inside

INTERFACES = "/etc/network/interfaces"
SCRIPT = "/var/lib/sixstead/restore"
BROKEN = "auto lo\niface lo inet loopback\n# by hand\n"
BOOT_SECONDS = 15
"""A server that can be reached answers after three."""
READ_ONLY = """
for place in / /run /tmp /var /dev /dev/shm /proc /sys; do
    if mountpoint --quiet $place; then mount -o remount,bind,ro $place || exit 99; fi
done
touch /var/tmp/sixstead-can-write 2>/dev/null && exit 99
exec "$@"
"""
pristine: dict[str, str] = {}


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.write(guests={}, images={})
    pristine[INTERFACES] = made.server("cat", INTERFACES)
    made.up()
    return made


def disk(stack: Stack) -> Path:
    """The server's root."""
    return stack.lab.state / "disk"


def rescued(stack: Stack, *options: str) -> Run:
    """Run the server's script as a rescue system does, where nothing but the server's disk can be written."""
    root = str(disk(stack))
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-c", READ_ONLY, "sh"]
    argv += ["python3", f"{root}{SCRIPT}", "--root", root, *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return Run(done.returncode, done.stdout)


def written(stack: Stack) -> dict[str, tuple[int, int, str]]:
    """Every file and link of /etc and /var/lib/sixstead, with what shows that it was written anew."""
    found = {}
    for place in ("etc", "var/lib/sixstead"):
        for path in sorted((disk(stack) / place).rglob("*")):
            status = path.lstat()
            found[str(path)] = status.st_ino, status.st_mtime_ns, str(path.readlink()) if path.is_symlink() else ""
    return found


def assert_locked_out_after_a_boot(stack: Stack) -> None:
    with pytest.raises(LabError, match="SSH on"):
        stack.lab.power_on(within=BOOT_SECONDS)
    assert stack.server("systemctl", "is-system-running", "--wait", check=False).strip() in ("running", "degraded")
    assert not answers(stack, SERVER4)
    assert not answers(stack, SERVER6)
    stack.lab.cut_power()


def assert_reachable_after_a_boot(stack: Stack) -> None:
    stack.lab.power_on()
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)


def test_the_script_is_there_for_root_alone(stack: Stack) -> None:
    assert stack.server("stat", "-c", "%a %U:%G", SCRIPT).strip() == "700 root:root"
    assert stack.server("cat", SCRIPT) == text_of(bundle())


def test_on_the_running_server_it_tells_what_it_would_put_back(stack: Stack) -> None:
    said = Run(0, stack.server(SCRIPT))
    assert said.shows("No network change waits for its confirmation")
    assert said.shows(INTERFACES, "put back")
    assert said.shows("link br-main", "removed")
    assert said.shows("sixstead-firewall.service", "disabled, stopped")
    stack.preview("--refresh", "--expect-no-changes")


def test_a_file_broken_by_hand_is_put_back_from_the_rescue_system(stack: Stack) -> None:
    stack.server("sh", "-c", f"printf '{BROKEN}' > {INTERFACES}")
    stack.lab.cut_power()
    assert_locked_out_after_a_boot(stack)
    before = written(stack)
    told = rescued(stack)
    assert told.code == 0, told.text
    assert told.shows(INTERFACES, "put back")
    assert written(stack) == before
    done = rescued(stack, "--before")
    assert done.code == 0, done.text
    assert done.shows(INTERFACES, "put back")
    assert done.shows(f"{INTERFACES}.d/sixstead-br-main", "removed")
    assert done.shows("sixstead-firewall.service", "disabled")
    assert done.shows("umount", "boot", "up -s STACK --refresh")
    assert (disk(stack) / INTERFACES[1:]).read_text() == pristine[INTERFACES]
    kept = disk(stack) / "var/lib/sixstead/replaced" / INTERFACES.replace("/", "%2F")
    assert kept.read_text() == BROKEN
    assert not list((disk(stack) / "etc/systemd/system").glob("*.wants/sixstead-firewall.service"))
    assert_reachable_after_a_boot(stack)


def test_the_next_up_makes_it_all_again(stack: Stack) -> None:
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")
    stack.lab.cut_power()
    assert_reachable_after_a_boot(stack)
    stack.preview("--refresh", "--expect-no-changes")


def test_any_change_makes_an_older_script_this_agent_s(stack: Stack) -> None:
    stack.server("sh", "-c", f"echo 'an older one' > {SCRIPT}; systemctl stop radvd")
    steps = stack.up("--refresh").steps()
    assert "HostNetwork host-network" not in steps
    assert stack.server("cat", SCRIPT) == text_of(bundle())


def test_links_lead_nowhere_outside_and_a_second_run_writes_nothing(stack: Stack) -> None:
    stack.lab.cut_power()
    root, elsewhere = disk(stack), "/srv/sixstead-network"
    shutil.move(root / "etc/network", root / elsewhere[1:])
    (root / "etc/network").symlink_to(elsewhere)
    (root / elsewhere[1:] / "interfaces").write_text(BROKEN)
    done = rescued(stack, "--before")
    assert done.code == 0, done.text
    assert (root / elsewhere[1:] / "interfaces").read_text() == pristine[INTERFACES]
    assert not Path(elsewhere).exists()
    after = written(stack)
    again = rescued(stack, "--before")
    assert again.code == 0, again.text
    assert again.shows("there is nothing to put back")
    assert written(stack) == after
    (root / "etc/network").unlink()
    shutil.move(root / elsewhere[1:], root / "etc/network")
    assert_reachable_after_a_boot(stack)
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_an_unconfirmed_change_whose_boot_unit_is_gone_is_undone(stack: Stack) -> None:
    right = {name: stack.config[name] for name in ("uplink", "prefixes")}
    ours = stack.server("cat", INTERFACES)
    stack.write(
        uplink=merged(right["uplink"], ipv4=merged(right["uplink"]["ipv4"], gateway="192.0.2.99")),
        prefixes={"main": merged(right["prefixes"]["main"], gateway="fe80::99")},
    )
    applied = ["sh", "-c", "ip -6 route show default | grep -q fe80::99 && ip route | grep -q 'default via 192.0.2.99'"]
    kill_inside(stack, "network", lambda: stack.lab.exec("server", applied).returncode == 0)
    stack.write(**right)
    assert armed(stack)
    stack.lab.cut_power()
    assert "fe80::99" in (disk(stack) / INTERFACES[1:]).read_text()
    for place in ("", "sysinit.target.wants/"):
        (disk(stack) / f"etc/systemd/system/{place}sixstead-restore.service").unlink()
    assert_locked_out_after_a_boot(stack)
    done = stack.run("restore", "--root", str(disk(stack)))
    assert done.shows("A network change waits for its confirmation; it is undone")
    assert done.shows(INTERFACES, "put back")
    assert (disk(stack) / INTERFACES[1:]).read_text() == ours
    assert_reachable_after_a_boot(stack)
    assert not armed(stack)
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_on_the_running_server_the_network_from_before_comes_back_at_once(stack: Stack) -> None:
    said = stack.server(SCRIPT, "--before")
    assert Run(0, said).shows("link br-main", "removed"), said
    assert stack.server("cat", INTERFACES) == pristine[INTERFACES]
    assert stack.lab.exec("server", ["ip", "link", "show", "dev", "br-main"]).returncode != 0
    assert "sixstead" not in stack.server("nft", "list", "tables")
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_with_the_last_resource_all_goes_but_the_copies_of_the_owner_s_edits(stack: Stack) -> None:
    stack.destroy()
    assert stack.server("ls", "-A", "/var/lib/sixstead").split() == ["replaced"]
