"""A `dns` stack: `sixstead:dns`, which says whose records are published, in which zones, at which primary servers."""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from settings import values
from settings.dns_model import LONGEST, SETTLED, YOUNG, Dns, Primary, Publisher, Zone
from settings.problems import Problem, SettingsError, shown, suggestion
from settings.reader import (
    Fields,
    Node,
    Reported,
    Table,
    Wrong,
    attempt,
    boolean,
    choice,
    entries,
    integer,
    list_of,
    table,
    text,
)
from settings.server import read_ssh

DNS = "{servers: [kvm1], zones: {example.net: {}}, primaries: {ns1: {provider: rfc2136, server: ns1.example.net}}}"
ZONE = "{cname: {www: web}}"
PRIMARY = "{provider: rfc2136, server: ns1.example.net, key: sixstead}"
CREDENTIALS = ("sshKey", "sshKeyPassphrase", "sudoPassword", "tsigKey")
"""Keys that may stand beside `sixstead:dns`, as secrets; nothing here reads them."""

_STACK = re.compile(r"([A-Za-z0-9_.-]+/){0,2}[A-Za-z0-9_.-]+")
_KEY = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_ALIAS = re.compile(r"(\*|[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")


def parse_dns(config: Mapping[str, Any], stack: str = "dns") -> Dns:
    """Read a `dns` stack's config, as `settings.parse` does a server's. Raises SettingsError with every problem."""
    report: list[Problem] = []
    for name in config:
        if name != "dns" and name not in CREDENTIALS:
            what = "a stack with sixstead:dns publishes records and has no server of its own: leave it out"
            report.append(Problem(f"sixstead:{name}", what))
    found = attempt(Node(config.get("dns"), "sixstead:dns", report), lambda node: read_dns(node, stack))
    if report or found is None:
        raise SettingsError(report, stack)
    return found


def read_dns(node: Node, stack: str) -> Dns:
    fields = Fields(node, ("servers", "zones", "primaries", "domain", "ttl", "settled", "owner"), DNS)
    owner = fields.optional("owner", values.domain_name, stack)
    settled = fields.optional("settled", boolean, False)
    young, old = fields.section("ttl", read_ttl) or (YOUNG, SETTLED)
    primaries: Table[Primary] = fields.section(
        "primaries", lambda n: table(n, "primary", values.check_label, read_primary, f"{{ns1: {PRIMARY}}}")
    )
    zones: Table[Zone] = fields.required(
        "zones",
        lambda n: table(n, "zone", str, lambda z, name: read_zone(z, name, primaries), f"{{example.net: {ZONE}}}"),
        "the zones, {example.net: {}, '2001:db8:1::/64': {}}",
    )
    found = {zone.name: zone for zone in zones.good.values()} if zones else {}
    if zones and len(found) < len(zones.good):
        fields.refuse("two of them are the same zone", "zones")
    forward = [zone.name for zone in found.values() if not zone.reverse]
    default = forward[0] if len(forward) == 1 else ""
    domain = fields.optional("domain", values.domain_name, default).lower()
    servers = fields.required(
        "servers", lambda n: read_servers(n, domain, settled), "the stacks whose records are published, [kvm1, kvm2]"
    )
    fields.close()
    for name, server in servers.items():
        if not server.domain:
            node.refuse(f"is missing: with {len(forward)} forward zones, say what {name}'s names are put in", "domain")
            break
    for second, first in same_places(primaries.good.values(), found.values()).items():
        otherwise = "" if first.ssh else ", or let no zone be at both (`primaries` of sixstead:dns.zones)"
        node.refuse(f"is the same place as {first.name}: leave it out{otherwise}", "primaries", second)
    return Dns(servers, found, primaries.good, young, old, owner)


def read_ttl(node: Node) -> tuple[int, int]:
    fields = Fields(node, ("young", "settled"), "{young: 300, settled: 3600}")
    seconds = integer(30, 86400 * 7, " seconds")
    young, settled = fields.optional("young", seconds, YOUNG), fields.optional("settled", seconds, SETTLED)
    fields.close()
    if young > settled:
        raise Wrong(f"young ({young}) must not be longer than settled ({settled})")
    return young, settled


def read_servers(node: Node, domain: str, settled: bool) -> dict[str, Publisher]:
    """A list of stacks, or a map with what differs from the defaults."""
    if isinstance(node.raw, list | tuple):
        names = list_of(read_stack, "[kvm1, kvm2]")(node)
        if len(set(names)) < len(names):
            raise Wrong("names a stack twice")
        found = {name: Publisher(name, domain, settled) for name in names}
    else:
        entries(node, "[kvm1, kvm2]` or `{kvm1: {settled: true}}")
        before = len(node.report)
        read = table(
            node, "stack", check_stack, lambda n, name: read_server(n, name, domain, settled), "{kvm1: {settled: true}}"
        )
        found = read.good
        if len(node.report) > before:
            raise Reported
    if not found:
        raise Wrong("must name one stack at least")
    return found


def read_server(node: Node, name: str, domain: str, settled: bool) -> Publisher:
    fields = Fields(or_empty(node), ("domain", "settled"), "{settled: true}")
    domain = fields.optional("domain", values.domain_name, domain).lower()
    settled = fields.optional("settled", boolean, settled)
    fields.close()
    return Publisher(name, domain, settled)


def read_stack(node: Node) -> str:
    return check_stack(text(node))


def check_stack(name: str) -> str:
    """A stack as StackReference names it: STACK, or ORGANIZATION/PROJECT/STACK."""
    if not _STACK.fullmatch(name) or name.count("/") == 1:
        raise Wrong(f"must be a stack, like kvm1 or organization/sixstead/kvm1, not {shown(name)}")
    return name


def read_zone(node: Node, name: str, primaries: Table[Primary]) -> Zone:
    fields = Fields(or_empty(node), ("primaries", "cname"), ZONE)
    found = zone_name(name)
    everywhere = tuple(primaries.good.values()) if primaries else ()
    chosen = fields.optional("primaries", list_of(primaries.reference, "[ns1]"), everywhere) if primaries else ()
    zone = Zone(found, chosen, {})
    cname: Table[str] = fields.section("cname", lambda n: table(n, "alias", check_alias, read_target, "{www: web}"))
    if zone.reverse and fields.has("cname"):
        fields.refuse("aliases are for forward zones", "cname")
    fields.close()
    return Zone(found, chosen, cname.good)


def zone_name(name: str) -> str:
    """A zone by its name, or a reverse zone by its prefix (RFC 3596, RFC 1035). Raises Wrong."""
    if "/" in name:
        try:
            network = ipaddress.ip_network(name)
        except ValueError:
            raise Wrong(f"{shown(name)} is no prefix, like 2001:db8:1::/64 or 192.0.2.0/24") from None
        step = 4 if network.version == 6 else 8
        if network.prefixlen % step or not network.prefixlen:
            raise Wrong(f"a reverse zone has a prefix of a multiple of {step} bits, not /{network.prefixlen}")
        labels = network.network_address.reverse_pointer.split(".")
        return ".".join(labels[(network.max_prefixlen - network.prefixlen) // step :])
    found = name.lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9])?)+", found):
        raise Wrong(f"must be a zone, like example.net or the prefix of a reverse zone, not {shown(name)}")
    if len(found) > LONGEST:
        raise Wrong(f"must have {LONGEST} characters at the most")
    return found


def check_alias(name: str) -> str:
    if not _ALIAS.fullmatch(name) or len(name) > 150:
        raise Wrong(f"must be a name in the zone, in lower case, like www, not {shown(name)}")
    return name


def read_target(node: Node, _alias: str) -> str:
    return values.domain_name(node).lower()


def read_primary(node: Node, name: str) -> Primary:
    fields = Fields(node, tuple(sorted({"provider", *sum(_OF.values(), ())})), PRIMARY)
    provider = fields.required("provider", choice(*_OF), "rfc2136 (DNS updates), hcloud (Hetzner's DNS) or file")
    if provider not in _OF:
        fields.close()
    for key in sorted(fields.typed() - {"provider", *_OF[provider]}):
        fields.refuse(f"is not for the provider {provider}; {suggestion(key, _OF[provider])}", key)
    if provider == "rfc2136":
        server = fields.required("server", read_name_server, "the zone's primary server, by address or host name")
        port = fields.optional("port", integer(1, 65535), 53)
        key = fields.required("key", read_key_name, "the name of the TSIG key; the key itself is the secret tsigKey")
        fields.close()
        return Primary(name, provider, server, port, key)
    if provider == "hcloud":
        create = fields.optional("create_zones", boolean, False)
        fields.close()
        return Primary(name, provider, create_zones=create)
    ssh = fields.required("ssh", read_ssh, "how to log in to the server that has the zone files")
    directory = fields.required("directory", read_directory, "where the zone files are, like /etc/nsd/zones")
    reload = fields.optional("reload", read_unit, "")
    fields.close()
    return Primary(name, provider, ssh=ssh, directory=directory, reload=reload)


_OF = {
    "rfc2136": ("server", "port", "key"),
    "hcloud": ("create_zones",),
    "file": ("ssh", "directory", "reload"),
}
"""Which keys are for which provider."""


def same_places(primaries: Iterable[Primary], zones: Iterable[Zone]) -> dict[str, Primary]:
    """Primaries that are a place of an earlier one, so that each would undo what the other one does; and that one.

    A server may have two entries for zones of their own, with keys of their own. The files in a directory are one thing;
    a server that goes by two names is known by its host key.
    """
    together = [{place.name for place in zone.primaries} for zone in zones]
    found: dict[str, Primary] = {}
    for first, second in itertools.combinations(primaries, 2):
        if first.ssh and second.ssh:
            known = {*first.ssh.host_keys} & {*second.ssh.host_keys}
            same = first.at == second.at or (known and first.directory == second.directory)
        else:
            same = first.at == second.at and any({first.name, second.name} <= names for names in together)
        if same:
            found.setdefault(second.name, first)
    return found


def read_key_name(node: Node) -> str:
    name = text(node)
    if not _KEY.fullmatch(name):
        raise Wrong(f"must be the name of a TSIG key, like sixstead, not {shown(name) if len(name) < 20 else 'this'}")
    return name.lower().rstrip(".")


def read_name_server(node: Node) -> str:
    return values.host(node).lower()


def read_directory(node: Node) -> str:
    path = text(node).rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9@_.+-]+)+", path) or "/.." in path:
        raise Wrong(f"must be the absolute path of a directory on the server, like /etc/nsd/zones, not {shown(path)}")
    return path


def read_unit(node: Node) -> str:
    unit = text(node)
    if not re.fullmatch(r"[A-Za-z0-9@_.:-]+\.service", unit):
        raise Wrong(f"must be a systemd service, like nsd.service, not {shown(unit)}")
    return unit


def or_empty(node: Node) -> Node:
    """An entry with nothing typed behind its colon has all defaults."""
    return Node({}, node.key, node.report) if node.raw is None else node
