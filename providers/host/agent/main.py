"""The agent's loop: frames in, frames out; requests are served side by side, those that write one after the other."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

from . import nft, observer_key
from .backend import backend
from .examine import examine
from .facets import Context, State, converge
from .frames import own_streams, read_frame, refused_user
from .holder import refuse_other, release
from .registry import make_registry
from .requests import arguments_of
from .script import refresh_script, remove_script
from .system import LOCK, STATE_DIR, HostError, Progress
from .transaction import Transaction

LOCK_WAIT = 100
"""Seconds that a writer waits for another one."""
SILENCE = 75
"""Seconds without a word from the operator's side, which speaks every 15 s, after which nobody is there any more: a frozen
connection must not hold the lock until TCP gives up, which takes hours."""
GRACE = 15
"""Seconds for a confirmation over a new connection once the one that asked for a network change is closed."""
OF_ONE_GUEST = {"disks", "seeds", "domains"}
"""Facets whose items belong to one guest alone."""


class Agent:
    """Serves one connection."""

    def __init__(self, source: BinaryIO, sink: BinaryIO, bundle: str) -> None:
        self.source, self.sink = source, sink
        self.sending, self.locking, self.writing = threading.Lock(), threading.Lock(), threading.Lock()
        self.guests: dict[str, threading.Lock] = {}
        self.registry = make_registry()
        self.transaction = Transaction(self.registry, bundle)
        self.lock: int | None = None
        self.operator = "somebody"
        self.heard, self.busy = time.monotonic(), 0
        self.operations: dict[str, Callable[[dict[str, Any], Progress], Any]] = {
            "hello": self.hello,
            "alive": lambda args, progress: {},
            "observe": self.observe,
            "converge": self.converge,
            "remove": self.remove,
            "network": self.network,
            "confirm": self.confirm,
            "roll_back": self.roll_back,
            "counted": self.counted,
            "examine": lambda args, progress: examine(self.registry, args),
            "observer_key": self.observer_key,
        }

    def serve(self) -> None:
        """Serve until the other side closes; what is being done then is done to its end."""
        threads: list[threading.Thread] = []
        threading.Thread(target=self.watch, daemon=True).start()
        while (frame := read_frame(self.source)) is not None:
            self.heard = time.monotonic()
            with self.sending:
                self.busy += 1
            thread = threading.Thread(target=self.answer, args=(frame,))
            thread.start()
            threads = [t for t in threads if t.is_alive()] + [thread]
        for thread in threads:
            thread.join()
        self.hung_up()

    def hung_up(self) -> None:
        """The operator's side has closed the connection: what it did not confirm, over another one, is undone soon.

        The lock is given up first: whoever writes next need not wait, and undoes it himself.
        """
        if self.lock is not None:
            os.close(self.lock)
        deadline = time.monotonic() + GRACE
        while self.transaction.waits() and time.monotonic() < deadline:
            time.sleep(0.2)
        if self.transaction.waits():
            self.transaction.restore(lambda text: None)

    def watch(self) -> None:
        """End this process, and with it the lock, when the operator's side has fallen silent and nothing is being done."""
        while self.busy or time.monotonic() - self.heard < SILENCE:
            time.sleep(1)
        os._exit(0)

    def answer(self, frame: dict[str, Any]) -> None:
        """Carry out one request and send what came of it."""
        number = frame.get("id")
        try:
            operation = self.operations.get(str(frame.get("op")))
            if operation is None:
                raise self.refusal(str(frame.get("op")))
            answer = {"ok": operation(arguments_of(frame), lambda text: self.send({"id": number, "progress": text}))}
        except HostError as error:
            answer = {"error": {"what": error.what, "remedy": error.remedy}}
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = f"no space is left on the server for {error.filename or 'a file'}" if full else str(error)
            remedy = "free space (`df -h`), then run `up` again" if full else ""
            answer = {"error": {"what": what, "remedy": remedy, "trace": traceback.format_exc()}}
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            answer = {"error": {"what": what, "remedy": "", "trace": traceback.format_exc()}}
        self.send({"id": number, **answer})
        with self.sending:
            self.busy -= 1

    def refusal(self, operation: str) -> HostError:
        """Why an operation is not there."""
        return HostError(f"the agent knows no operation {operation!r}")

    def send(self, message: dict[str, Any]) -> None:
        """Send one frame; nobody may be there to read it any more."""
        # a file's name may be no text: half characters, which nobody can print, become question marks
        content = json.dumps(message, ensure_ascii=False).encode(errors="replace")
        with self.sending, contextlib.suppress(BrokenPipeError):
            self.sink.write(struct.pack(">I", len(content)) + content)
            self.sink.flush()

    def turn(self, states: Iterable[State], keys: Iterable[str]) -> threading.Lock:
        """Whose turn a writer waits for: guests wait for themselves only, so that slow ones stop side by side."""
        if all(set(state) <= OF_ONE_GUEST for state in states):
            with self.locking:
                return self.guests.setdefault(" ".join(sorted(keys)), threading.Lock())
        return self.writing

    def take_lock(self, progress: Progress, stack: str = "") -> None:
        """One writer a host, for the connection's life; `stack` is whose change it is, of a server's stack.

        Raises HostError naming who has the lock if he does not let go, and where another stack holds the server.
        """
        with self.locking:
            if self.lock is None:
                self.wait_for_lock(progress, stack)
            else:
                refuse_other(stack, self.registry.manifest.names())
            self.registry.stack = stack or self.registry.stack

    def wait_for_lock(self, progress: Progress, stack: str) -> None:
        """See take_lock. Nothing is written before it is known that the stack may."""
        descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline, told = time.monotonic() + LOCK_WAIT, False
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 500, 0).decode(errors="replace") or "somebody"
                if time.monotonic() > deadline:
                    os.close(descriptor)
                    raise HostError(
                        f"{holder} is changing this server", "wait until that is done, then run it again"
                    ) from None
                if not told:
                    progress(f"waiting: {holder} is changing this server")
                    told = True
                time.sleep(0.2)
        try:
            refuse_other(stack, self.registry.manifest.names())
        except HostError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        os.pwrite(descriptor, f"{self.operator} (since {since})".encode(), 0)
        self.lock = descriptor
        refresh_script(self.transaction.bundle)
        observer_key.refresh(self.transaction.bundle)
        self.transaction.finish_unconfirmed(progress)

    def hello(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Who this host is."""
        self.operator = str(args.get("operator", "somebody"))[:200]
        release: dict[str, str] = {}
        with contextlib.suppress(OSError), open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            release = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        os_name = f"{release.get('ID', '?')}-{release.get('VERSION_ID', '?')}".replace('"', "")
        return {
            "os": os_name,
            "backend": backend(),
            "network": self.registry.manifest.get("uplink") is not None,
            "boot_id": boot,
            "uid": os.geteuid(),
            "python": sys.version.split()[0],
        }

    def observe(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """The state of the given resources and, if asked, of all that the manifest names; in one answer."""
        wanted = {**(self.registry.owned() if args.get("all") else {}), **args.get("wanted", {})}
        return {"wanted": wanted, "observed": self.registry.observe_many(wanted)}

    def counted(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """What the firewall counted."""
        return {"rules": nft.counted(args["tables"])}

    def converge(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Bring one or more resources to the wanted state."""
        with self.turn(args["entries"].values(), args["entries"]):
            self.take_lock(progress, args.get("stack", ""))
            context = Context(progress, args.get("params", {}))
            observed = converge(self.registry, args["entries"], args.get("previous", []), args.get("gone", []), context)
            return {"observed": observed, "notes": context.notes}

    def remove(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Give resources back: what was there before is there again."""
        with self.turn(args["previous"], args["gone"]):
            self.take_lock(progress, args.get("stack", ""))
            context = Context(progress, args.get("params", {}))
            converge(self.registry, {}, args["previous"], args["gone"], context)
            self.leave()
            return {"notes": context.notes}

    def leave(self) -> None:
        """With the last resource goes our directory; with the last one of a server's stack, the record of who that is."""
        if not self.transaction.armed():
            release(self.registry.manifest.names())
        if not self.registry.owned() and not self.transaction.armed():
            observer_key.remove()
            for directory, _, files in os.walk(f"{STATE_DIR}/before", topdown=False):
                if files:
                    return
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
            remove_script()
            for name in ("before", "manifest", "stale", "transaction", ""):
                with contextlib.suppress(OSError):
                    os.rmdir(f"{STATE_DIR}/{name}".rstrip("/"))

    def observer_key(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Let a public key observe, and nothing else; without one, let none do so any more."""
        with self.writing:
            self.take_lock(progress)
            if not args.get("key"):
                return {"files": observer_key.remove()}
            return {"files": [observer_key.install(self.transaction.bundle, str(args["key"]))]}

    def network(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Begin a network change: arm, apply, verify. It counts only when it is confirmed."""
        with self.writing:
            self.take_lock(progress, args.get("stack", ""))
            context = Context(progress, args.get("params", {}))
            refuse_other_port(context.params.get("ssh_port"))
            previous, gone = args.get("previous", []), args.get("gone", [])
            return self.transaction.begin(args["entries"], previous, gone, context, args.get("changed"))

    def confirm(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """The operator came in anew: the change holds."""
        self.transaction.confirm(args["token"])
        self.leave()
        return {}

    def roll_back(self, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """The operator saw that the change does not hold: undo it now instead of at the end of the time limit."""
        with self.writing:
            notes = self.transaction.restore(progress)
            return {"holds": self.transaction.holds(), "notes": notes}


def refuse_other_port(opened: int | None) -> None:
    """The firewall opens one port for SSH: it must be that by which this connection came (sshd(8), SSH_CONNECTION).

    sudo takes the variable away; then the confirmation finds out.
    """
    words = os.environ.get("SSH_CONNECTION", "").split()
    if opened and len(words) == 4 and int(words[3]) != opened:
        raise HostError(
            f"this connection came in at port {words[3]}, and the firewall would open port {opened} alone; nothing was changed",
            f"set `sixstead:server.ssh.port` to {words[3]}",
        )


def main(bundle: str) -> None:
    """Entered by the bootstrap; bundle is the agent's own source, which the restore script carries on."""
    source, sink = own_streams()
    if not refused_user(sink):
        Agent(source, sink, bundle).serve()
