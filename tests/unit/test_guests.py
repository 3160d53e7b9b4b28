"""Guests: what is rendered of settings, what is read of libvirt's own XML, and what a change is said to do."""

from __future__ import annotations

import dataclasses
import io
import struct
import subprocess
from ipaddress import IPv6Address
from pathlib import Path

import pytest
import yaml

from providers import guests_ready, image
from providers.cloud_init import render_seed
from providers.guest import data_loss, interruption, params, render, seeds, shrinking
from providers.guest_xml import image_path, render_domain
from providers.host.agent import probes
from providers.host.agent.answers import last_lines
from providers.host.agent.domain_xml import OWNED, canonical, read, redefinition, running_as, without_mark
from providers.host.agent.iso9660 import NotIso, read_files
from providers.host.agent.qcow2 import parse_header, read_header, size_of, size_text
from settings import Disk, Guest, PublicKey, Settings, parse, tap_name

DOMAINS = Path(__file__).parent / "domains"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKSU9QcHje/xHyVcwmei9v3Z+5WsONKOGuhu5jyyRb4"
MIB = 2**20


def settings() -> Settings:
    return parse(
        {
            "server": {"ssh": {"host": "192.0.2.10", "host_key": KEY}, "os": "debian-13"},
            "uplink": {"name": "eth0", "mac": "52:54:00:aa:00:01"},
            "prefixes": {"main": {"prefix": "2001:db8:1::/64", "gateway": "fe80::1", "delivery": "routed"}},
            "keys": {"alice": KEY},
            "images": {
                "d13": {"url": "https://images.example/d13.qcow2", "sha512": "ab" * 64},
                "tiny": {
                    "kernel": {
                        "url": "http://images.example/vmlinuz",
                        "sha512": "0305213f971ed2b390192f8fae6b92ea" * 4,
                    },
                    "initrd": {"url": "http://images.example/initrd", "sha512": "8247f791e74c2672acc9f077d6c689a5" * 4},
                    "disk": {"url": "http://images.example/disk", "sha512": "717801bf2d8935b3b0065935e23d7b0f" * 4},
                    "cmdline": "console=ttyS0 quiet panic=-1",
                },
            },
            "guests": {
                "web": {"image": "tiny", "memory": "128MiB", "disk": "64MiB"},
                "mail": {"image": "d13", "memory": "4GiB", "vcpus": 2, "keys": ["alice"], "address": "::25"},
            },
        },
        stack="kvm1",
    )


@pytest.fixture
def web() -> Guest:
    return settings().guests["web"]


@pytest.fixture
def mail() -> Guest:
    return settings().guests["mail"]


def test_a_guest_renders_to_this_definition(mail: Guest) -> None:
    assert (
        render_domain(mail, kvm=True)
        == f"""\
<domain type='kvm'>
  <name>mail</name>
  <metadata><sixstead:guest xmlns:sixstead='urn:sixstead:guest'/></metadata>
  <memory unit='MiB'>4096</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='host-passthrough'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/var/lib/libvirt/images/sixstead/mail.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/libvirt/images/sixstead/mail-seed.iso'/>
      <target dev='vdb' bus='virtio'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='{mail.mac}'/>
      <source bridge='br-main'/>
      <target dev='v-mail'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'>
      <log file='/var/log/libvirt/qemu/mail-console.log'/>
    </serial>
    <memballoon model='virtio' freePageReporting='on'/>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
  </devices>
</domain>
"""
    )


@pytest.mark.parametrize("kvm", [True, False])
@pytest.mark.parametrize("name", ["web", "mail"])
def test_what_is_rendered_is_canonical_already(name: str, kvm: bool) -> None:
    text = render_domain(settings().guests[name], kvm)
    assert canonical(text) == text


@pytest.mark.parametrize("of", ["inactive", "running"])
def test_what_libvirt_made_of_a_definition_reads_as_that_definition(of: str, web: Guest) -> None:
    assert canonical((DOMAINS / f"libvirt-11.3-{of}.xml").read_text()) == render_domain(web, kvm=False)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "<vcpu placement='static'>1</vcpu>",
            "<vcpu placement='static' current='1'>3</vcpu>",
            "  <vcpu current='1'>3</vcpu>",
        ),
        ("<on_crash>destroy</on_crash>", "<on_crash>restart</on_crash>", "  <on_crash>restart</on_crash>"),
        ("<clock offset='utc'/>", "<clock offset='localtime'/>", "  <clock offset='localtime'/>"),
        ("131072</memory>", "131073</memory>", "  <memory unit='KiB'>131073</memory>"),
        ("<readonly/>", "", "      <target dev='vdb' bus='virtio'/>"),
        ("<audio id='1' type='none'/>", "<graphics type='vnc' port='-1'/>", "    <graphics type='vnc' port='-1'/>"),
        ("<model type='virtio'/>", "<model type='e1000'/>", "      <model type='e1000'/>"),
    ],
)
def test_an_edit_shows_as_a_line(old: str, new: str, line: str, web: Guest) -> None:
    text = (DOMAINS / "libvirt-11.3-inactive.xml").read_text()
    assert old in text
    seen = canonical(text.replace(old, new))
    assert seen != render_domain(web, kvm=False)
    assert line in seen.splitlines()


def test_text_in_a_definition_is_escaped_and_comes_back(web: Guest) -> None:
    text = render_domain(dataclasses.replace(web, cmdline="a='b' c=\"d\" e<f&g"), kvm=False)
    assert read(text).findtext("os/cmdline", "").endswith("hostname=web a='b' c=\"d\" e<f&g")
    assert canonical(text) == text


def test_a_redefinition_keeps_the_machine_as_its_guest_knows_it(web: Guest) -> None:
    present = (DOMAINS / "libvirt-11.3-inactive.xml").read_text()
    wanted = render_domain(dataclasses.replace(web, memory=160 * MIB), kvm=False)
    text = redefinition(wanted, present)
    new, old = read(text), read(present)
    assert new.findtext("uuid") == old.findtext("uuid")
    assert new.find("os/type").get("machine") == "pc-q35-10.0"  # type: ignore[union-attr]
    places = [{tuple(a.items()) for a in (e.attrib for e in root.iter("address"))} for root in (new, old)]
    assert places[0] == places[1]
    assert len(new.findall("devices/controller")) == len(old.findall("devices/controller"))
    assert all(e.find("address") is None for e in new.iterfind("devices/controller[@model='pcie-root']"))
    assert canonical(text) == wanted


def test_a_redefinition_keeps_the_owners_title_and_others_metadata(web: Guest) -> None:
    present = (DOMAINS / "libvirt-11.3-inactive.xml").read_text()
    present = present.replace("<memory ", "<title>shop</title><memory ", 1)
    present = present.replace("<metadata>", "<metadata><app:x xmlns:app='urn:app'>1</app:x>")
    text = redefinition(render_domain(web, kvm=False), present)
    assert "<title>shop</title>" in text
    assert "urn:app" in text
    assert canonical(text) == render_domain(web, kvm=False)


def test_only_bridge_and_mark_change_without_a_restart(web: Guest) -> None:
    text = render_domain(web, kvm=False)
    assert running_as(text.replace("'br-main'", "'br-other'")) == running_as(text)
    assert running_as(without_mark(text)) == running_as(text)
    assert OWNED not in without_mark(text)
    assert running_as(text.replace(">128<", ">129<")) != running_as(text)


def test_a_tap_name_fits_the_kernel_and_is_the_guests_own() -> None:
    assert tap_name("web") == "v-web"
    long = [tap_name("a" * 30 + end) for end in ("", "b", "c")]
    assert len(set(long)) == 3
    assert all(len(name) == 15 for name in long)
    assert len(tap_name("a" * 13)) == 15
    assert tap_name("a" * 13) == "v-" + "a" * 13


def test_a_seed_tells_name_keys_and_network(mail: Guest) -> None:
    assert render_seed(mail) == {
        "meta-data": f'instance-id: sixstead-mail\nlocal-hostname: mail\npublic-keys:\n  - "{KEY}"\n',
        "network-config": f"""\
version: 2
ethernets:
  uplink:
    match: {{macaddress: "{mail.mac}"}}
    dhcp4: false
    dhcp6: false
    accept-ra: true
    addresses: ["2001:db8:1::25/128"]
""",
        "user-data": "#cloud-config\n{}\n",
    }


def test_a_guests_own_user_data_goes_in_as_it_is(mail: Guest) -> None:
    script = "#!/bin/sh\necho hello\n"
    assert render_seed(dataclasses.replace(mail, user_data=script))["user-data"] == script


@pytest.mark.parametrize("name", ["123", "null", "no", "1e5", "web"])
def test_a_seed_says_names_and_comments_so_that_yaml_reads_them_back(mail: Guest, name: str) -> None:
    key = PublicKey("alice", f"{KEY} \U0001f600")
    meta = yaml.safe_load(render_seed(dataclasses.replace(mail, name=name, keys=(key,)))["meta-data"])
    assert meta == {"instance-id": f"sixstead-{name}", "local-hostname": name, "public-keys": [key.text]}


def test_the_instance_id_follows_from_the_name_alone(mail: Guest) -> None:
    moved = dataclasses.replace(mail, mac="52:54:00:00:00:01", address=IPv6Address("2001:db8:2::1"), memory=2**30)
    assert render_seed(moved)["meta-data"] == render_seed(mail)["meta-data"]


def test_a_changed_image_changes_nothing_in_what_an_existing_disk_must_be(mail: Guest) -> None:
    disk = mail.image.disk
    assert disk
    other = dataclasses.replace(disk, checksum=dataclasses.replace(disk.checksum, digest="cd" * 64))
    changed = dataclasses.replace(mail, image=dataclasses.replace(mail.image, disk=other))
    assert render(changed, kvm=True) == render(mail, kvm=True)
    assert seeds(changed) == seeds(mail)
    assert params(changed) != params(mail)
    assert image.render(changed.image) != image.render(mail.image)


def test_a_disk_of_no_given_size_is_as_large_as_its_image(mail: Guest) -> None:
    assert render(mail, kvm=True)["disks"] == {"/var/lib/libvirt/images/sixstead/mail.qcow2": "size of its image"}


def test_only_a_disk_that_may_be_deleted_is_data_to_lose(web: Guest) -> None:
    assert data_loss(web) == ""
    assert data_loss(dataclasses.replace(web, disk=None)) == ""
    allowed = dataclasses.replace(web, disk=Disk(64 * MIB, "delete"))
    assert data_loss(allowed) == "deletes /var/lib/libvirt/images/sixstead/web.qcow2"


def domain(text: str, state: str) -> dict[str, dict[str, dict[str, str]]]:
    return {"domains": {"web": {"xml": text, "state": state}}}


@pytest.mark.parametrize(
    ("seen", "memory", "words"),
    [
        ("running, autostart", 128, ""),
        ("running, autostart", 256, "restarts guest web"),
        ("paused, autostart", 256, "restarts guest web"),
        ("running, autostart, restart needed", 128, "restarts guest web"),
        ("running, autostart, definition edited", 256, ""),
        ("shut off, autostart", 256, ""),
        ("crashed", 256, ""),
        ("unknown: libvirt does not answer", 256, ""),
    ],
)
def test_a_preview_says_when_a_guest_restarts(seen: str, memory: int, words: str, web: Guest) -> None:
    wanted = dataclasses.replace(web, memory=memory * MIB)
    olds = domain(render_domain(web, kvm=False), seen)
    assert interruption(olds, render(wanted, kvm=False)) == words


def test_a_new_guest_interrupts_nothing(web: Guest) -> None:
    assert interruption({}, render(web, kvm=False)) == ""


@pytest.mark.parametrize(
    ("seen", "wanted", "refused"),
    [
        ("20 GiB", "10 GiB", True),
        ("20 GiB", "20 GiB", False),
        ("1000 MiB", "1 GiB", False),
        ("1 TiB", "1000 GiB", True),
        ("20 GiB", "size of its image", False),
        ("size of its image", "1 GiB", False),
        ("(not a qcow2 file)", "1 GiB", False),
    ],
)
def test_a_smaller_disk_is_refused_in_preview(seen: str, wanted: str, refused: bool) -> None:
    texts = shrinking({"disks": {"/web.qcow2": seen}}, {"disks": {"/web.qcow2": wanted}})
    assert texts == (
        [f"/web.qcow2 has {seen} and is never shrunk: set the guest's disk to at least {seen}"] if refused else []
    )


def test_a_guest_is_waited_for_again_after_a_change_that_restarts_it(web: Guest) -> None:
    before = guests_ready.render([web], kvm=False)
    assert guests_ready.render([dataclasses.replace(web, autostart=False)], kvm=False) == before
    assert guests_ready.render([dataclasses.replace(web, memory=256 * MIB)], kvm=False) != before


def test_an_image_lies_under_its_checksum_whatever_its_name(web: Guest) -> None:
    boot = web.image.boot
    assert boot
    assert image_path(boot.kernel) == "/var/lib/libvirt/images/sixstead/base/sha512-0305213f971ed2b390192f8fae6b92ea"
    moved = dataclasses.replace(boot.kernel, url="https://elsewhere.example/linux")
    assert image_path(moved) == image_path(boot.kernel)


@pytest.mark.parametrize("size", [1, 512, 2**10, 3 * 2**20, 20 * 2**30, 2**40, 1536 * 2**30])
def test_a_size_reads_back_as_it_was_written(size: int) -> None:
    assert size_of(size_text(size)) == size


def test_a_size_is_written_in_the_largest_whole_unit() -> None:
    assert [size_text(s) for s in (20 * 2**30, 1536 * 2**20, 2**40, 513)] == ["20 GiB", "1536 MiB", "1 TiB", "513 B"]


def test_a_qcow2_header_says_size_and_backing_file(tmp_path: Path) -> None:
    base, overlay = tmp_path / "base.qcow2", tmp_path / "web.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "8M"], check=True)
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(overlay), "16M"], check=True
    )
    assert read_header(str(base)) == (8 * MIB, "", False)
    assert read_header(str(overlay)) == (16 * MIB, str(base), False)


@pytest.mark.parametrize("start", [b"", b"QFI\xfb", b"QFI\xfb" + bytes(10), b"\x7fELF" + bytes(200), bytes(4096)])
def test_what_is_no_qcow2_file_has_no_header(start: bytes) -> None:
    assert parse_header(start) is None


def test_an_image_whose_data_lies_elsewhere_is_told_apart() -> None:
    header = (
        b"QFI\xfb" + struct.pack(">IQI", 3, 0, 0) + bytes(4) + struct.pack(">Q", MIB) + bytes(40) + struct.pack(">Q", 4)
    )
    assert parse_header(header) == (MIB, "", True)


@pytest.mark.parametrize("content", [b"", bytes(100_000), bytes(16 * 2048) + b"\xffCD001" + bytes(2042)])
def test_what_is_no_seed_is_refused(content: bytes) -> None:
    with pytest.raises(NotIso):
        read_files(io.BytesIO(content))


def test_a_console_is_shown_without_what_would_move_the_cursor() -> None:
    content = b"old\r\n\x1b[31mboot\x1b[0m ok\r\n\x1b]0;title\x07login:\x07 \r\n  5 %\r100 %\r\n\xff\n\n"
    assert last_lines(content) == "    old\n    boot ok\n    login:?\n    100 %\n    \ufffd"
    assert last_lines(b"\n".join(b"%d" % n for n in range(100)), 2) == "    98\n    99"
    assert last_lines(b"") == ""


def test_the_socket_filter_lets_one_type_pass() -> None:
    words = struct.unpack("=8I", probes.only(129))
    assert [n for n in range(256) if not words[n >> 5] & 1 << (n & 31)] == [129]


def test_nobody_is_asked_nothing() -> None:
    assert probes.answering([], 10) == set()
