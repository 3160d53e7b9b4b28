"""Single values of a stack's config: addresses, MACs, names, sizes, ports, keys, checksums."""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from urllib.parse import urlsplit

from settings.model import PortRange
from settings.problems import shown
from settings.reader import Node, Reader, Wrong, integer, kind, text

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,14}")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(MiB|GiB|TiB)")
_DECIMAL_SIZE = re.compile(r"([0-9.]+) ?([KMGT])(?:i?[Bb]?|B)", re.IGNORECASE)
_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_DIGEST_LENGTHS = {"sha256": 64, "sha512": 128}
_MIB = 2**20


def label(what: str) -> Reader[str]:
    return lambda node: check_label(text(node), what)


def check_label(name: str, what: str = "name") -> str:
    """An RFC 1123 label in lower case: it becomes a host name, a domain name and part of file names."""
    if not _LABEL.fullmatch(name):
        raise Wrong(f"a {what} is 1 to 63 lower-case letters, digits and '-', with no '-' at either end (RFC 1123)")
    return name


def check_name(name: str) -> str:
    """A name used inside this config only."""
    if not _NAME.fullmatch(name):
        raise Wrong("a name is 1 to 63 letters, digits, '-', '_' and '.', with a letter or digit at either end")
    return name


def domain_name(node: Node) -> str:
    name = text(node)
    if not _DOMAIN.fullmatch(name):
        raise Wrong(f"must be a domain name, like kvm1.example.net, not {shown(name)}")
    return name


def host(node: Node) -> str:
    """A host name or an address without brackets."""
    name = text(node)
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        scope = address.scope_id if isinstance(address, IPv6Address) else None
        if scope and not _INTERFACE.fullmatch(scope):
            raise Wrong(f"names no interface after the '%': {shown(name)}")
        return str(address)
    if ":" in name or name.startswith("[") or not _DOMAIN.fullmatch(name) or re.fullmatch(r"[0-9.]+", name):
        raise Wrong(
            f"must be a host name or an address without brackets, port or user, not {shown(name)}; "
            "the port and the user have keys of their own"
        )
    return name


def user(node: Node) -> str:
    name = text(node)
    if not _USER.fullmatch(name):
        raise Wrong(f"must be a login name, like root, not {shown(name)}")
    return name


def interface_name(node: Node) -> str:
    """A name the kernel takes (at most 15 characters, IFNAMSIZ) and ifupdown does not read as alias or VLAN."""
    name = text(node)
    if not _INTERFACE.fullmatch(name):
        raise Wrong(
            f"must be an interface name of 1 to 15 letters, digits, '-' and '_', with no '-' first, "
            f"not {shown(name)} ({len(name)} long)"
        )
    if name == "lo":
        raise Wrong("lo is the loopback interface; name another one")
    if name in ("all", "default"):
        raise Wrong(f"{name} means every interface in the kernel's settings (net.ipv6.conf.{name}); name one")
    return name


def mac(node: Node) -> str:
    """A unicast MAC address, in lower case with colons."""
    raw = node.raw
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw < 60**6:
        digits = ":".join(f"{raw // 60**power % 60:02d}" for power in range(5, -1, -1))
        raise Wrong(f'YAML read this MAC as the number {raw}: put it in quotes, "{digits}"')
    value = text(node)
    if not _MAC.fullmatch(value):
        raise Wrong(f"must be a MAC address, like 52:54:00:12:ab:cd, not {shown(value)}")
    value = value.lower()
    if int(value[:2], 16) & 1:
        raise Wrong(f"{value} is a multicast MAC (its first byte is odd); an interface needs a unicast one")
    if value == "00:00:00:00:00:00":
        raise Wrong("the MAC address of an interface can't be all zeros")
    return value


def _address_text(node: Node, wanted: str) -> str:
    if not isinstance(node.raw, str):
        raise Wrong(f"must be {wanted}, not {kind(node.raw)}")
    return text(node)


def ipv4(node: Node) -> IPv4Address:
    value = _address_text(node, "an IPv4 address, like 192.0.2.1")
    try:
        return IPv4Address(value)
    except ValueError:
        raise Wrong(f"must be an IPv4 address, like 192.0.2.1, not {shown(value)}") from None


def ipv4_interface(node: Node) -> IPv4Interface:
    value = _address_text(node, "an IPv4 address with its prefix length, like 192.0.2.10/32")
    try:
        if "/" not in value or "." in value.partition("/")[2]:
            raise ValueError
        return IPv4Interface(value)
    except ValueError:
        hint = f"; did you mean {value}/32?" if _is_ipv4(value) else ""
        raise Wrong(
            f"must be an IPv4 address with its prefix length, like 192.0.2.10/32, not {shown(value)}{hint}"
        ) from None


def ipv4_network(node: Node) -> IPv4Network:
    value = _address_text(node, "an IPv4 network, like 192.168.255.0/24")
    try:
        if "/" not in value or "." in value.partition("/")[2]:
            raise ValueError
        return IPv4Network(value)
    except ValueError:
        raise Wrong(f"must be an IPv4 network, like 192.168.255.0/24, not {shown(value)}{_masked(value)}") from None


def ipv6(node: Node) -> IPv6Address:
    value = _address_text(node, "an IPv6 address, like 2001:db8:1::2")
    if "%" in value:
        raise Wrong(f"leave out {value[value.index('%') :]!r}: which interface is meant is known")
    try:
        return IPv6Address(value)
    except ValueError:
        raise Wrong(f"must be an IPv6 address, like 2001:db8:1::2, not {shown(value)}") from None


def ipv6_network(node: Node) -> IPv6Network:
    value = _address_text(node, "an IPv6 prefix, like 2001:db8:1::/64")
    try:
        if "/" not in value or "%" in value:
            raise ValueError
        return IPv6Network(value)
    except ValueError:
        raise Wrong(f"must be an IPv6 prefix, like 2001:db8:1::/64, not {shown(value)}{_masked(value)}") from None


def resolver(node: Node) -> IPv4Address | IPv6Address:
    """The address of a DNS server to ask, of either family."""
    value = text(node)
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise Wrong(f"must be the address of a DNS server, not {shown(value)}") from None
    if (isinstance(address, IPv6Address) and address.scope_id) or not reachable(address) or address.is_link_local:
        raise Wrong(f"{value} can't be asked: name an address that this server can reach through its uplink")
    return address


def reachable(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address can be another host's at all."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return False
    never = address.is_multicast or address.is_unspecified or address.is_loopback
    return not (never or (isinstance(address, IPv4Address) and address.is_reserved))


def _is_ipv4(value: str) -> bool:
    try:
        IPv4Address(value)
    except ValueError:
        return False
    return True


def _masked(value: str) -> str:
    """For a network with host bits set: the network that was meant."""
    try:
        meant = str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return ""
    return f"; did you mean {meant}?" if "/" in value and meant != value else ""


def size(low: int, what: str) -> Reader[int]:
    """A size with a binary unit (MiB, GiB, TiB) in whole MiB, in bytes."""

    def read_size(node: Node) -> int:
        if not isinstance(node.raw, str):
            raise Wrong(f"must be {what} with its unit, like 2GiB, not {kind(node.raw)}")
        match = _SIZE.fullmatch(node.raw)
        if not match:
            decimal = _DECIMAL_SIZE.fullmatch(node.raw)
            hint = f"; did you mean {decimal[1]}{decimal[2].upper()}iB?" if decimal and decimal[2] not in "kK" else ""
            raise Wrong(f"must be {what} in MiB, GiB or TiB, like 2GiB, not {kind(node.raw)}{hint}")
        whole, _, fraction = match[1].partition(".")
        scaled = int(whole + fraction) * _UNITS[match[2]]
        divisor: int = 10 ** len(fraction)
        value, rest = divmod(scaled, divisor)
        if rest or value % _MIB:
            raise Wrong(f"must be a whole number of MiB, not {node.raw}")
        if not low <= value <= 2**50:
            raise Wrong(f"must be from {low // _MIB}MiB to 1024TiB, not {node.raw}")
        return value

    return read_size


def port_range(node: Node) -> PortRange:
    """A port, or a range of ports like `60000-61000`."""
    if isinstance(node.raw, str):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", node.raw, re.ASCII)
        if not match:
            raise Wrong(f"must be a port from 1 to 65535, or a range like 60000-61000, not {kind(node.raw)}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= 65535:
            raise Wrong(f"a range of ports rises from 1 at the least to 65535 at the most; {node.raw} doesn't")
        return PortRange(first, last)
    port = integer(1, 65535)(node)
    return PortRange(port, port)


def path(node: Node) -> str:
    """A path on the operator's machine."""
    return text(node)


def absolute_path(node: Node) -> str:
    """A path on the server."""
    value = text(node)
    if not value.startswith("/") or value.endswith("/") or "/../" in value + "/":
        raise Wrong(f"must be the absolute path of a file on the server, like /var/lib/images/d13.qcow2, not {value}")
    return value


def url(node: Node) -> str:
    value = text(node)
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path.strip("/") != ""
        _ = parts.port
    except ValueError:
        good = False
    if not good or not value.isascii() or re.search(r"[\s\"'<>\\]", value):
        raise Wrong(f"must be the http or https URL of a file, not {shown(value)}")
    if "@" in urlsplit(value).netloc:
        raise Wrong("a user or password in a URL would stand in state and logs: serve the image without")
    return value


def digest(algorithm: str) -> Reader[str]:
    """A checksum in hex, in lower case."""
    length = _DIGEST_LENGTHS[algorithm]

    def read_digest(node: Node) -> str:
        if not isinstance(node.raw, str):
            quote = ": put it in quotes" if isinstance(node.raw, int | float) else ""
            raise Wrong(f"must be {length} hexadecimal digits, not {kind(node.raw)}{quote}")
        value = text(node).lower()
        if not re.fullmatch(r"[0-9a-f]+", value):
            raise Wrong(f"must be {length} hexadecimal digits, not {shown(value)}")
        if len(value) != length:
            other = next((name for name, size in _DIGEST_LENGTHS.items() if size == len(value)), "")
            hint = f": that is the length of a {other}" if other else ""
            raise Wrong(f"a {algorithm} has {length} hexadecimal digits, this has {len(value)}{hint}")
        return value

    return read_digest
