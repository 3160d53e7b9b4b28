"""The settings of a `dns` stack, as values. See settings/dns.py for where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from settings.model import Ssh

MARKER = "_sixstead"
"""The label under a name, at which its owner is recorded."""

YOUNG, SETTLED = 300, 3600
"""Seconds. Mistakes in a young server's names stay for as long as their TTL; later a longer one spares queries."""

LONGEST = 253 - len(MARKER) - 1
"""Of a name, in characters, so that the marker's label fits before it (RFC 1035, section 2.3.4)."""


@dataclass(frozen=True)
class Primary:
    """Where zones are published. `server`, `port`, `key`: of `rfc2136`; `create_zones`: of `hcloud`; the rest of `file`."""

    name: str
    provider: str
    server: str = ""
    port: int = 53
    key: str = ""
    create_zones: bool = False
    ssh: Ssh | None = None
    directory: str = ""
    reload: str = ""

    @property
    def at(self) -> str:
        """What it is, whatever the config calls it: the server and port, and a file's directory. Hetzner's DNS is one.

        A resource is named after it. An address is written with dashes, as `::` parts a URN.
        """
        if self.ssh:
            return f"{self.ssh.host.lower().replace(':', '-')}:{self.ssh.port}{self.directory}"
        return f"{self.server.replace(':', '-')}:{self.port}" if self.server else self.provider


@dataclass(frozen=True)
class Zone:
    """`name`: in lower case, without the root's dot. `cname`: targets by alias; a name without a dot is one of the zone."""

    name: str
    primaries: tuple[Primary, ...]
    cname: Mapping[str, str]

    @property
    def reverse(self) -> bool:
        """Whether PTR records live here."""
        return self.name.endswith(("ip6.arpa", "in-addr.arpa"))


@dataclass(frozen=True)
class Publisher:
    """A server stack. `domain`: what its names without a dot are put in. `settled`: whether the long TTL is for it."""

    stack: str
    domain: str
    settled: bool


@dataclass(frozen=True)
class Dns:
    """All of `sixstead:dns`. `owner`: who the names' markers say they belong to. TTLs are in seconds."""

    servers: Mapping[str, Publisher]
    zones: Mapping[str, Zone]
    primaries: Mapping[str, Primary]
    young: int
    settled: int
    owner: str

    def ttl(self, settled: bool) -> int:
        """The TTL of a server's records."""
        return self.settled if settled else self.young
