"""From a stack's settings and the facts of its server to findings, one group a check. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from providers import dns64, firewall, forwarding, hypervisor, nat64, router_advertisement, uplink
from providers.host.agent.facets import State, union
from settings import Settings

Facts = Mapping[str, Any]
"""What the agent's examine answers, with `os` and `backend` of its hello, and `offset`: seconds that the clock is ahead."""

DISKS = ("/", "/var/lib/libvirt")
AT_BOOT = "look in /etc/sysctl.d for what sets it at boot"
"""The end of a remedy that changes a sysctl."""


@dataclass(frozen=True)
class Finding:
    """What is not as it should be. `by_up`: an `up` makes it so, after what `remedy` says. `remark`: worth knowing, no more."""

    what: str
    remedy: str = ""
    by_up: bool = False
    remark: bool = False


@dataclass(frozen=True)
class Check:
    """A group of findings: its name, what is said where there are none, and the function that finds them."""

    name: str
    fine: str
    look: Callable[[Settings, Facts], list[Finding]]


@dataclass(frozen=True)
class Result:
    """What came of one check, with whole remedies."""

    name: str
    fine: str
    findings: tuple[Finding, ...]

    @property
    def grade(self) -> str:
        """`ok`, `remark` or `finding`."""
        if not self.findings:
            return "ok"
        return "remark" if all(finding.remark for finding in self.findings) else "finding"


def examined(checks: tuple[Check, ...], settings: Settings, facts: Facts, stack: str) -> list[Result]:
    """All checks. Before the first `up`, what it will do is only remarked."""

    def whole(finding: Finding) -> Finding:
        if not finding.by_up:
            return finding
        if not facts["owned"]:
            return replace(finding, remedy=f"`./sixstead up -s {stack}` does it", remark=True)
        up = f"`./sixstead up -s {stack} --refresh`"
        return replace(finding, remedy=f"{finding.remedy}, then {up}" if finding.remedy else up)

    return [Result(c.name, c.fine, tuple(whole(finding) for finding in c.look(settings, facts))) for c in checks]


def questions(settings: Settings) -> dict[str, Any]:
    """What the agent is asked to look at, beside what it tells anyway."""
    names = [uplink.dotless(name) for name in interfaces(settings)]
    keys = [f"net.ipv4.conf.{name}.{key}" for name in ("all", *names) for key in IPV4_KEYS]
    keys += [f"net.ipv6.conf.{name}.{key}" for name in names for key in IPV6_KEYS]
    return {
        "sysctls": [*forwarding.KEYS, *keys, *BRIDGE_KEYS],
        "units": list(units(settings)),
        "nft": firewall.render(settings)["nft"],
        "disks": list(DISKS),
    }


IPV4_KEYS = ("accept_redirects", "send_redirects", "forwarding")
IPV6_KEYS = ("accept_redirects", "accept_ra", "addr_gen_mode", "forwarding")
BRIDGE_KEYS = ("net.bridge.bridge-nf-call-ip6tables",)


def units(settings: Settings) -> dict[str, str]:
    """The units of all features that the settings want, with their values."""
    states: list[State] = [firewall.render(settings)]
    if settings.networks:
        states.append(router_advertisement.render(settings))
    if settings.nat64_gateways:
        states.append(nat64.render(settings))
    if dns64.networks(settings):
        states.append(dns64.render(settings))
    if settings.guests:
        states.append(hypervisor.render(settings))
    return union(*({"units": state["units"]} for state in states))["units"]


def interfaces(settings: Settings) -> list[str]:
    """The uplink, then the guest bridges."""
    return [settings.uplink.name, *(network.bridge for network in settings.networks.values())]


def clock_offset(before: float, server: float, after: float) -> float:
    """Seconds that the server's clock is ahead, at least: it was read between two readings of the operator's."""
    return max(server - after, 0.0) + min(server - before, 0.0)
