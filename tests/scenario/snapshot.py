"""All that `destroy` must bring back, as one look at the server; two looks are compared line by line."""

from __future__ import annotations

import json
import re
from typing import Any

import settings
from providers import packages
from tests.scenario.harness import PROJECT, Stack

LOOK = r"""
import hashlib, json, os, re, shutil, stat, subprocess
def said(*argv):
    return subprocess.run(argv, capture_output=True, text=True).stdout if shutil.which(argv[0]) else ""
files = {}
for folder, folders, names in os.walk("/etc"):
    for name in [*names, *folders]:
        path = os.path.join(folder, name)
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            what = "-> " + os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            what = hashlib.sha256(open(path, "rb").read()).hexdigest()[:16]
        else:
            what = "folder"
        files[path] = f"{what} {stat.S_IMODE(status.st_mode):o} {status.st_uid}:{status.st_gid}"
sysctls = {}
for line in said("sysctl", "-a").splitlines():
    key, _, value = line.partition(" = ")
    if not key.endswith("stable_secret") and key.startswith(("net.ipv4.conf", "net.ipv6.conf", "net.ipv4.ip_forward", "net.bridge")):
        sysctls[key] = value
kinds = "--type=service,socket,timer,path"
print(json.dumps({
    "files": files,
    "packages": said("dpkg-query", "--show", "--showformat", "${Package}\n").split(),
    "enabled": said("systemctl", "list-unit-files", "--state=enabled,masked", "--no-legend", "--plain").splitlines(),
    "active": [l.split()[0] for l in said("systemctl", "list-units", kinds, "--state=active", "--no-legend", "--plain").splitlines()],
    "addresses": said("ip", "-o", "address", "show"),
    "links": said("ip", "-br", "link", "show"),
    "routes": said("ip", "route", "show") + said("ip", "-6", "route", "show"),
    "proxies": said("ip", "-6", "neighbour", "show", "proxy"),
    "ruleset": said("nft", "list", "ruleset"),
    "sysctls": sysctls,
    "state": sorted(os.listdir("/var/lib/sixstead")) if os.path.exists("/var/lib/sixstead") else [],
}))
"""

LEFT_BY_DISABLING = (
    r"/etc/systemd/system/.*\.wants",  # folders that enabling a unit made
    r"/etc/rc[0-6S]\.d/[KS]\d\d.*",  # links to init scripts: disabled they are K links, where installing makes S links
)
"""What is in them is compared as enabled units."""

FORGETFUL_UNITS = (r"(systemd-|user@|user-runtime-dir@|getty|apt-|dpkg-|logrotate|ldconfig|ifupdown-pre|session-)\S*",)
"""Units whose activity comes and goes by itself."""


def look(stack: Stack) -> dict[str, Any]:
    """What the server is like now."""
    found: dict[str, Any] = json.loads(stack.server("python3", "-c", LOOK))
    return found


def install_alone(stack: Stack) -> dict[str, Any]:
    """What the server is like when its packages are installed and nothing else is done; it is factory-fresh afterwards."""
    wanted = packages.names(
        settings.parse(stack.config, stack=stack.name, read_file=lambda name: (PROJECT / name).read_text())
    )
    stack.server("sh", "-c", "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
                 f" --no-install-recommends install {' '.join(wanted)} >/dev/null 2>&1")  # fmt: skip
    found = look(stack)
    stack.lab.reset()
    return found


def differences(before: dict[str, Any], after: dict[str, Any], packaged: dict[str, Any]) -> list[str]:
    """What was not brought back, one a line; without the files that installing packages changes, as packages may stay."""
    found = []
    for path in sorted({*before["files"], *after["files"]}):
        by_packages = packaged["files"].get(path) != before["files"].get(path)
        if (
            before["files"].get(path) != after["files"].get(path)
            and not by_packages
            and not is_any(path, LEFT_BY_DISABLING)
        ):
            found.append(f"{path}: {before['files'].get(path)} -> {after['files'].get(path)}")
    for what in ("enabled", "active"):
        changed = set(before[what]) ^ set(after[what])
        found += [f"{what}: {unit}" for unit in sorted(changed) if not is_any(unit.split()[0], FORGETFUL_UNITS)]
    for what in ("addresses", "links", "routes", "proxies", "ruleset", "state"):
        if steady(before[what]) != steady(after[what]):
            found.append(f"{what}: {before[what]} -> {after[what]}")
    for key in sorted({*before["sysctls"], *after["sysctls"]}):
        if before["sysctls"].get(key) != after["sysctls"].get(key):
            found.append(f"{key}: {before['sysctls'].get(key)} -> {after['sysctls'].get(key)}")
    return found


def assert_brought_back(before: dict[str, Any], stack: Stack, packaged: dict[str, Any]) -> None:
    """Fails the test with all that differs."""
    found = differences(before, look(stack), packaged)
    assert found == [], "\n".join(found)


def is_any(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name matches one of the patterns wholly."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def steady(value: Any) -> Any:
    """Without what differs from one boot to the next: interface numbers, and how an address came to be, what was counted."""
    if not isinstance(value, str):
        return value
    value = re.sub(r"(?m)^\d+: |@if\d+|\\.*$| nodad| tentative| packets \d+ bytes \d+", "", value)
    value = re.sub(r"(peer \S+/32) brd \S+", r"\1", value)
    value = re.sub(r"\S+ scope link stable-privacy", "scope link stable-privacy", value)
    return sorted(" ".join(line.split()) for line in value.splitlines())
