"""What of a stack's change can be rehearsed: its two configs without secrets, with few and small guests. Pure.

A stack file in a pull request was written by anybody: nothing of it names a file, a command or an address of this machine."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.keys import public_key
from lab.rehearsal import adapted, tiny
from lab.rehearsal_report import Note
from lab.topology import Topology

Config = dict[str, Any]
"""A stack's `config:` map, with the keys as they stand in the file."""

_SECTIONS = ("server", "uplink", "prefixes", "networks", "keys", "images", "guests")
_SECRETS = ("sshKey", "sshKeyPassphrase", "sudoPassword", "robotUser", "robotPassword")
_SIZE = r"[0-9]{1,9}(\.[0-9]{1,6})? ?(MiB|GiB|TiB)"
_HOSTNAME = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?"
_LOGIN = "rehearsal-login"
_LARGEST = 100_000


@dataclass(frozen=True)
class Rehearsed:
    """`before` and `after` are what is rehearsed of both configs, `guests` those among them that are in either, and
    `left_out` says what is not rehearsed."""

    before: Config
    after: Config
    guests: tuple[str, ...]
    left_out: tuple[Note, ...]

    @property
    def measure(self) -> Config:
        """What the hoster is like: as the config of before says, and with what the change adds beside it."""
        config = copy.deepcopy(self.before)
        for name, prefix in _map(self.after, "prefixes").items():
            config["sixstead:prefixes"].setdefault(name, prefix)
        before, after = (_resolvers(config) for config in (self.before, self.after))
        added = [address for address in after if address not in before]
        if added:  # the hoster's resolvers are read from the networks
            config.setdefault("sixstead:networks", {})["added-resolvers"] = {"dns64": {"forward": added}}
        return config


def rehearsed(before: Config, after: Config, stack: str, limit: int = 4) -> Rehearsed:
    """What can be rehearsed of a change, with `limit` guests: those that change first.

    Of a stack with `sixstead:dns` that is nothing. Raises LabError for a config that can't be read without secrets, naming the key."""
    try:
        configs = [_plain(config) for config in (before, after)]
    except RecursionError as error:
        raise LabError("a config that holds itself can't be rehearsed") from error
    if all("sixstead:dns" in config or "dns" in config for config in configs):
        return Rehearsed({}, {}, (), (Note("names: a stack with sixstead:dns has no server of its own"),))
    for config in configs:
        for name in _SECTIONS:
            _map(config, name)
    guests, notes = _chosen(configs[0], configs[1], limit)
    notes += _notes(configs[0], configs[1], guests)
    small = [_reduced(config, stack, guests) for config in configs]
    for name, guest in _map(small[1], "guests").items():
        _resize(guest, _map(configs[1], "guests")[name] or {}, _map(configs[0], "guests").get(name))
    for config in small:
        for key in _secrets(config, ""):
            raise LabError(f"{key} is encrypted, and a rehearsal reads no secrets: it can't be made of this stack")
    return Rehearsed(small[0], small[1], guests, tuple(notes))


def for_lab(config: Config, lab: str, state: Path, lab_topology: Topology) -> dict[str, Any]:
    """The stack file of a config of Rehearsed, for the lab of this name, folder and measure."""
    own = dataclasses.replace(topology(config), internet=lab_topology.internet)
    document = adapted({"config": config}, lab, config["sixstead:server"]["name"], state, own)
    changed = document["config"]
    server = changed["sixstead:server"]
    server["ssh"]["host"] = str(lab_topology.ipv4.ip if lab_topology.ipv4 else lab_topology.main.address)
    changed["sixstead:keys"] = {**(changed.get("sixstead:keys") or {}), _LOGIN: public_key(lab, "login")}
    if "operators" in server:
        server["operators"] = [*server["operators"], _LOGIN]
    for guest in (changed.get("sixstead:guests") or {}).values():
        if isinstance(guest, dict) and guest.get("address") and not guest.get("keys"):
            guest["keys"] = [_LOGIN]  # a kernel image is told its address by a seed, and has one for a key's sake
    changed["sixstead:images"] = {name: tiny(state) for name in changed.get("sixstead:images") or {}}
    return document


def topology(config: Config) -> Topology:
    """What the lab knows of a config. Raises LabError, also for a config that is all wrong."""
    try:
        return Topology.from_config(config)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LabError(
            f"the lab can't read this config; `./sixstead preview` names what is wrong in it ({error})"
        ) from error


def _map(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = config.get(f"sixstead:{name}")
    if section is None:
        return {}
    if not isinstance(section, dict) or set(section) == {"secure"}:
        raise LabError(f"sixstead:{name}: a rehearsal needs it as a map that is not encrypted")
    return section


def _rules(config: Mapping[str, Any]) -> list[Any]:
    found = config.get("sixstead:firewall")
    return found if isinstance(found, list) else []


def _ends(rule: Any) -> set[str]:
    return {str(rule.get(end)) for end in ("from", "to")} if isinstance(rule, dict) else set()


def _resolvers(config: Mapping[str, Any]) -> list[str]:
    found = []
    for network in _map(config, "networks").values():
        dns64 = network.get("dns64") if isinstance(network, dict) else None
        forward = dns64.get("forward") if isinstance(dns64, dict) else None
        found += [str(address) for address in forward] if isinstance(forward, list) else []
    return found


def _chosen(before: Config, after: Config, limit: int) -> tuple[tuple[str, ...], list[Note]]:
    """The guests that are rehearsed: first those whose own entry changes, then those whose rules do."""
    old, new = _map(before, "guests"), _map(after, "guests")
    names = [*old, *(name for name in new if name not in old)]
    rules = [_rules(config) for config in (before, after)]
    moved = [rule for rule in rules[0] + rules[1] if (rule in rules[0]) != (rule in rules[1])]
    touched = set().union(*map(_ends, moved))

    def rank(name: str) -> int:
        return 0 if old.get(name) != new.get(name) or (name in old) != (name in new) else 1 if name in touched else 2

    kept = sorted(names, key=rank)[: max(limit, 0)]
    left = tuple(name for name in names if name not in kept)
    changing = tuple(name for name in left if rank(name) < 2)
    notes = [Note(f"{len(left)} of {len(names)} guests", left)] if left else []
    if changing:
        notes.append(Note(f"what the change does to these guests (`--guests {len(names)}` takes all)", changing))
    return tuple(name for name in names if name in kept), notes


def _notes(before: Config, after: Config, guests: Sequence[str]) -> list[Note]:
    """What is left out of both configs, and what is taken on trust."""
    both = (before, after)
    texts = []
    entries = [guest for config in both for name, guest in _map(config, "guests").items() if name in guests]
    if entries:
        texts.append(
            "the guests' own images and sizes: each is a tiny one that is emulated, and restarts where it would"
        )
    if any("user_data" in guest for guest in entries if isinstance(guest, dict)):
        texts.append("the guests' user_data")
    if any("sixstead:rdns" in config for config in both):
        texts.append("PTR records")
    if any("operators" in _map(config, "server") for config in both):
        texts.append("who may log in to the server: the rehearsal's own key is among `operators`, before and after")
    if _map(after, "uplink").get("ipv4") and not _map(before, "uplink").get("ipv4"):
        texts.append("IPv4, which the change adds: the lab's hoster gives none, as before")
    added = tuple(name for name in _map(after, "prefixes") if name not in _map(before, "prefixes"))
    trusted = (
        [Note("whether the hoster delivers the prefixes that the change adds; the lab does", added)] if added else []
    )
    return [Note(text) for text in texts] + trusted


def _reduced(config: Config, stack: str, guests: Sequence[str]) -> Config:
    """A config of the chosen guests, without what needs a secret or the world outside."""
    kept = {
        key: copy.deepcopy(value)
        for key, value in config.items()
        if key.startswith("sixstead:") and key != "sixstead:rdns" and key.partition(":")[2] not in _SECRETS
    }
    server = _map(kept, "server")
    server.pop("ptr", None)
    ssh = server.get("ssh")
    server["ssh"] = {key: ssh[key] for key in ("user", "port") if key in ssh} if isinstance(ssh, dict) else {}
    server["name"] = server.get("name") or stack
    if not isinstance(server["name"], str) or not re.fullmatch(_HOSTNAME, server["name"]):
        raise LabError(
            f"sixstead:server.name: the lab needs a host name of at most 63 characters, not {server['name']!r}"
        )
    if "operators" in server and not isinstance(server["operators"], list):
        raise LabError("sixstead:server.operators: the lab needs a list of names of keys")
    every = _map(kept, "guests")
    if every:
        kept["sixstead:guests"] = {name: _small(every[name]) for name in guests if name in every}
    images = _map(kept, "images")
    if images:
        kept["sixstead:images"] = {name: {} for name in images}
    if _rules(kept):
        left = set(_map(config, "guests")) - set(guests)
        kept["sixstead:firewall"] = [rule for rule in _rules(kept) if not _ends(rule) & left]
    return kept


def _small(guest: Any) -> Any:
    if not isinstance(guest, dict):
        return guest
    small = {key: value for key, value in guest.items() if key not in ("ptr", "user_data", "cmdline")}
    if re.fullmatch(_SIZE, str(guest.get("memory"))):
        small["memory"] = "128MiB"
    if isinstance(guest.get("vcpus"), int):
        small["vcpus"] = 1
    return small


def _resize(small: Any, guest: Any, before: Any) -> None:
    """What a change of the guest's size or command line restarts, it restarts here, too."""
    if not isinstance(small, dict) or not isinstance(before, dict):
        return
    if guest.get("memory") != before.get("memory") and small.get("memory") == "128MiB":
        small["memory"] = "136MiB"
    if guest.get("vcpus", 1) != before.get("vcpus", 1) and isinstance(guest.get("vcpus", 1), int):
        small["vcpus"] = 2
    if guest.get("cmdline") != before.get("cmdline"):
        small["cmdline"] = "rehearsed=1"


def _plain(value: Any, left: Iterator[int] | None = None) -> Any:
    """A copy in which the keys of every map are texts. YAML's aliases may make a short file endless: that is refused."""
    left = iter(range(_LARGEST)) if left is None else left
    if next(left, None) is None:
        raise LabError(f"a config of more than {_LARGEST} values, its aliases written out, can't be rehearsed")
    if isinstance(value, dict):
        return {str(key): _plain(inner, left) for key, inner in value.items()}
    return [_plain(inner, left) for inner in value] if isinstance(value, list) else value


def _secrets(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            yield path
            return
        for key, inner in value.items():
            yield from _secrets(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _secrets(inner, f"{path}[{number}]")
