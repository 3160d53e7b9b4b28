"""IP forwarding: the server routes between its uplink and its guests. Kernel documentation: ip-sysctl.

A member of the host network: described here, applied there.
"""

from __future__ import annotations

from providers.host.agent.facets import State
from providers.host.provider import MemberProvider
from providers.host.resource import HostResource

PATH = "/etc/sysctl.d/60-sixstead-forwarding.conf"
KEYS = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.conf.default.forwarding": "1",
}


def render() -> State:
    """The values now, and the file that sets them at boot."""
    text = "# Written by Sixstead.\n" + "".join(f"{key} = {value}\n" for key, value in KEYS.items())
    return {"files": {PATH: text}, "sysctls": dict(KEYS)}


class ForwardingProvider(MemberProvider):
    """Only the name differs."""


class Forwarding(HostResource, module="sixstead", name="Forwarding"):
    """Forwarding sysctls."""
