"""The host's firewall: nftables tables of our own, for IPv4 and IPv6; no other table is touched. nft(8).

Inbound to the server: SSH from outside, what ICMP and ICMPv6 need (RFC 4890), the resolver for its guests; the rest is
dropped. To guests: echo requests, errors, the ports that their config opens to all, and from guest to guest what
`sixstead:firewall` allows. The NAT64 prefix is for guests only. What neither comes from nor goes to a network of ours
passes: other tables decide. What leaves a guest's port is `guest_ports`. A member of the host network.

A rule with a comment is counted, and shown by `./sixstead firewall`; what follows on an accepted packet is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable

from providers import guest_ports
from providers.host.agent.facets import State, union
from providers.host.provider import MemberProvider
from providers.host.resource import HostResource
from settings import FirewallRule, Nat64, PortRange, Ports, Settings

TABLE = "inet sixstead"
PATH = "/etc/sixstead/firewall.nft"
UNIT = "sixstead-firewall.service"
COMMENT_LENGTH = 127
"""What nft(8) takes; names and port lists may come to more."""
UNIT_TEXT = f"""\
[Unit]
Description=Sixstead's firewall
Documentation=man:nft(8)
DefaultDependencies=no
Conflicts=shutdown.target
Wants=network-pre.target
After=nftables.service local-fs.target
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Before=network-pre.target shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {PATH}
ExecStart=/usr/sbin/nft -f {guest_ports.PATH}
ExecReload=/usr/sbin/nft -f {PATH}
ExecReload=/usr/sbin/nft -f {guest_ports.PATH}
ExecStop=-/usr/sbin/nft delete table {TABLE}
ExecStop=-/usr/sbin/nft delete table {guest_ports.TABLE}

[Install]
WantedBy=sysinit.target
"""


def render(settings: Settings) -> State:
    """The rules, the unit that loads them at boot, and the tables as they must be in the kernel."""
    own: State = {
        "files": {PATH: rules(settings), f"/etc/systemd/system/{UNIT}": UNIT_TEXT},
        "nft": {TABLE: f"as in {PATH}"},
        "units": {UNIT: "enabled, running"},
    }
    return union(own, guest_ports.render(settings))


def names(interfaces: Iterable[str]) -> str:
    """A set of interface names in nft's notation."""
    return "{ " + ", ".join(f'"{name}"' for name in interfaces) + " }"


def ports(ranges: Iterable[PortRange]) -> str:
    """A set of ports in nft's notation."""
    return "{ " + ", ".join(str(r) for r in ranges) + " }"


def nat64_interface(settings: Settings, number: int) -> str:
    """The translator's tunnel interface; the first is plain `nat64`."""
    return "nat64" if number == 0 else f"nat64-{number + 1}"


def rules(settings: Settings) -> str:
    """The whole table; loading it replaces the old one in one step."""
    uplink = settings.uplink.name
    bridges = [network.bridge for network in settings.networks.values()]
    translators = [(nat64_interface(settings, n), nat64) for n, nat64 in enumerate(settings.nat64_gateways)]
    ours = inside(settings)
    lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    lines += chain("input", "type filter hook input priority filter; policy drop;", inbound(settings))
    forward = [
        "ct state established,related accept",
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept",
        "ct state invalid drop",
        # a server that forwards is no relay for its neighbours at the hoster
        f'iifname "{uplink}" oifname "{uplink}" drop',
    ]
    for network in settings.networks.values():
        forward.append(f'iifname "{network.bridge}" ip6 saddr != {network.prefix.prefix} drop')
    for name, nat64 in translators:
        users = [n.bridge for n in settings.networks.values() if n.nat64 == nat64]
        forward.append(f"iifname {names(users)} ip6 daddr {nat64.prefix} accept")
        forward.append(f"ip6 daddr {nat64.prefix} drop")
        forward.append(f'iifname "{name}" oifname "{uplink}" ip saddr {nat64.pool} accept')
    if bridges:
        forward.append(f'iifname {names(bridges)} oifname "{uplink}" accept')
        forward.append(f"oifname {names(bridges)} icmpv6 type echo-request accept")
    for guest in settings.guests.values():
        forward += opened(
            f'oifname "{guest.network.bridge}" ip6 daddr {guest.address}', guest.open, f"all -> {guest.name}"
        )
    for rule in settings.firewall:
        forward += allowed(settings, rule)
    if ours:
        forward.append(f'iifname {names(ours)} oifname {names(ours)} counter drop comment "guest -> guest: the rest"')
        forward.append(f'oifname {names(ours)} counter drop comment "all -> guests: the rest"')
        forward.append(f'iifname {names(ours)} counter drop comment "guests -> elsewhere"')
    lines += chain("forward", "type filter hook forward priority filter; policy accept;", forward)
    if translators:
        translated = [statement for _, nat64 in translators for statement in source_nat(settings, nat64)]
        lines += chain("postrouting", "type nat hook postrouting priority srcnat; policy accept;", translated)
    if bridges:
        # guests have no way to each other but through the server, so it must not tell them of a shorter one
        redirect = f"oifname {names(bridges)} icmpv6 type nd-redirect drop"
        lines += chain("output", "type filter hook output priority filter; policy accept;", [redirect])
    return "# Written by Sixstead.\n" + "\n".join(lines) + "\n}\n"


def source_nat(settings: Settings, nat64: Nat64) -> list[str]:
    """What the internet sees of a translator's pool: the uplink's address.

    The kernel forgets what it masquerades behind an address whenever an entry of that address goes, be it only for another
    prefix length (nf_nat_masquerade.c, masq_inet_event). A TCP connection that just receives does not come back from that, so its
    address is named. What else there is begins anew with the next packet out, and after a change of the address it should.
    """
    where = f'ip saddr {nat64.pool} oifname "{settings.uplink.name}"'
    tcp = [f"{where} meta l4proto tcp snat ip to {settings.uplink.ipv4.address.ip}"] if settings.uplink.ipv4 else []
    return [*tcp, f"{where} masquerade"]


def inbound(settings: Settings) -> list[str]:
    """What may reach the server itself."""
    found = [
        'iif "lo" accept',
        # a further network card or a tunnel is the owner's own business
        f"iifname != {names([settings.uplink.name, *inside(settings)])} accept",
        # RFC 4890, 4.4.1 and 4.4.2: what must not be dropped to a host that is a router too
        "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply } accept",
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, 148, 149 }"
        " ip6 hoplimit 255 accept",
        "icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report, 151, 152, 153 }"
        " ip6 saddr fe80::/10 accept",
        "icmp type { destination-unreachable, time-exceeded, parameter-problem, echo-request, echo-reply } accept",
        "ct state established,related accept",
        "ct state invalid drop",
    ]
    for network in settings.networks.values():
        if network.dns64:
            who = f'iifname "{network.bridge}" ip6 saddr {{ {network.prefix.prefix}, fe80::/10 }}'
            found += [f"{who} udp dport 53 accept", f"{who} tcp dport 53 accept"]
    if settings.networks:
        found.append(f'iifname {names(inside(settings))} counter drop comment "guests -> server: the rest"')
    found.append(f'tcp dport {settings.server.ssh.port} counter accept comment "all -> server: SSH"')
    found += opened("", settings.server.open, "all -> server")
    found.append('counter drop comment "all -> server: the rest"')
    return found


def inside(settings: Settings) -> list[str]:
    """The interfaces that guests come from: bridges, and the translators' tunnels."""
    translators = [nat64_interface(settings, number) for number in range(len(settings.nat64_gateways))]
    return [*(network.bridge for network in settings.networks.values()), *translators]


def opened(where: str, wanted: Ports, who: str) -> list[str]:
    """Ports that may be reached, a rule for each protocol."""
    pairs = (("tcp", wanted.tcp), ("udp", wanted.udp))
    place = f"{where} " if where else ""
    return [
        f"{place}{protocol} dport {ports(ranges)} counter accept {comment(who, protocol, ranges)}"
        for protocol, ranges in pairs
        if ranges
    ]


def allowed(settings: Settings, rule: FirewallRule) -> list[str]:
    """What one guest may reach at another."""
    source, destination = settings.guests[rule.source], settings.guests[rule.destination]
    own = ", ".join(str(a) for a in guest_ports.own(source) if not a.is_link_local)
    where = (
        f'iifname "{source.network.bridge}" oifname "{destination.network.bridge}"'
        f" ip6 saddr {{ {own} }} ip6 daddr {destination.address}"
    )
    return opened(where, rule.ports, f"{rule.source} -> {rule.destination}")


def comment(who: str, protocol: str, ranges: Iterable[PortRange]) -> str:
    """`comment "all -> web: tcp 80, 443"`, cut where it is too long."""
    text = f"{who}: {protocol} {', '.join(str(r) for r in ranges)}"
    return f'comment "{text if len(text) <= COMMENT_LENGTH else text[: COMMENT_LENGTH - 3] + "..."}"'


def chain(name: str, header: str, statements: Iterable[str]) -> list[str]:
    """One chain, indented."""
    return [f"\tchain {name} {{", f"\t\t{header}", *(f"\t\t{s}" for s in statements), "\t}"]


class FirewallProvider(MemberProvider):
    """Only the name differs."""


class Firewall(HostResource, module="sixstead", name="Firewall"):
    """The firewall's description."""
