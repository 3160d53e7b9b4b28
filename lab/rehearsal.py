"""A stack's config, changed to what a lab really is, so that a stack made for another server can be rehearsed in it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from lab.keys import public_key
from lab.topology import SUITES, Topology

_WELL_KNOWN = "64:ff9b::/96"
_NETWORK_SPECIFIC = "2001:db8:64::/96"

TINY_CMDLINE = "console=ttyS0 quiet panic=-1 no_timer_check notsc"
"""An emulated guest that is not scheduled while it measures its TSC or checks its timer gets clocks that run up to
thirteen times too fast, and its kernel fails in its own timeouts. So it takes the HPET, and no check is made."""


def adapted(document: dict[str, Any], lab: str, hostname: str, state: Path, topology: Topology) -> dict[str, Any]:
    """The stack file's document with the lab's way in, host key, system and deliveries, its resolver, a NAT64
    prefix that works there, and the tiny image in place of each that the lab's internet doesn't have. Pure."""
    changed = copy.deepcopy(document)
    config = changed["config"]
    server = config["sixstead:server"]
    ssh = {key: value for key, value in (server.get("ssh") or {}).items() if key in ("user", "port")}
    address = topology.ipv4.ip if topology.ipv4 else topology.main.address
    server["ssh"] = {
        **ssh, "host": str(address), "config": str(state / "ssh_config"), "host_key": public_key(lab, "host")
    }  # fmt: skip
    server["name"] = hostname
    server["os"] = next(os for os, suite in SUITES.items() if suite == topology.suite)
    server["kvm"] = False
    for prefix in topology.prefixes:
        config["sixstead:prefixes"][prefix.name]["delivery"] = prefix.delivery
    # without the section there is a network for each prefix, and both of its resolver and NAT64 would be of the real world
    networks = config.get("sixstead:networks") or {prefix.name: {"prefix": prefix.name} for prefix in topology.prefixes}
    config["sixstead:networks"] = {name: _resolvable(network or {}, topology) for name, network in networks.items()}
    images = config.get("sixstead:images") or {}
    for name, image in images.items():
        ours = "//images.example/" in str(image)
        images[name] = _listed(image, str(state / "SHA512SUMS")) if ours else tiny(state)
    return changed


def _resolvable(network: Any, topology: Topology) -> Any:
    """The lab has no root servers, and tayga refuses documentation addresses behind the well-known prefix."""
    if not isinstance(network, dict):
        return network
    changed = dict(network)
    nat64 = network.get("nat64", topology.ipv4 is not None)
    dns64 = network.get("dns64", nat64 is not False)
    if dns64 is not False and not (isinstance(dns64, dict) and dns64.get("forward")):
        own = dns64 if isinstance(dns64, dict) else {}
        changed["dns64"] = {**own, "forward": [str(topology.internet.dns.ipv6)]}
    if nat64 is not False and topology.ipv4:
        own = nat64 if isinstance(nat64, dict) else {}
        if own.get("prefix", _WELL_KNOWN) == _WELL_KNOWN:
            changed["nat64"] = {**own, "prefix": _NETWORK_SPECIFIC}
    return changed


def _listed(image: Any, sums: str) -> Any:
    if not isinstance(image, dict):
        return image
    return {key: sums if key == "sha512sums" else _listed(value, sums) for key, value in image.items()}


def tiny(state: Path) -> dict[str, Any]:
    """The lab's tiny guest as an entry of `sixstead:images`."""
    parts = {"kernel": "tiny-vmlinuz", "initrd": "tiny-initrd", "disk": "tiny-disk.qcow2"}
    files = {
        part: {"url": f"http://images.example/{name}", "sha512sums": str(state / "SHA512SUMS")}
        for part, name in parts.items()
    }
    return {**files, "cmdline": TINY_CMDLINE}


def write(path: Path, document: dict[str, Any], lab: str, hostname: str, topology: Topology) -> None:
    """Write the adapted stack file."""
    changed = adapted(document, lab, hostname, path.parent, topology)
    path.write_text(yaml.safe_dump(changed, sort_keys=False))
