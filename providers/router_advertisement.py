"""Router advertisements for the guest networks: radvd. radvd.conf(5); RFC 4861, RFC 8106 (RDNSS, DNSSL), RFC 8781 (PREF64)."""

from __future__ import annotations

import pulumi

from providers import packages
from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from settings import Network, Settings

PATH = "/etc/radvd.conf"
UNIT = "radvd.service"


def render(settings: Settings) -> State:
    """radvd's whole configuration, and its unit."""
    text = "# Written by Sixstead.\n" + "\n".join(interface(network) for network in settings.networks.values())
    return {"files": {PATH: text}, "units": {UNIT: "enabled, running"}, **packages.needed(packages.ROUTER)}


def interface(network: Network) -> str:
    """One interface's block; without guests a bridge has no carrier, which radvd is told to bear.

    The prefix is not on-link (RFC 4861, section 4.6.2): guests send to each other through the server, whose firewall
    decides.
    """
    ra = network.ra
    lines = [
        f"interface {network.bridge}",
        "{",
        "\tAdvSendAdvert on;",
        "\tIgnoreIfMissing on;",
        f"\tMinRtrAdvInterval {ra.min_interval};",
        f"\tMaxRtrAdvInterval {ra.max_interval};",
        f"\tAdvDefaultLifetime {ra.lifetime};",
        *([f"\tAdvLinkMTU {network.mtu};"] if network.mtu != 1500 else []),
        f"\tprefix {network.prefix.prefix}",
        "\t{",
        "\t\tAdvOnLink off;",
        "\t\tAdvAutonomous on;",
        "\t};",
    ]
    if ra.rdnss:
        lines.append(f"\tRDNSS {' '.join(str(address) for address in ra.rdnss)} {{ }};")
    if ra.dnssl:
        lines.append(f"\tDNSSL {' '.join(ra.dnssl)} {{ }};")
    if ra.pref64 and network.nat64:
        lines.append(f"\tnat64prefix {network.nat64.prefix} {{ }};")
    return "\n".join([*lines, "};", ""])


class RouterAdvertisementProvider(HostProvider):
    """Only the name differs."""


class RouterAdvertisement(HostResource, module="sixstead", name="RouterAdvertisement"):
    """radvd on the guest bridges."""

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        params = {"on_change": {UNIT: "reload"}}
        super().__init__(RouterAdvertisementProvider(), name, render(settings), params=params, opts=opts)
