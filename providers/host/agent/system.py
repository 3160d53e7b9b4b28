"""The machine as the agent sees it: commands, errors, durable files."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import reprlib
import stat
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

STATE_DIR = "/var/lib/sixstead"
LOCK = "/run/sixstead.lock"
"""Held by the one who changes this host; it says who that is."""

Progress = Callable[[str], None]


class HostError(Exception):
    """Something on the host is not as it must be: what failed, and what to do about it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@contextlib.contextmanager
def understood(who: str, said: object) -> Iterator[None]:
    """Around the reading of what somebody else wrote: what can't be read becomes a HostError that shows it."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        seen = said if isinstance(said, str) else reprlib.repr(said)
        shown = "".join(c if c.isprintable() else " " for c in seen[:200])
        raise HostError(
            f"what {who} says is not understood ({type(error).__name__}): {shown or 'nothing'}",
            f"look at what {who} says on the server; if it is right, please report it",
        ) from None


def word(value: Any) -> str:
    """A text without spaces, as names and addresses are. Raises ValueError for anything else."""
    if not isinstance(value, str) or not value.isprintable() or len(value.split()) != 1:
        raise ValueError("no word")
    return value


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run(argv: list[str], stdin: str = "", timeout: float = 60, check: bool = True) -> Result:
    """Run a command without a shell, in the C locale, with no terminal to ask questions on.

    Raises HostError with the end of the command's own words if it fails, is missing or takes longer than timeout seconds.
    """
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    try:
        done = subprocess.run(argv, input=stdin.encode(), capture_output=True, timeout=timeout, env=env, check=False)
    except FileNotFoundError:
        if not check:
            return Result(127, "", f"{argv[0]}: not found")
        raise HostError(f"{argv[0]} is not installed", "run `up` again: it installs the packages first") from None
    except subprocess.TimeoutExpired:
        raise HostError(f"`{' '.join(argv)}` did not end within {timeout:.0f} s") from None
    result = Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if check and result.code != 0:
        words = (result.err.strip() or result.out.strip()).splitlines()[-8:]
        raise HostError(f"`{' '.join(argv)}` failed with status {result.code}: " + "\n".join(words))
    return result


def quoted(name: str) -> str:
    """A file name for an arbitrary item; long ones are cut and told apart by their hash (NAME_MAX is 255 bytes)."""
    text = urllib.parse.quote(name, safe="")
    if len(text) > 180:
        text = text[:120] + "~" + hashlib.sha256(name.encode()).hexdigest()[:32]
    return text


def make_dirs(path: str, mode: int = 0o755) -> list[str]:
    """Make a directory and its parents; returns those that were made, outermost first."""
    made: list[str] = []
    missing: list[str] = []
    current = path
    while not os.path.isdir(current):
        # looked at again, as another thread may just have made it
        if os.path.lexists(current) and not os.path.isdir(current):
            raise HostError(f"{current} is in the way: it is not a directory", f"move {current} away")
        missing.append(current)
        current = os.path.dirname(current)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, mode)
            made.append(directory)
    return made


def refuse_links(path: str) -> None:
    """A parent directory that is a symbolic link would lead a write out of its place; raises HostError.

    Directories that belong to root and that nobody else can write are exempt (/lib -> /usr/lib).
    """
    current = os.path.dirname(path)
    while current not in ("/", ""):
        if os.path.islink(current):
            parent = os.stat(os.path.dirname(current))
            if parent.st_uid != 0 or (parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX):
                raise HostError(f"{current} is a symbolic link, so {path} is not written through it")
        current = os.path.dirname(current)


def write_durably(path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
    """Replace a file at once and for good: temporary file, fsync, rename, fsync of the directory.

    Directories that are made for a file that its owner alone may read are the owner's alone, too.
    """
    refuse_links(path)
    directory = os.path.dirname(path)
    user, _, group = owner.partition(":")
    uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
    gid = int(group) if group.isdecimal() else grp.getgrnam(group or user).gr_gid
    private = not mode & 0o077
    for made in make_dirs(directory, 0o700 if private else 0o755):
        if private:
            os.chown(made, uid, gid, follow_symlinks=False)
        sync_directory(os.path.dirname(made))
    temporary = os.path.join(
        directory, f".{os.path.basename(path)[:200]}.sixstead-{os.getpid()}-{threading.get_ident()}"
    )
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(directory)


def write_if_other(path: str, content: bytes, mode: int) -> None:
    """`write_durably` for root, unless the file has this content and mode already."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read() == content and stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode:
            return
    write_durably(path, content, mode)


def sync_directory(directory: str) -> None:
    """Make renames and removals in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def owner_of(status: os.stat_result) -> str:
    """`user:group` of a file, by number where the name is unknown."""
    try:
        user = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        user = str(status.st_uid)
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    return f"{user}:{group}"


class Records:
    """A durable map of names to JSON values: a directory, root only, with one file a name."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        """Where a name's value lies."""
        return os.path.join(self.directory, quoted(name) + ".json")

    def get(self, name: str) -> Any | None:
        """The value, or None where there is none."""
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return json.load(file)["value"]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, LookupError, TypeError, RecursionError):
            raise damaged(self.path(name)) from None

    def put(self, name: str, value: Any) -> None:
        """Set a value; durable when this returns."""
        for made in make_dirs(self.directory, 0o700):
            sync_directory(os.path.dirname(made))
        content = json.dumps({"name": name, "value": value}, sort_keys=True).encode()
        write_durably(self.path(name), content, 0o600)

    def remove(self, name: str) -> None:
        """Forget a value; nothing happens where there is none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self.path(name))

    def names(self) -> Iterator[str]:
        """All names, sorted."""
        try:
            entries = sorted(os.listdir(self.directory))
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if entry.endswith(".json"):
                path = os.path.join(self.directory, entry)
                try:
                    with open(path, encoding="utf-8") as file:
                        name = json.load(file)["name"]
                except FileNotFoundError:
                    continue
                except (ValueError, LookupError, TypeError, RecursionError):
                    raise damaged(path) from None
                if not isinstance(name, str) or self.path(name) != path:
                    raise damaged(path)
                yield name


def damaged(path: str) -> HostError:
    """A file of our own that is not as we write it."""
    return HostError(f"{path} is damaged", "restore it from a backup or remove it")
