"""Which network card is given the uplink's name: the script itself, in network namespaces of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from providers.find_uplink import SCRIPT

NAME, MAC = "enp5s0", "52:54:00:aa:00:01"
OTHER, THIRD = "52:54:00:aa:00:07", "52:54:00:aa:00:08"


@dataclass
class Machine:
    """Shell lines that make the interfaces."""

    links: str
    owners: Mapping[str, str] = field(default_factory=dict)
    """Files of /etc/systemd/network by name."""
    slots: Mapping[str, tuple[str, bool, str]] = field(default_factory=dict)
    """Cards with bus, carrier, kind: a /sys/class/net made up, as the kernel's has none here."""

    def boot(self, folder: Path) -> tuple[int, str, dict[str, str]]:
        """How the script ended, what it said, and the interfaces by name: MAC address and whether up."""
        script = folder / "find-uplink"
        script.write_text(SCRIPT.replace("patience=5", "patience=1").replace("limit=30", "limit=2"))
        script.chmod(0o755)
        (folder / "etc").mkdir()
        for name, text in self.owners.items():
            (folder / "etc" / name).write_text(text)
        for name, seen in self.slots.items():
            slot(folder / "net", name, *seen)
        fake = f"mount --bind {folder}/net /sys/class/net" if self.slots else ""
        setup = f"""set -e
            mount -t tmpfs none /run
            mount -t sysfs none /sys
            mount --bind {folder}/etc /etc/systemd/network
            unshare --net sleep 30 >/dev/null 2>&1 & far=$!
            sleep 0.2
            {self.links}
            {fake}
            set +e
            {script} {NAME} {MAC} >{folder}/said 2>&1
            echo $?
            ip -br link show
            kill $far"""
        done = subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", setup], capture_output=True, text=True, check=False, timeout=30
        )
        assert done.returncode == 0, done.stderr
        code, *rows = done.stdout.splitlines()
        found = {}
        for row in rows:
            name, _, mac, flags = row.split()[:4]
            found[name.split("@")[0]] = mac + (" up" if "UP" in flags.strip("<>").split(",") else "")
        return int(code), (folder / "said").read_text(), found


def card(name: str, mac: str, cable: bool = True) -> str:
    """An interface whose cable is in a switch that is on, or not."""
    far = f"; nsenter --target $far --net ip link set dev {name} up" if cable else ""
    return f"ip link add dev {name} address {mac} type veth peer name {name} netns $far{far}\n"


def slot(folder: Path, name: str, bus: str, carrier: bool, kind: str) -> None:
    """What /sys/class/net has of a card on a `pci` or `usb` bus; `kind`: `wlan`, or `virtual` for another card's function."""
    device = folder / name / "device"
    device.mkdir(parents=True)
    (device / "subsystem").symlink_to(f"/sys/bus/{bus}")
    for file, text in {
        "type": "1",
        "carrier": str(int(carrier)),
        "uevent": "DEVTYPE=wlan" if kind == "wlan" else "",
        "address": "",
    }.items():
        (folder / name / file).write_text(f"{text}\n")
    if kind == "virtual":
        (device / "physfn").touch()


ONE = card("enp7s0", OTHER)
BOTH = card("ens1", OTHER, cable=False) + card("ens2", THIRD)
CASES = {
    "the only card, although nobody is at its other end": (Machine(card("enp7s0", OTHER, cable=False)), "enp7s0"),
    "the one with the MAC address, although it has no carrier": (
        Machine(card("ens1", OTHER) + card("ens2", MAC, cable=False)), "ens2",
    ),
    "else the one with a carrier": (Machine(BOTH), "ens2"),
    "else the first": (Machine(card("ens2", THIRD, cable=False) + card("ens1", OTHER, cable=False)), "ens1"),
    "not one that the owner's own files name": (Machine(BOTH, {"lan.network": "[Match]\nName=ens2\n"}), "ens1"),
    "one that stands in a comment only": (Machine(ONE, {"lan.network": "# enp7s0 was here\n"}), "enp7s0"),
    "one whose other name it is": (Machine(ONE + f"ip link property add dev enp7s0 altname {NAME}\n"), "enp7s0"),
    "no bridge, tap or bridge's port": (
        Machine("ip link add br0 type bridge\nip tuntap add dev tap0 mode tap\n" + ONE + "ip link set enp7s0 master br0"),
        "",
    ),
    "none while there is one of that name": (Machine(card(NAME, OTHER, cable=False) + ONE), ""),
    "none where the name is that of a device that networkd makes": (
        Machine(ONE, {"bond.netdev": f"[NetDev]\nName={NAME}\nKind=bond\n"}), "",
    ),
    "one on the mainboard, although one on USB has a carrier": (
        Machine(BOTH, slots={"ens1": ("pci", False, ""), "ens2": ("usb", True, "")}), "ens1",
    ),
    "one on USB where there is no other": (Machine(ONE, slots={"enp7s0": ("usb", True, "")}), "enp7s0"),
    "no wireless card": (Machine(BOTH, slots={"ens1": ("pci", False, ""), "ens2": ("pci", True, "wlan")}), "ens1"),
    "no virtual function": (
        Machine(BOTH, slots={"ens1": ("pci", False, ""), "ens2": ("pci", True, "virtual")}), "ens1",
    ),
    "none on USB where the owner's files name the one on the mainboard": (
        Machine(BOTH, {"lan.network": "[Match]\nName=ens1\n"},
                {"ens1": ("pci", True, ""), "ens2": ("usb", True, "")}), "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_name_is_given_to(case: str, tmp_path: Path) -> None:
    machine, chosen = CASES[case]
    code, said, found = machine.boot(tmp_path)
    assert code == (1 if "found no network card" in said else 0)
    if chosen:
        assert f"the network card {chosen} with MAC address" in said
        assert f"is called {NAME} from now on" in said
        assert NAME in found
        assert chosen not in found
    else:
        assert "is called" not in said
        assert NAME not in found or said == ""
    assert not [name for name, value in found.items() if value.endswith("up")], "a card was left up"
