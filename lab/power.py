"""The server's power supply: boots it, boots it again when it says reboot, and ends when it powers off.

`power.py PLAN` with PLAN a JSON file: `plug` and `unplug` (lists of [argv, stdin, may_fail]), `nspawn` (argv),
`env`, `leader` (where the pid of the server's init and its start time are written). Runs alone, on the standard
library only; everything that is particular to a lab is in the plan.

systemd-nspawn with --keep-unit ends with status 133 when its container asks for a reboot. Each boot gets a new
network namespace and NIC: links and addresses that outlive what no real reboot lets them outlive would hide mistakes.
"""

import contextlib
import json
import os
import subprocess
import sys
import time

REBOOT = 133


def perform(steps: "list[tuple[list[str], str, bool]]") -> None:
    for argv, stdin, may_fail in steps:
        done = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
        if done.returncode and not may_fail:
            raise SystemExit(f"lab: `{' '.join(argv)}` failed: {done.stderr.strip()}")


def start_time(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as handle:
        return handle.read().rpartition(")")[2].split()[19]


def init_of(nspawn: "subprocess.Popen[bytes]") -> "int | None":
    """The container's PID 1, in this machine's numbering: nspawn's child that is number 1 in a PID namespace."""
    while nspawn.poll() is None:
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError), open(f"/proc/{entry}/status") as handle:
                status = dict(line.split(":", 1) for line in handle if ":" in line)
                pids = status["NSpid"].split()
                if status["PPid"].strip() == str(nspawn.pid) and len(pids) > 1 and pids[-1] == "1":
                    return int(entry)
        time.sleep(0.01)
    return None


def main() -> int:
    with open(sys.argv[1]) as handle:
        plan = json.load(handle)
    while True:
        perform(plan["unplug"])
        perform(plan["plug"])
        print(f"lab: power on {time.strftime('%H:%M:%S')}", flush=True)
        nspawn = subprocess.Popen(plan["nspawn"], stdin=subprocess.DEVNULL, env={**os.environ, **plan["env"]})
        leader = init_of(nspawn)
        if leader is not None:
            with contextlib.suppress(OSError):
                mark = f"{leader} {start_time(leader)}\n"
                with open(plan["leader"] + ".new", "w") as handle:
                    handle.write(mark)
                os.replace(plan["leader"] + ".new", plan["leader"])
        status = nspawn.wait()
        print(f"lab: power off {time.strftime('%H:%M:%S')}, nspawn status {status}", flush=True)
        perform(plan["unplug"])
        if status != REBOOT:
            return 0


if __name__ == "__main__":
    sys.exit(main())
