"""Domain XML, without libvirt: the canonical text of what is ours in a domain, and how a domain is redefined. Pure.

The format is libvirt's (https://libvirt.org/formatdomain.html). libvirt adds much to what it is given: a UUID, PCI
addresses, controllers, defaults. `canonical` leaves that out, so that a domain which nobody touched has the very
text that it was defined with, and an edit with `virsh edit` shows as the lines that differ.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from xml.sax.saxutils import escape

from .system import HostError, understood

NAMESPACE = "urn:sixstead:guest"
"""Our element in a domain's metadata has this namespace: it marks the domain as ours."""
OWNED = f"  <metadata><sixstead:guest xmlns:sixstead='{NAMESPACE}'/></metadata>"

_EVERYWHERE = {"alias", "address", "backingStore"}
_OF_DOMAIN = {"uuid", "title", "description", "resource", "currentMemory"}
_DEFAULT_TEXT = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "destroy"}
_DEFAULT_ATTRIBUTES: dict[str, dict[str, str | None]] = {
    "domain": {"id": None},
    "vcpu": {"placement": "static"},
    "cpu": {"check": None, "migratable": None},
    "source": {"index": None},
    "target": {"tray": None},
    "serial": {"tty": None},
    "log": {"append": "off"},
}
"""Attributes that libvirt adds, with the value that it adds (None: any)."""
_BYTES = {"b": 1, "bytes": 1, "KiB": 2**10, "k": 2**10, "MiB": 2**20, "M": 2**20, "GiB": 2**30, "G": 2**30}
_MAKES_NO_RESTART = re.compile(r"^  <metadata>.*\n|(?<=^      <source) bridge='[^']*'", re.MULTILINE)


def read(text: str) -> ET.Element:
    """The domain element of libvirt's XML (which comes from the host's own libvirt or from us). Raises HostError for what is none."""
    ET.register_namespace("sixstead", NAMESPACE)
    try:
        return ET.fromstring(text)  # noqa: S314 (who can write it is root on the host already)
    except (ET.ParseError, ValueError) as error:
        raise HostError(f"a domain's definition is no XML ({error}): {text[:100]!r}") from None


def canonical(text: str) -> str:
    """The text of what is ours in a domain: two spaces an indent, one element a line, defaults left out."""
    root = read(text)
    with understood("a domain's definition", text):
        return "\n".join(_lines(root, None, 0)) + "\n"


def running_as(text: str) -> str:
    """The part of a canonical text that a running guest only gets by a restart: all but metadata and bridge."""
    return _MAKES_NO_RESTART.sub("", text)


def is_ours(root: ET.Element) -> bool:
    """Whether the domain carries our mark."""
    return root.find(f"metadata/{{{NAMESPACE}}}guest") is not None


def without_mark(text: str) -> str:
    """A canonical text without our mark: what a domain of somebody else's is compared by."""
    return text.replace(OWNED + "\n", "")


def files_of(root: ET.Element) -> list[str]:
    """The paths of all files that a domain uses: disks with their backing files, kernel, initrd."""
    sources = [element.get("file", "") for element in root.iter("source")]
    boot = [root.findtext("os/kernel", ""), root.findtext("os/initrd", "")]
    return [path for path in (*sources, *boot) if path]


def disks_of(root: ET.Element) -> dict[str, str]:
    """The file of each disk, by what the guest sees it as (`vda`)."""
    disks = root.iterfind("devices/disk")
    return {_get(disk, "target", "dev"): _get(disk, "source", "file") for disk in disks}


def interfaces_of(root: ET.Element) -> list[tuple[str, str, str]]:
    """MAC address, tap device and bridge of each interface; empty where there is none."""
    return [
        (_get(element, "mac", "address"), _get(element, "target", "dev"), _get(element, "source", "bridge"))
        for element in root.iterfind("devices/interface")
    ]


def redefinition(wanted: str, present: str | None) -> str:
    """What to define so that a domain becomes as wanted and its guest sees no other machine than before.

    The UUID, the machine's version, controllers, PCI addresses and the owner's title, description and other metadata
    are taken from the present definition, where there is one.
    """
    if present is None:
        return wanted
    new, old = read(wanted), read(present)
    for tag in ("uuid", "title", "description"):
        element = old.find(tag)
        if element is not None:
            new.append(element)
    metadata = new.find("metadata")
    for element in old.iterfind("metadata/*"):
        if metadata is not None and element.tag != f"{{{NAMESPACE}}}guest":
            metadata.append(element)
    machine, before = new.find("os/type"), old.find("os/type")
    if machine is not None and before is not None and _machine(before.get("machine", "")) == machine.get("machine"):
        machine.set("machine", before.get("machine", ""))
        devices = new.find("devices")
        if devices is not None:
            places = {_identity(e): e.find("address") for e in old.iterfind("devices/*")}
            for element in devices:
                place = places.get(_identity(element))
                if element.find("address") is None and place is not None:
                    element.append(place)
            devices.extend(old.findall("devices/controller"))
    return ET.tostring(new, encoding="unicode")


def _identity(element: ET.Element) -> tuple[str, str]:
    """What tells a device from others of its kind."""
    if element.tag == "interface":
        return element.tag, _get(element, "mac", "address")
    return element.tag, _get(element, "target", "dev")


def _get(element: ET.Element, child: str, attribute: str) -> str:
    found = element.find(child)
    return "" if found is None else found.get(attribute, "")


def _machine(name: str) -> str:
    """A machine type without its version."""
    return re.sub(r"^pc-(q35|i440fx)-.*$", lambda match: "q35" if match[1] == "q35" else "pc", name)


def _lines(element: ET.Element, parent: ET.Element | None, depth: int) -> Iterator[str]:
    indent = "  " * depth
    tag = element.tag
    if tag == "metadata":
        if element.find(f"{{{NAMESPACE}}}guest") is not None:
            yield OWNED
        return
    children = [child for child in element if not _added(child, element)]
    text = (element.text or "").strip()
    if tag == "memory" and depth == 1:
        kibibytes = int(text) * _BYTES[element.get("unit", "KiB")] // 1024
        unit, number = ("MiB", kibibytes // 1024) if kibibytes % 1024 == 0 else ("KiB", kibibytes)
        yield f"{indent}<memory unit='{unit}'>{number}</memory>"
        return
    attributes = "".join(
        f" {name}='{escape(value, {chr(39): '&apos;'})}'" for name, value in _attributes(element, parent)
    )
    if children:
        yield f"{indent}<{tag}{attributes}>"
        for child in children:
            yield from _lines(child, element, depth + 1)
        yield f"{indent}</{tag}>"
    elif text:
        yield f"{indent}<{tag}{attributes}>{escape(text)}</{tag}>"
    else:
        yield f"{indent}<{tag}{attributes}/>"


def _attributes(element: ET.Element, parent: ET.Element | None) -> Iterator[tuple[str, str]]:
    defaults = _DEFAULT_ATTRIBUTES.get(element.tag, {})
    for name, value in element.attrib.items():
        if name in defaults and defaults[name] in (None, value):
            continue
        if element.tag == "type" and name == "machine":
            value = _machine(value)
        yield name, value


def _added(element: ET.Element, parent: ET.Element) -> bool:
    """Whether libvirt added this element by itself, to a domain that was defined without it."""
    tag, text = element.tag, (element.text or "").strip()
    if tag in _EVERYWHERE:
        return True
    if parent.tag == "domain":
        return (
            tag in _OF_DOMAIN
            or (tag in _DEFAULT_TEXT and text == _DEFAULT_TEXT[tag])
            or (tag == "clock" and element.attrib == {"offset": "utc"} and len(element) == 0)
            or (tag == "cpu" and element.get("mode") == "custom" and element.findtext("model") == "qemu64")
            or (tag == "seclabel" and element.get("type") == "dynamic")
        )
    if parent.tag == "devices":
        return (
            tag == "controller"
            or (tag == "emulator" and text == "/usr/bin/qemu-system-x86_64")
            or (tag == "input" and element.get("bus") == "ps2")
            or (tag == "audio" and element.get("type") == "none")
            or (tag == "watchdog" and element.get("model") == "itco")
            or (tag == "console" and _get(element, "target", "type") == "serial")
        )
    if parent.tag == "serial" and parent.get("type") == "pty":
        return tag == "source" or (
            tag == "target" and element.get("type") == "isa-serial" and element.get("port") == "0"
        )
    if parent.tag == "interface" and tag == "target":
        return element.get("dev", "").startswith("vnet")
    return False
