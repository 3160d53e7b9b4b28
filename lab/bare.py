"""The files by which a bare server differs from Debian's defaults: what a hoster's installer leaves. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.keys import private_key, public_key
from lab.topology import Topology

# What the hoster's image holds beside Debian's minimal set.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "udev", "openssh-server", "python3", "sudo",
    "ca-certificates", "curl", "iproute2", "iputils-ping", "procps", "kmod", "less", "nano", "gpgv", "netbase",
)  # fmt: skip
# What configures the network, by the stack's backend.
BACKENDS = {"ifupdown": ("ifupdown",), "networkd": (), "netplan": ("netplan.io",)}
# Units that can't do their work inside a container, or that would start work of their own in the middle of a test.
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "systemd-networkd-wait-online.service",
)  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file of the server: its path, text and mode; owned by root."""

    path: str
    text: str
    mode: int = 0o644


def files(lab: str, hostname: str, topology: Topology) -> list[File]:
    """Every file that makes Debian's root file system the stack's bare server."""
    dns = topology.internet.dns
    resolv = "".join(f"nameserver {address}\n" for address in (dns.ipv6, dns.ipv4))
    home = "/root" if topology.user == "root" else f"/home/{topology.user}"
    login = public_key(lab, "login")
    listen = f"Port {topology.port}\n" if topology.port != 22 else ""
    found = [
        File("/etc/hostname", f"{hostname}\n"),
        File("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n\n::1 localhost ip6-localhost ip6-loopback\n"),
        File("/etc/resolv.conf", resolv),
        NETWORK[topology.backend](topology),
        File("/etc/apt/sources.list.d/debian.sources", sources(topology)),
        File("/etc/ssh/ssh_host_ed25519_key", private_key(lab, "host"), 0o600),
        File("/etc/ssh/ssh_host_ed25519_key.pub", public_key(lab, "host") + f" root@{hostname}\n"),
        File(f"{home}/.ssh/authorized_keys", f"{login} operator\n", 0o600),
    ]
    if listen:
        found.append(File("/etc/ssh/sshd_config.d/port.conf", listen))
    return found


def sources(topology: Topology) -> str:
    """The server's only apt source: the lab's repository, by name."""
    return f"""\
Types: deb
URIs: http://{topology.internet.repository.name}/debian
Suites: {topology.suite}
Components: main
Trusted: yes
"""


def networkd(topology: Topology) -> File:
    """A .network file as an owner without ifupdown writes it (systemd.network(5))."""
    lines = ["[Match]", f"Name={topology.uplink}", "", "[Network]"]
    if topology.ipv4:
        lines.append(f"Address={topology.ipv4}")
    lines.append(f"Address={topology.main.address}/{topology.main.network.prefixlen}")
    for gateway in (topology.ipv4_gateway, topology.main.gateway):
        lines += ["", "[Route]", f"Gateway={gateway}", "GatewayOnLink=yes"] if gateway else []
    return File(f"/etc/systemd/network/10-{topology.uplink}.network", "\n".join(lines) + "\n")


def netplan(topology: Topology) -> File:
    """01-netcfg.yaml as installimage writes it (netplan(5))."""
    addresses = ([str(topology.ipv4)] if topology.ipv4 else []) + [
        f"{topology.main.address}/{topology.main.network.prefixlen}"
    ]
    ipv4 = [f"        - on-link: true\n          to: 0.0.0.0/0\n          via: {topology.ipv4_gateway}\n"]
    text = (
        "### installimage\nnetwork:\n  version: 2\n  renderer: networkd\n  ethernets:\n"
        f"    {topology.uplink}:\n      addresses:\n"
        + "".join(f"        - {address}\n" for address in addresses)
        + "      routes:\n"
        + "".join(ipv4 if topology.ipv4_gateway else [])
        + f"        - on-link: true\n          to: default\n          via: {topology.main.gateway}\n"
    )
    return File("/etc/netplan/01-netcfg.yaml", text, 0o600)


def ifupdown(topology: Topology) -> File:
    """The main file."""
    return File("/etc/network/interfaces", interfaces(topology))


NETWORK: dict[str, Callable[[Topology], File]] = {"ifupdown": ifupdown, "networkd": networkd, "netplan": netplan}


def interfaces(topology: Topology) -> str:
    """/etc/network/interfaces as installimage writes it (interfaces(5)). An IPv4 gateway outside the server's own
    network is reached through `pointopoint`."""
    name = topology.uplink
    text = f"""\
source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback
iface lo inet6 loopback

auto {name}
"""
    if topology.ipv4 and topology.ipv4_gateway:
        text += f"iface {name} inet static\n  address {topology.ipv4}\n  gateway {topology.ipv4_gateway}\n"
        if topology.ipv4_gateway not in topology.ipv4.network:
            text += f"  pointopoint {topology.ipv4_gateway}\n"
        text += "\n"
    prefix = topology.main
    text += f"iface {name} inet6 static\n  address {prefix.address}/{prefix.network.prefixlen}\n"
    if not prefix.gateway.is_link_local and prefix.gateway not in prefix.network:
        text += f"  pre-up ip link set dev {name} up\n  pre-up ip -6 route replace {prefix.gateway} dev {name}\n"
    return text + f"  gateway {prefix.gateway}\n"
