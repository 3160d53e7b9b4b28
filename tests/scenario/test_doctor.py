"""What `./sixstead doctor` says of a live server: nothing of a good one, and of each thing done to it what mends it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.harness import Run, Stack, armed, merged
from tests.scenario.snapshot import differences, look
from tests.scenario.test_kills import kill_inside

Said = dict[str, list[dict[str, Any]]]
SECRET = "echo root:0pen-Sesame | chpasswd"  # noqa: S105


@pytest.fixture(scope="module")
def bare(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.write(guests={}, images={})
    return made


@pytest.fixture(scope="module")
def stack(bare: Stack) -> Stack:
    bare.up()
    return bare


def findings(stack: Stack) -> Said:
    """What is found (remarks left out), by check; the exit status must agree."""
    run = stack.run("doctor", "--json", check=False)
    assert run.code in (0, 1), run.text
    said: list[dict[str, Any]] = json.loads(run.text)
    found = {one["check"]: [f for f in one["findings"] if not f["remark"]] for one in said}
    found = {check: told for check, told in found.items() if told}
    assert run.code == int(bool(found)), run.text
    return found


def command(remedy: str) -> str:
    """The command that a remedy begins with."""
    told = re.match(r"`([^`]+)`", remedy)
    assert told, remedy
    return told[1]


def everything(stack: Stack) -> dict[str, Any]:
    """All that a look sees but what the firewall counts, and each file of ours with its times."""
    found = look(stack)
    found["ruleset"] = re.sub(r"packets \d+ bytes \d+", "", found["ruleset"])
    ours = "find /var/lib/sixstead /run/sixstead* -printf '%p %s %T@ %C@\\n' | sort"
    return {**found, "ours": stack.server("sh", "-c", ours)}


def test_before_the_first_up_what_it_will_do_is_only_remarked(bare: Stack) -> None:
    run = bare.run("doctor")
    assert "Sixstead has changed nothing on this server yet" in run.text
    assert run.shows("remark", "net.ipv6.conf.all.forwarding is 0"), run.text
    assert run.shows(f"what to do: `./sixstead up -s {bare.name}` does it"), run.text
    assert "FINDING" not in run.text


def test_a_server_after_an_up_gives_no_findings(stack: Stack) -> None:
    run = stack.run("doctor")
    assert "FINDING" not in run.text
    for check in ("MAC addresses", "link-local address", "prefixes", "forwarding", "firewall", "services", "SSH login"):
        assert run.shows(f"  {check} ", " ok "), run.text


def test_doctor_changes_nothing_and_asks_once(stack: Stack) -> None:
    before = everything(stack)
    stack.cost()
    stack.run("doctor")
    asked = [line.split()[1] for line in stack.cost() if line.startswith("exchange")]
    assert asked == ["hello", "examine"]
    after = everything(stack)
    assert after["ours"] == before["ours"]
    assert differences(before, after, before) == []


def test_what_an_up_mends_is_found_and_an_up_mends_it(stack: Stack) -> None:
    for done in (
        "ip -6 address add 2001:db8:1::99/64 dev eth0",
        "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.eth0.accept_ra=2",
        "nft add rule inet sixstead input accept",
        # by these the operator is reached all the same
        "for half in 0.0.0.0/1 128.0.0.0/1; do ip route add $half via 192.0.2.1 dev eth0 onlink; done",
        "for half in ::/1 8000::/1; do ip -6 route add $half via fe80::1 dev eth0; done",
        "ip route delete default",
        "ip -6 route replace default via fe80::99 dev eth0 onlink",
        "echo garbage > /etc/radvd.conf; systemctl restart radvd; true",
    ):
        stack.server("sh", "-c", done)
    found = findings(stack)
    expected = {
        "prefixes": "2001:db8:1::99/64 is on eth0",
        "forwarding": "net.ipv4.ip_forward is 0",
        "router advertisements": "accepts router advertisements on eth0 (accept_ra is 2)",
        "redirects": "IPv4 redirects are accepted on eth0",
        "default routes": "there is no IPv4 default route",
        "firewall": "table `inet sixstead` was changed by hand",
        "services": "radvd.service has failed",
    }
    assert set(found) == set(expected)
    for check, what in expected.items():
        assert what in found[check][0]["what"]
        assert f"`./sixstead up -s {stack.name} --refresh`" in found[check][0]["remedy"]
    assert "the IPv6 default route is via fe80::99 on eth0" in found["default routes"][1]["what"]
    assert "journalctl -u radvd.service" in found["services"][0]["remedy"]
    stack.up("--refresh")
    stack.server("sh", "-c", "for half in 0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1; do ip route delete $half; done")
    assert findings(stack) == {}


@pytest.mark.parametrize(
    ("check", "done", "what", "cleared"),
    [
        ("redirects", "sysctl -w net.ipv4.conf.all.accept_redirects=1", "IPv4 redirects are accepted on eth0", ""),
        ("link-local address", "sysctl -w net.ipv6.conf.eth0.stable_secret=2001:db8::1", "by `stable-privacy`", ""),
        (
            "link-local address",
            "ip -6 address delete fe80::5054:ff:feaa:1/64 dev eth0",
            "has not the link-local address fe80::5054:ff:feaa:1",
            "",
        ),
        ("prefixes", "ip -6 route add 2001:db8:1::/65 dev eth0", "2001:db8:1::/65 is routed to eth0", ""),
        ("forwarding", "sysctl -w net.ipv4.conf.eth0.forwarding=0", "net.ipv4.conf.eth0.forwarding is 0", ""),
        (
            "others' firewalls",
            "nft 'table ip6 filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }';"
            "nft 'table inet lax { chain forward { type filter hook forward priority filter; policy accept; }; }'",
            "the nftables chain `ip6 filter FORWARD`, not Sixstead's, drops what is forwarded for guests",
            "nft 'delete table ip6 filter; delete table inet lax'",
        ),
        (
            "SSH login",
            f"{SECRET}; echo PermitRootLogin yes > /etc/ssh/sshd_config.d/50-easy.conf",
            "root may log in by SSH with a password",
            "rm /etc/ssh/sshd_config.d/*-root.conf /etc/ssh/sshd_config.d/50-easy.conf; passwd -d -l root",
        ),
    ],
)
def test_what_was_done_by_hand_is_found_and_its_remedy_mends_it(
    stack: Stack, check: str, done: str, what: str, cleared: str
) -> None:
    stack.server("sh", "-c", done)
    found = findings(stack)
    assert check in found, found
    assert what in found[check][0]["what"]
    for told in found.values():
        for finding in told:
            stack.server("sh", "-c", command(finding["remedy"]))
    assert findings(stack) == {}
    stack.server("sh", "-c", cleared or "true")


@pytest.mark.parametrize(
    ("check", "done", "what", "undone"),
    [
        (
            "MAC addresses",
            "ip link add link eth0 name macv0 address 52:54:00:99:99:99 type macvlan mode bridge",
            "macv0 (macvlan on eth0) sends as 52:54:00:99:99:99",
            "ip link delete macv0",
        ),
        ("reboot", "touch /run/reboot-required", "updated packages need a reboot", "rm /run/reboot-required"),
        (
            "disks",
            "mkdir -p /var/lib/libvirt; mount -t tmpfs -o size=64m none /var/lib/libvirt; fallocate -l 62m /var/lib/libvirt/x",
            "/var/lib/libvirt is full: 0.0 of 0 GiB are free",
            "umount /var/lib/libvirt",
        ),
    ],
)
def test_what_its_owner_must_see_to_is_found(stack: Stack, check: str, done: str, what: str, undone: str) -> None:
    stack.server("sh", "-c", done)
    found = findings(stack)
    stack.server("sh", "-c", undone)
    assert list(found) == [check]
    assert what in found[check][0]["what"]
    assert findings(stack) == {}


def test_an_uplink_in_a_bridge_is_found_with_what_is_beside_it(stack: Stack) -> None:
    mac = stack.config["uplink"]["mac"]
    stack.server("sh", "-ec", f"""
        ip link add brx address {mac} type bridge; ip link add guest0 type veth peer name guest1
        ip link set guest0 master brx; ip link set brx up
        ip address add 192.0.2.10/32 dev brx; ip link set eth0 master brx
        ip route replace 192.0.2.1 dev brx; ip route replace default via 192.0.2.1 dev brx onlink""")  # fmt: skip
    try:
        found = findings(stack)
    finally:
        stack.server("sh", "-ec", """
            ip link delete guest0; ip link delete brx
            ip route replace 192.0.2.1 dev eth0; ip route replace default via 192.0.2.1 dev eth0 onlink""")  # fmt: skip
    assert "eth0 is a port of the bridge brx, with guest0" in found["MAC addresses"][0]["what"]
    assert "`ip link set dev eth0 nomaster`" in found["MAC addresses"][0]["remedy"]
    stack.up("--refresh")
    assert findings(stack) == {}


def test_a_network_change_that_was_left_behind_is_found_and_not_touched(stack: Stack) -> None:
    before = stack.config["networks"]
    stack.write(networks={"main": merged(before["main"], nat64={"prefix": "2001:db8:65::/96"})})
    applied = ["sh", "-c", "nft list table inet sixstead | grep -q 2001:db8:65::"]
    kill_inside(stack, "network", lambda: stack.lab.exec("server", applied).returncode == 0)
    stack.write(networks=before)
    stack.server("systemctl", "stop", "sixstead-restore-timer.timer")
    young = findings(stack)
    assert "waits for its confirmation" in young["network change"][0]["what"]
    stack.server("touch", "--date=1 hour ago", "/var/lib/sixstead/transaction/undo.json")
    old = findings(stack)
    assert armed(stack)
    assert "is neither confirmed nor undone" in old["network change"][0]["what"]
    stack.server("sh", "-c", command(old["network change"][0]["remedy"]))
    assert not armed(stack)
    stack.up("--refresh")
    assert findings(stack) == {}


def test_a_server_that_can_not_be_reached_is_an_error(stack: Stack) -> None:
    stack.lab.cut("ipv4")
    try:
        run: Run = stack.run("doctor", check=False)
    finally:
        stack.lab.restore("ipv4")
    assert run.code == 1
    assert "what to do:" in run.text
    assert "Traceback" not in run.text
    assert " ok " not in run.text
