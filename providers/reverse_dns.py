"""PTR records of the server's and the guests' addresses, kept by the hoster: Hetzner's Robot, for dedicated servers.

A record that is there already is adopted. Delete gives the address back what the hoster has for it, unless somebody has
changed the record since: that is kept, and told. Field names are Robot's.
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    ResourceProvider,
    UpdateResult,
)

from providers.host.errors import ServerError
from providers.host.provider import clean_errors, plain
from providers.host.sessions import decoded, warn
from providers.robot.client import Robot
from providers.robot.ptr_records import PtrRecords, normal
from settings import Settings
from settings.reverse_dns import ROBOT, WAIT


def records(settings: Settings) -> dict[str, str]:
    """Names by address, of all addresses that have one: the server's first, then the guests'.

    The default is NAME.DOMAIN; a server whose name is a whole domain name has that one.
    """
    if settings.rdns is None:
        return {}
    server, domain = settings.server, settings.rdns.domain
    own = server.ptr if server.ptr is not None else server.name if "." in server.name else name_in(domain, server.name)
    addresses = [str(prefix.address) for prefix in settings.prefixes.values()]
    if settings.uplink.ipv4:
        addresses.insert(0, str(settings.uplink.ipv4.address.ip))
    found = dict.fromkeys(addresses, own)
    for guest in settings.guests.values():
        found[str(guest.address)] = guest.ptr if guest.ptr is not None else name_in(domain, guest.name)
    return {ip: normal(ptr) for ip, ptr in found.items() if ptr}


def name_in(domain: str | None, name: str) -> str:
    """A name of the domain, or an empty text without one."""
    return f"{name}.{domain}" if domain else ""


def resource_name(ip: str) -> str:
    """After the address, as a record belongs to it whoever has it. Without `::`, which parts a URN."""
    return f"ptr-{ip.replace(':', '-')}"


class ReverseDnsProvider(ResourceProvider):
    """One PTR record. All of a process share one client, see `records_of`."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Keep the way to the stack's config: nothing is asked yet."""
        self.config: Callable[[str], Any] = req.config.get
        clean_errors()

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse what is no address, or no name."""
        news = plain(news)
        failures = []
        try:
            news["ip"] = str(ipaddress.ip_address(str(news.get("ip"))))
        except ValueError:
            failures.append(CheckFailure("ip", "must be an IP address"))
        if not isinstance(news.get("ptr"), str) or not news["ptr"]:
            failures.append(CheckFailure("ptr", "must be a domain name"))
        return CheckResult(news, failures)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Another address is another record. By which URL the service is reached is no part of it."""
        olds, news = plain(_olds), plain(_news)
        replaces = ["ip"] if olds.get("ip") != news.get("ip") else []
        return DiffResult(changes=bool(replaces) or olds.get("ptr") != news.get("ptr"), replaces=replaces)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Make the record say what is wanted, whatever it says now."""
        props = plain(props)
        records_of(self.config, props).write(props["ip"], props["ptr"])
        return CreateResult(props["ip"], props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """The same."""
        news = plain(_news)
        records_of(self.config, news).write(news["ip"], news["ptr"])
        return UpdateResult(news)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """What the record says; gone where the hoster says that there is none."""
        props = plain(props)
        ptr = records_of(self.config, props).read(props["ip"])
        if ptr is None:
            return ReadResult(None, {})
        seen = {**props, "ptr": ptr}
        return ReadResult(id_, seen, inputs=dict(seen))

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Give it back."""
        props = plain(_props)
        kept = records_of(self.config, props).remove(props["ip"], props["ptr"])
        if kept:
            warn(f"{props['ip']}: its PTR record says {kept}, not {props['ptr']} as was written: it is left as it is")


class ReverseDns(Resource, module="sixstead", name="ReverseDns"):
    """A PTR record. `ptr`: what it says."""

    ip: pulumi.Output[str]
    ptr: pulumi.Output[str]

    def __init__(
        self, provider: ResourceProvider, ip: str, ptr: str, endpoint: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        # Where it isn't the usual one, the URL is in the state: a record outlives the section of the config that made it.
        where = {} if endpoint == ROBOT else {"endpoint": endpoint}
        super().__init__(provider, resource_name(ip), {"ip": ip, "ptr": ptr, **where}, opts)


ACCOUNTS: dict[tuple[str, str, str], PtrRecords] = {}
ACCOUNTS_LOCK = threading.Lock()


def records_of(config: Callable[[str], Any], props: Mapping[str, Any]) -> PtrRecords:
    """The account whose login is in the config: one client a process, so one refused login, one list, one budget."""
    try:
        section = decoded(config("rdns"))
    except json.JSONDecodeError:
        section = None
    section = section if isinstance(section, dict) else {}
    login = [str(config(key) or "").strip() for key in ("robotUser", "robotPassword")]
    for key, value in zip(("robotUser", "robotPassword"), login, strict=True):
        if not value:
            raise ServerError(
                str(props.get("ip")),
                f"its PTR record is kept by Robot, and there is no sixstead:{key} to log in with",
                f"`./sixstead config set --secret {key}`: Robot makes it under Settings, Web service and app settings",
            )
    endpoint = str(section.get("endpoint") or props.get("endpoint") or ROBOT).rstrip("/")
    wait = section.get("wait")
    with ACCOUNTS_LOCK:
        where = (endpoint, login[0], login[1])
        if where not in ACCOUNTS:
            ACCOUNTS[where] = PtrRecords(Robot(*where, float(WAIT if wait is None else wait)))
        return ACCOUNTS[where]
