"""What is never done to a link, whatever is wanted: raises HostError before anything is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from .system import HostError

RENAMED = "/run/sixstead-uplink"
"""The name that the uplink's card had before /etc/sixstead/find-uplink renamed it in this boot."""


def refuse_another_kind(name: str, wanted: str, present: Mapping[str, str]) -> None:
    """What is no bridge is not made one; raises HostError."""
    kind = wanted.split(", ")[0]
    if name in present and not present[name].startswith(kind):
        raise HostError(
            f"{name} exists and is not a {kind}; nothing was changed", "rename it, or give `bridge:` another name"
        )


def refuse_another_card(name: str, wanted: str, present: Mapping[str, str]) -> None:
    """The hoster's switch knows the MAC address of one network card: another card may be the wrong one; raises HostError."""
    mac = wanted.split(", ")[1]
    cards = {n: v.split(", ")[1] for n, v in present.items() if n != "lo" and v.startswith("physical")}
    if cards.get(name) == mac:
        return
    again = "in the stack's config, then run `up` again"
    same = [n for n, m in cards.items() if m == mac]
    if name in cards:
        raise HostError(
            f"{name} has the MAC address {cards[name]}, not {mac}; nothing was changed",
            f'if that is its new network card, set `sixstead:uplink.mac` to "{cards[name]}" {again}',
        )
    if same:
        raise HostError(
            f"the network card with MAC address {mac} is {same[0]}, not {name}; nothing was changed",
            f"set `sixstead:uplink.name` to {same[0]} {again}",
        )
    there = ", ".join(f"{n} {m}" for n, m in cards.items()) or "none"
    raise HostError(
        f"there is no network card {name} with MAC address {mac} on this server, which has {there}; nothing was changed",
        f"correct `sixstead:uplink.name` and `sixstead:uplink.mac` {again}",
    )


def renamed(name: str) -> bool:
    """Whether the uplink has its name from us in this boot, so that files of before us may not fit."""
    with contextlib.suppress(OSError), open(RENAMED, encoding="utf-8") as file:
        return file.read().strip() not in ("", name)
    return False
