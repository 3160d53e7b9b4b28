"""A guest as libvirt XML (https://libvirt.org/formatdomain.html): what `virsh dumpxml` would show, less what libvirt adds. Pure.

Everything is virtio. The serial console is a pseudo terminal for `virsh console` and a log in the file system.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from providers.host.agent.answers import CONSOLES
from providers.host.agent.domain_xml import OWNED
from providers.host.agent.images import BASE, POOL
from settings import Guest, ImageFile, tap_name


def disk_path(guest: Guest) -> str:
    """Where a guest's disk lies."""
    return f"{POOL}/{guest.name}.qcow2"


def seed_path(guest: Guest) -> str:
    """Where a guest's cloud-init seed lies."""
    return f"{POOL}/{guest.name}-seed.iso"


def image_path(file: ImageFile) -> str:
    """Where a base image lies: its name is its checksum."""
    return f"{BASE}/{file.checksum.algorithm}-{file.checksum.digest[:32]}"


def has_seed(guest: Guest) -> bool:
    """Whether a guest gets a cloud-init seed: all that have a disk image to boot, or something to tell."""
    return bool(guest.image.disk or guest.keys or guest.user_data)


def render_domain(guest: Guest, kvm: bool) -> str:
    """The definition of one guest; without KVM its machine is emulated."""
    return "\n".join(_domain(guest, kvm)) + "\n"


def _domain(guest: Guest, kvm: bool) -> Iterator[str]:
    yield f"<domain type='{'kvm' if kvm else 'qemu'}'>"
    yield f"  <name>{guest.name}</name>"
    yield OWNED
    kibibytes = guest.memory // 1024
    number, unit = (kibibytes // 1024, "MiB") if kibibytes % 1024 == 0 else (kibibytes, "KiB")
    yield f"  <memory unit='{unit}'>{number}</memory>"
    yield f"  <vcpu>{guest.vcpus}</vcpu>"
    yield "  <os>"
    yield "    <type arch='x86_64' machine='q35'>hvm</type>"
    boot = guest.image.boot
    if boot:
        words = [boot.cmdline, f"hostname={guest.name}", guest.cmdline]
        yield f"    <kernel>{image_path(boot.kernel)}</kernel>"
        if boot.initrd:
            yield f"    <initrd>{image_path(boot.initrd)}</initrd>"
        yield f"    <cmdline>{escape(' '.join(word.strip() for word in words if word.strip()))}</cmdline>"
    yield "    <boot dev='hd'/>"
    yield "  </os>"
    yield "  <features>"
    yield "    <acpi/>"
    yield "    <apic/>"
    yield "  </features>"
    if kvm:
        yield "  <cpu mode='host-passthrough'/>"
    yield "  <devices>"
    if guest.disk:
        yield "    <disk type='file' device='disk'>"
        yield "      <driver name='qemu' type='qcow2' discard='unmap'/>"
        yield f"      <source file='{disk_path(guest)}'/>"
        yield "      <target dev='vda' bus='virtio'/>"
        yield "    </disk>"
    if has_seed(guest):
        yield "    <disk type='file' device='disk'>"
        yield "      <driver name='qemu' type='raw'/>"
        yield f"      <source file='{seed_path(guest)}'/>"
        yield "      <target dev='vdb' bus='virtio'/>"
        yield "      <readonly/>"
        yield "    </disk>"
    yield "    <interface type='bridge'>"
    yield f"      <mac address='{guest.mac}'/>"
    yield f"      <source bridge='{guest.network.bridge}'/>"
    yield f"      <target dev='{tap_name(guest.name)}'/>"
    yield "      <model type='virtio'/>"
    if guest.network.mtu != 1500:
        yield f"      <mtu size='{guest.network.mtu}'/>"
    yield "    </interface>"
    yield "    <serial type='pty'>"
    yield f"      <log file='{CONSOLES}/{guest.name}-console.log'/>"
    yield "    </serial>"
    yield "    <memballoon model='virtio' freePageReporting='on'/>"
    yield "    <rng model='virtio'>"
    yield "      <backend model='random'>/dev/urandom</backend>"
    yield "    </rng>"
    yield "  </devices>"
    yield "</domain>"
