"""What costs minutes to make and is made once: root file systems, packages, guest images. Shared by all labs.

An entry is a folder named after a hash of what goes into it. It is made beside its place and renamed into it, under
a lock, so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Say = Callable[[str], None]


def cache_root(project: Path) -> Path:
    """The shared cache: SIXSTEAD_LAB_CACHE, or `.lab/cache` in the project."""
    return Path(os.environ.get("SIXSTEAD_LAB_CACHE") or project / ".lab" / "cache").absolute()


def digest(*ingredients: str) -> str:
    """A short name for what goes into an entry."""
    return hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for whoever holds it. A lock file that its holder removed is let go."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = path.open("w")
        except FileNotFoundError:
            continue
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if path.exists() and os.stat(path).st_ino == os.fstat(handle.fileno()).st_ino:
                yield
                return


def entry(cache: Path, kind: str, key: str, make: Callable[[Path], None], say: Say) -> Path:
    """The folder `KIND-KEY` of the cache, made by `make` when it isn't there yet. Older entries of that kind stay:
    another clone may use them; `down --purge` removes all."""
    place = cache / f"{kind}-{key}"
    if place.is_dir():
        return place
    with locked(cache / f".lock-{kind}"):
        if place.is_dir():
            return place
        for stale in cache.glob(f".making-{kind}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=f".making-{kind}-", dir=cache))
        making.chmod(0o755)
        say(f"making {kind} (once; it stays in {cache})")
        try:
            make(making)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        making.rename(place)
        say(f"made {kind}")
    return place


def purge(cache: Path) -> None:
    """Remove what this module makes in a cache, and the folder itself when nothing else is in it."""
    for pattern in ("rootfs-*", "primary-*", "packages-*", "repository-*", "tiny-*", "cloud-*", "images-*"):
        for place in cache.glob(pattern):
            shutil.rmtree(place)
    for pattern in (".making-*", "failed-*.log", ".lock-*"):
        for path in cache.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        cache.rmdir()
