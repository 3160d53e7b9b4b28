"""The services of the lab's internet: DNS, a primary server that takes updates, web sites, Debian's repository, images."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from lab import primary
from lab.errors import LabError
from lab.plan import Place
from lab.system import Cgroup, in_netns, wait_for
from lab.topology import Topology

_WEB = Path(__file__).with_name("web.py")


class Services:
    """Each service is one process (group), in the internet's namespace and in a cgroup of its own."""

    def __init__(self, namespace: str, cgroup: Cgroup, state: Path, topology: Topology) -> None:
        self._namespace = namespace
        self._cgroup = cgroup
        self._state = state
        self._topology = topology

    @property
    def names(self) -> list[str]:
        return [*self._web(), "primary", "dns"]

    def _web(self) -> Mapping[str, Place]:
        internet = self._topology.internet
        return {
            "web-ipv4": internet.v4only,
            "web-ipv6": internet.v6only,
            "web-dual": internet.dual,
            "repository": internet.repository,
            "images": internet.images,
        }

    def folder(self, name: str) -> Path:
        """Where a web service's files are; a symbolic link for what lies in the cache."""
        return self._state / "www" / name

    def write(self, repository: Path, bind: Path, lab: str) -> None:
        """Make every service's folder and config; `bind` is where the primary server's packages are unpacked."""
        primary.write(self._state / "primary", lab, self._topology)
        (self._state / "bind").unlink(missing_ok=True)
        (self._state / "bind").symlink_to(bind)
        for name, place in self._web().items():
            folder = self.folder(name)
            if name == "repository":
                folder.parent.mkdir(parents=True, exist_ok=True)
                folder.unlink(missing_ok=True)
                folder.symlink_to(repository)
                continue
            if folder.is_symlink():
                folder.unlink()
            folder.mkdir(parents=True, exist_ok=True)
            if name != "images":
                (folder / "index.html").write_text(f"hello from {place.name}\n")
        (self._state / "dnsmasq.conf").write_text(dns_config(self._topology))

    def start(self, *names: str) -> None:
        """Start the named services (all, without a name) that don't run, and wait until they answer."""
        for name in self._known(names):
            if not self._cgroup.alive(f"service-{name}"):
                self._cgroup.start(f"service-{name}", self._argv(name), self._state / f"{name}.log")
        for name in self._known(names):
            wait_for(
                f"service {name}",
                lambda name=name: self._answers(name),  # type: ignore[misc]
                10,
                f"its log is {self._state / f'{name}.log'}",
            )

    def stop(self, *names: str) -> None:
        """Stop the named services (all, without a name): their ports then refuse connections."""
        for name in self._known(names):
            self._cgroup.kill(f"service-{name}")

    def running(self) -> dict[str, bool]:
        return {name: self._cgroup.alive(f"service-{name}") for name in self.names}

    def _known(self, names: tuple[str, ...]) -> list[str]:
        for name in names:
            if name not in self.names:
                raise LabError(f"the lab has no service {name!r}; it has: {', '.join(self.names)}")
        return list(names) or self.names

    def _argv(self, name: str) -> list[str]:
        enter = ["nsenter", f"--net=/run/netns/{self._namespace}"]
        if name == "dns":
            return [*enter, "dnsmasq", "--keep-in-foreground", f"--conf-file={self._state / 'dnsmasq.conf'}"]
        if name == "primary":
            return [*enter, *primary.command(self._state / "bind", self._state / "primary/named.conf")]
        addresses = [str(address) for address in self._web()[name].addresses]
        return [*enter, sys.executable, "-I", "-S", str(_WEB), str(self.folder(name)), *addresses]

    def _answers(self, name: str) -> bool:
        internet = self._topology.internet
        places = {**self._web(), "dns": internet.dns, "primary": internet.primary}
        address = places[name].addresses[-1]
        return in_netns(self._namespace, lambda: _connects(str(address), 53 if name in ("dns", "primary") else 80))


def _connects(address: str, port: int) -> bool:
    import socket

    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def dns_config(topology: Topology) -> str:
    """dnsmasq as the internet's only DNS server: it answers for `example`, asks the primary server for its zones and knows no one
    to ask for the rest."""
    internet = topology.internet
    listen = dict.fromkeys([*internet.dns.addresses, *topology.resolvers])
    lines = [
        "no-resolv",
        "no-hosts",
        "no-daemon",
        "bind-interfaces",
        "local=//",
        "user=root",
        "pid-file=",
        "cache-size=0",
    ]
    lines += [f"listen-address={address}" for address in listen]
    lines += [f"server=/{zone}/{internet.primary.ipv6}" for zone in primary.zones(topology)]
    lines += [f"host-record={place.name},{','.join(map(str, place.addresses))}" for place in internet.places]
    return "\n".join(lines) + "\n"
