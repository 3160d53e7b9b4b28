"""What must be so after a network change, as far as the host can see by itself: what worked before works, and no MAC
address of a guest or a guest bridge leaves by the uplink.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from . import gateways
from .probes import answering

QUERY = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
"""After the query's number: recursion desired, one question, the root's name servers. RFC 1035, section 4.1."""
FORWARDING = ("/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding")
ETH_P_ALL, PACKET_OUTGOING = 3, 4
"""linux/if_ether.h, packet(7)."""


@dataclass
class Outlook:
    """What was found before the change. `uplink` is the network card's name, `guests` are IPv6 addresses."""

    uplink: str
    forwards: bool
    routers: dict[str, str] = field(default_factory=dict)
    echoed: set[str] = field(default_factory=set)
    guests: set[str] = field(default_factory=set)
    resolvers: set[str] = field(default_factory=set)

    @classmethod
    def now(cls, params: Mapping[str, Any]) -> Outlook:
        """Look; what does not answer now is not asked for afterwards. About a second if something is silent."""
        with ThreadPoolExecutor() as pool:
            routers = pool.submit(gateways.before)
            guests = pool.submit(answering, list(params.get("guests", [])), 1.0)
            resolvers = pool.submit(resolving, nameservers(), 2.0)
            uplink, forwards = str(params.get("uplink", "")), bool(params.get("forwards"))
            return cls(uplink, forwards, *routers.result(), guests.result(), resolvers.result())

    def worse(self) -> list[str]:
        """In words, what worked and does not any more."""
        with ThreadPoolExecutor() as pool:
            routers = pool.submit(gateways.missing, self.routers, self.echoed)
            guests = pool.submit(answering, self.guests, 8.0)
            found = [f"the gateway {gateway} does not answer" for gateway in routers.result()]
            found += [f"the guest {guest} does not answer" for guest in sorted(self.guests - guests.result())]
        if not found and self.resolvers and not resolving(self.resolvers, 8.0):
            found.append(f"no name server answers ({', '.join(sorted(self.resolvers))})")
        return found + ([f"{path} is 0" for path in FORWARDING if not is_on(path)] if self.forwards else [])


def is_on(path: str) -> bool:
    """Whether a kernel parameter is 1."""
    with open(path, encoding="ascii") as file:
        return file.read().strip() == "1"


def nameservers(path: str = "/etc/resolv.conf") -> list[str]:
    """The addresses that resolv.conf(5) names."""
    found = []
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for words in (line.split() for line in file):
            if words[:1] == ["nameserver"] and len(words) > 1:
                with contextlib.suppress(ValueError):
                    ipaddress.ip_address(words[1].partition("%")[0])
                    found.append(words[1])
    return found


def resolving(servers: Iterable[str], seconds: float) -> set[str]:
    """Those that answer a query in some way within so many seconds."""
    servers = list(servers)
    deadline = time.monotonic() + seconds
    with ThreadPoolExecutor() as pool:
        answers = pool.map(lambda server: resolves(server, deadline), servers)
        return {server for server, yes in zip(servers, answers) if yes}  # noqa: B905 - a rescue system's Python may lack it


def resolves(server: str, deadline: float) -> bool:
    """Whether one name server answers; asked again every second, and when the network could not be reached."""
    number = os.urandom(2)
    family, kind, protocol, _, address = socket.getaddrinfo(server, 53, type=socket.SOCK_DGRAM)[0]
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as connection:
            connection.settimeout(1)
            connection.connect(address)
            connection.send(number + QUERY)
            if connection.recv(512)[:2] == number:
                return True
        time.sleep(0.1)
    return False


class Leaving:
    """Watches, while it is entered, which source MAC addresses leave by an interface. packet(7)."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self.seen: set[str] = set()
        self.socket: socket.socket | None = None
        self.thread: threading.Thread | None = None

    def __enter__(self) -> Leaving:
        with contextlib.suppress(OSError):
            # Protocol 0 receives nothing: a socket made with ETH_P_ALL takes every interface's frames until it is bound.
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.bind((self.interface, ETH_P_ALL))
            self.socket.settimeout(0.2)
            self.thread = threading.Thread(target=self.watch, args=(self.socket,), daemon=True)
            self.thread.start()
        return self

    def watch(self, connection: socket.socket) -> None:
        """Read headers until the socket is closed."""
        while connection.fileno() >= 0:
            try:
                frame, sender = connection.recvfrom(14)
            except TimeoutError:
                continue
            except OSError:
                return
            if sender[2] == PACKET_OUTGOING and len(frame) == 14:
                self.seen.add(frame[6:12].hex(":"))

    def __exit__(self, *_: object) -> None:
        if self.socket is not None:
            self.socket.close()
        if self.thread is not None:
            self.thread.join(1)

    def of(self, addresses: Iterable[str]) -> list[str]:
        """Which of these left. Others may be the owner's, bought from the hoster."""
        return sorted(self.seen & set(addresses))
