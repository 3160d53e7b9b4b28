"""PTR records at the hoster: `sixstead:rdns`, and `ptr` of the server and of guests."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from settings import values
from settings.model import Hoster, ReverseDns
from settings.problems import shown
from settings.reader import Fields, Node, Wrong, choice, integer, text

RDNS = "{provider: robot, domain: example.net}"
ROBOT = "https://robot-ws.your-server.de"
"""The Robot web service, where Hetzner's dedicated servers are administered."""

WAIT = 300
"""Seconds that a run may spend on waiting for it, by default."""

LONGEST_DOMAIN = 253 - 64
"""In characters, so that a guest's name, of 63 at the most, and a dot fit before it (RFC 1035, section 2.3.4)."""


def read_reverse_dns(node: Node, hoster: Hoster | None) -> ReverseDns:
    fields = Fields(node, ("provider", "domain", "endpoint", "wait", "server_id"), RDNS)
    provider = "robot"
    if fields.has("provider") or (hoster and hoster.name != "hetzner"):
        what = "who keeps the PTR records, robot (Hetzner's dedicated servers) or cloud (Hetzner Cloud)"
        provider = fields.required("provider", choice("robot", "cloud"), what)
    domain: str | None = fields.optional("domain", read_domain, None)
    endpoint = fields.optional("endpoint", read_endpoint, ROBOT)
    wait = fields.optional("wait", integer(0, 7200, " seconds"), WAIT)
    server_id: int | None = None
    if provider == "cloud":
        server_id = fields.required(
            "server_id", integer(1, 2**53), "the server's number, as in the Cloud Console's URL"
        )
    for name in ("server_id",) if provider == "robot" else ("endpoint", "wait") if provider == "cloud" else ():
        if fields.has(name):
            fields.refuse(f"is not for the provider {provider}: leave it out", name)
    fields.close()
    return ReverseDns(provider, domain, endpoint, wait, server_id)


def read_domain(node: Node) -> str:
    name = values.domain_name(node).lower()
    if len(name) > LONGEST_DOMAIN:
        raise Wrong(f"must have {LONGEST_DOMAIN} characters at the most, so that names fit before it, not {len(name)}")
    return name


def read_ptr(node: Node) -> str:
    """A whole domain name, or `false` for an address whose PTR record is left alone: an empty text."""
    if node.raw is False:
        return ""
    if node.raw is True:
        raise Wrong("must be a domain name, or false for none, not the boolean true")
    name = values.domain_name(node).lower()
    if "." not in name:
        raise Wrong(f"must be a whole domain name, like {name}.example.net: nothing is added to it")
    return name


def read_endpoint(node: Node) -> str:
    """The URL of a web service. Logins go there, so only loopback is spoken to in plain."""
    value = text(node)
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.query or parts.fragment)
        _ = parts.port
    except ValueError:
        good = False
    if not good or not value.isascii() or " " in value:
        raise Wrong(f"must be the https URL of the web service, like {ROBOT}, not {shown(value)}")
    if "@" in urlsplit(value).netloc:
        raise Wrong(
            "a user or password in a URL would stand in state and logs: set robotUser and robotPassword as secrets"
        )
    if urlsplit(value).scheme == "http" and not _is_loopback(urlsplit(value).hostname or ""):
        raise Wrong("must be an https URL: the login would cross the network in plain")
    return value.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
