"""Debian for the lab, from the machine's own apt sources: the bare root file system, and the lab's repository.

No mirror is named here: the machine's sources (sources.list(5), both formats) are read when they are needed, and
their suite is replaced by the one wanted."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from lab import bare
from lab.errors import LabError
from lab.store import Say, digest, entry

# What the product installs on a server, and what guest images are made of; apt adds what they depend on.
REPOSITORY = (
    "bind9-dnsutils", "bridge-utils", "dns-root-data", "genisoimage", "ifupdown", "kea-dhcp6-server",
    "libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-system", "ndisc6", "ndppd", "netplan.io",
    "nftables", "ovmf", "python3-libvirt", "qemu-system-x86", "qemu-utils", "radvd", "radvdump", "tayga",
    "tcpdump", "unbound", "unbound-anchor", "xorriso",
)  # fmt: skip
_NO_DOCS = tuple(f"path-exclude=/usr/share/{part}/*" for part in ("man", "locale", "doc"))
_APT = ("Acquire::Languages=none", "APT::Install-Recommends=false")


def host_sources(suite: str, etc: Path = Path("/etc")) -> str:
    """The machine's own Debian sources, for `suite`, in deb822 format. Raises LabError when it has none."""
    release = dict(line.split("=", 1) for line in (etc / "os-release").read_text().splitlines() if "=" in line)
    codename = release.get("VERSION_CODENAME", "").strip('"')
    stanzas = []
    for path in sorted((etc / "apt/sources.list.d").glob("*.sources")):
        stanzas += [_stanza(text) for text in re.split(r"\n\s*\n", path.read_text())]
    lists = [etc / "apt/sources.list", *sorted((etc / "apt/sources.list.d").glob("*.list"))]
    for path in lists:
        stanzas += [_one_line(line) for line in path.read_text().splitlines()] if path.exists() else []
    kept = []
    for stanza in stanzas:
        suites = stanza.get("Suites", "").split()
        own = [name for name in suites if codename and re.fullmatch(f"{codename}(-updates|-security)?", name)]
        if not own or "deb" not in stanza.get("Types", "").split() or stanza.get("Enabled", "yes") == "no":
            continue
        stanza["Types"] = "deb"
        stanza["Suites"] = " ".join(name.replace(codename, suite) for name in own)
        stanza["Components"] = "main"
        kept.append("".join(f"{key}: {value}\n" for key, value in stanza.items()))
    if not kept:
        raise LabError(f"the machine's apt sources name no Debian archive of its own release ({codename or 'unknown'})")
    return "\n".join(kept)


def _stanza(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if line[0].isspace():
            found[key] += "\n" + line
        else:
            key, _, value = line.partition(":")
            found[key] = value.strip()
    return found


def _one_line(line: str) -> dict[str, str]:
    match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+?)\s*(?:#.*)?$", line)
    if not match:
        return {}
    options, uri, suite, components = match.groups()
    found = {"Types": "deb", "URIs": uri, "Suites": suite, "Components": components}
    for option in (options or "").split():
        key, _, value = option.partition("=")
        found[{"signed-by": "Signed-By", "arch": "Architectures", "trusted": "Trusted"}.get(key, key)] = value
    return found


def _logged(argv: list[str], log: Path, failed: str, folder: Path | None = None) -> None:
    with log.open("ab") as output:
        status = subprocess.run(
            argv, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=folder, check=False
        ).returncode
    if status:
        kept = log.parent.parent / f"failed-{log.name}"
        shutil.copy(log, kept)
        last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise LabError(f"{failed}: {last[0]} (all of it: {kept})")


class _Apt:
    """apt-get with its lists, cache and status in a folder of its own, over the machine's sources for a suite."""

    def __init__(self, place: Path, suite: str) -> None:
        self.place = place
        self.debs = place / "debs"
        self._suite = suite
        self._log = place / f"apt-{suite}.log"
        for folder in ("lists/partial", "debs/partial"):
            (place / folder).mkdir(parents=True)
        (place / "debian.sources").write_text(host_sources(suite))
        (place / "status").write_text("")
        options = {
            "Dir::State::status": place / "status",
            "Dir::State::Lists": place / "lists",
            "Dir::Cache": place,
            "Dir::Cache::archives": self.debs,
            "Dir::Etc::SourceList": place / "debian.sources",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Sandbox::User": "root",
        }
        self._options = [f"-o{key}={value}" for key, value in options.items()] + [f"-o{option}" for option in _APT]
        self.get("update")

    def get(self, *words: str) -> None:
        argv = ["apt-get", "-q", "-y", *self._options, *words]
        _logged(argv, self._log, f"apt-get {words[0]} for Debian {self._suite} fails", self.debs)

    def depends(self, package: str) -> list[str]:
        """The packages that one depends on directly."""
        argv = ["apt-cache", *self._options, "depends", package]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return re.findall(r"^\s*Depends: ([^<\s]+)$", said, re.MULTILINE)

    def clean(self) -> None:
        """Leave only the .debs and the log."""
        for path in [*self.place.glob("*.bin"), self.place / "status"]:
            path.unlink()
        for folder in (self.place / "lists", self.debs / "partial"):
            shutil.rmtree(folder)


def fetch(place: Path, suite: str, packages: Iterable[str]) -> list[Path]:
    """The .debs of exactly these packages, in `place`; of a package without files of its own (a metapackage), those
    that it depends on."""
    apt = _Apt(place, suite)
    names = []
    for package in packages:
        versioned = [name for name in apt.depends(package) if name.startswith("linux-image-")]
        names += versioned or [package]
    apt.get("download", *names)
    return sorted(apt.debs.glob("*.deb"))


def download(cache: Path, suite: str, packages: Iterable[str], say: Say) -> Path:
    """A folder with the .debs of `packages` and of all they depend on, Debian's essential ones included."""
    names = sorted(packages)

    def make(place: Path) -> None:
        apt = _Apt(place, suite)
        apt.get("--download-only", "install", *names)
        apt.clean()

    return entry(cache, f"packages-{suite}", digest(host_sources(suite), *names, "2"), make, say) / "debs"


def bootstrap(place: Path, suite: str, packages: Iterable[str], root: Path) -> None:
    """Debian with these packages, and without documentation, in `root`; sources and log stay in `place`."""
    (place / "debian.sources").write_text(host_sources(suite))
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--skip=essential/unlink"]
    argv += [f"--include={','.join(packages)}"]
    argv += [f"--aptopt={option.replace('=', ' ')}" for option in _APT]
    argv += [f"--dpkgopt={option}" for option in _NO_DOCS]
    argv += [suite, str(root), str(place / "debian.sources")]
    _logged(argv, place / f"debian-{suite}.log", f"Debian {suite} can't be made")


def root_file_system(cache: Path, suite: str, backend: str, say: Say) -> Path:
    """The bare server's root file system, before any stack's files: `root` in the entry's folder."""
    sources = host_sources(suite)
    packages = (*bare.PACKAGES, *bare.BACKENDS[backend])

    def make(place: Path) -> None:
        bootstrap(place, suite, packages, place / "root")
        _settle(place / "root")
        if backend != "ifupdown":
            enable = ["systemctl", f"--root={place / 'root'}", "--quiet", "enable", "systemd-networkd.service"]
            subprocess.run(enable, check=True)

    return entry(cache, f"rootfs-{suite}-{backend}", digest(sources, *packages, *bare.MASKED, "1"), make, say) / "root"


def _settle(root: Path) -> None:
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "mask", *bare.MASKED], check=True)
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "enable", "ssh.service"], check=True)
    for path in [*root.glob("etc/ssh/ssh_host_*"), *root.glob("etc/apt/sources.list*"), root / "etc/resolv.conf"]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (root / "etc/apt/sources.list.d").mkdir(exist_ok=True)
    (root / "etc/machine-id").write_text("")
    # Made by mmdebstrap's own apt; a hoster's image has Debian's defaults.
    for path in root.glob("etc/apt/apt.conf.d/99mmdebstrap"):
        path.unlink()


def repository(cache: Path, suite: str, say: Say) -> Path:
    """The document root of the lab's Debian repository: `debian/dists/SUITE` and `debian/pool`."""
    debs = download(cache, suite, (*bare.PACKAGES, *sum(bare.BACKENDS.values(), ()), *REPOSITORY), say)

    def make(place: Path) -> None:
        pool = place / "debian/pool"
        binary = place / f"debian/dists/{suite}/main/binary-amd64"
        binary.mkdir(parents=True)
        pool.mkdir(parents=True)
        for deb in debs.glob("*.deb"):
            (pool / deb.name.replace("%3a", ":")).hardlink_to(deb)
        index = subprocess.run(
            ["apt-ftparchive", "packages", "pool"], cwd=place / "debian", capture_output=True, text=True, check=False
        )
        if index.returncode:
            raise LabError(f"the repository's index can't be made: {index.stderr.strip()}")
        (binary / "Packages").write_text(index.stdout)
        release = subprocess.run(
            [
                "apt-ftparchive",
                *(f"-oAPT::FTPArchive::Release::{key}={value}" for key, value in _release(suite).items()),
                "release",
                f"dists/{suite}",
            ],
            cwd=place / "debian", capture_output=True, text=True, check=True,
        )  # fmt: skip
        (place / f"debian/dists/{suite}/Release").write_text(release.stdout)

    return entry(cache, f"repository-{suite}", digest(debs.parent.name, "1"), make, say)


def _release(suite: str) -> dict[str, str]:
    return {"Origin": "Debian", "Suite": suite, "Codename": suite, "Architectures": "amd64", "Components": "main"}
