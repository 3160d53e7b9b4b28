"""A stack's config, read and checked as a whole before anything is touched. See docs/config.md for every key.

settings = parse(config, stack="kvm1")   # raises SettingsError, with all problems at once
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from settings.conflicts import Draft, conflicts
from settings.guests import GUEST, GuestReader, RuleReader
from settings.images import IMAGE, ImageReader, read_key
from settings.model import (
    HOSTERS,
    SYSTEMS,
    WELL_KNOWN_NAT64,
    Checksum,
    Disk,
    Dns64,
    FirewallRule,
    Guest,
    Hoster,
    Image,
    ImageFile,
    KernelBoot,
    Nat64,
    Network,
    OperatingSystem,
    PortRange,
    Ports,
    Prefix,
    PublicKey,
    ReverseDns,
    RouterAdvertisement,
    Server,
    Settings,
    Ssh,
    Uplink,
    UplinkIPv4,
    bridge_mac,
    eui64,
    guest_mac,
    tap_name,
)
from settings.networks import NETWORK, PREFIX, NetworkReader, read_prefix
from settings.problems import Problem, SettingsError, child_key, suggestion
from settings.reader import Node, Table, attempt, list_of, table
from settings.reverse_dns import read_reverse_dns
from settings.server import SERVER, UPLINK, read_server, read_uplink
from settings.ssh_keys import fingerprint
from settings.values import check_label, check_name

__all__ = [
    "CREDENTIALS",
    "HOSTERS",
    "SECTIONS",
    "SYSTEMS",
    "WELL_KNOWN_NAT64",
    "Checksum",
    "Disk",
    "Dns64",
    "FirewallRule",
    "Guest",
    "Hoster",
    "Image",
    "ImageFile",
    "KernelBoot",
    "Nat64",
    "Network",
    "OperatingSystem",
    "PortRange",
    "Ports",
    "Prefix",
    "Problem",
    "PublicKey",
    "ReverseDns",
    "RouterAdvertisement",
    "Server",
    "Settings",
    "SettingsError",
    "Ssh",
    "Uplink",
    "UplinkIPv4",
    "bridge_mac",
    "eui64",
    "fingerprint",
    "guest_mac",
    "parse",
    "tap_name",
]

NAMESPACE = "sixstead:"
SECTIONS = ("server", "uplink", "prefixes", "networks", "keys", "images", "guests", "firewall", "rdns")
CREDENTIALS = ("sshKey", "sshKeyPassphrase", "sudoPassword", "robotUser", "robotPassword")
"""Keys that may stand in the config, as secrets; nothing here reads them."""


def _read_text(path: str) -> str:
    return Path(path).expanduser().read_text(encoding="utf-8")


def parse(config: Mapping[str, Any], stack: str = "", read_file: Callable[[str], str] = _read_text) -> Settings:
    """Read a stack's config.

    `config` maps keys without the `sixstead:` namespace to decoded YAML or JSON values. `stack` names the server
    where the config doesn't. `read_file` gives the text of the checksum lists that images name (`sha512sums`), by
    default from this machine's disk. Raises SettingsError with every problem there is.
    """
    report: list[Problem] = []
    for name in config:
        if name not in SECTIONS and name not in CREDENTIALS:
            hint = suggestion(str(name), SECTIONS)
            report.append(Problem(child_key(NAMESPACE, str(name)), f"there is no such key; {hint}"))

    def section(name: str, default: object = None) -> Node:
        raw = config.get(name)
        return Node(default if raw is None else raw, NAMESPACE + name, report)

    def required(name: str, what: str) -> bool:
        if config.get(name) is None:
            report.append(Problem(NAMESPACE + name, f"is missing: {what}"))
        return config.get(name) is not None

    # The server names keys, so they are read first; what is wrong with them is told in their place.
    key_problems: list[Problem] = []
    key_section = Node(section("keys", {}).raw, NAMESPACE + "keys", key_problems)
    keys = table(key_section, "key", check_name, read_key, "{alice: ssh-ed25519 AAAA...}")
    server = uplink = None
    if required("server", f"the server, {SERVER}"):
        server = attempt(section("server"), lambda node: read_server(node, stack, keys))
    if required("uplink", f"the interface to the hoster, {UPLINK}"):
        uplink = attempt(section("uplink"), read_uplink)
    hoster = server.hoster if server else None
    prefixes: Table[Prefix] = Table("prefix", NAMESPACE + "prefixes", broken=True)
    if required("prefixes", f"the prefixes that the hoster gave, by name, {{main: {PREFIX}}}"):
        prefixes = table(
            section("prefixes"),
            "prefix",
            check_label,
            lambda n, name: read_prefix(n, name, hoster),
            f"{{main: {PREFIX}}}",
        )
    network_reader = NetworkReader(prefixes, server, uplink)
    every_prefix = {name: {"prefix": name} for name in (*prefixes.good, *prefixes.bad)}
    networks = table(
        section("networks", every_prefix),
        "network",
        check_label,
        network_reader.read,
        f"{{main: {NETWORK}}}",
    )
    networks.broken |= prefixes.broken and not networks.good and not networks.bad
    report.extend(key_problems)
    images = table(section("images", {}), "image", check_name, ImageReader(read_file).read, f"{{d13: {IMAGE}}}")
    guests = table(
        section("guests", {}),
        "guest",
        check_label,
        GuestReader(images, networks, keys).read,
        f"{{web: {GUEST}}}",
    )
    rules = attempt(section("firewall", []), list_of(RuleReader(guests).read, "[{from: web, to: mail, tcp: [25]}]"))
    has_rdns = config.get("rdns") is not None
    rdns = attempt(section("rdns"), lambda node: read_reverse_dns(node, hoster)) if has_rdns else None
    report.extend(conflicts(Draft(server, uplink, prefixes, networks, guests, has_rdns)))
    if report or server is None or uplink is None or rules is None:
        raise SettingsError(report, stack)
    return Settings(server, uplink, prefixes.good, networks.good, keys.good, images.good, guests.good, rules, rdns)
