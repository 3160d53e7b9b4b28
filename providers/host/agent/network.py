"""Links, addresses, routes and NDP proxy entries of the running kernel, by ip(8); the smallest difference is applied.

Values are short texts, as an owner would read them in a preview:
links      `br-main`      -> `bridge, 52:54:00:1d:0c:01, mtu 1500, up` (`physical, ...` for a network card)
addresses  `eth0`         -> `192.0.2.10/32 2001:db8:1::2/128`: all permanent addresses that are not link-local
routes     `IPv6 default dev eth0` -> `via fe80::1`
proxies    `2001:db8:1::25 dev eth0`      -> `present`
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .ip_output import Json, parse_addresses, parse_json, parse_links, parse_routes
from .link_refusals import refuse_another_card, refuse_another_kind
from .system import HostError, run, understood


def ip_json(arguments: list[str]) -> list[Json]:
    """What `ip -json` answers; an unknown interface has nothing to show."""
    done = run(["ip", "-json", *arguments], check=False)
    if done.code != 0 and "does not exist" not in done.err and "Cannot find" not in done.err:
        raise HostError(f"`ip {' '.join(arguments)}` failed: {done.err.strip()}")
    return parse_json(f"`ip {' '.join(arguments)}`", done.out)


def batch(lines: list[str]) -> None:
    """Run ip(8) commands in one process, stopping at the first that fails."""
    for family in ("-4", "-6"):
        mine = [line.removeprefix(family + " ") for line in lines if line.startswith(family)]
        if mine:
            run(["ip", family, "-batch", "-"], stdin="\n".join(mine) + "\n")


def family_of(text: str) -> str:
    """The option of ip(8) for the family of an address or prefix."""
    return "-6" if ":" in text else "-4"


class Links:
    """Bridges are made and removed; a network card must be there, with the MAC address that the config names."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Kind, MAC address, MTU and state of each link."""
        present = parse_links(ip_json(["-details", "link", "show"]))
        return {name: present[name] for name in wanted if name in present}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """The values."""
        items = list(items)
        present = self.observe(dict.fromkeys(items))
        return {name: present.get(name) for name in items}

    def refuse(self, wanted: Mapping[str, Any]) -> None:
        """Raises HostError where the network card is missing or another one, and where a bridge's name is taken."""
        present = parse_links(ip_json(["-details", "link", "show"]))
        for name, value in wanted.items():
            check = refuse_another_card if value.startswith("physical") else refuse_another_kind
            check(name, value, present)

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Make or change links that `refuse` has let pass."""
        for name, value in wanted.items():
            kind, mac, mtu, state = value.split(", ")
            now = observed.get(name)
            if now is None:
                run(["ip", "link", "add", "name", name, "address", mac, "type", kind])
                run(["sysctl", "-q", "-w", f"net/ipv6/conf/{name}/accept_ra=0"], check=False)
            elif now.split(", ")[1] != mac:
                run(["ip", "link", "set", "dev", name, "address", mac])
            run(["ip", "link", "set", "dev", name, *mtu.split(), state])

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Remove bridges that were not there; bring the others back to their MTU and state."""
        present = self.observe(captured)
        for name, was in captured.items():
            now = present.get(name)
            if was is None and now is not None and now.startswith("bridge"):
                run(["ip", "link", "delete", "dev", name])
            elif was is not None and now is None and was.startswith("bridge"):
                self.apply({name: was}, {}, context)
            elif was is not None and now is not None and now != was:
                kind, mac, mtu, state = was.split(", ")
                mac_too = ["address", mac] if kind == "bridge" else []
                run(["ip", "link", "set", "dev", name, *mac_too, *mtu.split(), state])


class Addresses:
    """The permanent addresses of an interface, as one set."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Addresses of the interfaces, one process."""
        present = parse_addresses(ip_json(["address", "show"]))
        return {name: present[name] for name in wanted if name in present}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """The values."""
        items = list(items)
        present = self.observe(dict.fromkeys(items))
        return {name: present.get(name, "") for name in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Add what is missing, remove what is too much. An address that only changes its prefix length goes and comes at once."""
        for name, value in wanted.items():
            batch(address_commands(name, str(observed.get(name) or "").split(), value.split()))

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """The old set again."""
        present = parse_addresses(ip_json(["address", "show"]))
        links = parse_links(ip_json(["-details", "link", "show"]))
        for name, was in captured.items():
            if name in links:
                batch(address_commands(name, present.get(name, "").split(), (was or "").split()))


def address_commands(interface: str, now: list[str], wanted: list[str]) -> list[str]:
    """The ip(8) batch lines from one set of addresses to another.

    IPv6 keeps one entry an address whatever its prefix length (RFC 4291 interface addresses; `ip addr add` says
    EEXIST), so a change of length removes first. Anything else adds first, so that the host is never without: with its
    last IPv4 address an interface loses all its IPv4 routes.
    """
    added, dropped = ({a.split("/")[0] for a in one if a not in other} for one, other in ((wanted, now), (now, wanted)))
    resized = {address for address in added & dropped if family_of(address) == "-6"}
    lines = []
    for address in wanted:
        if address in now:
            continue
        family, bare = family_of(address), address.split("/")[0]
        if bare in resized:
            old = next(a for a in now if a.split("/")[0] == bare and a not in wanted)
            lines.append(f"{family} address delete {in_words(old)} dev {interface}")
        wide = "," not in address and int(address.split("/")[1]) < 31
        more = " nodad" if family == "-6" else " broadcast +" if wide else ""
        lines.append(f"{family} address add {in_words(address)} dev {interface}{more}")
    for address in now:
        if address not in wanted and address.split("/")[0] not in resized:
            lines.append(f"{family_of(address)} address delete {in_words(address)} dev {interface}")
    return lines


def in_words(address: str) -> str:
    """An address as ip-address(8) takes it: a prefix length belongs to the peer where there is one."""
    own, _, peer = address.partition(",peer=")
    local, _, length = own.partition("/")
    return f"{local} peer {peer}/{length}" if peer else own


class Routes:
    """Static routes of the main tables.

    `IPv6 default dev eth0` -> `via fe80::1`: an interface's default route, whose gateway is the value, so that another
    gateway replaces it and the old one comes back; `192.0.2.1 dev eth0` -> `present`: a gateway outside our network.
    """

    keeps_edits = False
    reads_files = True  # of addresses, rather: with an address the kernel takes its routes away

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The values; both families are asked once each."""
        present = present_routes()
        return {route: present[route] for route in wanted if route in present}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """The values."""
        present = present_routes()
        return {route: present.get(route) for route in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Routes to gateways first, then those through them."""
        for route, value in sorted(wanted.items(), key=is_default):
            put_route(route, value)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Put back those that were there, delete those that were not; a route that no longer fits the network is told."""
        present = present_routes()
        links = parse_links(ip_json(["-details", "link", "show"]))
        for route, was in sorted(captured.items(), key=is_default):
            if route.split(" dev ")[1] not in links or present.get(route) == was:
                continue
            try:
                put_route(route, was)
            except HostError as error:
                context.notes.append(f"the route `{route} {was}` could not be put back: {error.what}")


def is_default(item: tuple[str, Any]) -> bool:
    """Whether an item is a default route: these come last, as they need the others."""
    return " default " in item[0]


CONFIGURED = ("boot", "static")
"""Protocols of routes that somebody configured; those of the kernel's own come and go with an address. ip-route(8)."""


def put_route(route: str, value: str | None) -> None:
    """Make one route so; None deletes it."""
    target, _, interface = route.partition(" dev ")
    if not is_default((route, value)):
        family = family_of(target)
        if value:
            run(["ip", family, "route", "replace", target, "dev", interface])
        for protocol in () if value else CONFIGURED:
            run(["ip", family, "route", "delete", target, "dev", interface, "proto", protocol], check=False)
        return
    family = "-6" if target.startswith("IPv6") else "-4"
    via = (value or "").split()
    if via:
        run(["ip", family, "route", "replace", "default", *via[:2], "dev", interface, "onlink"])
    for entry in ip_json([family, "route", "show", "default"]):
        if entry.get("dev") == interface and entry.get("gateway") != (via[1] if via else None):
            gateway = ["via", entry["gateway"]] if "gateway" in entry else []
            run(["ip", family, "route", "delete", "default", *gateway, "dev", interface], check=False)


def present_routes() -> dict[str, str]:
    """All routes of both families."""
    return {
        **parse_routes("IPv4", ip_json(["-4", "route", "show"])),
        **parse_routes("IPv6", ip_json(["-6", "route", "show"])),
    }


class Proxies:
    """NDP proxy entries: the kernel answers neighbour solicitations for these addresses (ip-neighbour(8), RFC 4389)."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """`present` for each entry."""
        entries = ip_json(["-6", "neighbour", "show", "proxy"])
        with understood("`ip neighbour show proxy`", entries):
            present = {f"{entry['dst']} dev {entry['dev']}" for entry in entries}
        return {item: "present" for item in wanted if item in present}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Presence."""
        items = list(items)
        present = self.observe(dict.fromkeys(items))
        return {item: present.get(item) for item in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Add the entries in one process."""
        batch([f"-6 neighbour replace proxy {item}" for item in wanted])

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Delete entries that were not there, add those that were."""
        present = self.observe(captured)
        lines = [f"-6 neighbour delete proxy {i}" for i, was in captured.items() if not was and i in present]
        batch(lines + [f"-6 neighbour replace proxy {i}" for i, was in captured.items() if was and i not in present])
