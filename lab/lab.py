"""A lab: the verbs on a simulated hoster, server and internet. Each verb first looks at what really exists."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import access, debian, guests, image, wiring
from lab.errors import LabError
from lab.server import Server
from lab.services import Services
from lab.store import Say, cache_root, locked
from lab.system import Cgroup, in_netns, mounted, netns_exists, run
from lab.topology import Topology, read_stack

PROJECT = Path(__file__).resolve().parent.parent
PLACES = wiring.PLACES
_RUN = Path("/run")


def _quiet(_: str) -> None:
    return


class Lab:
    """One lab, by name. `project` is the folder that holds `stacks/` and `.lab/`; `say` is given progress lines."""

    def __init__(self, name: str = "lab", project: Path = PROJECT, say: Say = _quiet) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name):
            raise LabError(f"a lab's name is made of lower case letters, digits and -, not {name!r}")
        self.name = name
        self.project = project
        self.state = project / ".lab" / name
        self.cache = cache_root(project)
        self._say = say
        self._names = wiring.Names(name)
        self._cgroup = Cgroup(f"sixstead-{name}")
        self._owner = _RUN / f"sixstead-{name}.owner"

    # What the lab is

    @property
    def topology(self) -> Topology:
        """The measure of the lab as it was brought up."""
        made = self._made()
        return Topology.from_config(made["config"], made["suite"], made["delivery"])

    def _made(self) -> dict[str, Any]:
        try:
            made: dict[str, Any] = json.loads((self.state / "lab.json").read_text())
        except (OSError, ValueError) as error:
            raise LabError(f"the lab {self.name!r} is not up; `lab up{self._flag}` makes it") from error
        return made

    @property
    def _flag(self) -> str:
        return "" if self.name == "lab" else f" --name {self.name}"

    def _server(self) -> Server:
        return Server(self._names, self._cgroup, self.state, self._made()["hostname"], self.topology)

    def _services(self) -> Services:
        return Services(self._names.internet, self._cgroup, self.state, self.topology)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes this lab meanwhile, and it isn't another clone's."""
        with locked(self.state / "lock"):
            owner = Path(self._owner.read_text()) if self._owner.exists() else None
            if owner and owner != self.state and owner.is_dir():
                raise LabError(
                    f"a lab named {self.name!r} belongs to {owner.parent.parent}: take it down there, or use --name"
                )
            yield

    # Verbs

    def up(self, like: str = "lab", suite: str | None = None, delivery: str | None = None) -> None:
        """Bring the lab up to the measure of the stack `like` (a name under stacks/, or a file). A lab that is up and
        of that measure keeps its server as it is; what is missing is repaired; another measure makes it anew.

        `suite` (bookworm, trixie) and `delivery` (routed, on-link) override what the stack says."""
        stack = self._stack_file(like)
        document = read_stack(stack)
        config = document["config"]
        topology = Topology.from_config(config, suite, delivery)
        server = config["sixstead:server"]
        made = {
            "stack": str(stack),
            "hostname": str(server.get("name") or re.sub(r"^Pulumi\.|\.yaml$", "", stack.name)),
            "suite": topology.suite,
            "delivery": delivery,
            "measure": repr(dataclasses.replace(topology, guests=())),
            "config": {key: value for key, value in config.items() if key.startswith("sixstead:")},
        }
        with self._alone():
            record = self.state / "lab.json"
            if record.exists() and json.loads(record.read_text()).get("measure") != made["measure"]:
                self._say("the stack has another measure now: making the lab anew")
                self._remove()
            self._owner.write_text(str(self.state))
            self._prepare(topology)
            record.write_text(json.dumps(made, indent=1))
            self._wire(topology)
            images = self._images()
            shutil.copy(images / "SHA512SUMS", self.state)
            self._services().write(self._repository(topology.suite), images)
            self._services().start()
            access.write(self.state, self.name, self._names.operator, topology)
            server_ = self._server()
            if not mounted(server_.mount_source, "overlay"):
                server_.cut_power()
                server_.install(self._root(topology.suite))
            if not server_.leader():
                server_.cut_power()
                server_.power_on()
            server_.wait_ready()
            self._say(f"up: ssh -F {(self.state / 'ssh_config').relative_to(self.project)} {_ssh_address(topology)}")

    def reset(self) -> None:
        """A factory-fresh server; the hoster and the internet stay, and so do the port's counters."""
        with self._alone():
            server = self._server()
            server.cut_power()
            server.install(self._root(self.topology.suite))
            server.power_on()
            server.wait_ready()

    def reboot(self) -> None:
        """Reboot the server from within and wait for its login."""
        with self._alone():
            self._server().reboot()

    def cut_power(self) -> None:
        """Pull the server's plug."""
        with self._alone():
            self._server().cut_power()

    def power_on(self) -> None:
        """Boot a server that is off from the disk it has, and wait for its login."""
        with self._alone():
            server = self._server()
            server.power_on()
            server.wait_ready()

    def down(self, purge: bool = False) -> None:
        """Remove the lab without a trace; with `purge` also the cache that all labs of this clone share."""
        with self._alone():
            self._remove()
            shutil.rmtree(self.state, ignore_errors=True)
        if purge:
            shutil.rmtree(self.cache, ignore_errors=True)
        with_labs = self.project / ".lab"
        if with_labs.is_dir() and not any(with_labs.iterdir()):
            with_labs.rmdir()

    def _remove(self) -> None:
        """Everything but the lock: processes first, as they hold the rest."""
        self._cgroup.kill()
        source = f"sixstead-{self.name}"
        for place in mounted(source):
            run(["umount", "--lazy", str(place)])
        for place in PLACES:
            if netns_exists(getattr(self._names, place)):
                run(["ip", "netns", "del", getattr(self._names, place)])
        self._owner.unlink(missing_ok=True)
        if self.state.is_dir():
            for path in self.state.iterdir():
                if path.name == "lock":
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    # Parts of `up`

    def _stack_file(self, like: str) -> Path:
        path = Path(like)
        if path.suffix in (".yaml", ".yml") or "/" in like:
            return path.resolve()
        path = self.project / "stacks" / f"Pulumi.{like}.yaml"
        if not path.exists():
            raise LabError(f"there is no stack {like!r}: {path.relative_to(self.project)} doesn't exist")
        return path

    def _prepare(self, topology: Topology) -> None:
        """What comes from the cache, made side by side when it isn't there."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor() as pool:
            parts = [
                pool.submit(self._root, topology.suite),
                pool.submit(self._repository, topology.suite),
                pool.submit(self._images),
            ]
            for part in parts:
                part.result()

    def _root(self, suite: str) -> Path:
        return debian.root_file_system(self.cache, suite, self._say)

    def _repository(self, suite: str) -> Path:
        return debian.repository(self.cache, suite, self._say)

    def _images(self) -> Path:
        return image.tiny(self.cache, self._say)

    def _wire(self, topology: Topology) -> None:
        """Router, internet and operator: made anew unless all three are there and whole."""
        names = [self._names.router, self._names.internet, self._names.operator]
        marker = self.state / "wired"
        if marker.exists() and all(netns_exists(name) for name in names):
            return
        marker.unlink(missing_ok=True)
        self._cgroup.kill()
        for name in [*names, self._names.server]:
            if netns_exists(name):
                run(["ip", "netns", "del", name])
        for name in names:
            run(["ip", "netns", "add", name])
        in_netns(self._names.router, lambda: _sysctl(wiring.ROUTER_SYSCTLS))
        batches = [
            (self._names.router, wiring.router(self._names, topology)),
            (self._names.internet, wiring.internet(self._names, topology)),
            (self._names.operator, wiring.operator(self._names, topology)),
        ]
        for name, batch in batches:
            run(["ip", "-n", name, "-batch", "-"], stdin=batch)
        in_netns(self._names.router, lambda: run(["nft", "-f", "-"], stdin=wiring.switch_rules(topology)))
        marker.touch()

    # Looking and entering

    def exec(
        self, where: str, argv: Sequence[str], input: bytes | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the `server` (inside it, not over its network), in the namespace of the `router`, the
        `internet` or the `operator`, or in a guest, by name. The answer's exit status is the command's."""
        if where == "server":
            return self._server().exec(argv, input, timeout)
        if where in PLACES:
            self._made()
            enter = ["nsenter", f"--net=/run/netns/{getattr(self._names, where)}", "--", *argv]
            return subprocess.run(enter, input=input, capture_output=True, timeout=timeout, check=False)
        guest = self.topology.guest(where)
        return in_netns(self._names.server, lambda: guests.run(guest, argv, input, timeout))

    def inject_foreign_frame(self, mac: str = "52:54:00:ba:d0:01") -> None:
        """Send one frame from a MAC that isn't the server's out of its uplink, on purpose: it must be counted."""
        uplink = self.topology.uplink
        in_netns(self._names.server, lambda: _send_frame(uplink, mac))

    def counters(self) -> dict[str, Any]:
        """What the hoster's switch port and router have counted since the lab came up."""
        self._made()
        said = in_netns(self._names.router, lambda: run(["nft", "-j", "list", "ruleset"]))
        found: dict[str, Any] = {"foreign_macs": []}
        for item in json.loads(said)["nftables"]:
            if "counter" in item:
                found[item["counter"]["name"]] = item["counter"]["packets"]
            elif "set" in item:
                found["foreign_macs"] = item["set"].get("elem", [])
        return found

    def cut(self, family: str) -> None:
        """Take a family, `ipv4` or `ipv6`, from the operator: as on a network that doesn't have it."""
        family_flag = {"ipv4": "-4", "ipv6": "-6"}[family]
        run(["ip", "-n", self._names.operator, family_flag, "route", "del", "default"], check=False)

    def restore(self, family: str) -> None:
        """Give the operator a family back."""
        words = wiring.operator_default(self.topology, family).split()
        run(["ip", "-n", self._names.operator, "route", "replace", *words])

    def service(self, verb: str, *names: str) -> None:
        """`start` or `stop` services of the internet by name."""
        services = self._services()
        {"start": services.start, "stop": services.stop}[verb](*names)

    def status(self) -> dict[str, Any]:
        """What really exists of the lab."""
        known = (self.state / "lab.json").exists()
        found: dict[str, Any] = {
            "name": self.name,
            "namespaces": {place: netns_exists(getattr(self._names, place)) for place in PLACES},
            "mounts": [str(place) for place in mounted(f"sixstead-{self.name}")],
            "server": "off",
            "services": {},
        }
        if known:
            made = self._made()
            leader = self._server().leader()
            found |= {
                "stack": made["stack"],
                "suite": made["suite"],
                "server": f"on (init is {leader})" if leader else "off",
                "services": self._services().running(),
            }
        found["up"] = known and found["server"] != "off" and all(found["services"].values())
        return found


def _sysctl(values: dict[str, str]) -> None:
    for key, value in values.items():
        Path("/proc/sys", key).write_text(value)


def _send_frame(interface: str, mac: str) -> None:
    # A broadcast of the EtherType for local experiments (IEEE 802, 88B5).
    frame = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5" + b"\0" * 46
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((interface, 0))
        raw.send(frame)


def _ssh_address(topology: Topology) -> str:
    return str(topology.ipv4.ip if topology.ipv4 else topology.main.address)


def console_say(started: float) -> Say:
    """Progress lines on standard error, with the seconds since the verb began."""

    def say(text: str) -> None:
        print(f"lab: {time.monotonic() - started:5.1f} s  {text}", file=sys.stderr, flush=True)

    return say
