"""A Debian guest with cloud-init, as a disk image that boots by BIOS: made when it is asked for, as it takes a minute.

No loop device and no mount: the file system is written with everything in it (mke2fs -d), and GRUB's two parts are
put where grub-bios-setup would put them: boot.img in the first sector, core.img in the gap behind it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from lab.debian import bootstrap, host_sources
from lab.image import write_sums
from lab.store import Say, digest, entry

SUITE = "trixie"
NAME = "debian-13-cloud.qcow2"
PACKAGES = (
    "systemd", "systemd-sysv", "systemd-resolved", "dbus", "udev", "netplan.io", "cloud-init", "openssh-server",
    "linux-image-cloud-amd64", "initramfs-tools", "grub-pc-bin", "grub2-common", "iproute2", "iputils-ping", "curl",
    "ca-certificates", "sudo", "less", "cloud-guest-utils", "e2fsprogs", "fdisk",
)  # fmt: skip
# What a guest that lives for minutes doesn't need, and software emulation would take seconds for.
MASKED = (
    "e2scrub_reap.service", "e2scrub_all.timer", "apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer",
    "systemd-networkd-wait-online.service", "systemd-pstore.service", "dpkg-db-backup.timer",
    "cloud-init-hotplugd.socket",
)  # fmt: skip
MODULES = """\
cloud_init_modules: [write_files, growpart, resizefs, set_hostname, update_etc_hosts, users_groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts_user]
apt_preserve_sources_list: true
"""
_GRUB = """\
set timeout=0
search --no-floppy --label root --set=root
linux /boot/{kernel} root=LABEL=root ro console=ttyS0 quiet
initrd /boot/{initrd}
boot
"""
_MIB = 1 << 20
_SECTOR = 512
_DISK = 2048 * _MIB
_START = 1 * _MIB


def cloud(cache: Path, say: Say) -> Path:
    """A folder with the disk image NAME and its SHA512SUMS."""

    def make(place: Path) -> None:
        root = place / "root"
        bootstrap(place, SUITE, PACKAGES, root)
        _settle(root)
        _initramfs(root)
        core = _grub(root)
        raw = place / "disk.raw"
        _write_disk(root, core, raw)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(place / NAME)], check=True)
        raw.unlink()
        shutil.rmtree(root)
        write_sums(place, [NAME])

    return entry(cache, "cloud", _key(), make, say)


def made(cache: Path) -> Path | None:
    """The folder that `cloud` would give, if it is there already."""
    place = cache / f"cloud-{_key()}"
    return place if place.is_dir() else None


def _key() -> str:
    return digest(host_sources(SUITE), *PACKAGES, *MASKED, MODULES, _GRUB, "2")


def _settle(root: Path) -> None:
    files = {
        "etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
        "etc/hostname": "cloudguest\n",
        "etc/machine-id": "",
        "etc/cloud/cloud.cfg.d/90-datasource.cfg": "datasource_list: [NoCloud, None]\n",
        "etc/cloud/cloud.cfg.d/95-modules.cfg": MODULES,
    }
    for name, text in files.items():
        (root / name).write_text(text)
    for path in root.glob("etc/ssh/ssh_host_*"):
        path.unlink()
    resolv = root / "etc/resolv.conf"
    resolv.unlink(missing_ok=True)
    resolv.symlink_to("../run/systemd/resolve/stub-resolv.conf")
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "mask", *MASKED], check=True)
    subprocess.run(["systemctl", f"--root={root}", "--quiet", "enable", "ssh.service"], check=True)


def _initramfs(root: Path) -> None:
    """Only what a virtio guest needs, so that software emulation has less to unpack."""
    config = root / "etc/initramfs-tools/initramfs.conf"
    kept = [line for line in config.read_text().splitlines() if not line.startswith(("MODULES=", "COMPRESS="))]
    config.write_text("\n".join([*kept, "MODULES=list", "COMPRESS=gzip", ""]))
    (root / "etc/initramfs-tools/modules").write_text("virtio_pci\nvirtio_blk\next4\n")
    subprocess.run(["chroot", str(root), "update-initramfs", "-u"], check=True, capture_output=True)


def _grub(root: Path) -> bytes:
    """GRUB's files in the root file system, and its core image."""
    boot = root / "boot"
    kernel = next(path.name for path in boot.glob("vmlinuz-*"))
    initrd = next(path.name for path in boot.glob("initrd.img-*"))
    modules = boot / "grub/i386-pc"
    modules.mkdir(parents=True, exist_ok=True)
    for path in (root / "usr/lib/grub/i386-pc").iterdir():
        if path.suffix in (".mod", ".lst"):
            shutil.copy(path, modules)
    (boot / "grub/grub.cfg").write_text(_GRUB.format(kernel=kernel, initrd=initrd))
    (boot / "grub/early.cfg").write_text("search.fs_label root root\nset prefix=($root)/boot/grub\n")
    parts = ("biosdisk", "part_msdos", "ext2", "search", "search_label", "normal", "linux")
    subprocess.run(
        ["chroot", str(root), "grub-mkimage", "-O", "i386-pc", "-o", "/boot/grub/core.img", "-c",
         "/boot/grub/early.cfg", "-p", "(hd0,msdos1)/boot/grub", *parts],
        check=True, capture_output=True,
    )  # fmt: skip
    return (boot / "grub/core.img").read_bytes()


def _write_disk(root: Path, core: bytes, raw: Path) -> None:
    boot = (root / "usr/lib/grub/i386-pc/boot.img").read_bytes()
    if len(core) > _START - _SECTOR:
        raise ValueError("GRUB's core image doesn't fit before the first partition")
    with raw.open("wb") as disk:
        disk.truncate(_DISK)
        disk.write(boot[:440])
        disk.seek(446)
        disk.write(partition(_START // _SECTOR, (_DISK - _START) // _SECTOR))
        disk.seek(510)
        disk.write(b"\x55\xaa")
        disk.seek(_SECTOR)
        disk.write(core)
    blocks = (_DISK - _START) // 4096
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-L", "root", "-d", str(root), "-E", f"offset={_START}",
         str(raw), str(blocks)],
        check=True,
    )  # fmt: skip


def partition(first: int, sectors: int) -> bytes:
    """One bootable Linux entry of a partition table of the PC kind, in sectors; the old geometry says nothing."""
    return struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", first, sectors)
