"""A stack's settings, typed and complete: what the rest of the program reads.

Everything here is frozen, and known before anything is touched. Sizes are in bytes, times in seconds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

WELL_KNOWN_NAT64 = IPv6Network("64:ff9b::/96")
"""The well-known prefix of RFC 6052, section 2.1."""

IFNAMSIZ = 15
"""The longest name of an interface, in characters (linux/if.h, less its final zero byte)."""


@dataclass(frozen=True)
class Hoster:
    """What a hoster does alike for all its servers; empty where it differs from server to server.

    `rescue`: the last 64 bits of the address that its rescue system has."""

    name: str
    delivery: str = ""
    gateway: IPv6Address | None = None
    resolvers: tuple[IPv6Address, ...] = ()
    rescue: IPv6Address | None = None


HOSTERS = {
    hoster.name: hoster
    for hoster in (
        Hoster(
            "hetzner",
            delivery="routed",
            gateway=IPv6Address("fe80::1"),
            resolvers=(IPv6Address("2a01:4ff:ff00::add:1"), IPv6Address("2a01:4ff:ff00::add:2")),
            rescue=IPv6Address("::2"),
        ),
        Hoster("ovh", delivery="on-link"),
        Hoster("generic"),
    )
}


@dataclass(frozen=True)
class OperatingSystem:
    """A distribution that can be a server. `radvd_pref64`: its radvd knows `nat64prefix` (RFC 8781, radvd 2.20)."""

    name: str
    codename: str
    radvd_pref64: bool


SYSTEMS = {
    system.name: system
    for system in (
        OperatingSystem("debian-12", "bookworm", radvd_pref64=False),
        OperatingSystem("debian-13", "trixie", radvd_pref64=True),
    )
}


@dataclass(frozen=True)
class Ssh:
    """How to log in. `host_keys` are pinned: no other key is taken. Paths are on the operator's machine."""

    host: str
    host_keys: tuple[str, ...]
    port: int = 22
    user: str = "root"
    config: str = "~/.ssh/config"
    identity_file: str | None = None


@dataclass(frozen=True, order=True)
class PortRange:
    """Ports from `first` to `last`; `str` gives nft's notation."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Ports:
    """Ports, in rising order, without overlaps."""

    tcp: tuple[PortRange, ...] = ()
    udp: tuple[PortRange, ...] = ()


@dataclass(frozen=True)
class PublicKey:
    name: str
    text: str


@dataclass(frozen=True)
class Server:
    """`kvm`: guests run on the processor's own virtualization; without it they are emulated, which is slow. `open`: what
    the internet may reach on the server itself, beside SSH. `ptr`: see Guest. `operators`: the keys that log in to the
    server, and no others; none means that its authorized_keys is left alone. `rescue`: the last 64 bits of the address
    that the hoster's rescue system has, in the first prefix."""

    name: str
    ssh: Ssh
    hoster: Hoster
    os: OperatingSystem
    backend: str
    kvm: bool = True
    open: Ports = Ports()
    ptr: str | None = None
    operators: tuple[PublicKey, ...] = ()
    rescue: IPv6Address | None = None


@dataclass(frozen=True)
class UplinkIPv4:
    """The server's IPv4 address. `on_link`: the gateway lies outside the address's network (/32 at Hetzner)."""

    address: IPv4Interface
    gateway: IPv4Address

    @property
    def on_link(self) -> bool:
        return self.gateway not in self.address.network


@dataclass(frozen=True)
class Uplink:
    name: str
    mac: str
    ipv4: UplinkIPv4 | None
    mtu: int = 1500


@dataclass(frozen=True)
class Prefix:
    """A /64 from the hoster. `address` is the server's own in it: /128 on the uplink, /64 on the guest bridge.

    `delivery`: `routed` to the server's link-local address, or `on-link`, where the hoster's router asks for
    each address by neighbour solicitation and the server answers for its guests.
    """

    name: str
    prefix: IPv6Network
    gateway: IPv6Address
    delivery: str
    address: IPv6Address

    @property
    def on_link(self) -> bool:
        return self.delivery == "on-link"

    @property
    def bridge_address(self) -> IPv6Interface:
        return IPv6Interface(f"{self.address}/{self.prefix.prefixlen}")


@dataclass(frozen=True)
class RouterAdvertisement:
    """What radvd.conf(5) calls MaxRtrAdvInterval, MinRtrAdvInterval, AdvDefaultLifetime (seconds), RDNSS, DNSSL.

    `pref64`: the NAT64 prefix is announced too (RFC 8781).
    """

    max_interval: int
    min_interval: int
    lifetime: int
    rdnss: tuple[IPv6Address, ...]
    dnssl: tuple[str, ...]
    pref64: bool


@dataclass(frozen=True)
class Nat64:
    """A stateless translator and its IPv4 pool, masqueraded behind the uplink's address.

    `ipv4_addr` and `ipv6_addr` are the translator's own (tayga.conf(5)); without `ipv6_addr` it maps the
    former into the prefix, which it refuses for a private address behind 64:ff9b::/96.
    """

    prefix: IPv6Network
    pool: IPv4Network
    ipv4_addr: IPv4Address
    ipv6_addr: IPv6Address | None


@dataclass(frozen=True)
class Dns64:
    """A resolver on the bridge's address that makes AAAA records in `prefix`; without `forward` it asks the roots."""

    prefix: IPv6Network
    forward: tuple[IPv4Address | IPv6Address, ...]


@dataclass(frozen=True)
class Network:
    """A bridge for guests, with one prefix; the server is its router."""

    name: str
    prefix: Prefix
    mode: str
    bridge: str
    mac: str
    mtu: int
    ra: RouterAdvertisement
    nat64: Nat64 | None
    dns64: Dns64 | None


@dataclass(frozen=True)
class Checksum:
    algorithm: str
    digest: str


@dataclass(frozen=True)
class ImageFile:
    """A file to fetch (`url`) or already on the server (`path`): exactly one of the two is set."""

    url: str | None
    path: str | None
    checksum: Checksum

    @property
    def source(self) -> str:
        return self.url or self.path or ""


@dataclass(frozen=True)
class KernelBoot:
    """Direct kernel boot: the kernel, its initrd, and the whole command line."""

    kernel: ImageFile
    initrd: ImageFile | None
    cmdline: str


@dataclass(frozen=True)
class Image:
    """What a guest boots: a disk image (`disk`, with its `format`), or a kernel (`boot`) and perhaps a disk image."""

    name: str
    disk: ImageFile | None
    format: str
    boot: KernelBoot | None


@dataclass(frozen=True)
class Disk:
    """A guest's own disk. `size` in bytes; None is the size of its image. `on_delete`: keep or delete."""

    size: int | None
    on_delete: str = "keep"


@dataclass(frozen=True)
class Guest:
    """A virtual machine. `open`: what the internet may reach. `user_data`: a user-data part of cloud-init's, or empty.

    `cmdline` is added to the image's, for direct kernel boot. `disk` is None where there is nothing to store. `ptr`: what
    its address's PTR record says, where that is typed; None is the default, an empty text is none at all.
    """

    name: str
    image: Image
    memory: int
    vcpus: int
    disk: Disk | None
    keys: tuple[PublicKey, ...]
    open: Ports
    network: Network
    mac: str
    address: IPv6Address
    autostart: bool
    user_data: str
    cmdline: str
    ptr: str | None = None


@dataclass(frozen=True)
class FirewallRule:
    """What the guest named `source` may reach at the guest named `destination`."""

    source: str
    destination: str
    ports: Ports


@dataclass(frozen=True)
class ReverseDns:
    """Who keeps the PTR records of the hoster's addresses, and under which domain names are made; without one, none are.

    `endpoint`: the URL of Robot. `wait`: seconds that one run may spend, in all, on waiting for it. `server_id`: the number of
    a Cloud server; exactly with the provider `cloud` it is set.
    """

    provider: str
    domain: str | None
    endpoint: str
    wait: int
    server_id: int | None = None


@dataclass(frozen=True)
class Settings:
    """Everything of a stack, checked as a whole. Maps are keyed by name, in the order of the config."""

    server: Server
    uplink: Uplink
    prefixes: dict[str, Prefix]
    networks: dict[str, Network]
    keys: dict[str, PublicKey]
    images: dict[str, Image]
    guests: dict[str, Guest]
    firewall: tuple[FirewallRule, ...]
    rdns: ReverseDns | None = None

    @property
    def nat64_gateways(self) -> tuple[Nat64, ...]:
        """Each NAT64 once: networks with equal `nat64` share one translator."""
        return tuple(dict.fromkeys(network.nat64 for network in self.networks.values() if network.nat64))

    def guests_of(self, network: Network) -> tuple[Guest, ...]:
        return tuple(guest for guest in self.guests.values() if guest.network.name == network.name)


def guest_mac(name: str) -> str:
    """The MAC of a guest that is given none: 52:54:00 (QEMU's) and three bytes of a hash of its name.

    It stays the same on whatever server the guest lives.
    """
    return "52:54:00:" + hashlib.sha256(f"sixstead guest {name}".encode(errors="replace")).digest()[:3].hex(":")


def tap_name(guest: str) -> str:
    """The interface on the host that is a guest's end of its network, for firewalls and graphs: `v-web`.

    A name that would be too long for the kernel is cut, and told apart by a hash.
    """
    name = f"v-{guest}"
    if len(name) <= IFNAMSIZ:
        return name
    return f"{name[:8]}-{hashlib.sha256(guest.encode()).hexdigest()[:6]}"


def bridge_mac(network: str) -> str:
    """The MAC of a guest bridge that is given none: locally administered, never seen on the uplink's wire."""
    return "02:" + hashlib.sha256(f"sixstead network {network}".encode(errors="replace")).digest()[:5].hex(":")


def eui64(prefix: IPv6Network, mac: str) -> IPv6Address:
    """The address that stateless autoconfiguration makes from a MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return prefix[int.from_bytes(identifier, "big")]
