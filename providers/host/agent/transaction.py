"""A network change that undoes itself unless the operator confirms it over a new connection.

begin: before-state on disk -> restore armed (a timer, and a unit for a reboot) -> apply -> verify -> confirm, or restore.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from .by_hand import kept, note, settled
from .checks import refuse_wrong
from .facets import Context, Registry, State, shortfall, union
from .fitting import fit_before
from .logins import refuse_lock_out
from .outward import Leaving, Outlook
from .restore import put_back
from .script import SCRIPT, remember_sections, write_script
from .system import STATE_DIR, HostError, Progress, make_dirs, run, sync_directory, write_durably
from .takeover import refuse_losses

DIRECTORY = f"{STATE_DIR}/transaction"
UNDO = f"{DIRECTORY}/undo.json"
BALLAST = f"{DIRECTORY}/ballast"
"""Space that an undoing may need on a disk that the change has filled."""
SPARE = 256 * 1024
"""Bytes of it, beside what the old files take."""
TIMER = "sixstead-restore-timer"
BOOT_UNIT = "sixstead-restore.service"
BOOT_UNIT_PATH = f"/etc/systemd/system/{BOOT_UNIT}"
SECONDS = 45
"""How long an unconfirmed change stays."""

BOOT_UNIT_TEXT = f"""\
[Unit]
Description=Undo a network change that nobody confirmed before the reboot
ConditionPathExists={UNDO}
DefaultDependencies=no
RequiresMountsFor={STATE_DIR}
After=local-fs.target systemd-remount-fs.service
Before=network-pre.target networking.service systemd-networkd.service systemd-sysctl.service sixstead-firewall.service
Wants=network-pre.target

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 {SCRIPT} --boot

[Install]
WantedBy=sysinit.target
"""


class Transaction:
    """At most one on a host."""

    def __init__(self, registry: Registry, bundle: str) -> None:
        self.registry, self.bundle = registry, bundle
        self.begun: tuple[Mapping[str, State], list[str]] = ({}, [])
        self.token = ""

    def armed(self) -> bool:
        """Whether a change waits for its confirmation."""
        return os.path.exists(UNDO)

    def begin(
        self,
        entries: Mapping[str, State],
        previous: Iterable[State],
        gone: Iterable[str],
        context: Context,
        changed: Iterable[str] | None = None,
    ) -> dict[str, Any]:
        """Apply all sections as one change; what comes back says whether a confirmation is needed, and its token.

        `changed`: the sections that the change is about, all by default; what somebody did by hand to others stays.
        Raises HostError if the change does not hold on the host itself; it is undone then.
        """
        gone = list(gone)
        plan = self.registry.plan(entries, previous, gone)
        plan, stays = kept(plan, entries, settled(self.registry, entries, entries if changed is None else changed))
        if stays:
            context.notes.append(note(stays))
        refuse_lock_out(plan, self.registry, context)
        owned = self.registry.owned()
        refuse_wrong(plan.differing.get("files", {}))
        refuse_losses(plan.wanted, union(*owned.values()))
        write_script(self.bundle)
        remember_sections([*entries, *gone], owned)
        self.registry.take_over(plan, entries)
        if plan.empty:
            self.registry.settle(entries, gone, {})
            return {
                "changed": False,
                "observed": {key: dict(state) for key, state in entries.items()},
                "notes": context.notes,
            }
        params = context.params
        extra = fit_before(self.registry, gone, params.get("plain", {}), params.get("mac", ""), context.notes)
        plan = replace(plan, wanted=union(plan.wanted, extra), differing=union(plan.differing, extra))
        outlook = Outlook.now(params)
        touched = plan.touched(self.registry)
        undo = {name: self.registry.facets[name].capture(items) for name, items in touched.items()}
        token = secrets.token_hex(16)
        left = {name: list(items) for name, items in plan.left.items()}
        record = {"token": token, "undo": undo, "entries": dict(entries), "gone": gone, "left": left, "owned": owned}
        self.begun, self.token = (entries, gone), token
        self.arm(record)
        try:
            context.progress("applying the network change; it is undone unless it is confirmed")
            with Leaving(outlook.uplink) as leaving:
                self.registry.carry_out(plan, context)
                wrong = shortfall(plan.wanted, self.registry.observe(plan.wanted))
                if wrong:
                    raise HostError("after the change the host is still not as wanted: " + "; ".join(wrong))
                context.progress("looking for the gateways, name servers and guests")
                if worse := outlook.worse():
                    raise HostError(f"after the change {'; '.join(worse)}")
                if foreign := leaving.of(context.params.get("inside", [])):
                    raise HostError(
                        f"frames of {', '.join(foreign)} leave by {outlook.uplink}, whose switch tolerates one MAC address"
                    )
            if not self.armed():
                raise HostError(f"the change took longer than {SECONDS} s, so its time to be confirmed was over")
        except Exception as error:
            notes = self.restore(context.progress, record=record)
            what = error.what if isinstance(error, HostError) else f"{type(error).__name__}: {error}"
            told = f"; {'; '.join(notes)}" if notes else ""
            raise HostError(
                f"the network change was undone: {what}{told}",
                "the server has its old network again; correct the config and run `up` again",
            ) from error
        return {
            "changed": True,
            "token": token,
            "seconds": SECONDS,
            "observed": self.registry.observe_many(entries),
            "notes": context.notes,
        }

    def arm(self, record: dict[str, Any]) -> None:
        """Everything that a restore needs lies on the disk, and two things will start it, before anything changes."""
        make_dirs(STATE_DIR, 0o700)
        make_dirs(DIRECTORY, 0o700)
        write_durably(BALLAST, os.urandom(SPARE + len(json.dumps(record["undo"]))), 0o600)
        write_durably(BOOT_UNIT_PATH, BOOT_UNIT_TEXT.encode())
        wants = "/etc/systemd/system/sysinit.target.wants"
        make_dirs(wants)
        with contextlib.suppress(FileExistsError):
            os.symlink(BOOT_UNIT_PATH, f"{wants}/{BOOT_UNIT}")
        run(["systemctl", "stop", f"{TIMER}.timer"], check=False)
        run(["systemctl", "reset-failed", f"{TIMER}.service", f"{TIMER}.timer"], check=False)
        run([
            "systemd-run", "--quiet", f"--unit={TIMER}", f"--on-active={SECONDS}",
            "--timer-property=AccuracySec=100ms", "/usr/bin/python3", SCRIPT, "--timer",
        ])  # fmt: skip
        # last, so that nothing is armed without something that will undo it
        write_durably(UNDO, json.dumps(record).encode(), 0o600)

    def confirm(self, token: str) -> None:
        """Disarm. Raises HostError where nothing waits for this token: the change was undone already."""
        with exclusive():
            record = self.record()
            if record is None or record["token"] != token:
                raise HostError("the network change was undone before it could be confirmed")
            self.disarm()
        self.registry.settle(record["entries"], record["gone"], record["left"])

    def waits(self) -> bool:
        """Whether the change that was begun here still waits for its confirmation."""
        record = self.record() if self.token else None
        return record is not None and record["token"] == self.token

    def holds(self) -> bool:
        """Whether the change that was begun here is confirmed: then the manifest names just what it wanted."""
        manifest, (entries, gone) = self.registry.manifest, self.begun
        made = all(manifest.get(key) == {"state": state} for key, state in entries.items())
        return not self.armed() and made and all(manifest.get(key) is None for key in gone)

    def finish_unconfirmed(self, progress: Progress) -> None:
        """A new writer finds a change whose operator is gone: it is undone first."""
        if self.armed():
            progress("undoing a network change that nobody confirmed")
            self.restore(progress)

    def restore(self, progress: Progress, at_boot: bool = False, record: dict[str, Any] | None = None) -> list[str]:
        """Undo the change; safe to be run any number of times and by anybody. Returns what the owner should know.

        `record` is what was armed, for whoever made the change: the timer may have undone a part of it, and be gone.
        """
        context = Context(progress, undo=True, at_boot=at_boot)
        with exclusive():
            self.undo(context, record)
        return context.notes

    def undo(self, context: Context, record: dict[str, Any] | None = None) -> None:
        """See restore; whoever calls this sees to it that nobody else does."""
        record = self.record() or record
        if record is None:
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(BALLAST)
        failed = put_back(self.registry, record["undo"], context)
        if failed & {"files", "only", "configured"}:
            context.notes.append("the old files are not all back: it is tried again at the next boot and the next `up`")
            return
        self.forget(record)
        self.disarm(context.at_boot)

    def forget(self, record: dict[str, Any]) -> None:
        """The manifest says again what it said before the change."""
        for key in record["entries"]:
            if key in record["owned"]:
                self.registry.manifest.put(key, {"state": record["owned"][key]})
            else:
                self.registry.manifest.remove(key)
        ours = union(*self.registry.owned().values())
        for state in record["entries"].values():
            for name, items in state.items():
                for item in items:
                    if item not in ours.get(name, {}):
                        self.registry.before(name).remove(item)

    def record(self) -> dict[str, Any] | None:
        """What was armed."""
        try:
            with open(UNDO, encoding="utf-8") as file:
                record: dict[str, Any] = json.load(file)
                return record
        except (FileNotFoundError, NotADirectoryError):
            return None

    def disarm(self, at_boot: bool = False) -> None:
        """Nothing will be undone any more. The record goes first: what is left then does nothing."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(UNDO)
            sync_directory(DIRECTORY)
        for path in (f"/etc/systemd/system/sysinit.target.wants/{BOOT_UNIT}", BOOT_UNIT_PATH):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        if not at_boot:
            run(["systemctl", "stop", f"{TIMER}.timer"], check=False)
        shutil.rmtree(DIRECTORY, ignore_errors=True)


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Confirm and restore never overlap."""
    descriptor = os.open("/run/sixstead-transaction.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
