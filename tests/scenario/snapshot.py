"""All that `destroy` must bring back, as one look at the server; two looks are compared line by line."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.scenario.harness import Stack

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
owned = {}
for line in said("dpkg-query", "--search", "/etc/*").splitlines():
    packages, _, path = line.rpartition(": ")
    owned[path] = packages
sysctls = {}
for line in said("sysctl", "-a").splitlines():
    key, _, value = line.partition(" = ")
    if key.startswith(("net.ipv4.conf", "net.ipv6.conf", "net.ipv4.ip_forward", "net.bridge")):
        sysctls[key] = value
kinds = "--type=service,socket,timer,path"
print(json.dumps({
    "files": files,
    "owned": owned,
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

MADE_BY_PACKAGES = (
    r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?",  # the packages' own users
    r"/etc/ld\.so\.cache",  # ldconfig, run by the packages' triggers
    r"/etc/rc[0-6S]\.d.*",  # init scripts, which systemd doesn't use for units of that name
    r"/etc/alternatives.*",  # update-alternatives
    r"/etc/(ssl|ca-certificates|sasldb2|mailcap|apparmor\.d|logrotate\.d|libvirt|unbound|iproute2|default|init\.d).*",
    r"/etc/systemd/system/.*\.wants",  # folders that enabling made; what is in them is compared as enabled units
    r"/etc/machine-id|/etc/\.updated|/etc/\.pwd\.lock",  # systemd's own
)
"""Files under /etc that installing a package makes without owning them: packages may stay."""

FORGETFUL_UNITS = (r"(systemd-|user@|user-runtime-dir@|getty|apt-|dpkg-|logrotate|ldconfig|ifupdown-pre|session-)\S*",)
"""Units whose activity comes and goes by itself."""


def look(stack: Stack) -> dict[str, Any]:
    """What the server is like now."""
    found: dict[str, Any] = json.loads(stack.server("python3", "-c", LOOK))
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What `destroy` did not bring back, one a line; without what packages leave that may stay, stopped and disabled."""
    found = []
    new = set(after["packages"]) - set(before["packages"])
    for path in sorted({*before["files"], *after["files"]}):
        owners = {name.strip().partition(":")[0] for name in after["owned"].get(path, "").split(",")}
        of_new_package = path not in before["files"] and (owners & new or is_any(path, MADE_BY_PACKAGES))
        same_by_package = path in before["files"] and is_any(path, MADE_BY_PACKAGES[:4] + MADE_BY_PACKAGES[6:])
        if before["files"].get(path) != after["files"].get(path) and not (of_new_package or same_by_package):
            if is_any(path, MADE_BY_PACKAGES[5:6]):
                continue
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


def is_any(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a name matches one of the patterns wholly."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def steady(value: Any) -> Any:
    """Without what differs from one boot to the next: interface numbers, and how an address came to be."""
    if not isinstance(value, str):
        return value
    value = re.sub(r"(?m)^\d+: |@if\d+|\\.*$| nodad| tentative", "", value)
    return sorted(" ".join(line.split()) for line in value.splitlines())
