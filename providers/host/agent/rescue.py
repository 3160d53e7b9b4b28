"""The restore script's own work: /var/lib/sixstead/restore on the running server, or from a rescue system.

On the running server all facets are put back, as the timer of an unconfirmed change does. From a rescue system the root
of the powered-down server is entered with chroot(2) before anything is read, so that every path and every symbolic link
stays inside it; nothing is run there, and only files and units' enablement are put back: the kernel is the rescue
system's. Its Python may be 3.9, so this module and what it imports do without anything newer.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import fcntl
import glob
import grp
import hashlib
import os
import pwd
import signal
import sys
from collections.abc import Iterator

from .configured import Configured
from .enablement import Enablement
from .facets import Context, Facet, Registry, union, without
from .files import Files, capture_file, observe_file
from .only import Only
from .restore import Captured, all_differences, put_back
from .script import SCRIPT, sections
from .system import LOCK, STATE_DIR, HostError, quoted, write_durably
from .transaction import Transaction, exclusive

REPLACED = f"{STATE_DIR}/replaced"
"""What somebody else had written where the before-state is again."""
UP = "`./sixstead up -s STACK --refresh` where you have the stack"
BACK = "if a move to another network backend was undone so, set `sixstead:server.backend` back to the old one; "


def main(argv: list[str]) -> int:
    """Do it; its exit status."""
    options = parser().parse_args(argv)
    if os.geteuid() != 0:
        print(f"{SCRIPT} must run as root: nothing was done", file=sys.stderr)
        return 1
    os.umask(0o022)
    # a connection that ends with the old network must not end this half way
    for number in (signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        if options.boot or options.timer:
            return unattended(options.boot)
        return in_root(options.root, options.before) if options.root else on_server(options.before)
    except HostError as error:
        what = f"{error.what}\n  what to do: {error.remedy}" if error.remedy else error.what
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror}"
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
    say(f"not done: {what}")
    return 1


def parser() -> argparse.ArgumentParser:
    """What the owner may ask for."""
    found = argparse.ArgumentParser(
        prog=SCRIPT, description="Undo a network change of Sixstead's that nobody confirmed, if there is one."
    )
    found.add_argument(
        "--before", action="store_true", help="also put back the network that was there before Sixstead's"
    )
    found.add_argument("--root", metavar="DIR", help="in a rescue system: where the server's root is mounted")
    found.add_argument("--boot", action="store_true", help=argparse.SUPPRESS)
    found.add_argument("--timer", action="store_true", help=argparse.SUPPRESS)
    return found


def say(text: str) -> None:
    """A line for whoever reads along, if anybody still does."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


def unattended(at_boot: bool) -> int:
    """Started by the timer, or by the boot unit: it is for the journal, and nothing is looked at needlessly."""
    from .registry import make_registry

    for note in Transaction(make_registry(), "").restore(print, at_boot=at_boot):
        print(note)
    return 0


def on_server(before: bool) -> int:
    """On the running server."""
    from .registry import make_registry

    registry = make_registry()
    transaction = Transaction(registry, "")
    context = Context(say, undo=True, told=say)
    with alone() if before else contextlib.nullcontext():
        if (waited := transaction.armed()) and not undone(transaction, context):
            return 1
        return finish(registry, context, before, waited, f"Next: {BACK + UP if before else UP}.")


def in_root(root: str, before: bool) -> int:
    """From a rescue system, with the server's root mounted at `root`."""
    enter(root)
    if not os.path.isdir(STATE_DIR):
        raise HostError(
            f"{root} holds no {STATE_DIR}", "mount the server's root there, and its /var where that is another disk"
        )
    facets: dict[str, Facet] = {"files": Files(), "only": Only(), "configured": Configured(), "units": Enablement()}
    registry = Registry(facets)
    transaction = Transaction(registry, "")
    context = Context(say, undo=True, at_boot=True, told=say)
    waited = transaction.armed()
    if (before or waited) and os.statvfs(STATE_DIR).f_flag & os.ST_RDONLY:
        raise HostError(f"{root} is mounted read-only", f"`mount -o remount,rw {root}`, then run it again")
    if waited and not undone(transaction, context):
        return 1
    after = f"Next: `umount -R {root}`, boot the server from its disk, then {BACK + UP if before else UP}."
    status = finish(registry, context, before, waited, after)
    os.sync()
    return status


def enter(root: str) -> None:
    """Make `root` this process's root; what Python and the C library load lazily is loaded from outside before."""
    if not os.path.isdir(root):
        raise HostError(f"{root} is no directory", "mount the server's root there")
    for name in ("ascii", "utf-8", "latin-1", "unicode_escape"):
        codecs.lookup(name)
    hashlib.sha256(b"").hexdigest()
    for look_up in (pwd.getpwnam, grp.getgrnam):
        with contextlib.suppress(KeyError):
            look_up("sixstead-nobody")
    os.chroot(root)
    os.chdir("/")


def undone(transaction: Transaction, context: Context) -> bool:
    """Undo the change that waits; whether that was done wholly."""
    say("A network change waits for its confirmation; it is undone:")
    # below a root nobody else is at work, and /run there may be the rescue system's
    with contextlib.nullcontext() if context.at_boot else exclusive():
        transaction.undo(context)
    notes, context.notes = context.notes, []
    for note in notes:
        say(note)
    return not transaction.armed()


def finish(registry: Registry, context: Context, before: bool, waited: bool, after: str) -> int:
    """Put the before-state back where that is asked for; else tell of it. Says what comes next."""
    keys = sections() & set(registry.manifest.names())
    captured = before_of(registry, keys)
    if before and keys:
        say("The network that was there before Sixstead's is put back:")
        keep_edits(registry, captured)
        failed = put_back(registry, captured, context)
        for note in context.notes:
            say(note)
        if failed:
            say("Not all is back: correct what stands above, then run it again.")
            return 1
        registry.settle({}, keys, captured)
        say("Guests are without a network until the next `up`.")
    elif before:
        say("Nothing of the network is Sixstead's now: there is nothing to put back.")
    elif not waited:
        say("No network change waits for its confirmation: nothing was done.")
        lines = all_differences(registry, captured, context.at_boot)
        if lines:
            say("With --before the network that was there before Sixstead's comes back:")
            for line in lines:
                say(f"  {line}")
        return 0
    say(after)
    return 0


def before_of(registry: Registry, keys: set[str]) -> Captured:
    """The before-state of what these resources have for themselves."""
    owned = registry.owned()
    others = union(*(state for key, state in owned.items() if key not in keys))
    mine = without(union(*(owned[key] for key in sorted(keys))), others)
    records = {name: {item: registry.before(name).get(item) for item in items} for name, items in mine.items()}
    return {
        name: {item: record["captured"] for item, record in items.items() if record is not None}
        for name, items in records.items()
    }


def keep_edits(registry: Registry, captured: Captured) -> None:
    """Copy what is neither ours nor as before, and would be lost."""
    wanted = dict(captured.get("files", {}))
    for pattern, files in captured.get("only", {}).items():
        wanted.update({**dict.fromkeys(glob.glob(pattern)), **(files or {})})
    texts = union(*registry.owned().values()).get("files", {})
    for path, was in wanted.items():
        ours = (texts.get(path), *registry.written("files", path))
        if os.path.isfile(path) and capture_file(path) != was and observe_file(path) not in ours:
            copy = f"{REPLACED}/{quoted(path)}"
            with open(path, "rb") as file:
                write_durably(copy, file.read(), 0o600)
            say(f"{path} was changed by somebody else: a copy is kept in {copy}")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else changes this server meanwhile. Raises HostError naming who does."""
    descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 500, 0).decode(errors="replace") or "somebody"
            raise HostError(f"{holder} is changing this server", "wait until that is done, then run it again") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{SCRIPT} --before on the server itself".encode(), 0)
        yield
    finally:
        os.close(descriptor)
