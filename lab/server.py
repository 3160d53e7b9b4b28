"""The rented server: Debian with its own systemd in a container, on a writable layer over a cached root file system."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import wiring
from lab.bare import files
from lab.errors import LabError
from lab.system import Cgroup, in_netns, mounted, run, wait_for
from lab.topology import Topology

_POWER = Path(__file__).with_name("power.py")
_ENVIRONMENT = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
    "SYSTEMD_NSPAWN_LOCK": "0",
}
_INSIDE = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": os.environ.get("TERM", "dumb"),
}


class Server:
    """One server: its disk (an overlay), its power supply (power.py) and its console's log."""

    def __init__(self, names: wiring.Names, cgroup: Cgroup, state: Path, hostname: str, topology: Topology) -> None:
        self._names = names
        self._cgroup = cgroup
        self._state = state
        self._hostname = hostname
        self._topology = topology
        self.mount_source = f"sixstead-{names.lab}"
        self.console = state / "console.log"

    @property
    def disk(self) -> Path:
        """The server's root file system, as this machine sees it."""
        return self._state / "disk"

    @property
    def _installed(self) -> Path:
        return self._state / "installed"

    def has_disk(self) -> bool:
        """Whether the disk is there and was installed to its end."""
        return self._installed.exists() and bool(mounted(self.mount_source, "overlay"))

    def install(self, root: Path) -> None:
        """A factory-fresh disk over the cached root file system `root`. The server must be off."""
        self.remove_disk()
        layers = [self._state / "upper", self._state / "work", self.disk]
        for layer in layers:
            layer.mkdir(parents=True)
        options = f"lowerdir={root},upperdir={layers[0]},workdir={layers[1]}"
        run(["mount", "-t", "overlay", self.mount_source, "-o", options, str(self.disk)])
        if self._topology.user != "root":
            self._add_user(self._topology.user)
        for file in files(self._names.lab, self._hostname, self._topology):
            path = self.disk / file.path.lstrip("/")
            if path.parent.name == ".ssh":
                path.parent.mkdir(mode=0o700, exist_ok=True)
                home = path.parent.parent.stat()
                os.chown(path.parent, home.st_uid, home.st_gid)
            path.unlink(missing_ok=True)
            path.write_text(file.text)
            path.chmod(file.mode)
            os.chown(path, path.parent.stat().st_uid, path.parent.stat().st_gid)
        self._installed.touch()

    def _add_user(self, user: str) -> None:
        """The login of a hoster who gives no root: a sudoer whose password is `lab`."""
        run(["chroot", str(self.disk), "useradd", "--create-home", "--shell=/bin/bash", "--groups=sudo", user])
        run(["chroot", str(self.disk), "chpasswd"], stdin=f"{user}:lab\n")

    def remove_disk(self) -> None:
        self._installed.unlink(missing_ok=True)
        for place in mounted(self.mount_source):
            run(["umount", "--lazy", str(place)])
        for layer in ("upper", "work", "disk", "devices"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._state / layer)

    def power_on(self) -> None:
        """Start the power supply; `wait_ready` waits for the login."""
        if self._cgroup.alive("server"):
            return
        if not self.has_disk():
            raise LabError("the server's disk was left half made; `lab reset` makes it anew")
        devices = self._state / "devices"
        for place in mounted(self.mount_source, "tmpfs"):
            run(["umount", "--lazy", str(place)])
        devices.mkdir(exist_ok=True)
        # A private node: the server's systemd sets owner and mode of the nodes it is given.
        run(["mount", "-t", "tmpfs", "-o", "mode=755", self.mount_source, str(devices)])
        os.mknod(devices / "tun", stat.S_IFCHR | 0o600, os.makedev(10, 200))
        self.leader_file.unlink(missing_ok=True)
        plan = self._state / "power.json"
        plan.write_text(json.dumps(self._plan(devices), indent=1))
        self._cgroup.start("server", [sys.executable, "-I", "-S", str(_POWER), str(plan)], self.console)

    def _plan(self, devices: Path) -> dict[str, object]:
        sysfs = devices / "sys"
        unmount = (["umount", "--lazy", str(sysfs)], "", True)
        enter = ["nsenter", f"--net=/run/netns/{self._names.server}"]
        # The namespace's own view of /sys/devices/virtual/net, writable as on a real server: bridges are tuned there.
        mount = ([*enter, "mount", "-t", "sysfs", self.mount_source, str(sysfs)], "", False)
        nspawn = [
            "systemd-nspawn", "--boot", "--register=no", "--keep-unit", "--quiet", f"--directory={self.disk}",
            f"--machine={self.mount_source}", f"--hostname={self._hostname}",
            f"--network-namespace-path=/run/netns/{self._names.server}", "--capability=all", "--resolv-conf=off",
            "--link-journal=no", "--timezone=off", f"--bind={devices}/tun:/dev/net/tun",
            f"--bind={sysfs}/devices/virtual/net:/sys/devices/virtual/net", "--kill-signal=SIGRTMIN+3", "--console=pipe",
        ]  # fmt: skip
        return {
            "unplug": [unmount, *wiring.unplug(self._names)],
            "plug": [*wiring.plug(self._names, self._topology), (["mkdir", "-p", str(sysfs)], "", False), mount],
            "nspawn": nspawn,
            "env": _ENVIRONMENT,
            "leader": str(self.leader_file),
        }

    @property
    def leader_file(self) -> Path:
        return self._state / "leader"

    def leader(self) -> int | None:
        """The pid of the server's init, or None when it is off. A reused pid is told by its start time."""
        try:
            pid, started = self.leader_file.read_text().split()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            return None
        return int(pid) if started == fields[19] and fields[0] not in "ZX" else None

    def wait_ready(self, previous: int | None = None, within: float = 60) -> None:
        """Wait until another init than `previous` runs and SSH answers the operator over each family."""
        hint = f"the server's console is in {self.console}"
        wait_for("the server's boot", lambda: self.leader() not in (None, previous), within, hint)
        addresses = [str(self._topology.main.address)]
        addresses += [str(self._topology.ipv4.ip)] if self._topology.ipv4 else []
        for address in addresses:
            wait_for(f"SSH on {address}", lambda a=address: self._ssh_answers(a), within, hint)  # type: ignore[misc]

    def _ssh_answers(self, address: str) -> bool:
        import socket

        def banner() -> bool:
            try:
                with socket.create_connection((address, self._topology.port), timeout=1) as connection:
                    return connection.recv(4) == b"SSH-"
            except OSError:
                return False

        return in_netns(self._names.operator, banner)

    def cut_power(self) -> None:
        """Pull the plug: every process of the server is killed at once, nothing is stopped or synced by it. (The
        machine's page cache survives, so writes that a real power cut might lose are kept.)"""
        leader = self.leader()
        if leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
            hint = f"the server's console is in {self.console}"
            wait_for("the end of the server", lambda: self.leader() is None, 15, hint)
            wait_for("power off", lambda: not self._cgroup.alive("server"), 15, hint)
        self._cgroup.kill("server")
        for argv, stdin, _ in wiring.unplug(self._names):
            run(argv, stdin=stdin, check=False)

    def reboot(self) -> None:
        """A clean reboot from within, and its end awaited."""
        leader = self.leader()
        if leader is None:
            raise LabError("the server is off; `lab power-on` boots it")
        done = self.exec(["systemctl", "reboot"])
        # The command may lose its own ground while it runs.
        if done.returncode not in (0, 1, -15, -9, 143, 137):
            raise LabError(f"the server refuses to reboot: {done.stderr.decode(errors='replace').strip()}")
        self.wait_ready(previous=leader)

    def enter(self, argv: Sequence[str], parts: str = "muinpr") -> list[str]:
        """The command line that runs `argv` inside the server, whatever its network is like."""
        leader = self.leader()
        if leader is None:
            raise LabError("the server is off; `lab power-on` boots it")
        return ["nsenter", "-t", str(leader), *(f"-{part}" for part in parts), "--", *argv]

    def exec(
        self, argv: Sequence[str], stdin: bytes | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command inside the server, not over its network."""
        inside = ["env", "-i", *(f"{key}={value}" for key, value in _INSIDE.items()), "sh", "-c", 'cd; exec "$@"', "sh"]
        return subprocess.run(
            self.enter([*inside, *argv]), input=stdin, capture_output=True, timeout=timeout, check=False
        )
