"""What `./sixstead doctor` finds in the rest of a server: its system, disks, clock, services and login. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cli.doctor_checks import Check, Facts, Finding, units
from providers.host.agent.transaction import SCRIPT, SECONDS
from settings import Settings

FAR = 10.0
"""Seconds between the server's clock and the operator's that are told: more than a clock drifts between two looks at it."""
FREE_PART, FREE_BYTES = 0.05, 10 << 30
"""A disk counts as full where less is free than both."""


def system(settings: Settings, facts: Facts) -> list[Finding]:
    """What `up` refuses to change."""
    found = []
    for key, wanted in (("os", settings.server.os.name), ("backend", settings.server.backend)):
        if facts[key] != wanted:
            what = f"the config says {wanted}, and the server has {facts[key]}: `up` refuses it"
            found.append(Finding(what, f"correct `sixstead:server.{key}` in the config"))
    return found


def network_change(settings: Settings, facts: Facts) -> list[Finding]:
    """An armed one is young while an `up` runs; an old one was left behind."""
    if facts["armed"] is None:
        return []
    if facts["armed"] < SECONDS:
        what = f"a network change of {facts['armed']:.0f} s ago waits for its confirmation"
        return [Finding(what, f"wait {SECONDS} s: it is confirmed then, or undone")]
    what = f"a network change of {facts['armed']:.0f} s ago is neither confirmed nor undone"
    return [Finding(what, f"`python3 {SCRIPT}` on the server undoes it, and so does a reboot")]


def services(settings: Settings, facts: Facts) -> list[Finding]:
    """Units of ours that are not as an `up` leaves them."""
    found = []
    for unit, wanted in units(settings).items():
        now = facts["units"].get(unit)
        if now is None:
            found.append(Finding(f"{unit} is not installed", by_up=True))
        elif now.endswith("failed"):
            found.append(Finding(f"{unit} has failed", f"see `journalctl -u {unit}` on the server", by_up=True))
        elif wanted != (now if ", " in wanted else now.split(", ")[0]):
            found.append(Finding(f"{unit} is {now}, and should be {wanted}", by_up=True))
    return found


def clock(settings: Settings, facts: Facts) -> list[Finding]:
    """A wrong clock breaks TLS, DNSSEC and apt, all with messages about something else."""
    remedy = "`apt install systemd-timesyncd` on the server, and see `timedatectl`"
    if abs(facts["offset"]) > FAR:
        where = "ahead of" if facts["offset"] > 0 else "behind"
        return [Finding(f"the server's clock is {abs(facts['offset']):.0f} s {where} this machine's", remedy)]
    if facts["synchronised"] is False:
        what = "nothing keeps the server's clock right, though it agrees with this machine's now"
        return [Finding(what, remedy, remark=True)]
    return []


def raid(settings: Settings, facts: Facts) -> list[Finding]:
    """Arrays that miss a disk, from /proc/mdstat (md(4)); one that is rebuilt needs only time."""
    found = []
    for name, status in arrays(facts["mdstat"] or ""):
        failed = re.findall(r"(\S+?)\[\d+\]\(F\)", status)
        counts = re.search(r"\[(\d+)/(\d+)\] \[[U_]+\]", status)
        busy = re.search(r"(recovery|reshape) *= *([\d.]+%)", status)
        missing = int(counts[1]) - int(counts[2]) if counts else 0
        if re.match(r"inactive\b", status):
            found.append(
                Finding(f"the RAID array {name} is inactive", f"see `mdadm --detail /dev/{name}` on the server")
            )
        elif missing and busy:
            what = f"the RAID array {name} is being rebuilt, {busy[2]} done"
            found.append(Finding(what, "wait; one more failed disk now loses its data", remark=True))
        elif missing or failed:
            broken = f" ({', '.join(failed)} failed)" if failed else ""
            found.append(
                Finding(
                    f"the RAID array {name} is degraded: {missing} of {counts[1] if counts else '?'} disks missing{broken}",
                    f"see `mdadm --detail /dev/{name}` on the server; have the disk replaced, then `mdadm /dev/{name} --add PARTITION`",
                )
            )
    return found


def arrays(mdstat: str) -> Iterator[tuple[str, str]]:
    """Name and status of each array: `md0 : active raid1 ...` and the lines that belong to it."""
    for match in re.finditer(r"^(md\S*) : (.*(?:\n[ \t]+\S.*)*)", mdstat, re.MULTILINE):
        yield match[1], match[2]


def reboot(settings: Settings, facts: Facts) -> list[Finding]:
    """What was updated and runs only after a reboot: a package that says so, or the kernel."""
    remedy = "reboot when it suits; guests with autostart come back by themselves"
    if facts["reboot_required"] is not None:
        asking = f" ({', '.join(facts['reboot_required'])})" if facts["reboot_required"] else ""
        return [Finding(f"updated packages need a reboot{asking}", remedy)]
    running, version = facts["kernel"]["release"], facts["kernel"]["version"]
    installed = {
        n.removeprefix("linux-image-"): v for n, v in facts["packages"].items() if n.startswith("linux-image-")
    }
    newest = max(installed, key=release_number, default=running)
    if release_number(newest) > release_number(running):
        return [Finding(f"the kernel {running} runs, and {newest} is installed", remedy)]
    rebuilt = installed.get(running)
    if rebuilt and "Debian " in version and f"Debian {rebuilt} " not in f"{version} ":
        return [Finding(f"the kernel {running} runs as it was before its update to {rebuilt}", remedy)]
    return []


def release_number(release: str) -> tuple[int, ...]:
    """A kernel release's numbers, without its flavour: `6.1.0-18-cloud-amd64` and `6.12.41+deb13-amd64`."""
    return tuple(int(number) for number in re.findall(r"\d+", re.sub(r"-[a-z].*", "", release)))


def disks(settings: Settings, facts: Facts) -> list[Finding]:
    """File systems without space or inodes. A guest whose disk can't grow any more is paused by QEMU."""
    found, seen = [], set()
    for path, space in facts["disks"].items():
        if space is None or space["device"] in seen:
            continue
        seen.add(space["device"])
        remedy = (
            f"free space under {path} (`du -xh --max-depth=2 {path} | sort -h`); disks of removed guests stay there"
        )
        if space["bytes_free"] < min(FREE_PART * space["bytes"], FREE_BYTES):
            gib = f"{space['bytes_free'] / 2**30:.1f} of {space['bytes'] / 2**30:.0f} GiB"
            found.append(Finding(f"{path} is full: {gib} are free", remedy))
        elif space["inodes"] and space["inodes_free"] < FREE_PART * space["inodes"]:
            what = f"{path} has too many files: {space['inodes_free']} of {space['inodes']} inodes are free"
            found.append(Finding(what, f"remove files under {path} (`du -x --inodes --max-depth=2 {path} | sort -n`)"))
    return found


def login(settings: Settings, facts: Facts) -> list[Finding]:
    """Whether root may log in with a password: sshd_config(5), PermitRootLogin and the two ways to ask for one."""
    options = facts["sshd"]
    if options is None:
        return [Finding("sshd does not say what it allows", "see `sshd -T` on the server", remark=True)]
    asks = any(options.get(key) == "yes" for key in ("passwordauthentication", "kbdinteractiveauthentication"))
    if options.get("permitrootlogin") != "yes" or not asks:
        return []
    usable = facts["root_shadow"] == "set" or (
        facts["root_shadow"] == "empty" and options.get("permitemptypasswords") == "yes"
    )
    what = "root may log in by SSH with a password" + ("" if usable else ", though it has none now")
    return [Finding(what, REMEDY_LOGIN, remark=not usable)]


REMEDY_LOGIN = (
    "`echo PermitRootLogin prohibit-password > /etc/ssh/sshd_config.d/00-root.conf && systemctl reload ssh` on the server,"
    " once a login with a key works"
)

CHECKS = (
    Check("system", "the one of the config", system),
    Check("network change", "none is pending", network_change),
    Check("services", "as they should be", services),
    Check("clock", "right", clock),
    Check("RAID", "no array is degraded", raid),
    Check("reboot", "none is pending", reboot),
    Check("disks", "space is free", disks),
    Check("SSH login", "root's password opens nothing", login),
)
