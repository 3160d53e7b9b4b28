"""What guests may do: nothing in another's name, nothing as a router, and to each other only what a rule allows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.harness import MAIL, WEB, Stack, merged

WEB_MAC, MAIL_MAC = "52:54:00:be:13:4a", "52:54:00:b3:2e:3e"
SERVER = "2001:db8:1::2"
FORGE = (Path(__file__).parent / "forge.py").read_text()


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.up()
    return made


def forged(stack: Stack) -> dict[str, int]:
    """Send frames out of a port that looks like the guest mail's; how often each was seen on the bridge or at web's port."""
    stack.server("sh", "-c", "ip link add evil0 type veth peer name v-mail && ip link set v-mail master br-main up")
    stack.server("ip", "link", "set", "evil0", "up")
    macs = [WEB_MAC, MAIL_MAC, stack.server("cat", "/sys/class/net/br-main/address").strip()]
    try:
        found: dict[str, int] = json.loads(stack.server("python3", "-c", FORGE, *macs))
    finally:
        stack.server("ip", "link", "delete", "evil0")
    return found


def connects(stack: Stack, guest: str, address: str, port: int) -> bool:
    """Whether a guest gets a TCP connection: a word of a web server's or of an SSH server's."""
    command = ["sh", "-c", f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 4 nc {address} {port} | grep -q ."]
    return stack.lab.exec(guest, command, timeout=30).returncode == 0


def counted(stack: Stack) -> dict[str, int]:
    rules: list[dict[str, Any]] = json.loads(stack.run("firewall", "--json").text)
    sums: dict[str, int] = {}
    for rule in rules:
        sums[rule["comment"]] = sums.get(rule["comment"], 0) + rule["packets"]
    return sums


def test_a_guest_reaches_another_one_only_where_a_rule_says_so(stack: Stack) -> None:
    assert not connects(stack, "web", MAIL, 80)
    assert stack.guest("web", "ping", "-c1", "-W3", MAIL)
    assert counted(stack)["guest -> guest: the rest"] > 0
    stack.server("nft", "insert", "rule", "inet", "sixstead", "forward", "iifname br-main oifname br-main accept")
    assert connects(stack, "web", MAIL, 80)  # it is the firewall that keeps them apart
    stack.write(firewall=[{"from": "web", "to": "mail", "tcp": [80]}])
    stack.up("--refresh")
    assert connects(stack, "web", MAIL, 80)
    assert not connects(stack, "web", MAIL, 1023)
    assert not connects(stack, "mail", WEB, 1023)
    assert connects(stack, "mail", WEB, 80)  # open to all
    assert counted(stack)["web -> mail: tcp 80"] == 1
    shown = stack.run("firewall").text
    assert "  web -> mail: tcp 80 " in shown, shown


def test_a_guest_reaches_nothing_of_the_server_but_its_resolver(stack: Stack) -> None:
    assert not connects(stack, "web", SERVER, 22)
    assert "address" in stack.guest("web", "nslookup", "dual.example", SERVER).lower()
    stack.server("nft", "insert", "rule", "inet", "sixstead", "input", "iifname br-main accept")
    assert connects(stack, "web", SERVER, 22)
    stack.up("--refresh")
    assert not connects(stack, "web", SERVER, 22)


def test_what_a_guest_forges_goes_nowhere_and_is_counted(stack: Stack) -> None:
    stack.server("virsh", "destroy", "mail")
    stack.server("nft", "delete", "table", "bridge", "sixstead")
    without = forged(stack)
    assert all(without.values()), without  # without the table each gets through
    stack.up("--refresh")
    stack.server("virsh", "destroy", "mail")
    before = counted(stack)
    seen = forged(stack)
    after = counted(stack)
    assert seen.pop("honest") > 0
    assert not any(seen.values()), seen
    grown = {name: after[name] - before[name] for name in after if after[name] > before.get(name, 0)}
    for name in ("another MAC address", "not IPv6", "as a router", "as a DHCP server", "another's address"):
        assert grown.get(f"mail: {name}", 0) >= 5, grown
    assert grown["guests: another's address"] >= 15, grown
    assert grown["guests: past the server"] >= 5, grown
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_an_open_port_is_said_in_the_preview_before_it_is_open(stack: Stack) -> None:
    guests = stack.config["guests"]
    stack.write(guests={**guests, "mail": merged(guests["mail"], open={"tcp": [1023]})})
    shown = stack.preview("--diff")
    assert shown.shows("+", "tcp dport { 1023 }", "all -> mail: tcp 1023"), shown.text
    stack.up()
    assert connects(stack, "web", MAIL, 1023)
