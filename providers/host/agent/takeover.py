"""What would be lost if the network were taken over as it is: refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .facets import State
from .ip_output import Json
from .network import ip_json
from .system import HostError

INTERFACES = "/etc/network/interfaces"


def refuse_losses(taken: State, owned: State) -> None:
    """Raises HostError where a file of the owner's configures more than what replaces it, or an address is not permanent."""
    losses = [*other_stanzas(taken, owned), *passing_addresses(taken, ip_json(["address", "show"]))]
    if losses:
        raise HostError("nothing was changed: " + "; ".join(losses), "then run `up` again")


def other_stanzas(taken: State, owned: State) -> list[str]:
    """What /etc/network/interfaces configures beside our interfaces, when it is replaced for the first time."""
    ours = taken.get("files", {}).get(INTERFACES)
    if ours is None or INTERFACES in owned.get("files", {}):
        return []
    try:
        with open(INTERFACES, encoding="utf-8", errors="replace") as file:
            others = [name for name in stanzas(file.read()) if name not in stanzas(str(ours))]
    except FileNotFoundError:
        return []
    if not others:
        return []
    return [f"{INTERFACES} also configures {', '.join(others)}: move these lines to a file in {INTERFACES}.d"]


def stanzas(text: str, kinds: Sequence[str] = ("iface",)) -> list[str]:
    """The interfaces that an interfaces(5) text has stanzas of these kinds for, each once."""
    lines = (line.split() for line in text.replace("\\\n", " ").splitlines())
    return list(dict.fromkeys(words[1] for words in lines if len(words) > 1 and words[0] in kinds))


def passing_addresses(taken: State, entries: Iterable[Json]) -> list[str]:
    """Addresses of ours that the server has by DHCP or a router advertisement: they would go when these run out."""
    wanted = {name: {a.split("/")[0] for a in str(value).split()} for name, value in taken.get("addresses", {}).items()}
    return [
        f"{entry['ifname']} has {info['local']} by DHCP or a router advertisement: configure it as a static address first"
        for entry in entries
        for info in entry.get("addr_info", [])
        if info.get("dynamic") and info["local"] in wanted.get(entry["ifname"], ())
    ]
