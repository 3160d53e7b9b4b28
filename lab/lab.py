"""A lab: the verbs on a simulated hoster, server and internet. Each verb first looks at what really exists."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab import access, cloud_image, debian, guests, image, primary, rehearsal, store, wiring
from lab.errors import LabError
from lab.hoster import Hoster
from lab.server import Server
from lab.services import Services
from lab.stack_file import read_stack, stack_path
from lab.store import Say
from lab.system import Cgroup, in_netns, mounted, netns_exists, require, run
from lab.topology import Topology

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
        self.cache = store.cache_root(project)
        self._say = say
        self._names = wiring.Names(name)
        self._cgroup = Cgroup(f"sixstead-{name}")
        self._owner = _RUN / f"sixstead-{name}.owner"

    # What the lab is

    @property
    def topology(self) -> Topology:
        """The measure of the lab as it was brought up, with the network card that the server has by now."""
        made = self._made()
        brought_up = Topology.from_config(made["config"], made["suite"], made["delivery"])
        return dataclasses.replace(brought_up, **made.get("card", {}))

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

    def _hoster(self) -> Hoster:
        return Hoster(self._names, self.state, self.topology)

    def _services(self) -> Services:
        return Services(self._names.internet, self._cgroup, self.state, self.topology)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes this lab meanwhile, it isn't another clone's, and the machine has what it takes."""
        if os.geteuid():
            raise LabError("the lab makes network namespaces and containers, so it needs root: run it as root")
        require()
        with store.locked(self.state / "lock"):
            owner = Path(self._owner.read_text()) if self._owner.exists() else None
            if owner and owner != self.state and owner.is_dir():
                raise LabError(
                    f"a lab named {self.name!r} belongs to {owner.parent.parent}: take it down there, or use --name"
                )
            yield

    @property
    def stack_file(self) -> Path:
        """The stack's config, changed to what this lab is: for `--config-file`, under a stack name of its own."""
        return self.state / f"Pulumi.{self.name}.yaml"

    @property
    def sums(self) -> Path:
        """The checksums of the images at images.example, as sha512sum(1) writes them."""
        return self.state / "SHA512SUMS"

    # Verbs

    def up(self, like: str = "lab", suite: str | None = None, delivery: str | None = None) -> None:
        """Bring the lab up to the measure of the stack `like` (a name under stacks/, or a file). A lab that is up and
        of that measure keeps its server as it is; what is missing is repaired; another measure makes it anew.

        `suite` (bookworm, trixie) and `delivery` (routed, on-link) override what the stack says."""
        stack = stack_path(self.project, like)
        document = read_stack(stack)
        config = document["config"]
        topology = Topology.from_config(config, suite, delivery)
        server = config["sixstead:server"]
        made: dict[str, Any] = {
            "stack": str(stack),
            "hostname": str(server.get("name") or re.sub(r"^Pulumi\.|\.yaml$", "", stack.name)),
            "suite": topology.suite,
            "delivery": delivery,
            "measure": repr(dataclasses.replace(topology, guests=())),
            "config": {key: value for key, value in config.items() if key.startswith("sixstead:")},
        }
        with self._alone():
            record = self.state / "lab.json"
            earlier = json.loads(record.read_text()) if record.exists() else {}
            if earlier and earlier.get("measure") != made["measure"]:
                self._say("the stack has another measure now: making the lab anew")
                self._remove()
            elif "card" in earlier:
                made["card"] = earlier["card"]
            self._owner.write_text(str(self.state))
            self._prepare(topology)
            record.write_text(json.dumps(made, indent=1))
            hoster = self._hoster()
            server_ = self._server()
            if not hoster.whole():
                server_.cut_power()
                self._cgroup.kill()
                hoster.make()
            bind = primary.unpacked(self.cache, topology.suite, self._say)
            self._services().write(self._repository(topology.suite), bind, self.name)
            self._publish()
            self._services().start()
            access.write(self.state, self.name, self._names.operator, topology)
            rehearsal.write(self.stack_file, document, self.name, made["hostname"], topology)
            if not server_.has_disk():
                server_.cut_power()
                server_.install(self._root(topology))
            if not server_.leader():
                server_.cut_power()
                server_.power_on()
            server_.wait_ready()
            address = str(topology.ipv4.ip if topology.ipv4 else topology.main.address)
            self._say(f"up: ssh -F {os.path.relpath(self.state / 'ssh_config')} {address}")
            if (self.name, stack.name) != ("lab", "Pulumi.lab.yaml"):
                self._say(f"its stack's config for --config-file: {os.path.relpath(self.stack_file)}")

    def reset(self) -> None:
        """A factory-fresh server; the hoster and the internet stay, and so do the port's counters."""
        with self._alone():
            server = self._server()
            server.cut_power()
            server.install(self._root(self.topology))
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

    def power_on(self, within: float = 60) -> None:
        """Boot a server that is off from the disk it has, and wait for its login. Raises LabError if there is none within
        so many seconds."""
        with self._alone():
            server = self._server()
            server.power_on()
            server.wait_ready(within=within)

    def swap_nic(self, name: str, mac: str) -> None:
        """Give a server that is off another network card, as with another mainboard: the hoster knows its MAC address, the
        server's system will call it `name`. Raises LabError while the server is on."""
        with self._alone():
            if self._server().leader():
                raise LabError("a network card is changed while the server is off; `lab cut-power` pulls its plug")
            made = self._made()
            made["card"] = {"uplink": name, "mac": mac.lower()}
            (self.state / "lab.json").write_text(json.dumps(made, indent=1))
            self._hoster().know_card()

    def down(self, purge: bool = False) -> None:
        """Remove the lab without a trace; with `purge` also the cache that all labs of this clone share."""
        with self._alone():
            self._remove()
            shutil.rmtree(self.state, ignore_errors=True)
        if purge:
            others = self._neighbours()
            if others:
                raise LabError(f"the cache stays, as other labs stand on it: {', '.join(others)}; take them down first")
            store.purge(self.cache)
        with contextlib.suppress(OSError):
            self.state.parent.rmdir()

    def _neighbours(self) -> list[str]:
        owners = [path.read_text() for path in _RUN.glob("sixstead-*.owner")]
        return sorted(Path(owner).name for owner in owners if Path(owner).is_dir())

    def _remove(self) -> None:
        """Everything but the lock: processes first, as they hold the rest."""
        self._cgroup.kill()
        source = f"sixstead-{self.name}"
        for place in mounted(source):
            run(["umount", "--lazy", str(place)])
        for namespace in map(self._names.of, PLACES):
            if netns_exists(namespace):
                run(["ip", "netns", "del", namespace])
        self._owner.unlink(missing_ok=True)
        if self.state.is_dir():
            for path in self.state.iterdir():
                if path.name == "lock":
                    continue
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    # Parts of `up`

    def _prepare(self, topology: Topology) -> None:
        """What comes from the cache, made side by side when it isn't there."""
        with ThreadPoolExecutor() as pool:
            parts = [
                pool.submit(self._root, topology),
                pool.submit(self._repository, topology.suite),
                pool.submit(image.tiny, self.cache, self._say),
                pool.submit(primary.unpacked, self.cache, topology.suite, self._say),
            ]
            for part in parts:
                part.result()

    def _root(self, topology: Topology) -> Path:
        return debian.root_file_system(self.cache, topology.suite, topology.backend, self._say)

    def _repository(self, suite: str) -> Path:
        return debian.repository(self.cache, suite, self._say)

    def _publish(self) -> None:
        made = [image.tiny(self.cache, self._say), cloud_image.made(self.cache)]
        image.publish([place for place in made if place], self._services().folder("images"), self.sums)

    # Looking and entering

    def exec(
        self, where: str, argv: Sequence[str], input: bytes | None = None, timeout: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command on the `server` (inside it, not over its network), in the namespace of the `router`, the
        `internet` or the `operator`, or in a guest, by name. The answer's exit status is the command's."""
        if where == "server":
            return self._server().exec(argv, input, timeout)
        if where in PLACES:
            return subprocess.run(
                [*self.entering(where), *argv], input=input, capture_output=True, timeout=timeout, check=False
            )
        guest = self.topology.guest(where)
        key = self.state / "id_ed25519"
        return in_netns(self._names.server, lambda: guests.run(guest, argv, input, timeout, key))

    def entering(self, where: str) -> list[str]:
        """What to put before a command to run it in the namespace of the `router`, the `internet` or the `operator`."""
        self._made()
        return ["nsenter", f"--net=/run/netns/{self._names.of(where)}", "--"]

    def member(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` on this machine as one of the lab's processes: `down` ends it, with all that
        it has started."""
        return self._cgroup.member("operator", argv)

    def inject_foreign_frame(self, mac: str = "52:54:00:ba:d0:01") -> None:
        """Send one frame from a MAC that isn't the server's out of its uplink, on purpose: it must be counted."""
        self._hoster().inject_foreign_frame(mac)

    def counters(self) -> dict[str, Any]:
        """What the hoster's switch port and router have counted since the lab came up."""
        return self._hoster().counters()

    def cut(self, family: str) -> None:
        """Take a family, `ipv4` or `ipv6`, from the operator: as on a network that doesn't have it."""
        self._hoster().cut(family)

    def restore(self, family: str) -> None:
        """Give the operator a family back."""
        self._hoster().restore(family)

    def images(self) -> dict[str, dict[str, str]]:
        """The guest images at images.example, by file name: `url` and `sha512`."""
        self._made()
        return image.listed(self.sums)

    def make_cloud_image(self) -> None:
        """Make the Debian guest with cloud-init, a minute's work once, and serve it beside the tiny one."""
        with self._alone():
            cloud_image.cloud(self.cache, self._say)
            self._publish()

    def service(self, verb: str, *names: str) -> None:
        """`start` or `stop` services of the internet by name."""
        services = self._services()
        {"start": services.start, "stop": services.stop}[verb](*names)

    def status(self) -> dict[str, Any]:
        """What really exists of the lab."""
        known = (self.state / "lab.json").exists()
        found: dict[str, Any] = {
            "name": self.name,
            "namespaces": {place: netns_exists(self._names.of(place)) for place in PLACES},
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
