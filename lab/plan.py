"""The lab's own address plan: where its internet lies, beside whatever addresses the stack has. Pure.

Documentation prefixes only (RFC 5737, RFC 3849, RFC 9637)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from lab.errors import LabError

_IPV4 = tuple(IPv4Network(n) for n in ("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24"))
_IPV6 = tuple(IPv6Network(n) for n in ("2001:db8:ffff::/48", "2001:db8:fffe::/48", "3fff:fff:ffff::/48"))


@dataclass(frozen=True)
class Place:
    """A service of the internet: its name in DNS and its addresses (None where it lacks that family)."""

    name: str
    ipv4: IPv4Address | None
    ipv6: IPv6Address | None

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)


@dataclass(frozen=True)
class Internet:
    """The internet's addresses: `services4` and `services6` hold what answers, `transit4` and `transit6` the links."""

    services4: IPv4Network
    services6: IPv6Network
    transit4: IPv4Network
    transit6: IPv6Network

    @staticmethod
    def beside(taken: Iterable[IPv4Network | IPv6Network]) -> Internet:
        """The first documentation prefixes that overlap nothing of `taken`."""
        taken = list(taken)
        free4 = [n for n in _IPV4 if not any(isinstance(t, IPv4Network) and t.overlaps(n) for t in taken)]
        free6 = [n for n in _IPV6 if not any(isinstance(t, IPv6Network) and t.overlaps(n) for t in taken)]
        if len(free4) < 2 or len(free6) < 2:
            raise LabError(
                "the stack's prefixes leave no documentation prefix for the lab's internet: "
                "it needs two /24 of RFC 5737 and two /48 of RFC 3849 or RFC 9637"
            )
        return Internet(free4[0], free6[0], free4[1], free6[1])

    def _at(self, name: str, host: int, ipv4: bool = True, ipv6: bool = True) -> Place:
        # The same last group in both families, as it is read: 53 is .53 and ::53.
        return Place(
            name,
            self.services4[host] if ipv4 else None,
            self.services6[int(str(host), 16)] if ipv6 else None,
        )

    @property
    def v4only(self) -> Place:
        return self._at("v4only.example", 10, ipv6=False)

    @property
    def v6only(self) -> Place:
        return self._at("v6.example", 10, ipv4=False)

    @property
    def dual(self) -> Place:
        return self._at("dual.example", 11)

    @property
    def repository(self) -> Place:
        return self._at("deb.example", 20)

    @property
    def images(self) -> Place:
        return self._at("images.example", 30)

    @property
    def dns(self) -> Place:
        return self._at("dns.example", 53)

    @property
    def primary(self) -> Place:
        """The primary server of zones that take updates."""
        return self._at("ns1.example", 54)

    @property
    def places(self) -> tuple[Place, ...]:
        return (self.v4only, self.v6only, self.dual, self.repository, self.images, self.dns, self.primary)
