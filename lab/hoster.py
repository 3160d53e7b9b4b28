"""The hoster's router and switch port, the internet behind them and the operator: the namespaces around the server."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from lab import wiring
from lab.system import in_netns, netns_exists, run
from lab.topology import Topology

_FLAGS = {"ipv4": "-4", "ipv6": "-6"}


class Hoster:
    """Everything of a lab's network but the server's own namespace. `state` is the lab's folder."""

    def __init__(self, names: wiring.Names, state: Path, topology: Topology) -> None:
        self._names = names
        self._namespaces = (names.router, names.internet, names.operator)
        self._wired = state / "wired"
        self._topology = topology

    def whole(self) -> bool:
        """Whether all was made and still exists."""
        return self._wired.exists() and all(netns_exists(name) for name in self._namespaces)

    def make(self) -> None:
        """Make it anew, whatever is left of an earlier one; the server loses its NIC, so it must be off."""
        self._wired.unlink(missing_ok=True)
        for name in (*self._namespaces, self._names.server):
            if netns_exists(name):
                run(["ip", "netns", "del", name])
        for name in self._namespaces:
            run(["ip", "netns", "add", name])
        in_netns(self._names.router, lambda: _sysctl(wiring.ROUTER_SYSCTLS))
        batches = (
            (self._names.router, wiring.router(self._names, self._topology)),
            (self._names.internet, wiring.internet(self._names, self._topology)),
            (self._names.operator, wiring.operator(self._names, self._topology)),
        )
        for name, batch in batches:
            run(["ip", "-n", name, "-batch", "-"], stdin=batch)
        in_netns(self._names.router, lambda: run(["nft", "-f", "-"], stdin=wiring.switch_rules(self._topology)))
        self._wired.touch()

    def know_card(self) -> None:
        """The server has another network card, that of the topology: the switch tolerates its MAC address, and the router
        sends routed prefixes to its link-local address."""
        rules, batch = wiring.known_card(self._topology)
        in_netns(self._names.router, lambda: run(["nft", "-f", "-"], stdin=rules))
        run(["ip", "-n", self._names.router, "-batch", "-"], stdin=batch)

    def counters(self) -> dict[str, Any]:
        """The switch port's and the router's counters, and the foreign MACs that were seen."""
        said = in_netns(self._names.router, lambda: run(["nft", "-j", "list", "ruleset"]))
        found: dict[str, Any] = {"foreign_macs": []}
        for item in json.loads(said)["nftables"]:
            if "counter" in item:
                found[item["counter"]["name"]] = item["counter"]["packets"]
            elif item.get("set", {}).get("name") == "foreign_macs":
                found["foreign_macs"] = item["set"].get("elem", [])
        return found

    def cut(self, family: str) -> None:
        """Take the operator's default route of a family."""
        run(["ip", "-n", self._names.operator, _FLAGS[family], "route", "del", "default"], check=False)

    def restore(self, family: str) -> None:
        """Give it back."""
        words = wiring.operator_default(self._topology, family).split()
        run(["ip", "-n", self._names.operator, "route", "replace", *words])

    def inject_foreign_frame(self, mac: str) -> None:
        """One frame from `mac` out of the server's uplink."""
        # A broadcast of the EtherType for local experiments (IEEE 802, 88B5).
        frame = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5" + b"\0" * 46

        def send() -> None:
            links = json.loads(run(["ip", "-json", "link", "show"]))
            # by its address, as the server may call it otherwise by now
            card = next(link["ifname"] for link in links if link["address"] == self._topology.mac)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                raw.bind((card, 0))
                raw.send(frame)

        in_netns(self._names.server, send)


def _sysctl(values: dict[str, str]) -> None:
    for key, value in values.items():
        Path("/proc/sys", key).write_text(value)
