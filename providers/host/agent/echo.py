"""Who answers: ICMPv6 echo requests to many addresses at once, from one socket, without a process for each (RFC 4443)."""

from __future__ import annotations

import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from ipaddress import IPv6Address

_REQUEST, _REPLY = 128, 129
_ICMP6_FILTER = 1  # linux/icmpv6.h: ICMPV6_FILTER
_INTERVAL = 1.0


def answering(addresses: Iterable[str], timeout: float) -> set[str]:
    """The addresses that answer within so many seconds; each is asked once a second. Needs root.

    Returns as soon as all have answered.
    """
    missing = {IPv6Address(address): address for address in addresses}
    found: set[str] = set()
    if not missing:
        return found
    number = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, only(_REPLY))
        sock.setblocking(False)
        deadline = time.monotonic() + timeout
        sequence, ask_at = 0, 0.0
        while missing and (now := time.monotonic()) < deadline:
            if now >= ask_at:
                ask_at, sequence = now + _INTERVAL, sequence + 1
                for address in missing:
                    ask(sock, str(address), number, sequence)
            if not select.select([sock], [], [], max(0.0, min(deadline, ask_at) - now))[0]:
                continue
            packet, sender = sock.recvfrom(2048)
            source = IPv6Address(sender[0].split("%")[0])
            if packet[:1] == bytes([_REPLY]) and packet[4:6] == struct.pack(">H", number) and source in missing:
                found.add(missing.pop(source))
    return found


def ask(sock: socket.socket, address: str, number: int, sequence: int) -> None:
    """Send one echo request; that there is no way to the address yet is an answer that did not come."""
    try:
        sock.sendto(struct.pack(">BBHHH", _REQUEST, 0, 0, number, sequence) + b"sixstead", (address, 0))
    except OSError:
        return


def only(kind: int) -> bytes:
    """A socket filter that lets one ICMPv6 type pass (RFC 3542, section 3.2: a set bit blocks)."""
    blocked = [0xFFFFFFFF] * 8
    blocked[kind >> 5] &= ~(1 << (kind & 31)) & 0xFFFFFFFF
    return struct.pack("=8I", *blocked)
