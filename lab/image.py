"""The tiny guest: Debian's cloud kernel and an initrd of busybox, bit for bit the same from the same packages.

Made of Debian 13's packages whatever the server is, so that one set of checksums serves every lab."""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

from lab.debian import fetch, host_sources
from lab.errors import LabError
from lab.store import Say, digest, entry

SUITE = "trixie"
KERNEL = "linux-image-cloud-amd64"
PACKAGES = (KERNEL, "busybox", "libc6", "rdnssd")
# In the order of loading; what a kernel has built in is left out.
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4", "isofs", "button", "evdev")
DISK_BYTES = 16 << 20
_FIXED_UUID = "6c6f6c20-7469-6e79-2067-756573740000"
_HERE = Path(__file__).with_name("tiny")


def tiny(cache: Path, say: Say) -> Path:
    """A folder with `tiny-vmlinuz`, `tiny-initrd`, `tiny-disk.qcow2` and their `SHA512SUMS`."""
    recipe = [path.read_text() for path in sorted(_HERE.iterdir())]

    def make(place: Path) -> None:
        work = place / "work"
        work.mkdir()
        for deb in fetch(work, SUITE, PACKAGES):
            subprocess.run(["dpkg-deb", "-x", str(deb), str(work / "files")], check=True)
        files = work / "files"
        kernel = next(files.glob("boot/vmlinuz-*"), None)
        if kernel is None:
            raise LabError(f"the package {KERNEL} holds no kernel")
        shutil.copy(kernel, place / "tiny-vmlinuz")
        (place / "tiny-initrd").write_bytes(archive(_tree(files)))
        _disk(work / "disk.raw", place / "tiny-disk.qcow2")
        shutil.rmtree(work)
        write_sums(place, ["tiny-disk.qcow2", "tiny-initrd", "tiny-vmlinuz"])

    return entry(cache, "tiny", digest(host_sources(SUITE), *recipe, *PACKAGES, *MODULES, "1"), make, say)


def write_sums(place: Path, names: list[str]) -> None:
    """SHA512SUMS of the named files, as sha512sum(1) writes it and distributions publish it."""
    lines = []
    for name in names:
        with (place / name).open("rb") as handle:
            lines.append(f"{hashlib.file_digest(handle, 'sha512').hexdigest()}  {name}\n")
    (place / "SHA512SUMS").write_text("".join(lines))


def listed(sums: Path) -> dict[str, dict[str, str]]:
    """The images of a checksum list, by file name: `url` in the lab's internet, and `sha512`."""
    lines = (line.split() for line in sums.read_text().splitlines())
    return {name: {"url": f"http://images.example/{name}", "sha512": sha512} for sha512, name in lines}


def publish(entries: list[Path], folder: Path, sums: Path) -> None:
    """Put the entries' images into the folder that images.example serves, and their checksums into one list."""
    text = "".join((place / "SHA512SUMS").read_text() for place in entries)
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for place in entries:
        for line in (place / "SHA512SUMS").read_text().splitlines():
            name = line.split()[1]
            (folder / name).symlink_to(place / name)
    (folder / "SHA512SUMS").write_text(text)
    sums.write_text(text)


Entry = tuple[int, bytes]
_DIRECTORY, _PROGRAM, _PLAIN, _LINK = 0o040755, 0o100755, 0o100644, 0o120777


def _tree(files: Path) -> dict[str, Entry]:
    """The initrd's files, by path: mode and content."""
    tree: dict[str, Entry] = {
        folder: (_DIRECTORY, b"")
        for folder in ("bin", "dev", "disk", "etc", "proc", "root", "sys", "tmp", "www", "usr")
    }

    def add(path: str, mode: int, content: bytes) -> None:
        for parent in list(Path(path).parents)[:-1]:
            tree.setdefault(str(parent), (_DIRECTORY, b""))
        tree[path] = (mode, content)

    library = files / "usr/lib/x86_64-linux-gnu"
    add("bin/busybox", _PROGRAM, (files / "usr/bin/busybox").read_bytes())
    add("sbin/rdnssd", _PROGRAM, (files / "usr/sbin/rdnssd").read_bytes())
    for name in ("libc.so.6", "libresolv.so.2"):
        add(f"lib/x86_64-linux-gnu/{name}", _PROGRAM, (library / name).read_bytes())
    add("lib64/ld-linux-x86-64.so.2", _PROGRAM, (library / "ld-linux-x86-64.so.2").read_bytes())
    modules = _modules(files, MODULES)
    add("lib/modules/order", _PLAIN, "".join(f"{name}.ko\n" for name, _ in modules).encode())
    for name, content in modules:
        add(f"lib/modules/{name}.ko", _PLAIN, content)
    placed = {"init": "init", "inittab": "etc/inittab", "start": "etc/start", "exec": "door/cgi-bin/exec"}
    placed["power"] = "etc/acpi/PWRF/00000080"
    for name, path in placed.items():
        add(path, _PLAIN if name == "inittab" else _PROGRAM, (_HERE / name).read_bytes())
    add("etc/passwd", _PLAIN, b"root:x:0:0:root:/root:/bin/sh\n")
    add("etc/group", _PLAIN, b"root:x:0:\n")
    add("etc/hosts", _PLAIN, b"127.0.0.1 localhost\n::1 localhost\n")
    return tree


def _modules(files: Path, wanted: tuple[str, ...]) -> list[tuple[str, bytes]]:
    """The wanted kernel modules and what they depend on, decompressed, in the order of loading."""
    found = {
        path.name.split(".")[0].replace("-", "_"): path for path in files.glob("usr/lib/modules/*/kernel/**/*.ko*")
    }
    order: dict[str, bytes] = {}

    def load(name: str) -> None:
        if name in order or name not in found:
            return
        raw = found[name].read_bytes()
        content = lzma.decompress(raw) if found[name].suffix == ".xz" else raw
        depends = re.search(rb"\0depends=([^\0]*)\0", content)
        for needed in depends.group(1).decode().split(",") if depends else []:
            load(needed.replace("-", "_"))
        order[name] = content

    for name in wanted:
        load(name)
    return list(order.items())


def archive(tree: dict[str, Entry]) -> bytes:
    """A cpio archive (newc, as the kernel's initramfs wants it) with nothing in it that changes from run to run."""
    out = bytearray()

    def member(number: int, path: str, mode: int, content: bytes) -> None:
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        out.extend(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
        out.extend(b"\0" * (-len(out) % 4))
        out.extend(content)
        out.extend(b"\0" * (-len(out) % 4))

    for number, path in enumerate(sorted(tree), 1):
        mode, content = tree[path]
        member(number, path, mode, content)
    member(0, "TRAILER!!!", 0, b"")
    out.extend(b"\0" * (-len(out) % 512))
    return bytes(out)


def _disk(raw: Path, qcow2: Path) -> None:
    """A small empty ext4 file system, the same at each making."""
    with raw.open("wb") as handle:
        handle.truncate(DISK_BYTES)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-L", "tiny", "-U", _FIXED_UUID,
         "-E", f"hash_seed={_FIXED_UUID},lazy_itable_init=0,lazy_journal_init=0", str(raw)],
        check=True, env={**os.environ, "E2FSPROGS_FAKE_TIME": "1", "SOURCE_DATE_EPOCH": "1"},
    )  # fmt: skip
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(qcow2)], check=True)
