"""Which MAC addresses are said to leave by the uplink: real sockets, in a network namespace of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
UPLINK, OTHER = "02:00:00:00:00:01", "02:00:00:00:00:02"
WATCH = """
import json, socket, threading
from providers.host.agent.outward import Leaving

def sending(name):
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.bind((name, 0))
    return lambda: made.send(b"\\xff" * 6 + made.getsockname()[4] + bytes(50))

other, uplink, over = sending("other"), sending("uplink"), threading.Event()

def busy():
    while not over.is_set():
        other()

threading.Thread(target=busy).start()
seen = []
for _ in range(40):
    with Leaving("uplink") as leaving:
        uplink()
        while not leaving.seen:
            pass
    seen += leaving.seen
over.set()
print(json.dumps(sorted(set(seen))))
"""


def test_what_leaves_by_another_interface_meanwhile_is_not_the_uplinks() -> None:
    macs = {"uplink": UPLINK, "other": OTHER}
    links = "".join(
        f"ip link add {name} address {mac} up type veth peer {name}-far; ip link set {name}-far up; "
        for name, mac in macs.items()
    )
    command = ["unshare", "--net", "sh", "-ec", f'{links} exec "$0" -c "$1"', sys.executable, WATCH]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    assert json.loads(run.stdout) == [UPLINK]
