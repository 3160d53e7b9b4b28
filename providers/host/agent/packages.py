"""Debian packages: one apt transaction for all. Given back, they stay installed; the units they brought are stopped and disabled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .hypervisor import serves_others
from .system import STATE_DIR, HostError, Records, run
from .units import show

APT = [
    "apt-get", "--yes", "--quiet", "--no-install-recommends",
    "-o", "DPkg::Lock::Timeout=20",
    "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
    "-o", "APT::Color=0", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15",
]  # fmt: skip


NETWORK = ("networking.service", "systemd-networkd.service", "systemd-networkd.socket", "netplan-ovs-cleanup.service")
"""What configures the network is never stopped with its package: an owner moves to another backend by a network change."""


class Packages:
    """Packages that must be installed."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """`installed` for each one that is."""
        text = run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]).out
        installed = parse_installed(text)
        return {name: "installed" for name in wanted if name in installed}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Whether each was installed."""
        items = list(items)
        present = self.observe(dict.fromkeys(items))
        return {name: present.get(name) for name in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Install in one transaction. Raises HostError in apt's own words, with what to do."""
        if run(["dpkg", "--audit"], check=False).out.strip() or os.listdir("/var/lib/dpkg/updates"):
            raise HostError("dpkg was interrupted on this server: packages are half installed",
                            "run `dpkg --configure -a` on the server, then `up` again")  # fmt: skip
        records = Records(f"{STATE_DIR}/before/units-of-packages")
        if records.get("before") is None:
            units = {"enabled": enabled_units(), "active": active_units()}
            records.put("before", {**units, "installed": sorted(dependencies())})
        not_started = context.params.get("not_started", [])
        if not_started:
            run(["systemctl", "--quiet", "--runtime", "mask", "--", *not_started])
        context.progress("reading the package lists")
        self.apt(["update", "-o", "APT::Update::Error-Mode=any"])
        context.progress(f"installing {', '.join(sorted(wanted))}")
        self.apt(["install", "--", *sorted(wanted)])

    def apt(self, arguments: list[str]) -> None:
        """Run apt-get; its usual failures are told in one sentence each."""
        done = run([*APT, *arguments], check=False, timeout=1800)
        if done.code == 0:
            return
        words = done.err + done.out
        held = re.search(r"Could not get lock (\S+?)\.? .*?process (\d+) \(([^)]+)\)", words)
        if held or "Could not get lock" in words:
            who = f" by process {held[2]} ({held[3]})" if held else ""
            raise HostError(f"the package database is locked{who}", "wait until that is done, then run `up` again")
        if "dpkg was interrupted" in words:
            raise HostError("dpkg was interrupted on this server", "run `dpkg --configure -a` there, then `up` again")
        if "No space left on device" in words or "enough free space" in words:
            raise HostError(
                "no space is left on the server for the packages", "free space (`df -h`), then run `up` again"
            )
        errors = [line for line in words.splitlines() if line.startswith(("E:", "Err:", "W: Failed", "dpkg: error"))]
        raise HostError(
            f"apt-get {arguments[0]} failed: " + " | ".join(errors[:4] or words.strip().splitlines()[-4:]),
            "check the server's package sources and its network (`apt-get update`), then run `up` again",
        )

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Stop and disable what these packages brought, with the packages that came for their sake.

        What was enabled or running before is left alone, and what the packages that remain wanted need.
        """
        records = Records(f"{STATE_DIR}/before/units-of-packages")
        before = records.get("before")
        remaining = set(Records(f"{STATE_DIR}/before/packages").names()) - set(captured)
        going = {name for name, was in captured.items() if was != "installed"}
        if before is not None and going:
            depends = dependencies()
            packages = closure(going, depends) - closure(remaining, depends) - set(before["installed"])
            enabled = set(enabled_units()) - set(before["enabled"])
            active = set(active_units()) - set(before["active"])
            owners = packages_of({u for u in enabled | active if not u.startswith("sixstead") and u not in NETWORK})
            stop_and_disable({u for u, names in owners.items() if names & packages}, enabled)
        if not remaining:
            records.remove("before")


def stop_and_disable(units: set[str], enabled: set[str]) -> None:
    """What would start a service goes before the service. What an owner's own virtual machine needs stays."""
    units = {unit for unit in units if not serves_others(unit)}
    starters = {u for u in units if u.endswith((".socket", ".timer", ".path"))}
    for some in (starters, units - starters):
        if some:
            run(["systemctl", "stop", "--", *sorted(some)], check=False, timeout=120)
    if units & enabled:
        run(["systemctl", "--quiet", "disable", "--", *sorted(units & enabled)], check=False)
    if units:
        run(["systemctl", "reset-failed", "--", *sorted(units)], check=False)


def parse_installed(text: str) -> set[str]:
    """The names of the packages that are installed, of lines `STATUS NAME`."""
    rows = (line.split() for line in text.splitlines())
    return {row[1] for row in rows if len(row) == 2 and row[0] == "installed"}


def dependencies() -> dict[str, set[str]]:
    """What each installed package depends on, all alternatives of it (deb-control(5))."""
    return parse_dependencies(
        run(["dpkg-query", "--show", "--showformat", "${Package}\t${Pre-Depends}, ${Depends}\n"]).out
    )


def parse_dependencies(text: str) -> dict[str, set[str]]:
    """See dependencies; lines `NAME<tab>RELATIONS`."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        name, _, relations = line.partition("\t")
        words = (relation.split() for relation in relations.replace("|", ",").split(","))
        found.setdefault(name, set()).update(w[0].partition(":")[0] for w in words if w)
    return found


def closure(names: Iterable[str], depends: Mapping[str, set[str]]) -> set[str]:
    """Packages with all that they depend on."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += depends.get(name, ())
    return found


def packages_of(units: Iterable[str]) -> dict[str, set[str]]:
    """The packages that a unit's file, or its init script, belongs to; a unit that the owner made belongs to none."""
    found = {}
    for unit, properties in show(units).items():
        path = properties.get("FragmentPath", "")
        if not path or path.startswith("/run/"):
            path = f"/etc/init.d/{unit.removesuffix('.service')}"
        said = "".join(run(["dpkg-query", "--search", p], check=False).out for p in {path, path.removeprefix("/usr")})
        lines = [line.rpartition(": ")[0] for line in said.splitlines() if not line.startswith("diversion")]
        found[unit] = {name.strip().partition(":")[0] for line in lines for name in line.split(",")}
    return found


def enabled_units() -> list[str]:
    """All units that start at boot: enabled ones, and init scripts that systemd generates a unit for."""
    return sorted({u for u, state in listed("list-unit-files") if state == "enabled"} | set(init_scripts()))


def init_scripts() -> list[str]:
    """Services that are generated from init scripts."""
    return [u for u, state in listed("list-unit-files") if state == "generated" and u.endswith(".service")]


def active_units() -> list[str]:
    """Services, sockets, timers and paths that are active."""
    kinds = "--type=service,socket,timer,path"
    return sorted(unit for unit, _ in listed("list-units", kinds, "--state=active"))


def listed(*arguments: str) -> list[tuple[str, str]]:
    """First and second column of what systemctl lists; it fails on some versions where there is nothing to list."""
    text = run(["systemctl", *arguments, "--no-legend", "--plain", "--no-pager"], check=False).out
    rows = [line.split() for line in text.splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) > 1]
