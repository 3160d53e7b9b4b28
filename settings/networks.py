"""Prefixes and guest networks: `sixstead:prefixes`, `sixstead:networks`."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from settings import values
from settings.model import (
    SYSTEMS,
    WELL_KNOWN_NAT64,
    Dns64,
    Hoster,
    Nat64,
    Network,
    Prefix,
    RouterAdvertisement,
    Server,
    Uplink,
    bridge_mac,
)
from settings.problems import choosable
from settings.reader import Fields, Node, Reported, Table, Wrong, choice, integer, list_of
from settings.server import MTU

PREFIX = "{prefix: 2001:db8:1::/64, gateway: fe80::1, delivery: routed}"
NETWORK = "{prefix: main}"
POOL = IPv4Network("192.168.255.0/24")
_PRIVATE = [IPv4Network(n) for n in ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")]
_GLOBAL, _UNIQUE_LOCAL = IPv6Network("2000::/3"), IPv6Network("fc00::/7")
_RESERVED_IDENTIFIERS = 0xFDFF_FFFF_FFFF_FF80  # subnet anycast addresses, RFC 2526


def read_prefix(node: Node, name: str, hoster: Hoster | None) -> Prefix:
    fields = Fields(node, ("prefix", "gateway", "delivery", "address"), PREFIX)
    prefix = fields.required("prefix", guest_prefix, "the /64 that the hoster gave, like 2001:db8:1::/64")
    if hoster is None:  # the server's own problems come first: no default can be told
        gateway = fields.optional("gateway", values.ipv6, IPv6Address("fe80::1"))
        delivery = fields.optional("delivery", choice("routed", "on-link"), "routed")
    else:
        if hoster.gateway:
            gateway = fields.optional("gateway", values.ipv6, hoster.gateway)
        else:
            gateway = fields.required("gateway", values.ipv6, "the hoster's IPv6 router, often fe80::1")
        if hoster.delivery:
            delivery = fields.optional("delivery", choice("routed", "on-link"), hoster.delivery)
        else:
            delivery = fields.required(
                "delivery",
                choice("routed", "on-link"),
                "routed where the hoster routes the prefix to this server, "
                "on-link where its router asks for each address",
            )
    own = fields.optional("address", values.ipv6, IPv6Address("::2"))
    fields.close()
    address = in_prefix(node.child("address", own), own, prefix)
    if gateway == address:
        node.refuse(f"{gateway} is the server's own address: give the hoster's router", "gateway")
    elif not values.reachable(gateway):
        node.refuse(f"{gateway} can't be reached: give the hoster's router, often fe80::1", "gateway")
    return Prefix(name, prefix, gateway, delivery, address)


def guest_prefix(node: Node) -> IPv6Network:
    prefix = values.ipv6_network(node)
    if prefix.prefixlen != 64:
        more = f" Take one /64 of {prefix} for each network." if prefix.prefixlen < 64 else ""
        raise Wrong(
            f"must be a /64, not a /{prefix.prefixlen}: guests make their addresses themselves, with 64 bits "
            f"after the prefix (RFC 4862).{more}"
        )
    if not (prefix.subnet_of(_GLOBAL) or prefix.subnet_of(_UNIQUE_LOCAL)):
        raise Wrong(f"{prefix} can't be used for guests: give the global prefix that the hoster assigned (in 2000::/3)")
    return prefix


def in_prefix(node: Node, given: IPv6Address, prefix: IPv6Network) -> IPv6Address:
    """A host's address, typed whole or as its last 64 bits (`::25`). Problems go under `node`."""
    identifier = int(given)
    if identifier >> 64:
        if given not in prefix:
            node.refuse(f"{given} lies outside the network's prefix {prefix}; `::25` stands for an address inside")
        identifier &= 2**64 - 1
    address = prefix[identifier]
    if identifier == 0:
        node.refuse(f"{address} is the subnet-router anycast address (RFC 4291, section 2.6.1): take another one")
    elif identifier >= _RESERVED_IDENTIFIERS and identifier <= _RESERVED_IDENTIFIERS + 0x7F:
        node.refuse(f"{address} is reserved for subnet anycast (RFC 2526): take another one")
    return address


@dataclass
class NetworkReader:
    """Reads networks one after the other: those with equal `nat64` share one translator."""

    prefixes: Table[Prefix]
    server: Server | None
    uplink: Uplink | None
    _translators: dict[tuple[IPv6Network, IPv4Network, IPv4Address], IPv6Address | None] = field(default_factory=dict)

    def read(self, node: Node, name: str) -> Network:
        fields = Fields(node, ("prefix", "mode", "bridge", "mac", "mtu", "ra", "nat64", "dns64"), NETWORK)
        prefix = self._prefix(fields, name)
        mode = fields.optional("mode", choice("routed", later=("bridged", "per-guest")), "routed")
        bridge = fields.optional("bridge", values.interface_name, f"br-{name}"[:15])
        mac = fields.optional("mac", values.mac, bridge_mac(name))
        mtu = fields.optional("mtu", MTU, self.uplink.mtu if self.uplink else 1500)
        has_ipv4 = self.uplink is None or self.uplink.ipv4 is not None
        nat64 = fields.switch("nat64", lambda n: self._nat64(n, prefix, has_ipv4), default=has_ipv4)
        nat64_failed = "nat64" in fields.failed
        dns64 = fields.switch("dns64", lambda n: read_dns64(n, nat64, nat64_failed), default=nat64 is not None)
        ra = fields.section("ra", lambda n: self._ra(n, prefix, nat64, dns64))
        fields.close()
        return Network(name, prefix, mode, bridge, mac, mtu, ra, nat64, dns64)

    def _prefix(self, fields: Fields, name: str) -> Prefix:
        """The prefix named; by default the one of the network's own name, or the only one."""
        names = self.prefixes.good.keys() | self.prefixes.bad
        default = name if name in names else next(iter(names)) if len(names) == 1 else ""
        if fields.has("prefix") or not (default or self.prefixes.broken):
            return fields.required("prefix", self.prefixes.reference, f"one of {', '.join(choosable(names))}")
        return fields.default("prefix", self.prefixes.reference, default)

    def _nat64(self, node: Node, prefix: Prefix | None, has_ipv4: bool) -> Nat64:
        if not has_ipv4:
            raise Wrong("needs sixstead:uplink.ipv4: guests reach the IPv4 internet from that address")
        fields = Fields(node, ("prefix", "pool", "ipv4_addr", "ipv6_addr"), "{prefix: 64:ff9b::/96}")
        translated = fields.optional("prefix", nat64_prefix, WELL_KNOWN_NAT64)
        pool = fields.optional("pool", nat64_pool, POOL)
        given: IPv4Address | None = fields.optional("ipv4_addr", values.ipv4, None)
        given6: IPv6Address | None = fields.optional("ipv6_addr", values.ipv6, None)
        fields.close()
        ipv4_addr = given or pool[1]
        if given and given in pool and given in (pool.network_address, pool.broadcast_address):
            node.refuse(f"{given} is no host's address in {pool}; {pool[1]} is", "ipv4_addr")
        if given6 and (given6 in translated or not values.reachable(given6)):
            node.refuse(f"must be an address outside {translated} that guests can see in error messages", "ipv6_addr")
        if given6:
            return Nat64(translated, pool, ipv4_addr, given6)
        own = (translated, pool, ipv4_addr)
        if own not in self._translators:
            needed = prefix is not None and translated == WELL_KNOWN_NAT64
            self._translators[own] = prefix.prefix[0x64] if prefix and needed else None
        return Nat64(*own, self._translators[own])

    def _ra(self, node: Node, prefix: Prefix | None, nat64: Nat64 | None, dns64: Dns64 | None) -> RouterAdvertisement:
        fields = Fields(node, ("max_interval", "min_interval", "lifetime", "rdnss", "dnssl"), "{max_interval: 600}")
        longest = fields.optional("max_interval", integer(4, 1800, " seconds"), 600)
        limit = longest * 3 // 4 if longest else 3  # RFC 4861, section 6.2.1
        shortest = fields.optional("min_interval", integer(3, limit, " seconds (3/4 of max_interval)"), None)
        lifetime = fields.optional("lifetime", integer(longest or 4, 9000, " seconds"), min(3 * (longest or 600), 9000))
        if dns64 and prefix:
            resolvers: tuple[IPv6Address, ...] = (prefix.address,)
        else:
            resolvers = self.server.hoster.resolvers if self.server else ()
        rdnss = fields.optional("rdnss", list_of(rdnss_address, '["2001:db8:1::2"]'), resolvers)
        dnssl = fields.optional("dnssl", list_of(values.domain_name, "[example.net]"), ())
        fields.close()
        system = self.server.os if self.server else SYSTEMS["debian-12"]
        pref64 = nat64 is not None and system.radvd_pref64
        return RouterAdvertisement(
            longest, shortest or min(max(longest // 3, 3), limit), lifetime, rdnss, dnssl, pref64
        )


def rdnss_address(node: Node) -> IPv6Address:
    address = values.ipv6(node)
    if not values.reachable(address):
        raise Wrong(f"{address} can't be asked: give the IPv6 address of a DNS server that guests can reach")
    return address


def nat64_prefix(node: Node) -> IPv6Network:
    prefix = values.ipv6_network(node)
    if prefix.prefixlen != 96:
        raise Wrong(f"must be a /96, like 64:ff9b::/96, not a /{prefix.prefixlen}: other lengths are not supported")
    if int(prefix.network_address) >> 56 & 0xFF:
        raise Wrong(f"bits 64 to 71 of {prefix} must be zero (RFC 6052, section 2.2)")
    if prefix != WELL_KNOWN_NAT64 and not (prefix.subnet_of(_GLOBAL) or prefix.subnet_of(_UNIQUE_LOCAL)):
        raise Wrong(f"{prefix} can't carry translated addresses: use 64:ff9b::/96 or a /96 of your own")
    return prefix


def nat64_pool(node: Node) -> IPv4Network:
    pool = values.ipv4_network(node)
    if not any(pool.subnet_of(private) for private in _PRIVATE):
        raise Wrong(
            f"{pool} is not private: guests would lose the hosts that live there; 192.168.255.0/24 is a good one"
        )
    if pool.prefixlen > 29:
        raise Wrong(f"{pool} is too small: each guest takes an address of the pool; use a /24")
    return pool


def read_dns64(node: Node, nat64: Nat64 | None, nat64_failed: bool) -> Dns64:
    fields = Fields(node, ("forward",), '{forward: ["2001:db8:ffff::53"]}')
    forward = fields.optional("forward", list_of(values.resolver, '["2001:db8:ffff::53"]'), ())
    fields.close()
    if nat64 is None:
        if nat64_failed:
            raise Reported
        raise Wrong("needs nat64 on: the addresses it makes up would lead nowhere; turn nat64 on, or dns64 off")
    return Dns64(nat64.prefix, forward)
