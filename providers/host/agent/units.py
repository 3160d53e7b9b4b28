"""systemd units: `enabled, running`, `disabled, stopped`, or only `enabled`; `..., stale` says that it runs with an older configuration."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .hypervisor import running, serves_others
from .stale import clear_stale, stale
from .system import STATE_DIR, HostError, Records, run, understood


def show(units: Iterable[str]) -> dict[str, dict[str, str]]:
    """LoadState, UnitFileState and ActiveState of many units in one call."""
    units = list(units)
    if not units:
        return {}
    properties = "--property=Id,LoadState,UnitFileState,ActiveState,FragmentPath"
    return parse_show(units, run(["systemctl", "show", properties, "--", *units]).out)


def parse_show(units: Iterable[str], text: str) -> dict[str, dict[str, str]]:
    """The properties of units, as `systemctl show` writes them: a block for each, in their order."""
    with understood("`systemctl show`", text):
        lines = (block.split("\n") for block in text.strip("\n").split("\n\n"))
        found = [dict(line.split("=", 1) for line in block if "=" in line) for block in lines]
        return dict(zip(units, found, strict=True))


def parse(properties: Mapping[str, str], is_stale: bool = False) -> str | None:
    """A unit's value from `systemctl show`; None where there is no such unit."""
    load, file_state = properties.get("LoadState", ""), properties.get("UnitFileState", "")
    if file_state == "masked-runtime":
        return "masked until the next boot"
    if load == "masked" or file_state == "masked":
        return "masked"
    if load == "not-found":
        return None
    active = properties.get("ActiveState", "")
    running = {"active": "running", "reloading": "running", "refreshing": "running", "activating": "starting"}.get(
        active, "failed" if active == "failed" else "stopped"
    )
    value = f"{file_state or 'transient'}, {running}"
    return value + ", stale" if is_stale and running == "running" else value


RELOADING, PATIENCE = ("reloading", "refreshing"), 20.0
"""States that pass by themselves, and how many seconds that may take."""


def settled(unit: str) -> str:
    """A unit's ActiveState once it reloads no more: unbound tells of a reload of its own when systemctl(1) has left already."""
    deadline = time.monotonic() + PATIENCE
    while True:
        state = show([unit])[unit].get("ActiveState", "")
        if state not in RELOADING or time.monotonic() > deadline:
            return state
        time.sleep(0.1)


IFUPDOWN = "networking.service"
"""Stopped it takes its interfaces down, started it sets them up: it is for the boot alone."""


class Units:
    """Enabling, starting, restarting."""

    keeps_edits = False
    reads_files = True

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the units; a unit that nobody has heard of is left out.

        Where only `enabled` is wanted, whether it runs is left out too.
        """
        values = {u: parse(p, stale(u)) for u, p in show(wanted).items()}
        return {u: v if ", " in str(wanted[u]) else v.split(", ")[0] for u, v in values.items() if v is not None}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Whether each is enabled and running now."""
        return {u: parse(p) for u, p in show(items).items()}

    def before(self, items: Iterable[str]) -> dict[str, Any]:
        """The same, but that one that came with our packages was neither before us."""
        shown = show(items)
        before = Records(f"{STATE_DIR}/before/units-of-packages").get("before")
        ours = {u for u in shown if before is not None and u not in before["enabled"] and u not in before["active"]}
        return {u: "disabled, stopped" if u in ours else parse(p) for u, p in shown.items()}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Enable or disable, start, restart or stop. Raises HostError with the unit's last log lines if it does not start."""
        run(["systemctl", "daemon-reload"])
        enable = [u for u, v in wanted.items() if v.startswith("enabled") and not starts(observed, u, "enabled")]
        disable = [u for u, v in wanted.items() if v.startswith("disabled") and not starts(observed, u, "disabled")]
        masked = [u for u, v in wanted.items() if v != observed.get(u) and starts(observed, u, "masked")]
        mask = [u for u, v in wanted.items() if v == "masked"]
        if masked:
            run(["systemctl", "--quiet", "--runtime", "unmask", "--", *masked])
        for verb, units in (("unmask", masked), ("disable", disable), ("enable", enable), ("mask", mask)):
            if units:
                run(["systemctl", "--quiet", verb, "--", *units])
        stop = [u for u, v in wanted.items() if (v.endswith("stopped") or v == "masked")]
        if stop:
            run(["systemctl", "stop", "--", *stop])
        for unit, value in wanted.items():
            if value.endswith("running"):
                self.start(unit, observed.get(unit) or "", context)

    def start(self, unit: str, now: str, context: Context) -> None:
        """Start a unit, or make a running one read its new configuration; one that it would refuse is not given to it."""
        verb = "start"
        if now.endswith(("stale", "running")) and stale(unit):
            verb = context.params.get("on_change", {}).get(unit, "restart")
            verb = "reload-or-restart" if verb == "reload" else verb
        if check := context.params.get("check", {}).get(unit):
            run(check)
        context.progress(f"{verb} {unit}")
        run(["systemctl", "reset-failed", "--", unit], check=False)
        done = run(["systemctl", verb, "--", unit], check=False, timeout=120)
        state = settled(unit)
        if done.code != 0 or state != "active":
            log = run(
                ["journalctl", "--unit", unit, "--lines=12", "--output=cat", "--no-pager"], check=False
            ).out.strip()
            raise HostError(
                f"{unit} does not {verb}: {done.err.strip() or state}\n{log}",
                f"look at `journalctl -u {unit}` on the server",
            )
        clear_stale(unit)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Enabled or disabled, running or stopped as it was; a unit that did not exist is stopped and disabled."""
        if context.at_boot:
            restore_at_boot(captured)
            return
        if context.undo:
            run(["systemctl", "daemon-reload"])
        shown = show(captured)
        # a socket first: it would start its service again
        for unit, was in sorted(captured.items(), key=lambda item: not item[0].endswith(".socket")):
            clear_stale(unit)
            if shown[unit].get("LoadState") == "not-found":
                continue
            state = was or "disabled, stopped"
            if not state.endswith("running") and serves_others(unit):
                context.notes.append(f"{unit} stays as it is: {', '.join(running())} runs and is none of ours")
                continue
            if shown[unit].get("UnitFileState") in ("enabled", "disabled", "masked", "enabled-runtime"):
                if shown[unit]["UnitFileState"] == "masked" and state != "masked":
                    run(["systemctl", "--quiet", "unmask", "--", unit])
                verb = {"e": "enable", "m": "mask"}.get(state[0], "disable")
                run(["systemctl", "--quiet", verb, "--", unit], check=False)
            if unit == IFUPDOWN:
                continue
            done = run(
                ["systemctl", "start" if state.endswith("running") else "stop", "--", unit], check=False, timeout=120
            )
            if done.code != 0:
                context.notes.append(f"{unit} could not be put back to `{state}`: {done.err.strip()}")
            run(["systemctl", "reset-failed", "--", unit], check=False)


def restore_at_boot(captured: Mapping[str, Any]) -> None:
    """Enablement as it was; what ran is started as part of this boot. Without the manager's help where that may be early."""
    for unit, was in captured.items():
        verb = {"e": "enable", "m": "mask"}.get(str(was or "d")[0], "disable")
        run(["systemctl", "--root=/", "--quiet", verb, unit], check=False)
    again = [unit for unit, was in captured.items() if str(was or "").endswith("running")]
    if again:
        run(["systemctl", "daemon-reload"], check=False)
        run(["systemctl", "start", "--no-block", "--", *again], check=False)


def starts(observed: Mapping[str, Any], unit: str, word: str) -> bool:
    """Whether a unit's present value begins with this word."""
    return str(observed.get(unit) or "").startswith(word)
