"""A lab's server with a guest network, and the agent on it: what the tests of guests and images work with."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import yaml

from lab import Lab
from providers import guest as guests
from providers import guests_ready, image, packages
from providers.host.agent.facets import State
from providers.host.connection import target
from providers.host.session import Session
from settings import Guest, Image, Settings, parse

NETWORK = """
set -e
sysctl -qw net.ipv6.conf.all.forwarding=1
ip link add br-main type bridge
ip link set br-main up
ip -6 addr del 2001:db8:1::2/64 dev eth0
ip -6 addr add 2001:db8:1::2/128 dev eth0
ip -6 addr add 2001:db8:1::2/64 dev br-main nodad
printf 'interface br-main { AdvSendAdvert on; IgnoreIfMissing on; prefix 2001:db8:1::/64 { }; };' > /etc/radvd.conf
systemctl restart radvd
"""
"""The least that a guest needs; the product's own network has tests of its own."""


class GuestServer:
    """One lab, one connection, and the stack's settings with the changes that a test makes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        stack = yaml.safe_load((lab.project / "stacks/Pulumi.lab.yaml").read_text())["config"]
        config = {key.removeprefix("sixstead:"): value for key, value in stack.items() if key.startswith("sixstead:")}
        sums = (lab.state / "SHA512SUMS").read_text()
        self.settings: Settings = parse(config, stack="lab", read_file=lambda name: sums)
        self.progress: list[str] = []
        self.session = self.connect()

    def connect(self) -> Session:
        host_key = " ".join((self.lab.state / "known_hosts").read_text().splitlines()[0].split()[1:3])
        ssh = {
            "host": self.settings.server.ssh.host,
            "host_key": host_key,
            "config": str(self.lab.state / "ssh_config"),
        }
        return Session(target(ssh, {}, "lab"), self.progress.append)

    def prepare(self) -> None:
        wanted = {"packages": dict.fromkeys(packages.names(self.settings), "installed")}
        self.converge("packages", wanted, {"not_started": list(packages.NOT_STARTED)})
        self.shell(NETWORK)

    # The agent

    def converge(
        self, key: str, state: State, params: dict[str, Any] | None = None, previous: State | None = None
    ) -> Any:
        """Notes of the change; the agent itself proves that the state is as wanted afterwards."""
        arguments = {"entries": {key: state}, "previous": [previous or {}], "params": params or {}}
        return self.session.request("converge", arguments)["notes"]

    def remove(self, key: str, state: State, params: dict[str, Any] | None = None) -> Any:
        arguments = {"gone": [key], "previous": [state], "params": params or {}}
        return self.session.request("remove", arguments)["notes"]

    def observe(self, state: State) -> State:
        seen: State = self.session.request("observe", {"wanted": {"seen": state}})["observed"].get("seen", {})
        return seen

    # Guests

    def guest(self, name: str = "web", **changes: Any) -> Guest:
        return dataclasses.replace(self.settings.guests[name], **changes)

    def wanted(self, guest: Guest) -> State:
        return {**guests.render(guest, kvm=False), **guests.seeds(guest)}

    def image_up(self, wanted: Image | None = None) -> Any:
        wanted = wanted or self.settings.images["tiny"]
        return self.converge(f"image {wanted.name}", image.render(wanted), image.params(wanted))

    def up(self, guest: Guest, previous: Guest | None = None) -> Any:
        old = self.wanted(previous) if previous else None
        return self.converge(f"guest {guest.name}", self.wanted(guest), guests.params(guest), old)

    def down(self, guest: Guest) -> Any:
        params = {**guests.params(guest), "dataLoss": guests.data_loss(guest)}
        return self.remove(f"guest {guest.name}", self.wanted(guest), params)

    def seen(self, guest: Guest) -> State:
        return self.observe(self.wanted(guest))

    def state(self, guest: Guest) -> str:
        """What the domain's state is said to be; empty where there is no domain."""
        domain = self.seen(guest).get("domains", {}).get(guest.name, {})
        return str(domain.get("state", ""))

    def ready(self, *wanted: Guest, timeout: int = 120) -> None:
        self.converge("guests-ready", guests_ready.render(wanted, kvm=False), guests_ready.params(wanted, timeout))

    # The server

    def shell(self, script: str, check: bool = True) -> str:
        done = self.lab.exec("server", ["bash", "-c", script], timeout=120)
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def in_guest(self, name: str, script: str) -> str:
        done = self.lab.exec(name, ["sh", "-c", script], timeout=30)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def run_number(self, name: str = "web") -> str:
        """libvirt's number for this run of the guest: another one after every start."""
        return self.shell(f"virsh domid {name}")

    def publish(self, name: str, content: bytes) -> str:
        """Put a file on a web server of the lab's internet, http://dual.example/NAME; returns its sha512."""
        (self.lab.state / "www" / "web-dual" / name).write_bytes(content)
        return hashlib.sha512(content).hexdigest()
