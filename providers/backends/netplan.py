"""netplan with its networkd renderer: a file for the uplink, and one for each bridge. netplan(5).

netplan merges all files that it finds, so those of the installer must go: the directory holds ours alone. What netplan
can't say (NDP proxy entries, no duplicate address detection) goes into drop-ins to the files that it makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any

import yaml

from providers import packages
from providers.backends import idle
from providers.backends.networkd import DIRECTORY as NETWORKD
from providers.backends.networkd import HEADER, UNITS, proxies_beside
from providers.host.agent.facets import State, union
from settings import Network, Settings, Uplink

DIRECTORY = "/etc/netplan"
OURS = "90-sixstead-*.yaml"
ROOT_ONLY = "0600"
"""netplan warns of files that others can read."""
CLOUD_INIT = "/etc/cloud/cloud.cfg.d/99-sixstead-network.cfg"
CLOUD_INIT_TEXT = "# Written by Sixstead: cloud-init must not write its own network configuration beside it.\n" + (
    "network: {config: disabled}\n"
)


def uplink(settings: Settings) -> State:
    """The uplink's file, and that nothing else is configured by netplan."""
    uplink = settings.uplink
    own: State = {
        **packages.needed(packages.BACKENDS["netplan"]),
        "units": dict(UNITS),
        "configured": {uplink.name: made_by_netplan(uplink.name, "/run/systemd/network")},
        "files": {
            path_of(uplink.name): secret(document("ethernets", uplink.name, ethernet(settings, 128))),
            drop_in(uplink.name): HEADER + KEEP,
            CLOUD_INIT: CLOUD_INIT_TEXT,
        },
        "only": {f"{DIRECTORY}/*.yaml": OURS},
    }
    return union(own, idle.ifupdown(idle.interfaces(settings)))


def ethernet(settings: Settings, length: int) -> dict[str, Any]:
    """The uplink, its own IPv6 addresses with this prefix length."""
    uplink, prefixes = settings.uplink, list(settings.prefixes.values())
    routes: list[dict[str, Any]] = []
    addresses = [str(uplink.ipv4.address)] if uplink.ipv4 else []
    if uplink.ipv4:
        routes += [{"to": f"{uplink.ipv4.gateway}/32", "scope": "link"}] if uplink.ipv4.on_link else []
        routes.append({"to": "default", "via": str(uplink.ipv4.gateway), "on-link": True})
    for number, prefix in enumerate(prefixes):
        addresses.append(f"{prefix.address}/{length}")
        if number == 0:
            beyond = not prefix.gateway.is_link_local
            routes += [{"to": f"{prefix.gateway}/128", "scope": "link"}] if beyond else []
            routes.append({"to": "default", "via": str(prefix.gateway), "on-link": True})
    return {**interface(addresses), **({"mtu": uplink.mtu} if uplink.mtu != 1500 else {}), "routes": routes}


def plain(settings: Settings) -> State:
    """The uplink's file of a server that is not ours: its own /64 is on the uplink; the old files stay away."""
    text = document("ethernets", settings.uplink.name, ethernet(settings, 64)).removeprefix(HEADER)
    return {"files": {path_of(settings.uplink.name): secret(text)}, "only": {f"{DIRECTORY}/*.yaml": {}}}


def bridge(network: Network) -> State:
    """One bridge's file."""
    wanted = {
        "macaddress": network.mac,
        "mtu": network.mtu,
        **interface([str(network.prefix.bridge_address)]),
        "ignore-carrier": True,
        "optional": True,
        "parameters": {"stp": False},
    }
    return {
        "files": {
            path_of(network.bridge): secret(document("bridges", network.bridge, wanted)),
            drop_in(network.bridge): HEADER + KEEP,
        }
    }


def ndp_proxy(uplink: Uplink, addresses: Sequence[IPv6Address]) -> State:
    """A drop-in to what netplan makes for networkd."""
    return proxies_beside(made_by_netplan(uplink.name), addresses)


KEEP = "[Network]\nKeepConfiguration=static\nIPv6LinkLocalAddressGenerationMode=eui64\n"


def path_of(interface: str) -> str:
    """The file of one interface."""
    return f"{DIRECTORY}/{OURS.replace('*', interface)}"


def made_by_netplan(interface: str, directory: str = NETWORKD) -> str:
    """Where a drop-in to netplan's own .network file of an interface belongs: drop-ins go by the file's name."""
    return f"{directory}/10-netplan-{interface}.network"


def drop_in(interface: str) -> str:
    """What netplan can't say of an interface."""
    return f"{made_by_netplan(interface)}.d/sixstead.conf"


def interface(addresses: list[str]) -> dict[str, Any]:
    """What every interface here has."""
    return {
        "dhcp4": False,
        "dhcp6": False,
        "accept-ra": False,
        "link-local": ["ipv6"],
        "addresses": addresses,
    }


def document(kind: str, name: str, wanted: dict[str, Any]) -> str:
    """A whole file for one interface."""
    content = {"network": {"version": 2, "renderer": "networkd", kind: {name: wanted}}}
    return HEADER + yaml.safe_dump(content, sort_keys=False, default_flow_style=None)


def secret(text: str) -> dict[str, str]:
    """A file that only root reads."""
    return {"text": text, "mode": ROOT_ONLY, "owner": "root:root"}
