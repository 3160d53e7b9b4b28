"""A stack's config read as the measure of a lab, and what is rendered from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import bare, rehearsal, wiring
from lab.errors import LabError
from lab.keys import private_key, public_key
from lab.services import dns_config
from lab.stack_file import read_stack
from lab.topology import Topology, eui64, guest_mac

STACKS = Path(__file__).parents[2] / "stacks"


def config(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "server": {"hoster": "generic", "os": "debian-13", "backend": "ifupdown"},
        "uplink": {"mac": "52:54:00:aa:00:01", "ipv4": {"address": "192.0.2.10/32", "gateway": "192.0.2.1"}},
        "prefixes": {"main": {"prefix": "2001:db8:1::/64", "gateway": "fe80::1", "delivery": "routed"}},
        "guests": {"web": {}, "mail": {"address": "::25"}, "old": {"mac": "52:54:00:aa:bb:cc"}},
    }
    return {f"sixstead:{key}": value for key, value in {**base, **changes}.items()}


def test_the_interface_identifier_is_the_rfcs() -> None:
    assert f"{eui64('52:54:00:aa:bb:cc'):x}" == "505400fffeaabbcc"


def test_guests_have_the_addresses_that_slaac_will_make() -> None:
    topology = Topology.from_config(config())
    assert str(topology.guest("old").address) == "2001:db8:1:0:5054:ff:feaa:bbcc"
    assert str(topology.guest("mail").address) == "2001:db8:1::25"
    assert topology.guest("web").mac == guest_mac("web") == "52:54:00:be:13:4a"


def test_an_unknown_guest_is_named_with_those_that_are_known() -> None:
    with pytest.raises(LabError, match=r"no guest 'db'.*web, mail, old"):
        Topology.from_config(config()).guest("db")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"uplink": {}}, "sixstead:uplink.mac"),
        ({"prefixes": {}}, "sixstead:prefixes"),
        ({"prefixes": {"main": {"prefix": "nonsense"}}}, "sixstead:prefixes.main"),
        ({"prefixes": {"main": {"prefix": "2001:db8:1::/64", "delivery": "by mail"}}}, "routed or on-link"),
        ({"server": {"backend": "wicked"}}, "sixstead:server.backend"),
        ({"server": {"os": "debian-11"}}, "sixstead:server.os"),
        ({"uplink": {"mac": "52:54:00:aa:00:01", "ipv4": {"address": "here"}}}, "sixstead:uplink.ipv4"),
        ({"uplink": {"mac": "52:54:00:aa:00:01", "mtu": "wide"}}, "sixstead:uplink.mtu"),
        # what is written into the lab's commands and files must not add others
        ({"uplink": {"mac": "52:54:00:aa:00:01\nnetns exec x sh"}}, "sixstead:uplink.mac"),
        ({"uplink": {"mac": "52:54:00:aa:00:01", "name": "eth0\nlink del lo"}}, "sixstead:uplink.name"),
        ({"server": {"ssh": {"user": "root\n  ProxyCommand sh"}}}, "sixstead:server.ssh.user"),
        ({"server": {"ssh": {"port": "22\n  ProxyCommand sh"}}}, "sixstead:server.ssh.port"),
        ({"prefixes": {"main": {"prefix": "2001:db8:1::/64", "gateway": "fe80::1%x\nlink del lo"}}}, "zone index"),
        ({"networks": {"main": {"dns64": {"forward": ["2001:db8::1%x\n"]}}}}, "zone index"),
        ({"networks": {"main": {"dns64": {"forward": ["dns"]}}}}, "dns64.forward"),
    ],
)
def test_what_cannot_be_simulated_is_refused_by_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        Topology.from_config(config(**changes))


def test_suite_and_delivery_can_be_overridden() -> None:
    topology = Topology.from_config(config(), suite="bookworm", delivery="on-link")
    assert (topology.suite, topology.main.delivery) == ("bookworm", "on-link")


def test_a_hetzner_prefix_is_routed_unless_said_otherwise() -> None:
    changed = config(server={"hoster": "hetzner"}, prefixes={"main": {"prefix": "2001:db8:1::/64"}})
    assert Topology.from_config(changed).main.delivery == "routed"


@pytest.mark.parametrize("address", ["192.0.2.10/32", "203.0.113.10/26", "198.51.100.7/24"])
def test_the_labs_internet_lies_beside_the_stacks_addresses(address: str) -> None:
    uplink = {"mac": "52:54:00:aa:00:01", "ipv4": {"address": address, "gateway": "192.0.2.1"}}
    prefixes = {"main": {"prefix": "2001:db8:ffff::/64", "delivery": "routed"}}
    topology = Topology.from_config(config(uplink=uplink, prefixes=prefixes))
    plan = topology.internet
    assert topology.ipv4 is not None
    assert not plan.services4.overlaps(topology.ipv4.network)
    assert not plan.transit4.overlaps(topology.ipv4.network)
    assert not plan.transit4.overlaps(plan.services4)
    assert not plan.services6.overlaps(topology.main.network)


def test_an_off_link_gateway_is_a_point_to_point_peer() -> None:
    assert bare.interfaces(Topology.from_config(config())) == (
        "source /etc/network/interfaces.d/*\n\n"
        "auto lo\niface lo inet loopback\niface lo inet6 loopback\n\n"
        "auto eth0\n"
        "iface eth0 inet static\n  address 192.0.2.10/32\n  gateway 192.0.2.1\n  pointopoint 192.0.2.1\n\n"
        "iface eth0 inet6 static\n  address 2001:db8:1::2/64\n  gateway fe80::1\n"
    )


def test_an_on_link_ipv4_gateway_needs_no_peer() -> None:
    uplink = {"mac": "52:54:00:aa:00:01", "ipv4": {"address": "192.0.2.10/24", "gateway": "192.0.2.1"}}
    assert "pointopoint" not in bare.interfaces(Topology.from_config(config(uplink=uplink)))


def test_a_server_without_ipv4_has_only_ipv6() -> None:
    text = bare.interfaces(Topology.from_config(config(uplink={"mac": "52:54:00:aa:00:01"})))
    assert "inet static" not in text
    assert "inet6 static" in text


def test_the_router_delivers_as_the_hoster_does() -> None:
    names = wiring.Names("x")
    routed = wiring.router(names, Topology.from_config(config()))
    assert "route replace 2001:db8:1::/64 via fe80::5054:ff:feaa:1 dev sw0\n" in routed
    on_link = wiring.router(names, Topology.from_config(config(), delivery="on-link"))
    assert "route replace 2001:db8:1::/64 dev sw0\n" in on_link


def test_the_hoster_knows_a_new_network_card() -> None:
    topology = dataclasses.replace(Topology.from_config(config()), mac="52:54:00:aa:00:07")
    rules, batch = wiring.known_card(topology)
    assert "add element bridge switch own_macs { 52:54:00:aa:00:07 }" in rules
    assert batch == "route replace 2001:db8:1::/64 via fe80::5054:ff:feaa:7 dev sw0\n"


def test_the_stacks_own_resolvers_answer_in_the_lab() -> None:
    changed = config(networks={"main": {"prefix": "main", "dns64": {"forward": ["2001:db8:53::1", "198.51.100.53"]}}})
    topology = Topology.from_config(changed)
    assert "listen-address=2001:db8:53::1\n" in dns_config(topology)
    assert "addr add 198.51.100.53/32 dev lo\n" in wiring.internet(wiring.Names("x"), topology)


def test_the_lab_stack_pins_the_labs_derived_host_key() -> None:
    document = read_stack(STACKS / "Pulumi.lab.yaml")
    assert document["config"]["sixstead:server"]["ssh"]["host_key"] == public_key("lab", "host")


def test_keys_differ_by_lab_and_role_and_never_by_run() -> None:
    assert len({public_key(lab, role) for lab in ("a", "b") for role in ("host", "login")}) == 4
    assert "OPENSSH PRIVATE KEY" in private_key("a", "login")


def test_a_real_servers_stack_can_be_rehearsed(tmp_path: Path) -> None:
    document = read_stack(STACKS / "Pulumi.example.yaml")
    before = yaml.safe_dump(document)
    topology = Topology.from_config(document["config"])
    changed = rehearsal.adapted(document, "try", "kvm1", tmp_path, topology)["config"]
    assert yaml.safe_dump(document) == before
    assert changed["sixstead:server"]["ssh"]["host_key"] == public_key("try", "host")
    assert changed["sixstead:server"]["kvm"] is False
    assert changed["sixstead:images"]["d13"]["kernel"]["url"] == "http://images.example/tiny-vmlinuz"
    assert changed["sixstead:networks"]["main"]["nat64"]["prefix"] == "2001:db8:64::/96"
    assert changed["sixstead:guests"] == document["config"]["sixstead:guests"]


def test_without_networks_a_rehearsal_has_those_of_the_default(tmp_path: Path) -> None:
    changed = config(server={"os": "debian-13"})
    adapted = rehearsal.adapted({"config": changed}, "try", "kvm1", tmp_path, Topology.from_config(changed))
    network = adapted["config"]["sixstead:networks"]["main"]
    assert network["prefix"] == "main"
    assert network["dns64"] == {"forward": ["2001:db8:ffff::53"]}


def test_a_network_without_nat64_is_given_no_resolver(tmp_path: Path) -> None:
    changed = config(networks={"main": {"prefix": "main", "nat64": False}})
    adapted = rehearsal.adapted({"config": changed}, "try", "kvm1", tmp_path, Topology.from_config(changed))
    assert adapted["config"]["sixstead:networks"] == changed["sixstead:networks"]


@pytest.mark.parametrize(("text", "said"), [("a: [", "no YAML"), ("[]", "no `config:` map")])
def test_a_file_that_is_no_stack_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(LabError, match=said):
        read_stack(tmp_path / "s.yaml")
