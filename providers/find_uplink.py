"""The uplink's name at boot, whatever the hardware: a script and the unit that runs it before the network. Part of the uplink.

All files speak of the uplink by its name. After another mainboard or card, and where udev names things otherwise, no
interface has it; then the card is found and renamed (find_uplink.sh says which one). systemd.net-naming-scheme(7).
"""

from __future__ import annotations

from pathlib import Path

from providers.host.agent.facets import State
from settings import Uplink

PATH = "/etc/sixstead/find-uplink"
UNIT = "sixstead-uplink.service"
SCRIPT = Path(__file__).with_suffix(".sh").read_text(encoding="utf-8")
SECONDS = 90
"""What the script takes at most: twice its own limit, for udev and for a carrier, and some."""


def render(uplink: Uplink) -> State:
    """The script, and the unit that names the card to look for."""
    return {
        "files": {
            PATH: {"text": SCRIPT, "mode": "0755", "owner": "root:root"},
            f"/etc/systemd/system/{UNIT}": unit(uplink),
        },
        "units": {UNIT: "enabled, running"},
    }


def unit(uplink: Uplink) -> str:
    """Whatever becomes of it, the boot goes on: nothing requires it. By /bin/sh, as the unit is tried before the script is there."""
    return f"""\
[Unit]
Description=Find the network card that is {uplink.name}
DefaultDependencies=no
Conflicts=shutdown.target
ConditionPathExists={PATH}
Wants=network-pre.target
After=systemd-udevd.service systemd-udev-trigger.service local-fs.target sixstead-restore.service
Before=network-pre.target networking.service systemd-networkd.service shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec={SECONDS}
ExecStart=/bin/sh {PATH} {uplink.name} {uplink.mac}

[Install]
WantedBy=sysinit.target
"""
