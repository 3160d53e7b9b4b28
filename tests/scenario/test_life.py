"""A server's whole life on a hoster that routes the prefix: the tests run in this order, each on what the last one left."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.conftest import ENGINES
from tests.scenario.harness import MAIL, WEB, Run, Stack, merged
from tests.scenario.snapshot import assert_brought_back, install_alone, look

PACKAGES = ("radvd", "tayga", "unbound", "nftables", "libvirt-daemon-system", "qemu-system-x86")
pristine: dict[str, Any] = {}
packaged: dict[str, Any] = {}


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    for found in (pristine, packaged):
        found.clear()
    packaged.update(install_alone(made))
    return made


def answers_everything(stack: Stack, guest: str = "web", address: str = WEB) -> None:
    """Item 2: the internet reaches the guest, and the guest both internets, the IPv4-only one by name."""
    assert stack.reachable(address, 60)
    page = stack.internet("curl", "-sS", "--max-time", "10", f"http://[{WEB}]/")
    assert page.strip() == "hello from web"
    assert (
        stack.guest(guest, "wget", "-q", "-T", "10", "-O", "-", "http://v6.example/").strip() == "hello from v6.example"
    )
    v4 = stack.guest(guest, "wget", "-q", "-T", "10", "-O", "-", "http://v4only.example/")
    assert v4.strip() == "hello from v4only.example"


def modified(stack: Stack) -> str:
    """When each file on the server that could be ours was written last."""
    return stack.server("sh", "-c", "find /etc /var/lib/sixstead /var/lib/libvirt -type f -printf '%p %T@\\n' | sort")


def processes(stack: Stack) -> dict[str, str]:
    """The guests' QEMU processes, by guest: another number is a restart."""
    pids = stack.server("sh", "-c", "grep -H . /run/libvirt/qemu/*.pid").split()
    return {line.split("/")[-1].split(".pid:")[0]: line.split(":")[-1] for line in pids}


def test_before_up_nothing_answers_and_no_package_is_there(stack: Stack) -> None:
    pristine.update(look(stack))
    assert not stack.reachable(WEB)
    installed = set(pristine["packages"])
    assert installed.isdisjoint(PACKAGES)


def test_preview_names_every_resource_and_the_address_and_opens_no_connection(stack: Stack) -> None:
    shown = stack.preview()
    assert f'address: "{WEB}"' in shown.text.replace("address ", "address")
    assert shown.steps()["HostNetwork host-network"] == "create"
    assert shown.steps()["Guest web"] == "create"
    assert stack.cost() == []


def test_up_makes_the_guests_answer_at_the_address_that_preview_printed(stack: Stack) -> None:
    stack.up()
    answers_everything(stack)
    outputs = json.loads(stack.run("outputs").text)
    assert outputs["guests"]["web"]["address"] == WEB
    assert {"name": "web", "type": "AAAA", "ttl": 300, "value": WEB} in outputs["records"]
    assert set(look(stack)["packages"]).issuperset(PACKAGES)


def test_a_port_that_is_not_open_is_closed_to_the_internet(stack: Stack) -> None:
    closed = stack.lab.exec("internet", ["curl", "-sS", "--max-time", "2", f"http://[{MAIL}]/"])
    assert closed.returncode != 0
    assert stack.server("curl", "-sSg", "--max-time", "10", f"http://[{MAIL}]/").strip() == "hello from mail"
    nat64 = stack.lab.exec("internet", ["ping", "-c1", "-W1", "2001:db8:64::cb00:710a"])
    assert nat64.returncode != 0


def test_a_second_up_changes_nothing_and_touches_no_file(stack: Stack) -> None:
    stamps = modified(stack)
    stack.cost()
    second = stack.up("--expect-no-changes")
    assert second.steps() == {}
    assert modified(stack) == stamps
    assert stack.cost() == []


def test_a_refresh_finds_nothing_and_touches_no_file(stack: Stack) -> None:
    stamps = modified(stack)
    stack.cost()
    stack.preview("--refresh", "--expect-no-changes")
    assert modified(stack) == stamps
    cost = stack.cost()
    assert [line for line in cost if line.startswith("connection")] == ["connection 192.0.2.10"]
    assert len([line for line in cost if line.startswith("exchange")]) <= 5


if len(ENGINES) > 1:

    def test_the_other_engine_shows_no_change_either(stack: Stack) -> None:
        own = stack.engine
        for engine in ENGINES:
            stack.engine = engine
            stack.preview("--expect-no-changes")
            stack.up("--refresh", "--expect-no-changes")
        stack.engine = own


DRIFTS = {
    "a file edited": ("echo '# by hand' >> /etc/radvd.conf", "RouterAdvertisement", "by hand"),
    "a file removed": ("rm /etc/sixstead/nat64.conf", "Nat64", "nat64.conf"),
    "a unit stopped": ("systemctl stop unbound", "Dns64", "stopped"),
    "a unit disabled": ("systemctl disable -q radvd", "RouterAdvertisement", "disabled"),
    "a sysctl turned": ("sysctl -q -w net.ipv6.conf.all.forwarding=0", "Forwarding", "net.ipv6.conf.all.forwarding"),
    "an address removed": ("ip address del 2001:db8:1::2/64 dev br-main", "Bridge", "2001:db8:1::2/64"),
    "a rule removed": ("nft flush chain inet sixstead postrouting", "Firewall", "masquerade"),
    "a guest shut off": ("virsh -q destroy web", "Guest", "shut off"),
    "a guest undefined": ("virsh -q destroy mail; virsh -q undefine mail --nvram", "Guest", "domains"),
}


def test_each_drift_is_shown_and_mended(stack: Stack) -> None:
    stack.guest("web", "sh", "-c", "echo kept > /disk/marker; sync")
    stack.guest("mail", "sh", "-c", "echo kept > /disk/marker; sync")
    for command, _, _ in DRIFTS.values():
        stack.server("sh", "-c", command)
    shown = stack.preview("--refresh", "--diff")
    for drift, (_, kind, words) in DRIFTS.items():
        assert kind in shown.text, f"{drift}: {kind} is not in\n{shown.text}"
        assert words in shown.text, f"{drift}: {words} is not in\n{shown.text}"
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")
    answers_everything(stack)
    assert stack.guest("web", "cat", "/disk/marker").strip() == "kept"
    assert stack.guest("mail", "cat", "/disk/marker").strip() == "kept"


BY_HAND = """
echo '# by hand' >> /etc/network/interfaces
ip addr add 2001:db8:1::99/128 dev eth0
"""


def test_an_up_leaves_what_somebody_did_by_hand_where_its_preview_did_not_show_it(stack: Stack) -> None:
    stack.server("sh", "-c", BY_HAND)
    was = stack.config["guests"]
    stack.write(guests=merged(was, web=merged(was["web"], open={"tcp": [80, 81]})))
    steps, done = previewed_and_done(stack)
    assert "Uplink uplink" not in steps
    assert done.shows("changed by hand, and left so", "files /etc/network/interfaces", "addresses eth0"), done.text
    assert "# by hand" in stack.server("cat", "/etc/network/interfaces")
    assert "2001:db8:1::99" in stack.server("ip", "addr", "show", "dev", "eth0")
    assert "81" in stack.server("nft", "list", "table", "inet", "sixstead")
    assert "# by hand" in stack.preview("--refresh", "--diff").text
    stack.write(guests=was)
    stack.up("--refresh")
    assert "2001:db8:1::99" not in stack.server("ip", "addr", "show", "dev", "eth0")
    stack.preview("--refresh", "--expect-no-changes")


def test_after_a_reboot_all_answers_without_an_up(stack: Stack) -> None:
    stack.lab.reboot()
    answers_everything(stack)
    said = stack.server("journalctl", "--boot=-1", "--unit=libvirt-guests", "--output=cat")
    for guest in ("mail", "web"):
        assert f"Domain '{guest}' is being shutdown" in said, said
    stack.preview("--refresh", "--expect-no-changes")


def previewed_and_done(stack: Stack) -> tuple[dict[str, str], Run]:
    """The steps of an up, after checking that its preview named the same."""
    named = stack.preview().steps()
    done = stack.up()
    assert done.steps() == named
    return named, done


def test_a_second_rdnss_changes_the_router_advertisement_alone(stack: Stack) -> None:
    pids = processes(stack)
    network = merged(stack.config["networks"]["main"], ra={"rdnss": ["2001:db8:1::2", "2001:db8:ffff::53"]})
    stack.write(networks={"main": network})
    shown = stack.preview("--diff")
    assert shown.shows("+", "RDNSS 2001:db8:1::2 2001:db8:ffff::53")
    steps, _ = previewed_and_done(stack)
    assert steps == {"RouterAdvertisement router-advertisement": "update"}
    assert "2001:db8:ffff::53" in stack.server("cat", "/etc/radvd.conf")
    assert processes(stack) == pids


def memory(stack: Stack, guest: str) -> int:
    """What a guest's kernel has to give, in KiB."""
    return int(stack.guest(guest, "sed", "-n", "s/MemTotal: *\\([0-9]*\\) kB/\\1/p", "/proc/meminfo"))


def test_more_memory_restarts_that_guest_alone_and_says_so(stack: Stack) -> None:
    pids, before = processes(stack), memory(stack, "mail")
    stack.write(guests={**stack.config["guests"], "mail": merged(stack.config["guests"]["mail"], memory="160MiB")})
    assert "restarts guest mail" in stack.preview("--diff").text
    steps, _ = previewed_and_done(stack)
    assert steps == {"Guest mail": "update", "GuestsReady guests-ready": "update"}
    assert processes(stack)["web"] == pids["web"]
    assert processes(stack)["mail"] != pids["mail"]
    assert memory(stack, "mail") > before + 24 * 1024
    assert stack.guest("mail", "cat", "/disk/marker").strip() == "kept"


def test_a_third_guest_disturbs_nobody_and_its_removal_neither(stack: Stack) -> None:
    pids = processes(stack)
    guests = stack.config["guests"]
    stack.write(guests={**guests, "third": {"image": "tiny", "memory": "128MiB", "disk": "64MiB"}})
    steps, _ = previewed_and_done(stack)
    rules = {"Firewall firewall": "update", "HostNetwork host-network": "update"}
    assert steps == {"Guest third": "create", "GuestsReady guests-ready": "update", **rules}
    assert {name: processes(stack)[name] for name in pids} == pids
    stack.write(guests=guests)
    steps, _ = previewed_and_done(stack)
    assert steps == {"Guest third": "delete", "GuestsReady guests-ready": "update", **rules}
    assert processes(stack) == pids
    assert "third.qcow2" in stack.server("ls", "/var/lib/libvirt/images/sixstead")


def test_a_lost_state_is_taken_over_without_a_change_on_the_server(stack: Stack) -> None:
    pids, stamps = processes(stack), modified(stack)
    stack.run("stack", "rm", stack.name, "--yes", "--force", "--preserve-config", stack_options=False)
    stack.init()
    stack.up()
    assert processes(stack) == pids
    assert modified(stack) == stamps
    stack.preview("--refresh", "--expect-no-changes")


def test_destroy_brings_back_what_was_there_and_keeps_the_disks(stack: Stack) -> None:
    stack.destroy()
    assert_brought_back(pristine, stack, packaged)
    assert not stack.reachable(WEB)
    stack.lab.reboot()
    assert_brought_back(pristine, stack, packaged)
    assert "web.qcow2" in stack.server("ls", "/var/lib/libvirt/images/sixstead")


def test_another_up_adopts_the_disks_that_were_kept(stack: Stack) -> None:
    stack.up()
    answers_everything(stack)
    assert stack.guest("mail", "cat", "/disk/marker").strip() == "kept"


OWNERS = """\
<domain type='qemu'><name>owners</name><memory unit='MiB'>64</memory><os><type arch='x86_64'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>
"""


def test_the_last_guest_s_removal_leaves_the_owner_s_own_virtual_machine_running(stack: Stack) -> None:
    guests = stack.config["guests"]
    stack.server("sh", "-c", f"cat > /root/owners.xml <<'E'\n{OWNERS}E\nvirsh -q create --paused /root/owners.xml")
    stack.write(guests={})
    said = stack.up()
    assert stack.server("virsh", "list", "--name").split() == ["owners"]
    assert "libvirt-guests.service stays as it is: owners runs" in said.text, said.text
    stack.server("virsh", "-q", "destroy", "owners")
    stack.write(guests=guests)
    stack.up()


def test_no_foreign_mac_was_seen_and_one_sent_on_purpose_is(stack: Stack) -> None:
    counted = stack.lab.counters()
    assert counted["foreign_mac_frames"] == 0
    assert counted["own_mac_frames"] > 100
    stack.lab.inject_foreign_frame()
    assert stack.lab.counters()["foreign_mac_frames"] == 1
