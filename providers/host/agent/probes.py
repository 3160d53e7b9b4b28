"""Echo requests (RFC 792, RFC 4443) from the host, all at once, without depending on a ping program."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterable

REPLY6 = 129
ICMP6_FILTER = 1
"""linux/icmpv6.h: ICMPV6_FILTER."""


def answering(addresses: Iterable[str], timeout: float = 2.0, every: float = 0.5) -> set[str]:
    """Which of the addresses answer an echo request within timeout seconds; asked again every so many seconds.

    An IPv6 link-local address is written with its interface: `fe80::1%eth0`.
    """
    waiting = {address: resolve(address) for address in addresses}
    answered: set[str] = set()
    with contextlib.ExitStack() as stack:
        sockets: dict[int, socket.socket] = {}
        for number, protocol in ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET6, socket.IPPROTO_ICMPV6)):
            if any(f == number for f, _ in waiting.values()):
                sockets[number] = stack.enter_context(socket.socket(number, socket.SOCK_RAW, protocol))
        if socket.AF_INET6 in sockets:
            sockets[socket.AF_INET6].setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, only(REPLY6))
        identity, sequence = os.getpid() & 0xFFFF, 0
        deadline, next_round = time.monotonic() + timeout, 0.0
        while waiting and (now := time.monotonic()) < deadline:
            if now >= next_round:
                sequence = (sequence + 1) & 0xFFFF
                for family, target in waiting.values():
                    with contextlib.suppress(OSError):
                        sockets[family].sendto(echo_request(family, identity, sequence), target)
                next_round = now + every
            ready, _, _ = select.select(list(sockets.values()), [], [], max(0.0, min(next_round, deadline) - now))
            for ready_socket in ready:
                packet, sender = ready_socket.recvfrom(2048)
                if not is_reply(ready_socket.family, packet, identity):
                    continue
                for address, (_, target) in list(waiting.items()):
                    if sender[0].split("%")[0] == target[0].split("%")[0]:
                        answered.add(address)
                        del waiting[address]
    return answered


def resolve(address: str) -> tuple[int, tuple[str, int] | tuple[str, int, int, int]]:
    """Family and socket address of a numeric address."""
    host, _, scope = address.partition("%")
    if ":" not in host:
        return socket.AF_INET, (host, 0)
    index = 0
    if scope:
        with contextlib.suppress(OSError):
            index = socket.if_nametoindex(scope)
    return socket.AF_INET6, (host, 0, 0, index)


def echo_request(family: int, identity: int, sequence: int) -> bytes:
    """An echo request; the kernel fills in ICMPv6's checksum (RFC 3542), not ICMP's."""
    if family == socket.AF_INET6:
        return struct.pack(">BBHHH", 128, 0, 0, identity, sequence)
    body = struct.pack(">BBHHH", 8, 0, 0, identity, sequence)
    total = sum(struct.unpack(">4H", body))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">BBHHH", 8, 0, ~total & 0xFFFF, identity, sequence)


def is_reply(family: int, packet: bytes, identity: int) -> bool:
    """Whether a packet is an echo reply to one of ours; IPv4's raw sockets deliver the IP header too."""
    if not packet:
        return False
    start = (packet[0] & 15) * 4 if family == socket.AF_INET else 0
    kind = 0 if family == socket.AF_INET else REPLY6
    return (
        len(packet) >= start + 8
        and packet[start] == kind
        and struct.unpack_from(">H", packet, start + 4)[0] == identity
    )


def only(kind: int) -> bytes:
    """A socket filter that lets one ICMPv6 type pass (RFC 3542, section 3.2: a set bit blocks)."""
    blocked = [0xFFFFFFFF] * 8
    blocked[kind >> 5] &= ~(1 << (kind & 31)) & 0xFFFFFFFF
    return struct.pack("=8I", *blocked)
