"""Ports that are open, of guests and of the server."""

from __future__ import annotations

from itertools import pairwise

from settings import values
from settings.model import PortRange, Ports
from settings.reader import Fields, Node, Wrong, list_of


def read_ports(node: Node) -> Ports:
    fields = Fields(node, ("tcp", "udp"), "{tcp: [80, 443]}")
    tcp = fields.optional("tcp", read_port_list, ())
    udp = fields.optional("udp", read_port_list, ())
    fields.close()
    return Ports(tcp, udp)


def read_port_list(node: Node) -> tuple[PortRange, ...]:
    ranges = sorted(list_of(values.port_range, "[80, 443]")(node))
    for before, after in pairwise(ranges):
        if after.first <= before.last:
            twice = f"{after} twice" if before == after else f"{before} and {after}, which overlap"
            raise Wrong(f"names {twice}: give each port once")
    return tuple(ranges)
