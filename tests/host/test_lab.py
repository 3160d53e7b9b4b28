"""The lab itself: a server as bare as a hoster leaves it, an honest switch, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.lab import Lab

pytestmark = pytest.mark.xdist_group("lab")

NAME = f"lab{os.getpid()}"
ADDRESSES = ("192.0.2.10", "2001:db8:1::2")


def traces(name: str) -> list[str]:
    """Whatever of a lab can be seen on this machine: namespaces, mounts, cgroups, processes, files."""
    found = [f"namespace {path.name}" for path in Path("/run/netns").glob(f"sixstead-{name}-*")]
    found += [
        f"mount {line}"
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if f" sixstead-{name} " in line
    ]
    # os.walk tolerates what other labs take away meanwhile; glob does not
    found += [f"cgroup {folder}" for folder, _, _ in os.walk("/sys/fs/cgroup") if folder.endswith(f"/sixstead-{name}")]
    found += [f"file {path}" for path in Path("/run").glob(f"sixstead-{name}*")]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if f"sixstead-{name}".encode() in command or f".lab/{name}/".encode() in command:
            found.append(f"process {command!r}")
    return found


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab(NAME)
    try:
        made.up()
        yield made
    finally:
        made.down()
        assert traces(NAME) == []


def server(lab: Lab, script: str) -> str:
    done = lab.exec("server", ["sh", "-c", script], timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def ssh(lab: Lab, address: str, command: str = "true") -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-F", str(lab.state / "ssh_config"), "-o", "BatchMode=yes", address, command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def test_the_server_is_bare_and_running(lab: Lab) -> None:
    assert server(lab, "systemctl is-system-running --wait") == "running"
    installed = server(lab, "dpkg-query -W -f '${Package}\\n'").splitlines()
    assert {"openssh-server", "python3", "ifupdown", "sudo"} <= set(installed)
    assert not {"radvd", "tayga", "unbound", "nftables", "libvirt-daemon-system", "qemu-system-x86"} & set(installed)
    assert server(lab, "ls /sys/class/net") == "eth0\nlo"


@pytest.mark.parametrize("address", ADDRESSES)
def test_ssh_answers_over_both_families_with_the_pinned_host_key(lab: Lab, address: str) -> None:
    done = ssh(lab, address, "hostname")
    assert (done.returncode, done.stdout) == (0, "lab\n"), done.stderr


def test_the_repository_has_what_the_product_installs(lab: Lab) -> None:
    said = server(
        lab, "apt-get update -q 2>&1 && apt-get install -s -y --no-install-recommends radvd tayga unbound nftables "
        "libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils python3-libvirt"
    )  # fmt: skip
    assert "http://deb.example/debian" in said


def test_names_resolve_and_sites_answer_in_their_own_families(lab: Lab) -> None:
    for name in ("v4only", "v6", "dual"):
        assert server(lab, f"curl -sS -m 5 http://{name}.example/") == f"hello from {name}.example"
    assert server(lab, "curl -sS -6 -m 5 http://v4only.example/ 2>&1 || echo none").endswith("none")


def test_a_stopped_repository_refuses_and_a_started_one_answers(lab: Lab) -> None:
    lab.service("stop", "repository")
    assert lab.exec("server", ["curl", "-sS", "-m", "5", "http://deb.example/debian/"]).returncode == 7
    lab.service("start", "repository")
    assert server(lab, "curl -sS -m 5 -o /dev/null -w '%{http_code}' http://deb.example/debian/") == "200"


def test_an_operator_without_ipv6_still_has_ipv4(lab: Lab) -> None:
    lab.cut("ipv6")
    try:
        assert ssh(lab, ADDRESSES[1]).returncode == 255
        assert ssh(lab, ADDRESSES[0]).returncode == 0
    finally:
        lab.restore("ipv6")
    assert ssh(lab, ADDRESSES[1]).returncode == 0


def test_a_foreign_frame_is_dropped_counted_and_named(lab: Lab) -> None:
    before = lab.counters()
    assert before["foreign_mac_frames"] == 0
    assert before["own_mac_frames"] > 0
    lab.inject_foreign_frame("52:54:00:ba:d0:01")
    after = lab.counters()
    assert after["foreign_mac_frames"] == 1
    assert after["foreign_macs"] == ["52:54:00:ba:d0:01"]


def test_a_reboot_keeps_the_disk_and_nothing_of_the_kernels_state(lab: Lab) -> None:
    frames = lab.counters()["own_mac_frames"]
    boot = server(lab, "cat /proc/sys/kernel/random/boot_id; touch /root/kept; ip link add br9 type bridge").split()[0]
    lab.reboot()
    assert server(lab, "ls /root/kept; ls /sys/class/net").split() == ["/root/kept", "eth0", "lo"]
    assert server(lab, "cat /proc/sys/kernel/random/boot_id") != boot
    assert lab.counters()["own_mac_frames"] > frames


def test_a_server_whose_plug_was_pulled_boots_from_its_disk(lab: Lab) -> None:
    server(lab, "touch /root/kept-too")
    lab.cut_power()
    assert lab.status()["server"] == "off"
    with pytest.raises(LabError, match="is off"):
        lab.exec("server", ["true"])
    lab.power_on()
    assert server(lab, "ls /root/kept-too") == "/root/kept-too"


def test_a_factory_reset_leaves_no_file_behind(lab: Lab) -> None:
    server(lab, "touch /root/gone; rm /etc/hosts")
    foreign = lab.counters()["foreign_mac_frames"]
    lab.reset()
    assert server(lab, "ls /root /etc/hosts") == "/etc/hosts\n\n/root:"
    assert lab.counters()["foreign_mac_frames"] == foreign


def test_up_mends_what_is_broken_and_leaves_the_rest(lab: Lab) -> None:
    server(lab, "touch /root/mine")
    subprocess.run(["ip", "netns", "del", f"sixstead-{NAME}-internet"], check=True)
    lab.up()
    assert server(lab, "curl -sS -m 5 http://v4only.example/; ls /root/mine") == "hello from v4only.example\n/root/mine"
    boot = server(lab, "cat /proc/sys/kernel/random/boot_id")
    lab.up()
    assert server(lab, "cat /proc/sys/kernel/random/boot_id") == boot


def test_a_disk_left_half_made_is_never_booted(lab: Lab) -> None:
    lab.cut_power()
    (lab.state / "installed").unlink()
    (lab.state / "disk/etc/ssh/ssh_host_ed25519_key").unlink()
    with pytest.raises(LabError, match="half made; `lab reset`"):
        lab.power_on()
    lab.up()
    assert ssh(lab, ADDRESSES[0]).returncode == 0


def test_a_lab_of_another_clone_is_not_touched(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=f"a lab named '{NAME}' belongs to"):
        Lab(NAME, project=tmp_path).down()
    assert lab.status()["up"]


def test_two_labs_of_other_systems_and_deliveries_stand_side_by_side(lab: Lab) -> None:
    other = Lab(f"{NAME}-b")
    try:
        other.up(suite="bookworm", delivery="on-link")
        assert server(other, "cat /etc/debian_version").startswith("12")
        assert server(lab, "cat /etc/debian_version").startswith("13")
        asked = other.counters()["neighbour_solicitations"]
        routed = lab.counters()["neighbour_solicitations"]
        for each in (other, lab):
            unanswered = each.exec("internet", ["ping", "-c1", "-W2", "2001:db8:1::77"])
            assert unanswered.returncode == 1
        assert other.counters()["neighbour_solicitations"] > asked
        # A routed prefix is delivered unasked: only the server's link-local address may be asked for again.
        assert lab.counters()["neighbour_solicitations"] <= routed + 1
        for each in (other, lab):
            assert ssh(each, ADDRESSES[0]).returncode == 0
    finally:
        other.down()
    assert traces(other.name) == []
    assert ssh(lab, ADDRESSES[0]).returncode == 0


def test_a_half_made_lab_is_taken_down_without_a_trace() -> None:
    half = Lab(f"{NAME}-c")
    half.up()
    (half.state / "lab.json").unlink()
    (half.state / "power.json").unlink()
    subprocess.run(["ip", "netns", "del", f"sixstead-{half.name}-router"], check=True)
    half.down()
    assert traces(half.name) == []
    assert not half.state.exists()
