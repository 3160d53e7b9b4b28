"""Errors as the owner reads them: what failed, on which server, what to do next. Tracebacks go to a log."""

from __future__ import annotations

import datetime
import os
import pathlib
import traceback

LOG = pathlib.Path(os.environ.get("SIXSTEAD_LOG", ".pulumi/logs/sixstead.log"))


class ServerError(Exception):
    """Something that concerns a server: reaching it, or what its agent says."""

    def __init__(self, server: str, what: str, remedy: str = "") -> None:
        self.server, self.what, self.remedy = server, what, remedy
        super().__init__(f"{server}: {what}" + (f"\n  what to do: {remedy}" if remedy else ""))


class Unreachable(ServerError):
    """No connection, or no login: nothing is known of the server's state."""


def printable(text: str) -> str:
    """A server's words as a terminal may have them: no control characters but line breaks and tabs, no half characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def log(text: str) -> str:
    """Append to the log with the time; returns the log's path. The log is for the owner's eyes only (0600)."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="replace") as file:
        file.write(f"{datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds')} {text.rstrip()}\n")
    return str(LOG)


def told(error: BaseException) -> str:
    """The text for the owner; a traceback, where there is one to keep, goes to the log."""
    if isinstance(error, ServerError):
        return str(error)
    path = log("".join(traceback.format_exception(error)))
    return f"internal error: {type(error).__name__}: {error}\n  details are in {path}; please report them"


def count(what: str, which: str) -> None:
    """Append one line to the file named by SIXSTEAD_COST, where that is set: connections and exchanges are counted so."""
    path = os.environ.get("SIXSTEAD_COST")
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {what} {which}\n")
