"""What ip, systemctl and the kernel say, and what follows from it: tables of cases."""

from __future__ import annotations

import pytest

from providers.host.agent.ip_output import parse_addresses, parse_links, parse_routes
from providers.host.agent.network import address_commands
from providers.host.agent.nft import parse_foreign
from providers.host.agent.probes import echo_request, is_reply
from providers.host.agent.sysctls import path_of
from providers.host.agent.units import parse


@pytest.mark.parametrize(
    ("now", "wanted", "commands"),
    [
        ([], [], []),
        (["192.0.2.10/32"], ["192.0.2.10/32"], []),
        ([], ["192.0.2.10/32"], ["-4 address add 192.0.2.10/32 dev eth0"]),
        ([], ["2001:db8::2/64"], ["-6 address add 2001:db8::2/64 dev eth0 nodad"]),
        (["2001:db8::2/64"], [], ["-6 address delete 2001:db8::2/64 dev eth0"]),
        (
            ["2001:db8::2/64"],
            ["2001:db8::2/128"],
            ["-6 address delete 2001:db8::2/64 dev eth0", "-6 address add 2001:db8::2/128 dev eth0 nodad"],
        ),
        (
            ["192.0.2.10/32"],
            ["192.0.2.11/32"],
            ["-4 address add 192.0.2.11/32 dev eth0", "-4 address delete 192.0.2.10/32 dev eth0"],
        ),
        # without its last IPv4 address the interface would lose its IPv4 routes
        (
            ["192.0.2.10/26"],
            ["192.0.2.10/32"],
            ["-4 address add 192.0.2.10/32 dev eth0", "-4 address delete 192.0.2.10/26 dev eth0"],
        ),
        ([], ["192.0.2.10/26"], ["-4 address add 192.0.2.10/26 dev eth0 broadcast +"]),
        (["192.0.2.9/32,peer=192.0.2.1"], [], ["-4 address delete 192.0.2.9 peer 192.0.2.1/32 dev eth0"]),
        (
            ["192.0.2.9/32"],
            ["192.0.2.9/32,peer=192.0.2.1"],
            [
                "-4 address add 192.0.2.9 peer 192.0.2.1/32 dev eth0",
                "-4 address delete 192.0.2.9/32 dev eth0",
            ],
        ),
    ],
)
def test_addresses_change_by_the_smallest_difference(now: list[str], wanted: list[str], commands: list[str]) -> None:
    assert address_commands("eth0", now, wanted) == commands


def test_links_read_as_an_owner_would_say_them() -> None:
    entries = [
        {
            "ifname": "eth0",
            "address": "52:54:00:aa:00:01",
            "mtu": 1500,
            "flags": ["UP"],
            "linkinfo": {"info_kind": "veth"},
        },
        {
            "ifname": "br0",
            "address": "02:00:00:00:00:01",
            "mtu": 1400,
            "flags": [],
            "linkinfo": {"info_kind": "bridge"},
        },
    ]
    assert parse_links(entries) == {
        "eth0": "physical, 52:54:00:aa:00:01, mtu 1500, up",
        "br0": "bridge, 02:00:00:00:00:01, mtu 1400, down",
    }


def test_only_permanent_addresses_count() -> None:
    info = [
        {"local": "2001:db8::2", "prefixlen": 64, "scope": "global"},
        {"local": "192.0.2.10", "address": "192.0.2.1", "prefixlen": 32, "scope": "global"},
        {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
        {"local": "2001:db8::5054:ff:fe00:1", "prefixlen": 64, "scope": "global", "dynamic": True},
    ]
    value = "192.0.2.10/32,peer=192.0.2.1 2001:db8::2/64"
    assert parse_addresses([{"ifname": "eth0", "addr_info": info}]) == {"eth0": value}
    assert parse_addresses([{"ifname": "eth1", "addr_info": []}]) == {}


def test_routes_read_as_ip_takes_them() -> None:
    entries = [
        {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "flags": ["onlink"]},
        {"dst": "192.0.2.1", "dev": "eth0", "scope": "link"},
        {"dst": "192.0.2.2", "dev": "eth0", "scope": "link", "protocol": "kernel"},
        {"dst": "default", "nexthops": []},
    ]
    assert parse_routes("IPv6", entries) == {"IPv6 default dev eth0": "via fe80::1", "192.0.2.1 dev eth0": "present"}
    two = [{"dst": "default", "gateway": g, "dev": "eth0"} for g in ("192.0.2.1", "192.0.2.2")]
    assert parse_routes("IPv4", two) == {"IPv4 default dev eth0": "via 192.0.2.1, via 192.0.2.2"}


@pytest.mark.parametrize(
    ("properties", "stale", "value"),
    [
        ({"LoadState": "not-found", "ActiveState": "inactive"}, False, None),
        ({"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active"}, False, "enabled, running"),
        ({"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "active"}, True, "enabled, running, stale"),
        ({"LoadState": "loaded", "UnitFileState": "disabled", "ActiveState": "inactive"}, True, "disabled, stopped"),
        ({"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "failed"}, False, "enabled, failed"),
        ({"LoadState": "masked", "UnitFileState": "masked", "ActiveState": "inactive"}, False, "masked"),
        ({"LoadState": "masked", "UnitFileState": "masked-runtime"}, False, "masked until the next boot"),
        ({"LoadState": "loaded", "UnitFileState": "enabled", "ActiveState": "activating"}, False, "enabled, starting"),
    ],
)
def test_units_read_as_an_owner_would_say_them(properties: dict[str, str], stale: bool, value: str | None) -> None:
    assert parse(properties, stale) == value


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("net.ipv6.conf.eth0/100.accept_ra", "/proc/sys/net/ipv6/conf/eth0.100/accept_ra"),
        ("net/ipv6/conf/eth0.100/accept_ra", "/proc/sys/net/ipv6/conf/eth0.100/accept_ra"),
    ],
)
def test_sysctl_keys_are_those_of_sysctl(key: str, path: str) -> None:
    assert path_of(key) == path


def test_only_a_reply_to_our_own_request_is_an_answer() -> None:
    import socket

    request = echo_request(socket.AF_INET6, 7, 1)
    reply = bytes([129]) + request[1:]
    assert is_reply(socket.AF_INET6, reply, 7)
    assert not is_reply(socket.AF_INET6, request, 7)
    assert not is_reply(socket.AF_INET6, reply, 8)
    header = bytes([0x45]) + bytes(19)
    assert is_reply(socket.AF_INET, header + b"\0\0\0\0" + (7).to_bytes(2, "big") + b"\0\1", 7)
    assert not is_reply(socket.AF_INET, header, 7)


def test_of_others_tables_only_those_that_filter_are_told_whole() -> None:
    def chain(family: str, table: str, name: str, **base: object) -> dict[str, object]:
        return {"chain": {"family": family, "table": table, "name": name, "handle": 1, **base}}

    drop = {"type": "filter", "hook": "forward", "prio": 0, "policy": "drop"}
    ruleset = [
        {"metainfo": {"version": "1.0.6"}},
        chain("ip", "filter", "USER"),
        chain("ip", "filter", "FORWARD", **drop),
        chain("ip", "nat", "POSTROUTING", type="nat", hook="postrouting", prio=100, policy="accept"),
        chain("bridge", "filter", "FORWARD", **drop),
        chain("inet", "sixstead", "forward", **drop),
        *({"rule": {"family": "ip", "table": table, "chain": "FORWARD", "handle": 2, "expr": [{"drop": None}]}}
          for table in ("filter", "mangle")),
    ]  # fmt: skip
    place = {"family": "ip", "table": "filter"}
    assert parse_foreign({"nftables": ruleset}, ["inet sixstead"]) == [
        {**place, "chain": "USER", "hook": None, "policy": None, "rules": []},
        {**place, "chain": "FORWARD", "hook": "forward", "policy": "drop", "rules": [[{"drop": None}]]},
    ]
