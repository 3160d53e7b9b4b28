"""Guests on a lab's server: what happens to their machines and disks, and what never does."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator

import pytest

from lab import Lab
from providers import hypervisor
from providers.guest import interruption
from providers.guest_xml import disk_path, image_path, seed_path
from providers.host.errors import ServerError
from settings import Disk, Guest, tap_name
from tests.host.guest_server import GuestServer

MIB = 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[GuestServer]:
    lab = Lab(f"guests{os.getpid()}")
    try:
        lab.up()
        lab.reset()
        server = GuestServer(lab)
        server.prepare()
        server.image_up()
        yield server
    finally:
        lab.down()


@pytest.fixture
def web(server: GuestServer) -> Guest:
    """The guest `web` as the stack describes it, running and answering."""
    server.image_up()
    web = server.guest()
    server.up(web)
    server.ready(web)
    return web


def mark(server: GuestServer, text: str) -> None:
    server.in_guest("web", f"echo {text} > /disk/marker && sync")


def marker(server: GuestServer) -> str:
    return server.in_guest("web", "cat /disk/marker")


def test_a_guest_answers_under_the_address_known_before_and_as_whom_it_is(server: GuestServer, web: Guest) -> None:
    assert server.seen(web) == server.wanted(web)
    page = server.shell(f"curl -sg 'http://[{web.address}]/'")
    assert page == "hello from web"


def test_a_second_time_nothing_is_touched(server: GuestServer, web: Guest) -> None:
    script = (
        f"virsh domid web; stat -c '%n %i %y' /etc/libvirt/qemu/web.xml {seed_path(web)}; stat -c %i {disk_path(web)}"
    )
    before = server.shell(script)
    server.up(web)
    assert server.shell(script) == before


def test_a_guest_switched_off_is_seen_and_started(server: GuestServer, web: Guest) -> None:
    server.shell("virsh destroy web")
    assert server.state(web) == "shut off, autostart"
    server.up(web)
    assert server.state(web) == "running, autostart"


def test_a_guest_paused_is_seen_and_resumed(server: GuestServer, web: Guest) -> None:
    server.shell("virsh suspend web")
    assert server.state(web) == "paused, autostart"
    run = server.run_number()
    server.up(web)
    assert (server.state(web), server.run_number()) == ("running, autostart", run)


def test_before_the_server_goes_down_guests_are_shut_down_together_and_who_does_not_is_switched_off(
    server: GuestServer, web: Guest
) -> None:
    mail = server.guest("mail")
    server.up(mail)
    server.ready(mail)
    server.in_guest("mail", "kill -STOP $(pidof acpid)")
    server.shell("virsh suspend web")
    run = f"cat > /root/shut-down <<'END'\n{hypervisor.SCRIPT}END\nsh /root/shut-down"
    said = server.shell(f"echo SHUTDOWN_TIMEOUT=13 >> /etc/default/libvirt-guests; {run}")
    server.shell("sed -i /^SHUTDOWN_TIMEOUT/d /etc/default/libvirt-guests")
    assert said.count("Domain 'web' is being shutdown") == 1, said
    assert said.count("Domain 'mail' is being shutdown") == 2, said
    assert "guest mail did not shut down within 13 s and is switched off" in said, said
    assert {server.state(web), server.state(mail)} == {"shut off, autostart"}
    server.down(mail)
    server.shell(f"rm {disk_path(mail)}")


def test_another_bridge_to_wait_for_at_boot_restarts_no_guest(server: GuestServer, web: Guest) -> None:
    run, (name, network) = server.run_number(), next(iter(server.settings.networks.items()))
    for bridge in ("br-main", "br-other"):
        networks = {name: dataclasses.replace(network, bridge=bridge)}
        wanted = hypervisor.render(dataclasses.replace(server.settings, networks=networks))
        server.converge("hypervisor", wanted, hypervisor.PARAMS)
    assert "for bridge in br-other;" in server.shell("systemctl show --property=ExecStartPre libvirtd.service")
    assert server.run_number() == run


def test_a_guest_undefined_by_hand_comes_back_with_its_disk(server: GuestServer, web: Guest) -> None:
    mark(server, "before-undefine")
    server.shell("virsh destroy web && virsh undefine web")
    assert "domains" not in server.seen(web)
    server.up(web)
    server.ready(web)
    assert marker(server) == "before-undefine"


def test_autostart_turned_off_by_hand_is_drift(server: GuestServer, web: Guest) -> None:
    run = server.run_number()
    server.shell("virsh autostart --disable web")
    assert server.state(web) == "running"
    server.up(web)
    assert (server.state(web), server.run_number()) == ("running, autostart", run)


def test_a_definition_edited_by_hand_is_put_right_without_a_restart(server: GuestServer, web: Guest) -> None:
    run, uuid = server.run_number(), server.shell("virsh domuuid web")
    server.shell("virsh setvcpus web 3 --config --maximum && virsh desc web --config --title 'the web'")
    seen = server.seen(web)
    assert "  <vcpu current='1'>3</vcpu>\n" in seen["domains"]["web"]["xml"]
    assert seen["domains"]["web"]["state"] == "running, autostart, definition edited"
    assert interruption(seen, server.wanted(web)) == ""
    server.up(web)
    assert server.seen(web) == server.wanted(web)
    assert (server.run_number(), server.shell("virsh domuuid web")) == (run, uuid)
    assert server.shell("virsh desc web --config --title") == "the web"


def test_more_memory_restarts_the_guest_once_and_its_machine_stays_the_same(server: GuestServer, web: Guest) -> None:
    mark(server, "before-memory")
    places = "virsh dumpxml web --inactive | grep -e '<address' -e '<uuid' -e 'machine='"
    before, run = server.shell(places), server.run_number()
    memory = int(server.in_guest("web", "grep MemTotal /proc/meminfo").split()[1])
    larger = dataclasses.replace(web, memory=160 * MIB)
    assert interruption(server.seen(web), server.wanted(larger)) == "restarts guest web"
    notes = server.up(larger, previous=web)
    assert notes == []  # it shut down by itself
    assert server.seen(larger) == server.wanted(larger)
    assert int(server.run_number()) == int(run) + 1
    assert server.shell(places) == before
    server.ready(larger)
    assert marker(server) == "before-memory"
    assert int(server.in_guest("web", "grep MemTotal /proc/meminfo").split()[1]) > memory + 24 * 1024
    server.up(web, previous=larger)


def test_a_kill_between_definition_and_restart_is_seen_afterwards(server: GuestServer, web: Guest) -> None:
    larger = dataclasses.replace(web, memory=144 * MIB)
    server.shell("virsh setmaxmem web 144MiB --config && virsh setmem web 144MiB --config")
    seen = server.seen(larger)
    assert seen["domains"]["web"]["state"] == "running, autostart, restart needed"
    assert interruption(seen, server.wanted(larger)) == "restarts guest web"
    server.up(larger)
    assert server.seen(larger) == server.wanted(larger)
    server.up(web, previous=larger)


def test_what_needs_no_restart_makes_none(server: GuestServer, web: Guest) -> None:
    run = server.run_number()
    changed = dataclasses.replace(web, autostart=False, user_data="#cloud-config\npackages: [vim]\n")
    assert interruption(server.seen(web), server.wanted(changed)) == ""
    server.up(changed, previous=web)
    assert server.seen(changed) == server.wanted(changed)
    assert server.run_number() == run
    server.up(web, previous=changed)


def test_a_disk_grows_under_a_running_guest_and_never_shrinks(server: GuestServer, web: Guest) -> None:
    run = server.run_number()
    larger = dataclasses.replace(web, disk=Disk(96 * MIB))
    server.up(larger, previous=web)
    assert server.run_number() == run
    assert server.in_guest("web", "cat /sys/block/vda/size") == str(96 * MIB // 512)
    with pytest.raises(ServerError, match=r"web\.qcow2 has 96 MiB and is not shrunk to 64 MiB"):
        server.up(web, previous=larger)
    server.down(larger)
    server.shell(f"rm {disk_path(web)}")


def test_a_disk_of_a_guest_that_is_off_grows(server: GuestServer, web: Guest) -> None:
    server.shell("virsh destroy web")
    larger = dataclasses.replace(web, disk=Disk(96 * MIB))
    server.up(larger, previous=web)
    server.ready(larger)
    assert server.in_guest("web", "cat /sys/block/vda/size") == str(96 * MIB // 512)
    server.down(larger)
    server.shell(f"rm {disk_path(web)}")


def test_a_disk_survives_the_removal_of_its_guest_and_is_adopted(server: GuestServer, web: Guest) -> None:
    mark(server, "before-removal")
    notes = server.down(web)
    assert notes == [f"disk {disk_path(web)} is kept"]
    assert server.shell("virsh list --all --name; ls /etc/libvirt/qemu/*.xml 2>/dev/null || true") == ""
    assert set(server.seen(web)) == {"disks"}
    server.up(web)
    server.ready(web)
    assert marker(server) == "before-removal"


def test_a_changed_image_leaves_an_existing_disk_as_it_is(server: GuestServer, web: Guest) -> None:
    mark(server, "before-image")
    boot, disk = web.image.boot, web.image.disk
    assert boot
    assert disk
    run = server.run_number()
    other = dataclasses.replace(web, image=dataclasses.replace(web.image, disk=boot.kernel, format="raw"))
    server.up(other, previous=web)
    assert (server.run_number(), marker(server)) == (run, "before-image")
    backing = json.loads(server.shell(f"qemu-img info -U --output=json {disk_path(web)}"))["backing-filename"]
    assert backing == image_path(disk)
    notes = server.remove("image tiny", {"images": {image_path(disk): "present"}})
    assert f"base image {image_path(disk)} stays: {disk_path(web)} still needs it" in notes
    server.image_up()
    server.up(web, previous=other)


def test_an_older_kernel_image_goes_once_no_guest_boots_it(server: GuestServer, web: Guest) -> None:
    boot = web.image.boot
    assert boot
    assert boot.initrd
    content = (server.lab.state / "www/images/tiny-initrd").read_bytes() + bytes(512)
    checksum = dataclasses.replace(boot.initrd.checksum, digest=server.publish("newer-initrd", content))
    initrd = dataclasses.replace(boot.initrd, url="http://dual.example/newer-initrd", checksum=checksum)
    newer = dataclasses.replace(
        web, image=dataclasses.replace(web.image, boot=dataclasses.replace(boot, initrd=initrd))
    )
    notes = server.image_up(newer.image)
    assert notes == [f"base image {image_path(boot.initrd)} stays: guest web still needs it"]
    assert interruption(server.seen(web), server.wanted(newer)) == "restarts guest web"
    server.up(newer, previous=web)
    assert server.shell(f"ls {image_path(boot.initrd)} 2>/dev/null || true") == ""
    server.ready(newer)
    server.image_up()
    server.up(web, previous=newer)


def test_a_disk_goes_with_its_guest_where_the_config_says_so(server: GuestServer, web: Guest) -> None:
    temporary = dataclasses.replace(web, disk=Disk(64 * MIB, "delete"))
    server.up(temporary, previous=web)
    assert server.down(temporary) == []
    assert server.shell(f"ls {disk_path(web)} 2>/dev/null || true") == ""


def test_a_disk_deleted_under_a_running_guest_is_not_replaced_by_an_empty_one(server: GuestServer, web: Guest) -> None:
    server.shell(f"mv {disk_path(web)} /root/saved.qcow2")
    with pytest.raises(ServerError, match="was deleted while guest web runs with it"):
        server.up(web)
    server.shell(f"mv /root/saved.qcow2 {disk_path(web)}")
    assert server.seen(web) == server.wanted(web)


def test_a_file_in_the_disks_place_is_not_overwritten(server: GuestServer, web: Guest) -> None:
    server.down(web)
    server.shell(f"echo precious > {disk_path(web)}")
    with pytest.raises(ServerError, match="is there and is not a qcow2 disk; it is not overwritten"):
        server.up(web)
    assert server.shell(f"cat {disk_path(web)}; rm {disk_path(web)}") == "precious"


def test_a_disk_smaller_than_its_image_is_refused(server: GuestServer) -> None:
    small = server.guest(disk=Disk(1 * MIB))
    server.shell(f"rm -f {disk_path(small)}")
    with pytest.raises(ServerError, match=r"can't be made with 1 MiB: its image has [0-9]+ MiB"):
        server.up(small)
    assert server.shell(f"ls {disk_path(small)}* 2>/dev/null || true") == ""


def test_somebody_elses_domain_is_neither_changed_nor_removed(server: GuestServer) -> None:
    foreign = server.guest("mail")
    server.shell(
        "virsh define /dev/stdin <<< \"<domain type='qemu'><name>mail</name><memory unit='MiB'>64</memory>"
        "<os><type arch='x86_64'>hvm</type></os></domain>\""
    )
    before = server.shell("virsh dumpxml mail")
    with pytest.raises(
        ServerError, match="a domain named mail is on this server already, and it was not made by Sixstead"
    ):
        server.up(foreign)
    notes = server.down(foreign)
    assert "domain mail was there before and is left as it is" in notes
    assert server.shell("virsh dumpxml mail") == before
    server.shell(f"virsh undefine mail; rm {disk_path(foreign)}")


def test_a_tap_off_its_bridge_is_seen_and_put_back(server: GuestServer, web: Guest) -> None:
    run = server.run_number()
    server.shell(f"ip link set dev {tap_name('web')} nomaster")
    assert server.state(web) == "running, autostart, off its bridge"
    server.up(web)
    assert (server.state(web), server.run_number()) == ("running, autostart", run)
    server.ready(web)


def test_a_guest_moves_to_another_bridge_while_it_runs(server: GuestServer, web: Guest) -> None:
    run = server.run_number()
    server.shell("ip link add br-other type bridge && ip link set br-other up")
    moved = dataclasses.replace(web, network=dataclasses.replace(web.network, bridge="br-other"))
    assert interruption(server.seen(web), server.wanted(moved)) == ""
    server.up(moved, previous=web)
    assert server.seen(moved) == server.wanted(moved)
    assert server.shell(f"readlink /sys/class/net/{tap_name('web')}/master").endswith("/br-other")
    server.up(web, previous=moved)
    assert server.run_number() == run
    server.ready(web)
    server.shell("ip link delete br-other")


def test_a_seed_changed_by_hand_shows_its_text(server: GuestServer, web: Guest) -> None:
    texts = server.wanted(web)["seeds"][seed_path(web)]
    server.shell(
        "mkdir /run/other && cd /run/other && echo 'local-hostname: other' > meta-data && "
        f"genisoimage -quiet -output {seed_path(web)} -volid cidata -joliet -rational-rock . && rm -r /run/other"
    )
    assert server.seen(web)["seeds"][seed_path(web)] == {"meta-data": "local-hostname: other\n"}
    server.up(web)
    assert server.seen(web)["seeds"][seed_path(web)] == texts
    assert server.shell(f"stat -c %a {seed_path(web)}") == "600"


def test_a_silent_guest_is_named_with_the_end_of_its_console(server: GuestServer, web: Guest) -> None:
    silent = server.guest("mail", cmdline="panic=0 rdinit=/none")
    server.up(silent)
    try:
        with pytest.raises(ServerError) as raised:
            server.ready(web, silent, timeout=25)
    finally:
        server.shell("virsh destroy mail")
        server.down(silent)
    told = str(raised.value)
    assert f"guest mail does not answer under {silent.address} after 25 s; it runs\nthe end of its console:\n" in told
    assert "Kernel panic - not syncing" in told
    assert "guest web" not in told


def test_a_guest_on_an_external_snapshot_is_not_rewound(server: GuestServer, web: Guest) -> None:
    server.shell("virsh snapshot-create-as web s1 --disk-only --no-metadata")
    mark(server, "after-the-snapshot")
    larger = dataclasses.replace(web, memory=160 * MIB)
    with pytest.raises(ServerError) as raised:
        server.up(larger, previous=web)
    assert "web.s1 now, not to /var/lib/libvirt/images/sixstead/web.qcow2 any more" in str(raised.value)
    merge = f"virsh blockcommit web vda --base {disk_path(web)} --active --pivot --wait"
    assert merge in raised.value.remedy
    server.shell(merge)
    server.up(larger, previous=web)
    server.ready(larger)
    assert marker(server) == "after-the-snapshot"
    server.up(web, previous=larger)
