"""Base images: files under `base/`, named by their checksum, verified while they arrive, and never changed after that.

Item: the file's path; value: `present`. How it is got stands in `params["images"][path]`: `source` (an http or https
URL, or a path on the server), `algorithm` and `digest`, and `format` (qcow2 or raw; empty for a kernel or an initrd).
An image that a disk or a domain still uses stays, even when nobody wants it any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

from .domain_xml import files_of, read
from .facets import Context
from .hypervisor import definitions
from .qcow2 import parse_header, read_header
from .system import STATE_DIR, HostError, Records, make_dirs, sync_directory, write_durably

POOL = "/var/lib/libvirt/images/sixstead"
BASE = f"{POOL}/base"
SEARCHED = "/var/lib/libvirt/images"
"""Where disks that may use a base image are looked for, besides those of libvirt's domains."""

PRESENT = "present"
TIMEOUT = 30
"""Seconds without a byte after which a download has failed."""
TELL_EVERY = 3
"""Seconds between two words of progress."""
SPARE = 64 * 2**20
"""Bytes that must stay free on the server's disk."""
BLOCK = 2**20


class Images:
    """Immutable base images."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """`present` where the file is just as it was left when its checksum was verified: nothing is hashed here."""
        return {path: value for path in wanted if (value := observe_image(path)) is not None}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Nothing: the directory is ours alone."""
        return dict.fromkeys(items)

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Download or copy each image. Raises HostError; nothing of a file that is not as wanted stays."""
        for path in wanted:
            how = context.params.get("images", {}).get(path)
            if how is None:
                raise HostError(f"nobody said where {path} comes from")
            if not verify_again(path, how):
                make_pool()
                fetch(path, how, context)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Remove images that nothing uses."""
        for path in captured:
            users = users_of(path)
            if users and os.path.exists(path):
                context.notes.append(f"base image {path} stays: {', '.join(users)} still needs it")
            else:
                remove(path)
        leave()


def observe_image(path: str) -> str | None:
    """The value of one image."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return PRESENT if record_of(status) == read_record(path) else "changed since it was verified"


def record_of(status: os.stat_result) -> str:
    """What tells a file that was touched from one that was not."""
    return f"{status.st_size} {status.st_mtime_ns}"


def read_record(path: str) -> str:
    """Size and time of an image when it was verified; empty where nobody wrote them down."""
    try:
        with open(f"{path}.verified", encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def write_record(path: str, status: os.stat_result) -> None:
    """Write down that the file, as it is, was verified."""
    write_durably(f"{path}.verified", f"{record_of(status)}\n".encode(), 0o644)


def verify_again(path: str, how: Mapping[str, str]) -> bool:
    """Whether a file that is there has the right content after all.

    Raises HostError where it has not and is in use: what is built on it is damaged, and only the owner can decide.
    """
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, how["algorithm"]).hexdigest()
            status = os.fstat(file.fileno())
    except (FileNotFoundError, NotADirectoryError):
        return False
    if digest == how["digest"]:
        write_record(path, status)
        return True
    if users := users_of(path):
        raise HostError(
            f"base image {path} was changed on the server (its {how['algorithm']} is {digest}), "
            f"and still needed by {', '.join(users)}",
            "put the right file back there, or remove the guests that use it",
        )
    remove(path)
    return False


def fetch(path: str, how: Mapping[str, str], context: Context) -> None:
    """Get one image: written beside its place, verified on the way, renamed when it is right."""
    source, temporary = how["source"], f"{path}.part"
    digest = hashlib.new(how["algorithm"])
    try:
        with opened(source) as (stream, length), open(temporary, "wb") as file:
            refuse_full(source, length)
            begun, got = time.monotonic(), 0
            told = begun
            for block in blocks(stream, source):
                file.write(block)
                digest.update(block)
                got += len(block)
                if (now := time.monotonic()) - told > TELL_EVERY:
                    told = now
                    context.progress(progress_text(source, got, length, now - begun))
            if length is not None and got != length:
                raise HostError(f"{source} ended after {got} of {length} bytes", "run `up` again")
            if digest.hexdigest() != how["digest"]:
                raise HostError(
                    f"{source} is not the file that the config names: its {how['algorithm']} is {digest.hexdigest()}, "
                    f"wanted is {how['digest']}",
                    "check the image's URL and correct its checksum in `sixstead:images`",
                )
            file.flush()
            refuse_format(temporary, source, how.get("format", ""))
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
            write_record(path, os.fstat(file.fileno()))
        os.rename(temporary, path)
        sync_directory(os.path.dirname(path))
    except BaseException:
        remove(path)
        raise


@contextlib.contextmanager
def opened(source: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """A stream with its length, where that is known. Raises HostError saying why the source can't be read."""
    if source.startswith("/"):
        try:
            with open(source, "rb") as file:
                yield file, os.fstat(file.fileno()).st_size
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise HostError(
                f"the image {source} can't be read on the server: {error.strerror}",
                "put the file there, or give its URL",
            ) from None
        return
    remedy = "check the image's URL, and that the server can reach it"
    try:
        request = urllib.request.Request(source, headers={"User-Agent": "sixstead"})  # noqa: S310 (settings allow http, https)
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        raise HostError(f"{source}: the web server answers {error.code} {error.reason}", remedy) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a host name that is none, a..b
        why = getattr(error, "reason", None) or error
        raise HostError(f"{source} can't be downloaded: {why}", remedy) from None
    with response:
        yield response, length_of(response.headers.get("Content-Length"))


def length_of(header: str | None) -> int | None:
    """The bytes that a Content-Length (RFC 9110, section 8.6) announces; None where it says nothing to go by."""
    return int(header) if header and re.fullmatch(r"[0-9]{1,18}", header) else None


def blocks(stream: BinaryIO, source: str) -> Iterator[bytes]:
    """The stream in pieces. Raises HostError where it breaks off."""
    while True:
        try:
            block = stream.read(BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise HostError(f"{source} broke off: {error or type(error).__name__}", "run `up` again") from None
        if not block:
            return
        yield block


def progress_text(source: str, got: int, length: int | None, seconds: float) -> str:
    """How far a download is."""
    name, rate = source.rsplit("/", 1)[-1], got / 2**20 / max(seconds, 0.001)
    share = f" of {length / 2**20:.0f} MiB, {100 * got // length} %" if length else " MiB"
    return f"{name}: {got / 2**20:.0f}{share}, {rate:.1f} MiB/s"


def refuse_full(source: str, length: int | None) -> None:
    """Raises HostError where the file would not fit."""
    room = os.statvfs(BASE)
    free = room.f_bavail * room.f_frsize
    if length is not None and free < length + SPARE:
        raise HostError(
            f"no space is left on the server for {source}: it has {length / 2**20:.0f} MiB, {BASE} has {free / 2**20:.0f} MiB free",
            "free space (`df -h`), then run `up` again",
        )


def refuse_format(path: str, source: str, wanted: str) -> None:
    """Raises HostError where a disk image is not of the format that the config names, or leans on another file."""
    if not wanted:
        return
    with open(path, "rb") as file:
        header = parse_header(file.read(4096), file.fileno())
    if (header is not None) != (wanted == "qcow2"):
        raise HostError(
            f"{source} is {'a' if header else 'no'} qcow2 file, but its format is given as {wanted}",
            f"set the image's `format` in `sixstead:images` to {'qcow2' if header else 'raw'}",
        )
    if header and (header.backing_file or header.external_data):
        raise HostError(
            f"{source} is no whole disk image: it needs {header.backing_file or 'a data file'}",
            "flatten it with `qemu-img convert -O qcow2`",
        )


def users_of(path: str) -> list[str]:
    """Who uses a base image: disks that are built on it, domains that boot it."""
    users = []
    for directory, _, names in os.walk(SEARCHED):
        for name in sorted(names):
            disk = os.path.join(directory, name)
            with contextlib.suppress(OSError):
                header = read_header(disk) if os.path.isfile(disk) else None
                if header and os.path.normpath(os.path.join(directory, header.backing_file)) == path:
                    users.append(disk)
    for text in definitions():
        root = read(text)
        files = files_of(root)
        for disk in files:
            with contextlib.suppress(OSError):
                header = read_header(disk) if disk not in users and not disk.startswith(SEARCHED) else None
                if header and os.path.normpath(os.path.join(os.path.dirname(disk), header.backing_file)) == path:
                    users.append(disk)
        if path in files:
            users.append(f"guest {root.findtext('name')}")
    return users


def remove(path: str) -> None:
    """Remove an image with its record and with what is left of an interrupted download."""
    for name in (path, f"{path}.verified", f"{path}.part"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(name)


def release(path: str) -> None:
    """Remove a base image that was kept for a disk's sake only, now that the disk is gone."""
    manifest = Records(f"{STATE_DIR}/manifest")
    wanted = any(path in (manifest.get(key) or {}).get("state", {}).get("images", {}) for key in manifest.names())
    if os.path.dirname(path) == BASE and not wanted and not users_of(path):
        remove(path)
        leave()


def make_pool() -> None:
    """The directories: QEMU may pass through them, only root may list them."""
    for directory in (POOL, BASE):
        if made := make_dirs(directory, 0o711):
            sync_directory(os.path.dirname(made[0]))


def leave() -> None:
    """Remove our directories when they are empty; libvirt's own stay."""
    for directory in (BASE, POOL):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
