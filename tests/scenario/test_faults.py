"""The fault table, first half: wrong lines in the config, and sections that no config makes. `make faults` prints it.

What the settings refuse is in tests/unit.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from providers.host.agent.facets import State
from providers.host.errors import ServerError
from tests.scenario.faults import FIREWALL, applied, sections, settings_of, show_table, survives
from tests.scenario.harness import Stack, merged


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = make_stack("embedded")
    made.write(guests={"web": made.config["guests"]["web"]})
    made.up()
    yield made
    show_table()


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
        assert "undone" in done.text or "nothing was changed" in done.text, done.text
        assert "Traceback" not in done.text, done.text

    survives(stack, fault, do)


# Wrong sections


def without_default_route(wrong: dict[str, State]) -> None:
    route = "IPv6 default dev eth0"
    wrong["uplink"]["routes"][route] = "via fe80::bad"


def in_file(part: str, path: str, old: str, new: str) -> Callable[[dict[str, State]], None]:
    """Another text in a file of a section."""

    def change(wrong: dict[str, State]) -> None:
        text = wrong[part]["files"][path]
        assert old in text
        wrong[part]["files"][path] = text.replace(old, new)

    return change


def without_a_mac(wrong: dict[str, State]) -> None:
    wrong["bridge-main"]["links"]["br-main"] = "bridge, 00:00:00:00:00:00, mtu 1500, up"


def without_forwarding(wrong: dict[str, State]) -> None:
    wrong["forwarding"]["sysctls"].update({"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"})


def with_a_wrong_drop_in(wrong: dict[str, State]) -> None:
    wrong["firewall"]["files"]["/etc/systemd/system/ssh.service.d/zz.conf"] = "[Service]\nExecStartPree=/bin/true\n"


def moved_to(stack: Stack, backend: str, spoil: Callable[[State], None]) -> Callable[[dict[str, State]], None]:
    """The sections of another backend, with something wrong in the uplink's."""

    def change(wrong: dict[str, State]) -> None:
        right = stack.config["server"]
        stack.write(server=merged(right, backend=backend))
        other = sections(stack)
        stack.write(server=right)
        spoil(other["uplink"])
        wrong.clear()
        wrong.update(other)

    return change


def daemon_that_fails(uplink: State) -> None:
    uplink["files"]["/etc/systemd/system/systemd-networkd.service.d/zz.conf"] = (
        "[Service]\nExecStart=\nExecStart=/usr/bin/false\n"
    )


def broken_yaml(uplink: State) -> None:
    path = "/etc/netplan/90-sixstead-eth0.yaml"
    uplink["files"][path] = {**uplink["files"][path], "text": "network:\n  ethernets: [eth0\n"}


SECTIONS: dict[str, Callable[[dict[str, State]], None]] = {
    "SSH closed by the firewall": in_file("firewall", FIREWALL, "tcp dport 22 ", "tcp dport 2222 "),
    "ICMPv6 dropped": in_file("firewall", FIREWALL, '\t\tiif "lo" accept', "\t\tmeta l4proto ipv6-icmp drop"),
    "a firewall file that nft refuses": in_file("firewall", FIREWALL, "tcp dport 22 ", "tcp doprt 22 "),
    "a default route through nobody": without_default_route,
    "forwarding off": without_forwarding,
    "the bridge without a MAC address": without_a_mac,
    "the server cut off from its guests": in_file(
        "firewall",
        FIREWALL,
        "\tchain output {\n\t\ttype filter hook output priority filter; policy accept;\n",
        '\tchain output {\n\t\ttype filter hook output priority filter; policy accept;\n\t\toifname "br-main" drop\n',
    ),
    "the server cut off from its name servers": in_file(
        "firewall",
        FIREWALL,
        "\tchain output {\n\t\ttype filter hook output priority filter; policy accept;\n",
        "\tchain output {\n\t\ttype filter hook output priority filter; policy accept;\n\t\tudp dport 53 drop\n",
    ),
    "a unit file that systemd refuses": in_file(
        "firewall", "/etc/systemd/system/sixstead-firewall.service", "Type=oneshot", "Type=onshot"
    ),
    "a drop-in that systemd refuses": with_a_wrong_drop_in,
    "an interfaces file that ifup refuses": in_file("uplink", "/etc/network/interfaces", "inet static", "inet statik"),
}


@pytest.mark.parametrize("fault", SECTIONS)
def test_a_wrong_section_is_undone(stack: Stack, fault: str) -> None:
    def do() -> None:
        with pytest.raises(ServerError) as raised:
            applied(stack, SECTIONS[fault])
        assert any(word in str(raised.value) for word in ("undone", "nothing was changed"))

    survives(stack, fault, do)


BROKEN_MOVES = {
    "networkd does not start": ("networkd", daemon_that_fails),
    "broken netplan file": ("netplan", broken_yaml),
}


@pytest.mark.parametrize("fault", BROKEN_MOVES)
def test_a_move_to_a_backend_that_does_not_work_is_undone(stack: Stack, fault: str) -> None:
    def do() -> None:
        backend, spoil = BROKEN_MOVES[fault]
        with pytest.raises(ServerError) as raised:
            applied(stack, moved_to(stack, backend, spoil))
        assert any(word in str(raised.value) for word in ("undone", "nothing was changed"))

    survives(stack, fault, do)


SENDER = """
import socket, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
for _ in range(300):
    s.send(bytes.fromhex("ffffffffffff" + "MAC".replace(":", "") + "88b5") + bytes(46))
    time.sleep(0.05)
"""


def test_a_guest_s_mac_address_on_the_wire_is_noticed(stack: Stack) -> None:
    mac = settings_of(stack).guests["web"].mac

    def do() -> None:
        sending = stack.lab.entering("server")
        with subprocess.Popen([*sending, "python3", "-c", SENDER.replace("MAC", mac)]) as process:
            with pytest.raises(ServerError) as raised:
                applied(stack, in_file("firewall", FIREWALL, "tcp dport 22 ", "tcp dport { 22, 2200 } "))
            process.terminate()
        assert f"frames of {mac} leave by eth0" in str(raised.value)

    assert stack.lab.counters()["foreign_mac_frames"] == 0
    survives(stack, "a guest's MAC address on the wire", do)
