"""The hoster's and the internet's links, addresses, routes and port rules, as text for `ip -batch` and `nft -f`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lab.topology import Topology

PLACES = ("server", "router", "internet", "operator")
ROUTER_MAC = "52:54:00:fe:00:01"
# Before any link exists: the router forwards, and its own addresses are usable at once.
ROUTER_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/accept_dad": "0",
}
# The stock kernel of a server has no br_netfilter loaded; where it is built in, it is on in each new namespace.
SERVER_SYSCTLS = {f"net/bridge/bridge-nf-call-{family}": "0" for family in ("iptables", "ip6tables", "arptables")}
CUSTOMER_PORT = "cust0"


@dataclass(frozen=True)
class Names:
    """The names of one lab's network namespaces."""

    lab: str

    def of(self, place: str) -> str:
        """The namespace of one of PLACES."""
        return f"sixstead-{self.lab}-{place}"

    @property
    def server(self) -> str:
        return self.of("server")

    @property
    def router(self) -> str:
        return self.of("router")

    @property
    def internet(self) -> str:
        return self.of("internet")

    @property
    def operator(self) -> str:
        return self.of("operator")


def _leg(namespace: str, place: str, number: int, topology: Topology) -> tuple[str, str]:
    """The link between the router and `place`: the batch for the router, and the one for the place."""
    plan = topology.internet
    near4, far4 = plan.transit4[number * 128 + 1], plan.transit4[number * 128 + 2]
    base = plan.transit6[number << 64]
    router = f"""\
link add to-{place} type veth peer name eth0 netns {namespace}
addr add {near4}/25 dev to-{place}
addr add {base + 1}/64 dev to-{place} nodad
link set to-{place} up
"""
    far = f"""\
link set lo up
addr add {far4}/25 dev eth0
addr add {base + 2}/64 dev eth0 nodad
link set eth0 up
route add default via {near4}
route add default via {base + 1}
"""
    return router, far


def router(names: Names, topology: Topology) -> str:
    """The router's batch, run in its namespace when the others exist: switch, gateways, prefixes, both legs."""
    lines = f"""\
link set lo up
link add sw0 address {ROUTER_MAC} type bridge mcast_snooping 0 forward_delay 0
link set sw0 up
"""
    if topology.ipv4 and topology.ipv4_gateway:
        lines += f"addr add {topology.ipv4_gateway}/32 dev sw0\nroute replace {topology.ipv4.network} dev sw0\n"
    gateways = {prefix.gateway for prefix in topology.prefixes}
    for gateway in sorted(gateways):
        lines += f"addr add {gateway}/{64 if gateway.is_link_local else 128} dev sw0 nodad\n"
    for prefix in topology.prefixes:
        lines += f"route replace {prefix.network} {delivery(topology, prefix.delivery)}\n"
    lines += _leg(names.internet, "internet", 0, topology)[0]
    lines += _leg(names.operator, "operator", 1, topology)[0]
    plan = topology.internet
    lines += f"route add {plan.services4} via {plan.transit4[2]}\nroute add {plan.services6} via {plan.transit6[2]}\n"
    for resolver in topology.resolvers:
        via = plan.transit6[2] if resolver.version == 6 else plan.transit4[2]
        lines += f"route replace {resolver} via {via}\n"
    return lines


def delivery(topology: Topology, kind: str) -> str:
    """The rest of the router's `ip route` command for a prefix that it delivers `routed` or `on-link`."""
    return f"via {topology.link_local} dev sw0" if kind == "routed" else "dev sw0"


def internet(names: Names, topology: Topology) -> str:
    """The internet's batch: its leg, and every service's addresses."""
    lines = _leg(names.internet, "internet", 0, topology)[1]
    addresses = [address for place in topology.internet.places for address in place.addresses]
    for address in dict.fromkeys([*addresses, *topology.resolvers]):
        lines += f"addr add {address}/{address.max_prefixlen} dev lo{' nodad' if address.version == 6 else ''}\n"
    return lines


def operator(names: Names, topology: Topology) -> str:
    """The operator's batch: its leg."""
    return _leg(names.operator, "operator", 1, topology)[1]


def operator_default(topology: Topology, family: str) -> str:
    """The operator's default route of a family, `ipv4` or `ipv6`, as the words after `ip route add`."""
    plan = topology.internet
    return f"default via {plan.transit4[129] if family == 'ipv4' else plan.transit6[1 << 64] + 1}"


def switch_rules(topology: Topology) -> str:
    """The customer port: frames from any MAC but the server's own are counted, remembered and dropped.

    The port is matched by name, so that the rules and their counters survive every re-plugging; the server's MAC is in a
    set, so that they survive another network card, too."""
    return f"""\
table bridge switch {{
  counter own_mac_frames {{ }}
  counter foreign_mac_frames {{ }}
  set own_macs {{ type ether_addr; elements = {{ {topology.mac} }}; }}
  set foreign_macs {{ type ether_addr; size 1024; flags dynamic; }}
  chain customer_port {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{CUSTOMER_PORT}" ether saddr @own_macs counter name own_mac_frames accept
    iifname "{CUSTOMER_PORT}" update @foreign_macs {{ ether saddr }} counter name foreign_mac_frames drop
    iifname "{CUSTOMER_PORT}" counter name foreign_mac_frames drop
  }}
}}
table ip6 watch {{
  counter neighbour_solicitations {{ }}
  chain sent {{
    type filter hook output priority 0; policy accept;
    oifname "sw0" icmpv6 type nd-neighbor-solicit counter name neighbour_solicitations
  }}
}}
"""


def known_card(topology: Topology) -> tuple[str, str]:
    """What the hoster changes when a server gets another network card: nft(8) rules for the switch, the router's batch."""
    port = f"flush set bridge switch own_macs\nadd element bridge switch own_macs {{ {topology.mac} }}\n"
    routed = [prefix for prefix in topology.prefixes if prefix.delivery == "routed"]
    return port, "".join(f"route replace {p.network} {delivery(topology, p.delivery)}\n" for p in routed)


def plug(names: Names, topology: Topology) -> list[tuple[list[str], str, bool]]:
    """What happens before each boot: a new namespace with a new NIC, plugged into the customer port."""
    server = names.server
    sysctls = " ".join(
        f"[ ! -e /proc/sys/{key} ] || echo {value} > /proc/sys/{key};" for key, value in SERVER_SYSCTLS.items()
    )
    return [
        (["ip", "netns", "add", server], "", False),
        (["nsenter", f"--net=/run/netns/{server}", "sh", "-ec", sysctls], "", False),
        (["ip", "-n", server, "link", "set", "lo", "up"], "", False),
        (
            ["ip", "-n", names.router, "-batch", "-"],
            f"link add {CUSTOMER_PORT} mtu {topology.mtu} type veth peer name {topology.uplink} netns {server}"
            f" address {topology.mac} mtu {topology.mtu}\n"
            f"link set {CUSTOMER_PORT} master sw0 up\n",
            False,
        ),
    ]


def unplug(names: Names) -> list[tuple[list[str], str, bool]]:
    """What happens after power off, and before each boot in case that was missed."""
    return [
        (["ip", "-n", names.router, "link", "del", CUSTOMER_PORT], "", True),
        (["ip", "netns", "del", names.server], "", True),
    ]
