"""What the lab makes without a lab: apt sources for another suite, the initrd's archive, cache entries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import system
from lab.cloud_image import partition
from lab.debian import host_sources
from lab.errors import LabError
from lab.image import archive
from lab.store import entry, purge

DEB822 = """\
# the machine's own
Types: deb deb-src
URIs: http://deb.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://security.example/debian
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example
Suites: bookworm
Components: main
"""
ONE_LINE = """\
deb [signed-by=/usr/share/keyrings/k.gpg arch=amd64] http://deb.example/debian bookworm main contrib # main one
deb-src http://deb.example/debian bookworm main
deb http://packages.example/node nodistro main
"""


def etc(folder: Path, name: str, text: str) -> Path:
    (folder / "apt/sources.list.d").mkdir(parents=True)
    (folder / "os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    (folder / "apt" / name).write_text(text)
    return folder


def test_the_machines_sources_are_turned_to_another_suite(tmp_path: Path) -> None:
    assert host_sources("trixie", etc(tmp_path, "sources.list.d/debian.sources", DEB822)) == (
        "Types: deb\nURIs: http://deb.example/debian\nSuites: trixie trixie-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        "\n"
        "Types: deb\nURIs: http://security.example/debian\nSuites: trixie-security\nComponents: main\n"
    )


def test_one_line_sources_are_understood_and_strangers_left_out(tmp_path: Path) -> None:
    assert host_sources("trixie", etc(tmp_path, "sources.list", ONE_LINE)) == (
        "Types: deb\nURIs: http://deb.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/k.gpg\nArchitectures: amd64\n"
    )


def test_a_machine_without_debian_sources_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no Debian archive of its own release \(bookworm\)"):
        host_sources("trixie", etc(tmp_path, "sources.list", "deb http://packages.example/node nodistro main\n"))


def test_missing_packages_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system.shutil, "which", lambda name: None if name in ("nft", "mmdebstrap") else name)
    with pytest.raises(LabError, match=r"^[^.]*: apt-get install --no-install-recommends mmdebstrap nftables$"):
        system.require()


def test_every_required_package_is_known_by_a_command() -> None:
    system.require()
    assert len(system.packages()) == len(set(system.packages())) > 8


TREE = {
    "bin": (0o040755, b""),
    "bin/sh": (0o100755, b"#!/bin/true\n"),
    "lib": (0o120777, b"bin"),
}


def test_the_initrds_archive_has_the_newc_layout() -> None:
    made = archive(TREE)
    assert made.startswith(b"070701")
    assert b"TRAILER!!!" in made
    assert len(made) % 512 == 0
    assert archive(dict(reversed(TREE.items()))) == made


def test_a_partition_entry_is_bootable_linux() -> None:
    assert partition(2048, 4192256).hex() == "80feffff83feffff0008000000f83f00"


def test_purging_a_cache_leaves_what_the_lab_did_not_make(tmp_path: Path) -> None:
    for name in ("rootfs-trixie-1", "tiny-2", ".making-tiny-3", "mine"):
        (tmp_path / name).mkdir()
    purge(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    (tmp_path / "mine").rmdir()
    purge(tmp_path)
    assert not tmp_path.exists()


def test_a_cache_entry_is_made_once_and_never_half(tmp_path: Path) -> None:
    made = []

    def make(place: Path) -> None:
        made.append(place)
        (place / "half").write_text("")
        if len(made) == 1:
            raise LabError("no")

    with pytest.raises(LabError, match="no"):
        entry(tmp_path, "thing", "key", make, print)
    assert not list(tmp_path.glob("thing-*"))
    assert not list(tmp_path.glob(".making-*"))
    assert entry(tmp_path, "thing", "key", make, print) == entry(tmp_path, "thing", "key", make, print)
    assert len(made) == 2


def test_the_product_and_the_lab_import_nothing_from_each_other() -> None:
    product = ("providers", "settings", "components", "engine", "pulumi")
    code = f"import sys, lab.__main__; print([m for m in sys.modules if m.partition('.')[0] in {product}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    project = Path(__file__).parents[2]
    for room in product[:-1]:
        for path in (project / room).rglob("*.py"):
            lines = path.read_text().splitlines()
            assert not [line for line in lines if line.startswith(("import lab", "from lab"))], path
