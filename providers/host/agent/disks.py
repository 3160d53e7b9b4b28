"""Guests' disks: qcow2 overlays on a base image. The one facet that holds what nobody can make again.

Item: the disk's path; value: its size, `20 GiB`, or `size of its image`. What a new disk is built on stands in
`params["disks"][path]`: `base` (a path, empty for an empty disk) and `format` (of the base). A disk that exists is
adopted with whatever base it has, is grown where that is wanted, and is never overwritten, never shrunk, and never
removed unless the resource's `dataLoss` says that its removal deletes this very file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any

from .domain_xml import files_of, read
from .facets import Context
from .hypervisor import NoLibvirt, connection, module
from .images import leave, make_pool, release
from .qcow2 import read_header, size_of, size_text
from .system import HostError, run, sync_directory

AS_IMAGE = "size of its image"
NOT_QCOW2 = "(not a qcow2 file)"


def deletion(path: str) -> str:
    """The words of `dataLoss` that allow the disk to be deleted with its guest."""
    return f"deletes {path}"


class Disks:
    """Disk files."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The size in each disk's header."""
        return {path: value for path, want in wanted.items() if (value := observe_disk(path, want)) is not None}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Nothing: a disk is never put back."""
        return dict.fromkeys(items)

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Create what is missing, grow what is too small. Raises HostError rather than lose data."""
        for path, value in wanted.items():
            now = observe_disk(path, value)
            if now is None:
                how = context.params.get("disks", {}).get(path, {})
                create(path, value, how.get("base", ""), how.get("format", ""))
            elif now == NOT_QCOW2:
                raise HostError(f"{path} is there and is not a qcow2 disk; it is not overwritten", f"move {path} away")
            elif now != value:
                grow(path, size_of(now), size_of(value), context)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Leave disks where they are, and say so; delete one only where the resource said that it would."""
        for path in captured:
            if not os.path.exists(path):
                continue
            if context.params.get("dataLoss") == deletion(path):
                header = read_header(path)
                os.unlink(path)
                sync_directory(os.path.dirname(path))
                if header and header.backing_file:
                    release(header.backing_file)
            else:
                context.notes.append(f"disk {path} is kept")
        leave()


def observe_disk(path: str, wanted: str) -> str | None:
    """The value of one disk; None where there is none."""
    try:
        header = read_header(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if header is None:
        return NOT_QCOW2
    return AS_IMAGE if wanted == AS_IMAGE else size_text(header.size)


def create(path: str, value: str, base: str, form: str) -> None:
    """Make a disk beside its place and link it there: a disk that appeared meanwhile is not overwritten."""
    refuse_deleted(path)
    size = [] if value == AS_IMAGE else [str(size_of(value))]
    backing = []
    if base:
        if not os.path.exists(base):
            raise HostError(f"{path} can't be made: its base image {base} is missing", "run `up` again")
        backing = ["-b", base, "-F", form]
        refuse_smaller(path, value, base, form)
    make_pool()
    temporary = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, temporary, *size])
        os.chmod(temporary, 0o600)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    sync_directory(os.path.dirname(path))


def refuse_smaller(path: str, value: str, base: str, form: str) -> None:
    """Raises HostError where a disk would cut off the end of its image."""
    header = read_header(base) if form == "qcow2" else None
    size = header.size if header else os.path.getsize(base)
    if value != AS_IMAGE and size_of(value) < size:
        raise HostError(
            f"{path} can't be made with {value}: its image has {size_text(size)}",
            f"give the guest a disk of at least {size_text(-(-size // 2**20) * 2**20)}",
        )


def refuse_deleted(path: str) -> None:
    """Raises HostError where a running guest still writes to a disk of that name, which somebody deleted."""
    if (user := running_user(path)) is not None:
        name = user.name()
        raise HostError(
            f"{path} was deleted while guest {name} runs with it: its data is lost when the guest stops",
            f"save it first (`virsh blockcopy {name} vda FILE --wait --finish --transient-job`); to give the data up, "
            f"`virsh destroy {name}`, then run `up` again",
        )


def grow(path: str, now: int, wanted: int, context: Context) -> None:
    """Grow a disk, under a running guest too. Raises HostError instead of shrinking one."""
    if wanted < now:
        raise HostError(
            f"{path} has {size_text(now)} and is not shrunk to {size_text(wanted)}: that would cut off data",
            f"set the guest's disk to at least {size_text(now)}",
        )
    context.progress(f"growing {path} to {size_text(wanted)}")
    user = running_user(path)
    if user is None:
        run(["qemu-img", "resize", "-q", "-f", "qcow2", path, str(wanted)])
        return
    try:
        user.blockResize(path, wanted, module().VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    except module().libvirtError as error:
        raise HostError(f"{path} can't be grown under guest {user.name()}: {error}") from None


def running_user(path: str) -> Any | None:
    """The running domain that has a disk open; None where there is none, or no libvirt to run one."""
    try:
        with connection() as libvirt:
            for domain in libvirt.listAllDomains(module().VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                if path in files_of(read(domain.XMLDesc())):
                    return domain
    except NoLibvirt:
        return None
    return None
