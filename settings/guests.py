"""Guests and the rules between them: `sixstead:guests`, `sixstead:firewall`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address

import yaml

from settings import values
from settings.model import (
    Disk,
    FirewallRule,
    Guest,
    Image,
    Network,
    Ports,
    PublicKey,
    eui64,
    guest_mac,
)
from settings.networks import in_prefix
from settings.ports import read_port_list, read_ports
from settings.problems import choosable
from settings.reader import Fields, Node, Table, Wrong, boolean, choice, integer, kind, list_of, text
from settings.reverse_dns import read_ptr

GUEST = "{image: d13, memory: 2GiB, disk: 20GiB, keys: [alice], open: {tcp: [80, 443]}}"
_FIELDS = (
    *("image", "memory", "vcpus", "disk", "keys", "open", "network"),
    *("mac", "address", "autostart", "user_data", "cmdline", "ptr"),
)
_MIB = 2**20


@dataclass(frozen=True)
class GuestReader:
    images: Table[Image]
    networks: Table[Network]
    keys: Table[PublicKey]

    def read(self, node: Node, name: str) -> Guest:
        fields = Fields(node, _FIELDS, GUEST)
        image = fields.required("image", self.images.reference, "the name of an entry of sixstead:images")
        memory = fields.required("memory", values.size(64 * _MIB, "the guest's memory"), "how much it gets, like 2GiB")
        vcpus = fields.optional("vcpus", integer(1, 512), 1)
        disk: Disk | None = fields.optional("disk", read_disk, None)
        keys = fields.optional("keys", self._keys, ())
        ports = fields.optional("open", read_ports, Ports())
        network = self._network(fields)
        mac = fields.optional("mac", values.mac, guest_mac(name))
        address: IPv6Address | None = fields.optional("address", values.ipv6, None)
        autostart = fields.optional("autostart", boolean, True)
        user_data = fields.optional("user_data", read_user_data, "")
        cmdline = fields.optional("cmdline", text, "")
        ptr: str | None = fields.optional("ptr", read_ptr, None)
        if cmdline and image and not image.boot:
            fields.refuse(f"image {image.name} boots by its own boot loader: only a kernel image takes this", "cmdline")
        fields.close()
        if address is None:
            address = eui64(network.prefix.prefix, mac)
        else:
            address = in_prefix(node.child("address", address), address, network.prefix.prefix)
        if disk is None and image.disk:
            disk = Disk(None)
        elif disk and disk.size is None and not image.disk:
            node.refuse(f"is missing: image {image.name} has no disk whose size could be taken", "disk", "size")
        return Guest(
            name, image, memory, vcpus, disk, keys, ports, network, mac, address, autostart, user_data, cmdline, ptr
        )

    def _keys(self, node: Node) -> tuple[PublicKey, ...]:
        keys = list_of(self.keys.reference, "[alice]")(node)
        if len(set(keys)) < len(keys):
            raise Wrong("names a key twice")
        return keys

    def _network(self, fields: Fields) -> Network:
        names = self.networks.good.keys() | self.networks.bad
        if fields.has("network") or (len(names) != 1 and not self.networks.broken):
            what = f"one of {', '.join(choosable(names))}" if names else "there is no network in sixstead:networks"
            return fields.required("network", self.networks.reference, what)
        return fields.default("network", self.networks.reference, next(iter(names), "main"))


def read_disk(node: Node) -> Disk:
    """A size, or `{size, on_delete}`."""
    read_size = values.size(_MIB, "the disk's size")
    if not isinstance(node.raw, Mapping):
        return Disk(read_size(node))
    fields = Fields(node, ("size", "on_delete"), "{size: 20GiB, on_delete: keep}")
    size: int | None = fields.optional("size", read_size, None)
    on_delete = fields.optional("on_delete", choice("keep", "delete"), "keep")
    fields.close()
    return Disk(size, on_delete)


def read_user_data(node: Node) -> str:
    """A cloud-config map, or a whole user-data text that says by its first line what it is."""
    if isinstance(node.raw, Mapping):
        try:
            return "#cloud-config\n" + yaml.safe_dump(_plain(node.raw), sort_keys=False, allow_unicode=True)
        except (yaml.YAMLError, RecursionError, ValueError, TypeError):  # nested too deep, a number too long
            raise Wrong("must be a map of plain YAML values, or text") from None
    if not isinstance(node.raw, str):
        raise Wrong(f"must be a cloud-config map or a text, not {kind(node.raw)}")
    if not node.raw.startswith(("#cloud-config", "#!", "## template:", "#include", "#cloud-boothook", "Content-Type:")):
        raise Wrong("must begin with the line that tells cloud-init what it is, like `#cloud-config` or `#!/bin/sh`")
    if not node.raw.replace("\n", "").replace("\t", "").isprintable():
        raise Wrong("must be text without control characters")
    return node.raw


def _plain(raw: object) -> object:
    """Pulumi hands whole numbers over as floats; cloud-init wants them back."""
    if isinstance(raw, Mapping):
        return {_plain(key): _plain(value) for key, value in raw.items()}
    if isinstance(raw, list | tuple):
        return [_plain(value) for value in raw]
    return int(raw) if isinstance(raw, float) and raw.is_integer() else raw


@dataclass(frozen=True)
class RuleReader:
    guests: Table[Guest]

    def read(self, node: Node) -> FirewallRule:
        fields = Fields(node, ("from", "to", "tcp", "udp"), "{from: web, to: mail, tcp: [25]}")
        source = fields.required("from", self._guest, "the guest that may connect")
        destination = fields.required("to", self._guest, "the guest that it may reach")
        tcp = fields.optional("tcp", read_port_list, ())
        udp = fields.optional("udp", read_port_list, ())
        fields.close()
        if not tcp and not udp:
            raise Wrong("allows nothing: give it ports, tcp or udp")
        if source == destination:
            raise Wrong(f"{source} reaches itself without a rule: name two guests")
        return FirewallRule(source, destination, Ports(tcp, udp))

    def _guest(self, node: Node) -> str:
        name = text(node)
        if name not in self.guests.bad and not self.guests.broken:
            self.guests.reference(node)
        return name
