"""The machine under the lab: commands, network namespaces, cgroups, mounts, and what it must have."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from lab.errors import LabError

T = TypeVar("T")
NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_PACKAGES = Path(__file__).with_name("requirements.apt")
# A command that each required Debian package brings; a package without one here is found through dpkg.
_COMMANDS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-container": "systemd-nspawn",
    "nftables": "nft",
    "iproute2": "ip",
    "openssh-client": "ssh",
    "iputils-ping": "ping",
    "curl": "curl",
    "qemu-utils": "qemu-img",
    "e2fsprogs": "mke2fs",
    "apt-utils": "apt-ftparchive",
    "dnsmasq-base": "dnsmasq",
    "util-linux": "nsenter",
}


def run(argv: Sequence[str], stdin: str | None = None, check: bool = True) -> str:
    """Standard output of a command. Raises LabError with its standard error when it fails."""
    done = subprocess.run(argv, input=stdin, text=True, capture_output=True, check=False)
    if check and done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "no output"
        raise LabError(f"`{' '.join(argv)}` failed ({done.returncode}): {said}")
    return done.stdout


def packages() -> list[str]:
    """The Debian packages that the lab needs, from lab/requirements.apt."""
    lines = (line.partition("#")[0].strip() for line in _PACKAGES.read_text().splitlines())
    return [line for line in lines if line]


def require() -> None:
    """Raise LabError, in one sentence that says what to install, when a Debian package is missing."""
    search = os.environ.get("PATH", "").split(":")
    os.environ["PATH"] = ":".join([*search, *(path for path in ("/usr/sbin", "/sbin") if path not in search)])
    missing = [name for name in packages() if not shutil.which(_COMMANDS[name])]
    if missing:
        raise LabError(
            "the lab needs Debian packages that are not installed: "
            f"apt-get install --no-install-recommends {' '.join(missing)}"
        )


def become_root(argv: Sequence[str], module: str = "lab") -> None:
    """Continue as root: nothing where it is root already, else the same command, `python -m MODULE`, under `sudo -n`."""
    if os.geteuid() == 0:
        return
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        kept = [f"{key}={os.environ[key]}" for key in ("SIXSTEAD_LAB_CACHE",) if key in os.environ]
        kept.append(f"PYTHONPATH={Path(__file__).resolve().parent.parent}")
        os.execv(sudo, [sudo, "-n", "env", *kept, sys.executable, "-m", module, *argv])  # noqa: S606
    raise LabError("the lab makes network namespaces and containers, so it needs root: run it as root or allow sudo")


def netns_path(namespace: str) -> Path:
    return NETNS / namespace


def netns_exists(namespace: str) -> bool:
    return netns_path(namespace).exists()


def in_netns(namespace: str, call: Callable[[], T]) -> T:
    """Call a function in a thread that has entered a network namespace: sockets and children belong to it."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            with open(netns_path(namespace)) as handle:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(handle.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
            answer.append(call())
        except BaseException as error:  # carried over to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]


class Cgroup:
    """All processes of one lab. Membership is the lab's only record of what runs: unlike a pid file it can't be
    stale, and it holds whatever the processes themselves start.

    On a hybrid hierarchy (cgroup v1 with `unified`) the same path is made in both, as systemd in the server wants it.
    """

    def __init__(self, name: str) -> None:
        base = Path("/sys/fs/cgroup")
        roots = [base] if (base / "cgroup.controllers").exists() else [base / "unified", base / "systemd"]
        self._tops = [root / name for root in roots if root.is_dir()]

    def exists(self) -> bool:
        return any(top.exists() for top in self._tops)

    def start(self, leaf: str, argv: Sequence[str], log: Path, env: dict[str, str] | None = None) -> None:
        """Start a detached process in `leaf`; both of its output streams go to `log`. It is a member when this returns,
        and no child of the caller, who may be a test run that never waits for it."""
        with log.open("ab") as output:
            subprocess.run(
                ["/bin/sh", "-ec", self._join(leaf) + ' "$@" &', "sh", *argv],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=env,
            )

    def member(self, leaf: str, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` as a member of `leaf`, for whoever waits for it."""
        return ["/bin/sh", "-ec", self._join(leaf) + ' exec "$@"', "sh", *argv]

    def _join(self, leaf: str) -> str:
        for top in self._tops:
            (top / leaf).mkdir(parents=True, exist_ok=True)
        return " ".join(f"echo $$ > {top / leaf}/cgroup.procs;" for top in self._tops)

    def alive(self, leaf: str) -> bool:
        return any(True for _ in self._members(leaf))

    def kill(self, leaf: str = "", within: float = 10) -> None:
        """Kill every process of `leaf` (or of the whole lab) and remove its cgroups. Raises LabError when some stay."""
        until = time.monotonic() + within
        while members := set(self._members(leaf)):
            if time.monotonic() > until:
                raise LabError(f"processes {sorted(members)} of the lab don't end; look at them with `ps`")
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
            time.sleep(0.01)
        for top in self._tops:
            for directory in sorted((top / leaf).rglob("*/"), key=lambda path: len(path.parts), reverse=True):
                _remove(directory)
            _remove(top / leaf)

    def _members(self, leaf: str) -> Iterator[int]:
        for top in self._tops:
            for path in [top / leaf / "cgroup.procs", *(top / leaf).rglob("*/cgroup.procs")]:
                with contextlib.suppress(OSError):
                    yield from (int(line) for line in path.read_text().split() if line != "0")


def _remove(directory: Path) -> None:
    # A cgroup stays busy for some milliseconds after its last process has ended.
    for _ in range(200):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return


def mounted(source: str, kind: str | None = None) -> list[Path]:
    """Where this machine's mounts of the given source are, the innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        fstype, name = right.split()[:2]
        if name == source and kind in (None, fstype):
            found.append(Path(left.split()[4].encode().decode("unicode_escape")))
    return found[::-1]


def wait_for(what: str, ready: Callable[[], bool], within: float, hint: str) -> None:
    """Poll until `ready`. Raises LabError after `within` seconds, saying what was waited for and `hint`."""
    until = time.monotonic() + within
    while not ready():
        if time.monotonic() > until:
            raise LabError(f"{what} didn't happen within {within:g} s; {hint}")
        time.sleep(0.03)
