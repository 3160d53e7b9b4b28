"""Guests as libvirt domains: `{"xml": canonical text, "state": "running, autostart"}`.

The text is that of the persistent definition. The state says, after a comma, what the text can't: `restart needed` (the
guest still runs as defined before), `definition edited` (the definition differs, the guest runs as wanted) and
`off its bridge` (its tap device is no port of the bridge). A guest is redefined in place, never undefined for a change;
it is restarted only where libvirt can't change it while it runs, and then asked to shut down first.
"""

from __future__ import annotations

import contextlib
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from typing import Any

from .domain_refusals import refuse_another_disk, refuse_foreign, refuse_without_kvm
from .domain_xml import (
    canonical,
    files_of,
    interfaces_of,
    is_ours,
    read,
    redefinition,
    running_as,
)
from .facets import Context
from .hypervisor import NoLibvirt, connection, is_defined, module
from .images import BASE, release
from .system import HostError, run

SHUTDOWN_TIMEOUT = 180
"""Seconds that a guest gets to shut down before it is switched off."""
ASK_AGAIN = 10
"""Seconds between two ACPI power button events: a guest that is still booting misses the first."""

Value = dict[str, str]


class Domains:
    """Domains, their state, and whether they start with the server."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Definition and state of each domain, all in one pass; `unknown` where libvirt does not answer."""
        try:
            with connection() as libvirt:
                present = {domain.name(): domain for domain in libvirt.listAllDomains()}
                return {name: observe_domain(present[name], wanted[name]) for name in wanted if name in present}
        except NoLibvirt as error:
            return {name: {"xml": "", "state": f"unknown: {error.what}"} for name in wanted if is_defined(name)}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Whether somebody else's domain of that name is there: it is never removed."""
        items = list(items)
        try:
            with connection() as libvirt:
                present = {domain.name(): domain for domain in libvirt.listAllDomains()}
                foreign = {name for name in items if name in present and not is_ours(read(definition(present[name])))}
        except NoLibvirt:
            foreign = {name for name in items if is_defined(name)}
        return {name: "somebody else's" if name in foreign else None for name in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Define, start, restart; guests that must restart shut down side by side.

        Raises HostError where a domain of that name is somebody else's, or a guest does not start.
        """
        with connection() as libvirt:
            present = {domain.name(): domain for domain in libvirt.listAllDomains()}
            for name, value in wanted.items():
                if name in present:
                    refuse_foreign(name, definition(present[name]), value["xml"])
                    refuse_another_disk(name, definition(present[name]), value["xml"])
                refuse_without_kvm(name, value["xml"])
            before = {file for name in wanted if name in present for file in base_files(present[name])}
            for name, value in wanted.items():
                present[name] = define(libvirt, present.get(name), value)
            restart = [present[name] for name, value in wanted.items() if must_restart(present[name], value["xml"])]
            stop(restart, "restarting guest {}", context)
            for name, value in wanted.items():
                start(present[name], value["xml"], context)
        for file in before:
            release(file)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Shut guests down and undefine them; their disks are not touched here."""
        names = {name for name, was in captured.items() if was is None}
        for name in captured.keys() - names:
            context.notes.append(f"domain {name} was there before and is left as it is")
        try:
            with connection() as libvirt:
                domains = [domain for domain in libvirt.listAllDomains() if domain.name() in names]
                stop(domains, "shutting down guest {}", context)
                used = {file for domain in domains for file in base_files(domain)}
                for domain in domains:
                    undefine(domain)
            for file in used:
                release(file)
        except NoLibvirt:
            if any(is_defined(name) for name in names):
                raise
        with contextlib.suppress(OSError):
            os.rmdir("/etc/libvirt/qemu/autostart")  # libvirt makes it for the first domain that has a link in it


def definition(domain: Any) -> str:
    """The persistent definition of a domain, or the live one where it has no other."""
    libvirt = module()
    flags = libvirt.VIR_DOMAIN_XML_SECURE
    return str(domain.XMLDesc(flags | libvirt.VIR_DOMAIN_XML_INACTIVE if domain.isPersistent() else flags))


def base_files(domain: Any) -> list[str]:
    """The base images that a domain boots: kept for its sake only, perhaps, as nobody else wants an older kernel."""
    return [file for file in files_of(read(definition(domain))) if os.path.dirname(file) == BASE]


def observe_domain(domain: Any, wanted: Value) -> Value:
    """The value of one domain. What only a running guest can tell is compared with what is wanted."""
    text = canonical(definition(domain))
    words = [state_of(domain)]
    if not domain.isPersistent():
        words.append("transient")
    if domain.autostart():
        words.append("autostart")
    if domain.isActive():
        live = domain.XMLDesc()
        as_wanted = running_as(canonical(live)) == running_as(wanted.get("xml", ""))
        as_defined = running_as(text) == running_as(wanted.get("xml", ""))
        if as_defined and not as_wanted:
            words.append("restart needed")
        if as_wanted and not as_defined:
            words.append("definition edited")
        if not all(is_port(tap, bridge) for _, tap, bridge in interfaces_of(read(live))):
            words.append("off its bridge")
    return {"xml": text, "state": ", ".join(words)}


def state_of(domain: Any) -> str:
    """A domain's state in virsh's words."""
    libvirt = module()
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_PAUSED and reason == libvirt.VIR_DOMAIN_PAUSED_IOERROR:
        return "paused by an I/O error"
    return {
        libvirt.VIR_DOMAIN_RUNNING: "running",
        libvirt.VIR_DOMAIN_BLOCKED: "running",
        libvirt.VIR_DOMAIN_PAUSED: "paused",
        libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
        libvirt.VIR_DOMAIN_SHUTOFF: "shut off",
        libvirt.VIR_DOMAIN_CRASHED: "crashed",
        libvirt.VIR_DOMAIN_PMSUSPENDED: "suspended",
    }.get(state, f"state {state}")


def is_port(tap: str, bridge: str) -> bool:
    """Whether a tap device is a port of a bridge."""
    try:
        return os.path.basename(os.readlink(f"/sys/class/net/{tap}/master")) == bridge
    except OSError:
        return False


def define(libvirt: Any, domain: Any | None, value: Value) -> Any:
    """Define a domain in place, and say whether it starts with the server."""
    present = definition(domain) if domain is not None else None
    if domain is None or not domain.isPersistent() or canonical(present or "") != value["xml"]:
        domain = libvirt.defineXML(redefinition(value["xml"], present))
    autostart = int("autostart" in value["state"])
    if domain.autostart() != autostart:
        domain.setAutostart(autostart)
    return domain


def must_restart(domain: Any, wanted: str) -> bool:
    """Whether a domain is active in a way that only a restart can mend."""
    if not domain.isActive():
        return False
    if state_of(domain) in ("crashed", "suspended", "shutting down"):
        return True
    return running_as(canonical(domain.XMLDesc())) != running_as(wanted)


def stop(domains: Iterable[Any], words: str, context: Context) -> None:
    """Shut guests down side by side; whoever is still there at the end of the time is switched off, which is noted."""
    libvirt = module()
    active = [domain for domain in domains if domain.isActive()]
    timeout = float(context.params.get("shutdown_timeout", SHUTDOWN_TIMEOUT))
    for domain in active:
        context.progress(words.format(domain.name()))
        if state_of(domain).startswith("paused"):
            domain.resume()
    begun = time.monotonic()
    asked = begun - ASK_AGAIN - 1
    while (active := [d for d in active if is_active(d)]) and (now := time.monotonic()) - begun < timeout:
        if now - asked > ASK_AGAIN:
            asked = now
            for domain in active:
                with contextlib.suppress(libvirt.libvirtError):  # it may be gone just now: the loop sees that
                    domain.shutdown()
        time.sleep(0.1)
    for domain in active:
        context.notes.append(f"guest {domain.name()} did not shut down within {timeout:.0f} s and was switched off")
        with contextlib.suppress(libvirt.libvirtError):
            domain.destroy()
        if is_active(domain):
            raise HostError(
                f"guest {domain.name()} can't be stopped", f"try `virsh destroy {domain.name()}` on the server"
            )


def is_active(domain: Any) -> bool:
    """Whether a domain runs; one that is gone does not."""
    libvirt = module()
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def start(domain: Any, wanted: str, context: Context) -> None:
    """Start or resume a guest and put it on its bridge; does not wait until it has booted."""
    libvirt = module()
    name = domain.name()
    try:
        if not domain.isActive():
            context.progress(f"starting guest {name}")
            domain.create()
            if must_restart(domain, wanted):  # it came back from a saved image of an older definition
                stop([domain], "restarting guest {}", context)
                domain.create()
        elif state_of(domain).startswith("paused"):
            domain.resume()
    except libvirt.libvirtError as error:
        raise HostError(
            f"guest {name} does not start: {error}", f"look at /var/log/libvirt/qemu/{name}.log on the server"
        ) from None
    bridges = {mac: bridge for mac, _, bridge in interfaces_of(read(wanted))}
    live = read(domain.XMLDesc())
    for element in live.iterfind("devices/interface"):
        plug(domain, element, bridges)


def plug(domain: Any, interface: ET.Element, bridges: Mapping[str, str]) -> None:
    """Put a running guest's interface on the bridge that its definition names."""
    mac, source, target = (interface.find(tag) for tag in ("mac", "source", "target"))
    if mac is None or source is None or target is None:
        return
    bridge = bridges.get(mac.get("address", ""), "")
    if bridge and source.get("bridge") != bridge:
        source.set("bridge", bridge)
        domain.updateDeviceFlags(ET.tostring(interface, encoding="unicode"), module().VIR_DOMAIN_AFFECT_LIVE)
    elif bridge and not is_port(target.get("dev", ""), bridge):
        run(["ip", "link", "set", "dev", target.get("dev", ""), "master", bridge, "up"])


def undefine(domain: Any) -> None:
    """Remove a definition with what libvirt keeps for it; a disk's data is no part of that."""
    libvirt = module()
    if domain.isPersistent():
        domain.undefineFlags(
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
        )
