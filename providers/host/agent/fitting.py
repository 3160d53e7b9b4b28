"""What is given back where the network from before does not fit today's server: another address, gateway or network card.

Then a plain working configuration stays, in the backend's own form and none of ours.
"""

from __future__ import annotations

import glob
import ipaddress
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from .facets import Registry, State, union
from .files import capture_file, captured_of, content_of, in_full
from .link_refusals import renamed

CONFIGURING = (
    "/etc/network/interfaces",
    "/etc/network/interfaces.d/*",
    "/etc/netplan/*.yaml",
    "/etc/systemd/network/*.network",
)
LINK = "/etc/systemd/network/10-{name}.link"
"""systemd.link(5): what udev calls a card by its MAC address."""


def fit_before(registry: Registry, gone: Iterable[str], plain: State, mac: str, notes: list[str]) -> State:
    """Where the uplink's resource goes and its before-state does not fit, the plain state takes that one's place.

    `plain`: the uplink's files, addresses and default routes as a server without us would have them. Returns what is wanted
    besides: where we gave the card its name, something must go on doing so.
    """
    owned = union(*(registry.owned().get(key, {}) for key in gone))
    for name, addresses in plain.get("addresses", {}).items():
        if name not in owned.get("addresses", {}) or fits(registry, name, addresses, plain.get("routes", {}), mac):
            continue
        notes.append(f"the network from before does not fit today's {name}: a plain configuration of it stays")
        for facet, items in plain.items():
            for item, value in items.items():
                if item in owned.get(facet, {}):
                    registry.before(facet).put(item, {"captured": captured_form(facet, value)})
        if renamed(name):
            link = f"[Match]\nMACAddress={mac}\nType=ether\n\n[Link]\nName={name}\n"
            return {"files": {LINK.format(name=name): link}}
    return {}


def fits(registry: Registry, name: str, addresses: str, routes: Mapping[str, str], mac: str) -> bool:
    """Whether the server had today's addresses and gateways before us, and a file that speaks of them and of the card."""
    gateways = {route: value for route, value in routes.items() if value.startswith("via ")}
    lasting = all(captured(registry, "routes", route) == value for route, value in gateways.items())
    had = bare(captured(registry, "addresses", name) or "")
    words = [*bare(addresses), *(value.split()[1] for value in gateways.values())]
    called = [mac] if renamed(name) else [mac, name]
    return bare(addresses) <= had and lasting and any(says(text, words, called) for text in texts(registry))


def captured(registry: Registry, facet: str, item: str) -> Any:
    """What an item was before."""
    return (registry.before(facet).get(item) or {}).get("captured")


def captured_form(facet: str, value: Any) -> Any:
    """A value as `capture` gives it."""
    if facet == "only":
        return value
    if facet != "files":
        return str(value)
    full = in_full(value)
    return captured_of(full["text"].encode(), full["mode"], full["owner"])


def bare(addresses: str) -> set[str]:
    """Addresses without their lengths."""
    return {address.split("/")[0] for address in addresses.split()}


def texts(registry: Registry) -> list[str]:
    """All files that may configure the uplink without us: those of before, and the owner's that we never took."""
    ours = union(*registry.owned().values()).get("files", {})
    theirs = [
        path for pattern in CONFIGURING for path in glob.glob(pattern) if path not in ours and os.path.isfile(path)
    ]
    files: dict[str, Any] = {path: capture_file(path) for path in theirs}
    for facet in ("only", "configured"):
        for item in registry.before(facet).names():
            files.update(captured(registry, facet, item) or {})
    for path in registry.before("files").names():
        files[path] = captured(registry, "files", path)
    found = [was for was in files.values() if isinstance(was, Mapping) and was.get("kind") == "file"]
    return [content_of(was).decode(errors="replace") for was in found]


def says(text: str, addresses: Iterable[str], names: Iterable[str]) -> bool:
    """Whether a file speaks of all these addresses, however they are written, and of one of these names."""
    known = set()
    for word in re.findall(r"[0-9A-Fa-f:.]+", text):
        with suppress(ValueError):
            known.add(ipaddress.ip_address(word))
    wanted = {ipaddress.ip_address(address) for address in addresses}
    return wanted <= known and any(name in text for name in names)
