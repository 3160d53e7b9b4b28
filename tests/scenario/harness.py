"""A lab and a stack on it, driven through `./sixstead` as a user drives them."""

from __future__ import annotations

import copy
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError
from lab.keys import public_key
from lab.lab import Lab

PROJECT = Path(__file__).resolve().parent.parent.parent
LAB_STACK = PROJECT / "stacks" / "Pulumi.lab.yaml"
SERVER4, SERVER6 = "192.0.2.10", "2001:db8:1::2"
EVERY_MS = 20
LOOKS = (
    "ip -br link", "ip -br address", "ip -6 neighbour", "ip -6 neighbour show proxy", "ip -6 route",
    "virsh list --all", "tail -n 15 /var/log/libvirt/qemu/*-console.log", "systemctl --failed --no-pager",
    "journalctl --boot --lines=80 --no-pager --output=short-precise",
)  # fmt: skip
WEB = "2001:db8:1:0:5054:ff:febe:134a"
"""The address of the guest `web`: EUI-64 of the MAC address that its name gives."""
MAIL = "2001:db8:1:0:5054:ff:feb3:2e3e"


@dataclass
class Run:
    """How a command ended."""

    code: int
    text: str
    """Standard output and standard error, as they came."""

    def shows(self, *words: str) -> bool:
        """Whether all of these words stand on one line."""
        return any(all(word in line for word in words) for line in self.text.splitlines())

    def steps(self) -> dict[str, str]:
        """Which resource (`Type name`) the run created, updated, replaced or deleted; from a preview's or an up's text.

        Resources that stay the same are left out.
        """
        found: dict[str, str] = {}
        signs = {"+": "create", "~": "update", "-": "delete", "+-": "replace", "++": "replace", "--": "replace"}
        for line in self.text.splitlines():
            words = re.sub("[│├└─]", " ", line)
            row = re.match(r"\s*(\+-|\+\+|--|[+~-])\s+\S*sixstead:(\w+)\s+(\S+)\s+(?!refresh)\w", words)
            if row:
                found[f"{row[2]} {row[3]}"] = signs[row[1]]
        return found


@dataclass
class Stack:
    """A stack of its own name and state, on a lab of its own. `config` is the YAML's `config:` map without `sixstead:`."""

    lab: Lab
    folder: Path
    engine: str
    config: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.name = self.name or self.lab.name
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.config:
            self.config = lab_config(self.lab.name)
        self.write()

    @property
    def file(self) -> Path:
        """The stack's config file."""
        return self.folder / f"Pulumi.{self.name}.yaml"

    @property
    def cost_file(self) -> Path:
        """Where connections and exchanges are counted, one a line: `PID connection ADDRESS`, `PID exchange OPERATION`."""
        return self.folder / "cost"

    def write(self, **changes: Any) -> None:
        """Write the config, after changing whole sections of it."""
        self.config.update(changes)
        salt = yaml.safe_load(LAB_STACK.read_text()).get("encryptionsalt")
        document = {"config": {f"sixstead:{key}": value for key, value in self.config.items()}}
        if salt:
            document["encryptionsalt"] = salt
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))

    def environ(self) -> dict[str, str]:
        """The environment of a run: a state folder of its own, the empty passphrase of the lab's salt."""
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        return {
            **os.environ,
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "SIXSTEAD_ENGINE": self.engine,
            "SIXSTEAD_COST": str(self.cost_file),
            "SIXSTEAD_LOG": str(self.folder / "sixstead.log"),
            **self.environment,
        }

    def command(self, *arguments: str, stack_options: bool = True) -> list[str]:
        """`./sixstead VERB ... -s NAME --config-file FILE`; `outputs` and `stack` read no config."""
        options = ["-s", self.name] if stack_options else []
        options += ["--config-file", str(self.file)] if stack_options and arguments[0] != "outputs" else []
        return [str(PROJECT / "sixstead"), *arguments, *options]

    def start(self, *arguments: str, stack_options: bool = True) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, for tests that kill it."""
        return subprocess.Popen(
            self.command(*arguments, stack_options=stack_options),
            cwd=PROJECT,
            env=self.environ(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, *arguments: str, check: bool = True, timeout: float = 400, stack_options: bool = True) -> Run:
        """Run a command to its end. Fails the test with the command's text if it fails and `check` is set."""
        process = self.start(*arguments, stack_options=stack_options)
        try:
            text, _ = process.communicate(timeout=timeout)
        except BaseException:
            kill_group(process)
            raise
        assert not check or process.returncode == 0, f"{' '.join(arguments)} ended with {process.returncode}:\n{text}"
        return Run(process.returncode, text)

    def init(self) -> None:
        """Make the (empty) stack in its state folder."""
        done = subprocess.run(
            [str(PROJECT / "sixstead"), "stack", "init", self.name],
            cwd=PROJECT,
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        (PROJECT / "stacks" / f"Pulumi.{self.name}.yaml").unlink(missing_ok=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def up(self, *arguments: str, check: bool = True, timeout: float = 400) -> Run:
        """`up --yes`, without showing a preview first."""
        return self.run("up", "--yes", "--skip-preview", *arguments, check=check, timeout=timeout)

    def preview(self, *arguments: str, check: bool = True) -> Run:
        """`preview`."""
        return self.run("preview", *arguments, check=check)

    def destroy(self, *arguments: str, check: bool = True) -> Run:
        """`destroy --yes`."""
        return self.run("destroy", "--yes", *arguments, check=check)

    def deployment(self) -> dict[str, Any]:
        """The checkpoint's latest deployment, as it lies on the disk."""
        path = self.folder / "state" / ".pulumi" / "stacks" / "sixstead" / f"{self.name}.json"
        latest: dict[str, Any] = json.loads(path.read_text())["checkpoint"]["latest"]
        return latest

    def cost(self) -> list[str]:
        """What was counted since the last call: `connection 192.0.2.10`, `exchange observe`."""
        if not self.cost_file.exists():
            return []
        lines = [line.split(maxsplit=1)[1] for line in self.cost_file.read_text().splitlines()]
        self.cost_file.unlink()
        return lines

    def server(self, *command: str, check: bool = True) -> str:
        """Run a command on the server, not over its network; its standard output."""
        return self.place("server", *command, check=check)

    def internet(self, *command: str, check: bool = True) -> str:
        """Run a command in the internet."""
        return self.place("internet", *command, check=check)

    def guest(self, name: str, *command: str, check: bool = True) -> str:
        """Run a command in a guest."""
        return self.place(name, *command, check=check)

    def place(self, where: str, *command: str, check: bool) -> str:
        done = self.lab.exec(where, command, timeout=120)
        text = done.stdout.decode(errors="replace")
        assert not check or done.returncode == 0, f"{command} on {where}: {text} {done.stderr.decode(errors='replace')}"
        return text

    def looks(self) -> str:
        """What the server is like just now, for whoever reads of a failure; what can't be found out is said."""
        try:
            done = self.lab.exec("server", ["sh", "-c", f"exec 2>&1; {'; '.join(LOOKS)}"], timeout=30)
        except (LabError, subprocess.SubprocessError, OSError) as error:
            return f"not to be seen: {error}"
        return done.stdout.decode(errors="replace")

    def reachable(self, address: str = WEB, seconds: float = 1) -> bool:
        """Whether the internet can ping an address within so many seconds."""
        done = self.lab.exec("internet", ["ping", "-c1", "-W1", address])
        deadline = time.monotonic() + seconds
        while done.returncode != 0 and time.monotonic() < deadline:
            done = self.lab.exec("internet", ["ping", "-c1", "-W1", address])
        return done.returncode == 0


def lab_config(lab: str) -> dict[str, Any]:
    """The lab stack's config for the lab of this name."""
    document = yaml.safe_load(LAB_STACK.read_text())
    config = {key.removeprefix("sixstead:"): value for key, value in copy.deepcopy(document["config"]).items()}
    config["server"]["ssh"]["config"] = f".lab/{lab}/ssh_config"
    config["server"]["ssh"]["host_key"] = public_key(lab, "host")
    for image in config.get("images", {}).values():
        for part in image.values():
            if isinstance(part, dict) and "sha512sums" in part:
                part["sha512sums"] = f".lab/{lab}/SHA512SUMS"
    return config


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL to every process of a run: its process group and whatever left it (provider processes)."""
    for pid in descendants(process.pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def descendants(pid: int) -> list[int]:
    """A process and all its descendants, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [pid]
    while queue:
        current = queue.pop()
        found.append(current)
        queue += parents.get(current, [])
    return found


def wait_until(what: Callable[[], bool], seconds: float, why: str | Callable[[], str]) -> None:
    """Poll; fails the test with the reason when the time is over."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why if isinstance(why, str) else why()
        time.sleep(0.1)


def merged(base: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A deep copy of a config section with some entries changed; None removes one."""
    result = copy.deepcopy(dict(base))
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def answers(stack: Stack, address: str) -> bool:
    """Whether the operator's side reaches the server at this address."""
    return stack.lab.exec("operator", ["ping", "-c1", "-W1", address]).returncode == 0


def armed(stack: Stack) -> bool:
    """Whether a network change waits for its confirmation."""
    return stack.lab.exec("server", ["test", "-e", "/var/lib/sixstead/transaction/undo.json"]).returncode == 0


@contextmanager
def watched(stack: Stack) -> Iterator[dict[str, float]]:
    """Ping the server over both families all the while; afterwards the longest gap of each, in ms."""
    gaps: dict[str, float] = {}
    with ExitStack() as files:
        said = {address: files.enter_context(tempfile.TemporaryFile("w+")) for address in (SERVER4, SERVER6)}
        every = str(EVERY_MS / 1000)
        running = [
            subprocess.Popen([*stack.lab.entering("operator"), "ping", "-D", "-i", every, address], stdout=file)
            for address, file in said.items()
        ]
        try:
            yield gaps
        finally:
            for process in running:
                process.send_signal(signal.SIGINT)
                process.wait(timeout=10)
        for address, file in said.items():
            file.seek(0)
            found = re.finditer(r"^\[([\d.]+)\] \d+ bytes from", file.read(), re.MULTILINE)
            gaps[address] = max((b - a) * 1000 for a, b in pairwise(float(match[1]) for match in found))
    print(", ".join(f"longest gap to {address}: {gap:.0f} ms" for address, gap in gaps.items()))
