"""What `./sixstead doctor` finds in how a server forwards. Pure; the kernel's documentation is ip-sysctl."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cli.doctor_checks import AT_BOOT, Check, Facts, Finding, interfaces
from providers import forwarding, uplink
from providers.uplink import dotless
from settings import Settings


def forwards(settings: Settings, facts: Facts) -> list[Finding]:
    """Forwarding as a whole, and on the uplink by itself."""
    found = [Finding(f"{key} is 0", by_up=True) for key in forwarding.KEYS if is_off(facts, key)]
    if not found:
        keys = [f"net.{family}.conf.{dotless(settings.uplink.name)}.forwarding" for family in ("ipv4", "ipv6")]
        found = [Finding(f"{key} is 0", by_hand(f"{key}=1")) for key in keys if is_off(facts, key)]
    return found


def default_routes(settings: Settings, facts: Facts) -> list[Finding]:
    """What leaves the server goes to the gateways of the config; of several routes, the one of the lowest metric counts."""
    found, name = [], settings.uplink.name
    wanted = uplink.routes(settings.uplink, list(settings.prefixes.values()))
    for family, key in (("IPv4", "routes4"), ("IPv6", "routes6")):
        if not (via := wanted.get(f"{family} default dev {name}")):
            continue
        present = sorted((r for r in facts[key] if r.get("dst") == "default"), key=lambda r: int(r.get("metric", 0)))
        ours = [route for route in present if way(route) == f"{via} on {name}"]
        said = ", and ".join(way(route) for route in present)
        if not present:
            found.append(Finding(f"there is no {family} default route; the config says {via} on {name}", by_up=True))
        elif not ours:
            what = f"the {family} default route is {said}, and the config says {via} on {name}"
            found.append(Finding(what, by_up=True))
        elif first := [route for route in present[: present.index(ours[0])] if route.get("dev") == name]:
            what = f"the {family} default route {way(first[0])} goes before the config's, {via}"
            found.append(Finding(what, by_up=True))
        elif present[0] is not ours[0]:
            what = f"the {family} default route {way(present[0])} goes before the config's, {via} on {name}"
            remedy = f"unless it is meant to, remove what makes it ({present[0].get('dev', 'it names no interface')})"
            found.append(Finding(what, remedy, remark=True))
    return found


def way(route: Mapping[str, Any]) -> str:
    """`via fe80::1 on eth0`; of several next hops, all."""
    hops = route.get("nexthops") or [route]
    return " and ".join(
        (f"via {hop['gateway']}" if "gateway" in hop else str(route.get("type", "without a gateway")))
        + f" on {hop.get('dev', '?')}"
        for hop in hops
    )


def advertisements(settings: Settings, facts: Facts) -> list[Finding]:
    """A router does not take addresses and routes from others: 2 does so even while forwarding, 1 only without."""
    found = []
    for name in interfaces(settings):
        key, ours = f"net.ipv6.conf.{dotless(name)}.accept_ra", name == settings.uplink.name
        value = facts["sysctls"].get(key, "0")
        idle = value == "1" and is_on(facts, f"net.ipv6.conf.{dotless(name)}.forwarding")
        if value == "0" or (idle and not ours):
            continue
        what = f"the server accepts router advertisements on {name} (accept_ra is {value})"
        if idle:
            what = f"accept_ra is 1 on {name}: router advertisements would be accepted if the server did not forward"
        found.append(Finding(what, "" if ours else by_hand(f"{key}=0"), by_up=ours, remark=idle))
    return found


def redirects(settings: Settings, facts: Facts) -> list[Finding]:
    """Accepted redirects lead the server's packets to whoever sent them.

    The kernel's rule: while it forwards, it accepts IPv4 ones where both `all` and the interface say so, and no IPv6
    ones; else IPv4 ones where either says so. It sends IPv4 ones where either says so, to neighbours only.
    """
    found = []
    for name in interfaces(settings):
        key4, key6 = (f"net.{family}.conf.{dotless(name)}" for family in ("ipv4", "ipv6"))
        if f"{key4}.accept_redirects" not in facts["sysctls"]:
            continue
        both = is_on(facts, "net.ipv4.conf.all.accept_redirects"), is_on(facts, f"{key4}.accept_redirects")
        if not is_on(facts, f"{key4}.forwarding"):
            if any(both):
                found.append(without_forwarding(facts, "IPv4", name, "net.ipv4.ip_forward", key4))
        elif all(both):
            remedy = by_hand("net.ipv4.conf.all.accept_redirects=0")
            found.append(Finding(f"IPv4 redirects are accepted on {name}", remedy))
        if is_on(facts, f"{key6}.accept_redirects") and is_off(facts, f"{key6}.forwarding"):
            found.append(without_forwarding(facts, "IPv6", name, "net.ipv6.conf.all.forwarding", key6))
    ipv4, name = settings.uplink.ipv4, settings.uplink.name
    keys = [f"net.ipv4.conf.{which}.send_redirects" for which in ("all", dotless(name))]
    if ipv4 and ipv4.address.network.prefixlen < 31 and any(is_on(facts, key) for key in keys):
        what = f"IPv4 redirects are sent to neighbours on {name} that take the server for their router"
        found.append(Finding(what, by_hand(" ".join(f"{key}=0" for key in keys)), remark=True))
    return found


def without_forwarding(facts: Facts, family: str, name: str, whole: str, key: str) -> Finding:
    """Redirects accepted for want of forwarding; an `up` turns on what is off as a whole, not on one interface alone."""
    what = f"{family} redirects are accepted on {name}, as it does not forward"
    return Finding(what, by_up=True) if is_off(facts, whole) else Finding(what, by_hand(f"{key}.forwarding=1"))


def bridge_filter(settings: Settings, facts: Facts) -> list[Finding]:
    """br_netfilter, which Docker loads, shows bridged frames to ip6tables.

    Nothing is bridged between our guests, so it harms only where another ruleset drops what it does not know.
    """
    key = "net.bridge.bridge-nf-call-ip6tables"
    if facts["sysctls"].get(key, "0") == "0":
        return []
    what = f"{key} is on: what guests send passes others' ip6tables rules once more"
    return [Finding(what, f"unless something there needs it, as Docker does: {by_hand(f'{key}=0')}", remark=True)]


def is_on(facts: Facts, key: str) -> bool:
    """Whether a sysctl is known, and not 0."""
    return bool(facts["sysctls"].get(key, "0") != "0")


def is_off(facts: Facts, key: str) -> bool:
    """Whether a sysctl is known, and 0."""
    return bool(facts["sysctls"].get(key) == "0")


def by_hand(assignments: str) -> str:
    """The remedy for what no `up` sets."""
    return f"`sysctl -w {assignments}` on the server; {AT_BOOT}"


CHECKS = (
    Check("forwarding", "on", forwards),
    Check("default routes", "to the config's gateways", default_routes),
    Check("router advertisements", "the server accepts none", advertisements),
    Check("redirects", "the server accepts none, and sends its neighbours none", redirects),
    Check("bridge filter", "bridged frames pass no ip6tables", bridge_filter),
)
