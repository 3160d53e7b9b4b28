"""Debian packages: one apt transaction for all. Given back, they stay installed; the units they brought are stopped and disabled."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .system import STATE_DIR, HostError, Records, run
from .units import show

APT = [
    "apt-get", "--yes", "--quiet", "--no-install-recommends",
    "-o", "DPkg::Lock::Timeout=20",
    "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
    "-o", "APT::Color=0", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=15",
]  # fmt: skip


class Packages:
    """Packages that must be installed."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """`installed` for each one that is."""
        text = run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n"]).out
        installed = {line.split()[1] for line in text.splitlines() if line.startswith("installed ")}
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
            records.put("before", {"enabled": enabled_units(), "active": active_units()})
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
        """Stop and disable what the packages brought; what was enabled or running before is left alone."""
        records = Records(f"{STATE_DIR}/before/units-of-packages")
        before = records.get("before")
        if before is None or all(value == "installed" for value in captured.values()):
            return
        enabled = sorted(set(enabled_units()) - set(before["enabled"]))
        active = sorted(set(active_units()) - set(before["active"]))
        brought = sorted(u for u in {*enabled, *active} if not u.startswith("sixstead") and of_package(u, captured))
        if brought:
            sockets = [u for u in brought if u.endswith((".socket", ".timer", ".path"))]
            for units in (sockets, [u for u in brought if u not in sockets]):
                if units:
                    run(["systemctl", "stop", "--", *units], check=False, timeout=120)
            run(["systemctl", "--quiet", "disable", "--", *[u for u in brought if u in enabled]], check=False)
            run(["systemctl", "reset-failed", "--", *brought], check=False)
        records.remove("before")


def of_package(unit: str, packages: Iterable[str]) -> bool:
    """Whether a package's file is the unit (or its init script): a unit that the owner made since is left alone."""
    path = show([unit])[unit].get("FragmentPath", "")
    path = (
        path
        or run(["systemctl", "show", "--property=FragmentPath,SourcePath", "--value", "--", unit]).out.split("\n")[0]
    )
    path = path.strip()
    if path.startswith("/run/systemd/generator"):
        path = f"/etc/init.d/{unit.removesuffix('.service')}"
    names = [path, path.removeprefix("/usr")]
    return any(run(["dpkg-query", "--search", name], check=False).code == 0 for name in names if name)


def enabled_units() -> list[str]:
    """All unit files that are enabled."""
    text = run(["systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain", "--no-pager"]).out
    generated = run(["systemctl", "list-unit-files", "--state=generated", "--no-legend", "--plain", "--no-pager"]).out
    scripts = [line.split()[0] for line in generated.splitlines() if line.strip().split()[0].endswith(".service")]
    return sorted({*[line.split()[0] for line in text.splitlines() if line.strip()], *scripts})


def active_units() -> list[str]:
    """Services, sockets, timers and paths that are active."""
    kinds = "--type=service,socket,timer,path"
    text = run(["systemctl", "list-units", kinds, "--state=active", "--no-legend", "--plain", "--no-pager"]).out
    return sorted(line.split()[0] for line in text.splitlines() if line.strip())
