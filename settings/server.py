"""The server and its uplink: `sixstead:server`, `sixstead:uplink`."""

from __future__ import annotations

from ipaddress import IPv6Address

from settings import ssh_keys, values
from settings.model import HOSTERS, SYSTEMS, Hoster, OperatingSystem, Ports, PublicKey, Server, Ssh, Uplink, UplinkIPv4
from settings.ports import read_ports
from settings.reader import Fields, Node, Table, Wrong, boolean, choice, integer, list_of
from settings.reverse_dns import read_ptr

SERVER = "{ssh: {host: 192.0.2.10, host_key: ssh-ed25519 AAAA...}, os: debian-13}"
UPLINK = "{name: enp5s0, mac: 90:1b:0e:aa:bb:cc, ipv4: {address: 192.0.2.10/32, gateway: 192.0.2.1}}"
NO_RESCUE = IPv6Address("::")
MTU = integer(1280, 9216, " bytes")  # IPv6 needs 1280 (RFC 8200, section 5)


def read_server(node: Node, stack: str, keys: Table[PublicKey]) -> Server:
    known = ("name", "ssh", "hoster", "os", "backend", "kvm", "open", "ptr", "operators", "rescue")
    fields = Fields(node, known, SERVER)
    name = fields.optional("name", values.domain_name, stack)
    if not name and not fields.has("name"):
        fields.refuse("is missing: the server's host name", "name")
    ssh = fields.required("ssh", read_ssh, "how to log in, {host: 192.0.2.10, host_key: ssh-ed25519 AAAA...}")
    hoster = fields.optional("hoster", read_hoster, HOSTERS["generic"])
    system = fields.required("os", read_system, f"the server's distribution, {' or '.join(SYSTEMS)}")
    backend = fields.optional("backend", choice("ifupdown", "networkd", "netplan"), "ifupdown")
    kvm = fields.optional("kvm", boolean, True)
    ports = fields.optional("open", read_ports, Ports())
    ptr: str | None = fields.optional("ptr", read_ptr, None)
    operators = fields.optional("operators", lambda n: read_operators(n, keys), ())
    found: IPv6Address | None = fields.optional("rescue", read_rescue, hoster.rescue if hoster else None)
    rescue = found if found != NO_RESCUE else None
    fields.close()
    return Server(name, ssh, hoster, system, backend, kvm, ports, ptr, operators, rescue)


def read_operators(node: Node, keys: Table[PublicKey]) -> tuple[PublicKey, ...]:
    """Who may log in to the server. An empty list is refused: it would lock everybody out."""
    named = list_of(keys.reference, "[alice, bob]")(node)
    if not named:
        raise Wrong("must name a key at least: nobody could log in. Leave it out, and the server's own keys stay")
    seen: dict[str, str] = {}
    for key in named:
        material = " ".join(key.text.split()[:2])
        if material in seen:
            raise Wrong(f"names the same key twice: {seen[material]}, {key.name}")
        seen[material] = key.name
    return named


def read_rescue(node: Node) -> IPv6Address:
    """The last 64 bits of an address; `false` for none."""
    if node.raw is False:
        return NO_RESCUE
    identifier = values.ipv6(node)
    if not 0 < int(identifier) < 2**64:
        raise Wrong(f"must be the last 64 bits of an address, like ::2, or false for none, not {identifier}")
    return identifier


def read_hoster(node: Node) -> Hoster:
    return HOSTERS[choice(*HOSTERS)(node)]


def read_system(node: Node) -> OperatingSystem:
    return SYSTEMS[choice(*SYSTEMS)(node)]


def read_ssh(node: Node) -> Ssh:
    fields = Fields(
        node,
        ("host", "port", "user", "host_key", "config", "identity_file"),
        "{host: 192.0.2.10, user: root, host_key: ssh-ed25519 AAAA...}",
    )
    host = fields.required("host", values.host, "the server's address or host name")
    host_keys = fields.required(
        "host_key",
        read_host_keys,
        "the server's public host key, `ssh-ed25519 AAAA...`; ./sixstead init writes it, ssh-keyscan shows it",
    )
    port = fields.optional("port", integer(1, 65535), 22)
    user = fields.optional("user", values.user, "root")
    config = fields.optional("config", values.path, "~/.ssh/config")
    identity_file: str | None = fields.optional("identity_file", read_identity_file, None)
    fields.close()
    return Ssh(host, host_keys, port, user, config, identity_file)


def read_identity_file(node: Node) -> str:
    if isinstance(node.raw, str) and "PRIVATE KEY" in node.raw:
        raise Wrong("must be the path of a key file; a key itself goes in as a secret: config set --secret sshKey")
    return values.path(node)


def read_host_keys(node: Node) -> tuple[str, ...]:
    if isinstance(node.raw, list):
        keys = list_of(ssh_keys.host_key, "[ssh-ed25519 AAAA...]")(node)
        if not keys:
            raise Wrong("must hold a key at least: the server is known by nothing else")
        return keys
    return (ssh_keys.host_key(node),)


def read_uplink(node: Node) -> Uplink:
    fields = Fields(node, ("name", "mac", "ipv4", "mtu"), UPLINK)
    name = fields.required("name", values.interface_name, "the interface that the hoster's cable is in, like enp5s0")
    mac = fields.required("mac", values.mac, "the MAC address of that interface, the only one the switch may see")
    ipv4: UplinkIPv4 | None = fields.optional("ipv4", read_uplink_ipv4, None)
    mtu = fields.optional("mtu", MTU, 1500)
    fields.close()
    return Uplink(name, mac, ipv4, mtu)


def read_uplink_ipv4(node: Node) -> UplinkIPv4:
    fields = Fields(node, ("address", "gateway"), "{address: 192.0.2.10/32, gateway: 192.0.2.1}")
    address = fields.required("address", values.ipv4_interface, "the server's IPv4 address, like 192.0.2.10/32")
    gateway = fields.required("gateway", values.ipv4, "the hoster's IPv4 gateway")
    fields.close()
    network = address.network
    edges = (network.network_address, network.broadcast_address) if network.prefixlen < 31 else ()
    if not values.reachable(address.ip) or address.ip in edges:
        node.refuse(f"{address} is no host's address: give the server's own", "address")
    elif gateway == address.ip:
        node.refuse(f"{gateway} is the server's own address: give the hoster's router", "gateway")
    elif not values.reachable(gateway) or gateway in edges:
        node.refuse(f"{gateway} can't be reached: give the address of the hoster's router", "gateway")
    return UplinkIPv4(address, gateway)
