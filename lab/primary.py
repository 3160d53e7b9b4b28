"""The internet's primary DNS server: BIND with the zones of example.net and of the stack's addresses, which takes signed
updates (RFC 2136, RFC 8945).

BIND is not installed on this machine, where its package would start a service: it runs from its unpacked packages, which
lie in the cache, with their own C library.
"""

from __future__ import annotations

import hashlib
import subprocess
from base64 import b64encode
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from lab import debian
from lab.store import Say, digest, entry
from lab.topology import Topology

PACKAGES = ("bind9",)
KEY = "sixstead"
FORWARD = "example.net"
MINIMUM = 5
"""Seconds that a name's absence may be remembered."""


def unpacked(cache: Path, suite: str, say: Say) -> Path:
    """BIND and all that it depends on, unpacked and never run from anywhere else: `root` in the cache's entry."""
    debs = debian.download(cache, suite, PACKAGES, say)

    def make(place: Path) -> None:
        (place / "root").mkdir()
        for deb in sorted(debs.glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", str(deb), str(place / "root")], check=True)

    return entry(cache, f"primary-{suite}", digest(debs.parent.name, "1"), make, say) / "root"


def command(root: Path, config: Path) -> list[str]:
    """BIND in the foreground, by the unpacked packages' own loader."""
    loader = next(path for path in root.glob("**/ld-linux-x86-64.so.2") if not path.is_symlink())
    libraries = ":".join(str(root / f"{prefix}lib/x86_64-linux-gnu") for prefix in ("", "usr/"))
    named = root / "usr/sbin/named"
    return [str(loader), "--library-path", libraries, str(named), "-g", "-n", "1", "-c", str(config)]


def secret(lab: str) -> str:
    """The TSIG key's secret, in base64, derived like the lab's SSH keys: it guards nothing."""
    return b64encode(hashlib.sha256(f"sixstead lab {lab} tsig".encode()).digest()).decode()


def zones(topology: Topology) -> list[str]:
    """The zones: one forward, and a reverse one for each of the stack's prefixes and its IPv4 /24."""
    networks: list[IPv4Network | IPv6Network] = [prefix.network for prefix in topology.prefixes]
    if topology.ipv4:
        networks.append(IPv4Network(f"{topology.ipv4.ip}/24", strict=False))
    found = [FORWARD]
    for network in networks:
        labels = network.network_address.reverse_pointer.split(".")
        bits = 8 if network.version == 4 else 4
        found.append(".".join(labels[(network.max_prefixlen - network.prefixlen) // bits :]))
    return found


def write(folder: Path, lab: str, topology: Topology) -> None:
    """BIND's config, and each zone's file where there is none yet: BIND rewrites them as updates come in."""
    folder.mkdir(parents=True, exist_ok=True)
    place = topology.internet.primary
    listen = f"listen-on {{ {place.ipv4}; }}; listen-on-v6 {{ {place.ipv6}; }};"
    (folder / "named.conf").write_text(config(folder, secret(lab), listen, zones(topology)))
    for zone in zones(topology):
        path = folder / f"{zone}.zone"
        if not path.exists():
            path.write_text(zone_text(place.name))


def config(folder: Path, key: str, listen: str, zones: Iterable[str]) -> str:
    """named.conf. Pure. `key` is the TSIG key's secret, `listen` the statements that say where."""
    text = f"""\
options {{
  directory "{folder}";
  {listen}
  pid-file none;
  recursion no;
  dnssec-validation no;
  notify no;
  allow-transfer {{ any; }};
}};
controls {{ }};
key "{KEY}" {{ algorithm hmac-sha256; secret "{key}"; }};
"""
    for zone in zones:
        text += f'zone "{zone}" {{ type primary; file "{folder}/{zone}.zone"; allow-update {{ key {KEY}; }}; }};\n'
    return text


def zone_text(name: str) -> str:
    """A new zone of the server of this name. Pure."""
    return f"@ 300 IN SOA {name}. hostmaster.{FORWARD}. 1 3600 600 86400 {MINIMUM}\n@ 300 IN NS {name}.\n"
