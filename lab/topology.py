"""The measure of a lab, taken from a stack's config: addresses, MACs, gateways, delivery, backend, suite. Pure.

The stack file is read as plain YAML, on purpose without the product's own schema: the lab is the other side of the
wire, and a mistake shared by both sides would be seen by neither.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import Any

from lab.errors import LabError
from lab.plan import Internet

SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
_MAC = r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
BACKENDS = ("ifupdown", "networkd", "netplan")
DELIVERIES = ("routed", "on-link")
# How each hoster delivers a server's prefix when the stack doesn't say.
_HOSTER_DELIVERY = {"hetzner": "routed"}


def eui64(mac: str) -> int:
    """The modified EUI-64 interface identifier of a MAC (RFC 4291 appendix A), as a number of 64 bits."""
    octets = bytes.fromhex(mac.replace(":", ""))
    return int.from_bytes(bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:], "big")


def guest_mac(name: str) -> str:
    """The MAC a guest has unless its config gives one: 52:54:00 and the first three bytes of
    sha256("sixstead guest NAME"). The product has the same rule; a lab test compares both over the wire."""
    tail = hashlib.sha256(f"sixstead guest {name}".encode()).digest()[:3]
    return "52:54:00:" + ":".join(f"{octet:02x}" for octet in tail)


@dataclass(frozen=True)
class Prefix:
    """An IPv6 prefix that the hoster gives the server. `delivery` is `routed` (to the server's EUI-64 link-local
    address) or `on-link` (the router asks for each address by neighbour solicitation)."""

    name: str
    network: IPv6Network
    gateway: IPv6Address
    delivery: str
    address: IPv6Address


@dataclass(frozen=True)
class Guest:
    """A guest as its stack describes it; the address is what SLAAC makes of the MAC, unless one is given."""

    name: str
    mac: str
    address: IPv6Address


@dataclass(frozen=True)
class Topology:
    """Everything the lab has to know about one stack."""

    suite: str
    backend: str
    user: str
    port: int
    uplink: str
    mac: str
    mtu: int
    ipv4: IPv4Interface | None
    ipv4_gateway: IPv4Address | None
    prefixes: tuple[Prefix, ...]
    guests: tuple[Guest, ...]
    resolvers: tuple[IPv4Address | IPv6Address, ...]
    internet: Internet

    @property
    def main(self) -> Prefix:
        """The prefix the server itself lives in: the first one."""
        return self.prefixes[0]

    @property
    def link_local(self) -> IPv6Address:
        """The server's EUI-64 link-local address, to which a routed prefix is delivered."""
        return IPv6Address((0xFE80 << 112) | eui64(self.mac))

    def guest(self, name: str) -> Guest:
        """A guest by its name in the stack as it was at `up`, or by its address."""
        for guest in self.guests:
            if name in (guest.name, str(guest.address)):
                return guest
        with contextlib.suppress(ValueError):
            return Guest(name, "", IPv6Address(name))
        known = ", ".join(guest.name for guest in self.guests) or "none"
        raise LabError(f"the lab knows no guest {name!r}; its stack's guests are: {known}")

    @staticmethod
    def from_config(config: Mapping[str, Any], suite: str | None = None, delivery: str | None = None) -> Topology:
        """The topology of a stack's `config:` map. `suite` and `delivery` override what the stack says.

        Raises LabError naming the key that is missing or can't be simulated."""
        server = _section(config, "server")
        uplink = _section(config, "uplink")
        ssh = server.get("ssh") or {}
        hoster = str(server.get("hoster", "generic"))
        backend = str(server.get("backend", "ifupdown"))
        if backend not in BACKENDS:
            raise LabError(f"sixstead:server.backend: the lab makes servers with {_words(BACKENDS)}, not {backend!r}")
        named = str(server.get("os", "debian-13"))
        suite = suite or SUITES.get(named, named)
        if suite not in SUITES.values():
            raise LabError(f"sixstead:server.os: the lab makes {_words(tuple(SUITES))}, not {suite!r}")
        if delivery not in (None, *DELIVERIES):
            raise LabError(f"a prefix is delivered {_words(DELIVERIES)}, not {delivery!r}")
        mac = _word(uplink.get("mac"), "sixstead:uplink.mac", _MAC).lower()
        prefixes = tuple(
            _prefix(str(name), raw or {}, delivery or _HOSTER_DELIVERY.get(hoster, "on-link"), delivery)
            for name, raw in _section(config, "prefixes").items()
        )
        if not prefixes:
            raise LabError("sixstead:prefixes: the lab needs at least one prefix")
        ipv4, gateway = _ipv4(uplink.get("ipv4"))
        resolvers = _resolvers(config.get("sixstead:networks") or {})
        taken: list[IPv4Network | IPv6Network] = [prefix.network for prefix in prefixes]
        taken += [ipv4.network] if ipv4 else []
        return Topology(
            suite=suite,
            backend=backend,
            user=_word(ssh.get("user", "root"), "sixstead:server.ssh.user", r"[a-z_][a-z0-9_-]{0,31}"),
            port=_number(ssh.get("port", 22), "sixstead:server.ssh.port"),
            uplink=_word(uplink.get("name", "eth0"), "sixstead:uplink.name", r"[A-Za-z0-9_-]{1,15}"),
            mac=mac,
            mtu=_number(uplink.get("mtu", 1500), "sixstead:uplink.mtu"),
            ipv4=ipv4,
            ipv4_gateway=gateway,
            prefixes=prefixes,
            guests=_guests(config.get("sixstead:guests") or {}, prefixes, config.get("sixstead:networks") or {}),
            resolvers=resolvers,
            internet=Internet.beside(taken),
        )


def _words(choices: tuple[str, ...]) -> str:
    return " or ".join(choices)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(f"sixstead:{name}")
    if not isinstance(section, Mapping):
        raise LabError(f"sixstead:{name}: the lab needs this map to know what to simulate")
    return section


def _word(value: object, key: str, pattern: str) -> str:
    """A text of the pattern: what stands in the lab's commands and files must not be able to add others to them."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise LabError(f"{key}: the lab needs it, as a text like {pattern}, not {value!r}")
    return value


def _number(value: object, key: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 65536:
        raise LabError(f"{key}: the lab needs a number from 1 to 65535, not {value!r}")
    return value


def _ipv6(text: str) -> IPv6Address:
    address = IPv6Address(text)
    if address.scope_id is not None:
        raise ValueError(f"{text!r} has a zone index")
    return address


def _ipv4(raw: Mapping[str, Any] | None) -> tuple[IPv4Interface | None, IPv4Address | None]:
    if not raw:
        return None, None
    try:
        return IPv4Interface(str(raw["address"])), IPv4Address(str(raw["gateway"]))
    except (KeyError, ValueError) as error:
        raise LabError(f"sixstead:uplink.ipv4: address and gateway must be IPv4: {error}") from error


def _prefix(name: str, raw: Mapping[str, Any], default: str, override: str | None) -> Prefix:
    try:
        network = IPv6Network(str(raw["prefix"]))
        address = _in_prefix(str(raw.get("address", "::2")), network)
        gateway = _ipv6(str(raw.get("gateway", "fe80::1")))
    except (KeyError, ValueError) as error:
        raise LabError(f"sixstead:prefixes.{name}: prefix, gateway and address must be IPv6: {error}") from error
    delivery = override or str(raw.get("delivery", default))
    if delivery not in DELIVERIES:
        raise LabError(f"sixstead:prefixes.{name}.delivery: {_words(DELIVERIES)}, not {delivery!r}")
    return Prefix(name, network, gateway, delivery, address)


def _in_prefix(text: str, network: IPv6Network) -> IPv6Address:
    address = _ipv6(str(IPv6Interface(text).ip))
    return address if address in network else IPv6Address(int(network.network_address) | int(address))


def _guests(raw: Mapping[str, Any], prefixes: tuple[Prefix, ...], networks: Mapping[str, Any]) -> tuple[Guest, ...]:
    guests = []
    for name, entry in raw.items():
        entry = entry or {}
        network = networks.get(str(entry.get("network"))) or next(iter(networks.values()), None) or {}
        prefix = next((p for p in prefixes if p.name == network.get("prefix")), prefixes[0])
        mac = str(entry.get("mac") or guest_mac(str(name))).lower()
        identifier = entry.get("address") or str(IPv6Address(eui64(mac)))
        try:
            guests.append(Guest(str(name), mac, _in_prefix(str(identifier), prefix.network)))
        except ValueError as error:
            raise LabError(f"sixstead:guests.{name}.address: {error}") from error
    return tuple(guests)


def _resolvers(networks: Mapping[str, Any]) -> tuple[IPv4Address | IPv6Address, ...]:
    found: list[IPv4Address | IPv6Address] = []
    for network in networks.values():
        dns64 = (network or {}).get("dns64")
        for forward in dns64.get("forward", []) if isinstance(dns64, Mapping) else []:
            try:
                address = ip_address(str(forward))
                found.append(_ipv6(str(address)) if address.version == 6 else address)
            except ValueError as error:
                raise LabError(f"sixstead:networks, dns64.forward: {error}") from error
    return tuple(dict.fromkeys(found))
