"""A session with a host: one SSH connection for a host and process, one agent on it, requests side by side."""

from __future__ import annotations

import getpass
import itertools
import json
import os
import queue
import shlex
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import paramiko

from . import bundle, errors
from .connection import Target, connect
from .errors import ServerError, Unreachable

BEAT_SECONDS, SILENCE_SECONDS = 15, 90
"""How often each side lets the other know that it is there, and how long the server may say nothing at all. A network
change that nobody confirms is undone within that time, so a connection that only hung goes on."""
START_TIMEOUT = 30
"""Seconds from the login to the agent's first answer."""


class Session:
    """A connection with a running agent.

    `exchanges` counts requests: it is what the cost table in `make bench` shows.
    """

    def __init__(self, where: Target, progress: Callable[[str], None] = lambda text: None) -> None:
        self.where, self.progress = where, progress
        self.transport, self.key = connect(where)
        self.exchanges = 0
        self.numbers = itertools.count(1)
        self.waiting: dict[int, queue.Queue[dict[str, Any] | None]] = {}
        self.sending = threading.Lock()
        self.broken = ""
        self.heard = time.monotonic()
        try:
            self.channel = self.start_agent()
            self.reader = threading.Thread(target=self.read, daemon=True)
            self.reader.start()
            self.facts = self.request("hello", {"operator": operator()}, START_TIMEOUT)
            threading.Thread(target=self.beat, daemon=True).start()
        except BaseException:
            self.transport.close()
            raise

    def start_agent(self) -> paramiko.Channel:
        """Start python3 on the host, as root, and send it the agent. Its stderr is kept for the error text."""
        try:
            channel = self.transport.open_session(timeout=START_TIMEOUT)
        except (paramiko.SSHException, EOFError) as error:
            raise Unreachable(
                str(self.where),
                f"the SSH server opens no session: {error}",
                "run the command again; see sshd's log there",
            ) from None
        command = f"python3 -c {shlex.quote(bundle.BOOTSTRAP)}"
        content = bundle.program()
        if self.where.user != "root":
            if self.where.sudo_password is None:
                command = f"sudo -n -- {command}"
            else:
                command = f"sudo -k -S -p '' -- {command}"
                content = self.where.sudo_password.encode() + b"\n" + content
        try:
            channel.exec_command(command)
            channel.sendall(content)
        except (OSError, paramiko.SSHException):
            raise self.ended(channel) from None
        return channel

    def ended(self, channel: paramiko.Channel) -> ServerError:
        """Why the agent is not there: its own last words."""
        channel.settimeout(5)
        words = b""
        try:
            while len(words) < 4000 and (part := channel.recv_stderr(4000)):
                words += part
        except (TimeoutError, OSError):
            pass
        text = words.decode(errors="replace").strip()
        if self.where.user != "root" and "sudo" in text:
            return Unreachable(
                str(self.where),
                f"{self.where.user} may not become root with sudo: {text.splitlines()[-1]}",
                "allow it in /etc/sudoers, or set the password with `config set --secret sixstead:sudoPassword`",
            )
        if "python3" in text and "not found" in text:
            return Unreachable(
                str(self.where), "python3 is not installed on the server", "install the package python3 there"
            )
        last = f"; its last words: {text[-500:]}" if text else ""
        return Unreachable(
            str(self.where), f"the agent on the server ended without an answer{last}", "run the command again"
        )

    def beat(self) -> None:
        """Say that this side is there; end a connection on which the other one says nothing."""
        while not self.broken:
            time.sleep(BEAT_SECONDS)
            silent = time.monotonic() - self.heard
            if silent > SILENCE_SECONDS:
                self.broken = f"the server has said nothing for {silent:.0f} s"
                self.transport.close()
                return
            try:
                self.send({"id": 0, "op": "alive"})
            except OSError:
                return  # the reader finds out why

    def send(self, frame: Mapping[str, Any]) -> None:
        """One frame. Raises OSError where the connection is gone."""
        content = json.dumps(frame).encode()
        with self.sending:
            self.channel.sendall(struct.pack(">I", len(content)) + content)

    def read(self) -> None:
        """Hand each frame to whoever waits for it, until the connection ends."""
        why = ""
        try:
            while (frame := self.frame()) is not None:
                number = frame.get("id")
                self.heard = time.monotonic()
                if number == 0 and "ok" in frame:
                    continue
                if "progress" in frame:
                    self.progress(errors.printable(worded(frame["progress"])))
                elif isinstance(number, int) and number in self.waiting:
                    self.waiting[number].put(frame)
                else:
                    why = "an answer that nobody asked for"
                    break
        except (ValueError, EOFError) as error:
            why = str(error)
        except OSError as error:
            why = f"the connection broke: {error}"
        self.broken = self.broken or why or "the connection was closed"
        for box in list(self.waiting.values()):
            box.put(None)

    def frame(self) -> dict[str, Any] | None:
        """One frame: four bytes of length, then JSON. Raises ValueError where it is neither."""
        header = self.exactly(4, at_start=True)
        if header is None:
            return None
        size = struct.unpack(">I", header)[0]
        if size > 64 * 1024 * 1024:
            raise ValueError(f"the server sent what is not an answer of the agent: {header!r}...")
        content = self.exactly(size)
        try:
            frame = json.loads((content or b"").decode())
        except (ValueError, RecursionError):
            raise ValueError(f"the server sent what is not an answer of the agent: {(content or b'')[:60]!r}") from None
        if not isinstance(frame, dict):
            raise ValueError("the server sent what is not an answer of the agent")
        return frame

    def exactly(self, size: int, at_start: bool = False) -> bytes | None:
        """Read so many bytes; None at the end of the stream between two frames."""
        parts: list[bytes] = []
        missing = size
        while missing:
            part = self.channel.recv(min(missing, 1 << 20))
            if not part:
                if at_start and not parts:
                    return None
                raise EOFError("the connection was closed in the middle of an answer")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def request(self, operation: str, arguments: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """Ask the agent. Raises ServerError with its words, or with what became of the connection."""
        number = next(self.numbers)
        box: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.waiting[number] = box
        try:
            if self.broken:
                raise self.lost()
            self.exchanges += 1
            try:
                self.send({"id": number, "op": operation, "args": arguments})
            except OSError:
                raise self.lost() from None
            errors.count("exchange", " ".join([operation, *arguments.get("entries", ()), *arguments.get("gone", ())]))
            try:
                answer = box.get(timeout=timeout)
            except queue.Empty:
                self.transport.close()
                raise Unreachable(
                    str(self.where), f"the agent did not answer within {timeout:.0f} s", "run the command again"
                ) from None
        finally:
            del self.waiting[number]
        if answer is None:
            raise self.lost()
        return self.result(answer)

    def result(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """What an answer says. Raises ServerError for an error, and for what no agent of ours sends."""
        error, result = answer.get("error"), answer.get("ok")
        if isinstance(error, dict):
            if text := worded(error.get("trace")):
                errors.log(f"{self.where}: {text}")
            what, remedy = (errors.printable(worded(error.get(name))) for name in ("what", "remedy"))
            raise ServerError(str(self.where), what or "the agent gives no reason", remedy)
        if not isinstance(result, dict):
            raise ServerError(str(self.where), "the server sent what is not an answer of the agent", "run it again")
        return result

    def lost(self) -> ServerError:
        """The connection is gone in the middle of things."""
        if self.broken == "the connection was closed":
            return self.ended(self.channel)
        return Unreachable(
            str(self.where), self.broken, "run the command again: what was half done is found and finished then"
        )

    def close(self) -> None:
        """End the session; the agent ends with it."""
        self.transport.close()


def worded(value: object) -> str:
    """A text that the other side sent; what is none counts for nothing, whatever it is."""
    return value if isinstance(value, str) else ""


def operator() -> str:
    """Who changes the server, for whoever has to wait: user, host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
