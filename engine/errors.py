"""What the engine says when it can't go on. Every message is for the person at the terminal: no traceback, no gRPC."""

from __future__ import annotations

import re


class EngineError(Exception):
    """A clean sentence: what failed, and what to do next. The command line prints it and exits with `status`.

    The numbers are Pulumi's: 1 for any error, 6 for a stack that is not there, 7 for changes where none were expected,
    8 for what was given up (Ctrl-C, a question answered with no).
    """

    status = 1


class StackNotFound(EngineError):
    status = 6


class ChangesUnexpected(EngineError):
    status = 7


class GivenUp(EngineError):
    status = 8


class Unsupported(EngineError):
    """A feature of Pulumi that the embedded engine does not have; the message names it."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"{feature}: not supported by the embedded engine; use pulumi for this stack")


class Damaged(EngineError):
    """A checkpoint that no engine can have written."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the checkpoint is damaged: {what}; "
            "take an earlier one from .pulumi/backups, or repair it with `pulumi state repair`"
        )


class Bail(Exception):
    """The run has failed and everything about it has been reported already."""


class CheckFailed(EngineError):
    """Inputs that a provider refused; each line names the property."""

    def __init__(self, urn: str, failures: list[tuple[str, str]]) -> None:
        lines = [f"property {name}: {reason}" if name else reason for name, reason in failures]
        super().__init__("\n".join(lines))
        self.urn = urn


class Protected(EngineError):
    """A protected resource would have been deleted or replaced."""

    def __init__(self, urn: str, what: str) -> None:
        super().__init__(
            f"unable to {what} resource {urn}\nas it is currently marked for protection. To unprotect the resource, "
            "remove the `protect` flag from the resource in the program and run `up`"
        )
        self.urn = urn


class DeleteProtected(EngineError):
    """A protected resource is not deleted; the others still are."""

    def __init__(self, urn: str) -> None:
        super().__init__(
            f"resource {urn} cannot be deleted\nbecause it is protected. To unprotect the resource, remove the "
            "`protect` flag from the resource in the program and run `up`"
        )


_FRAME = re.compile(r'^\s+File "[^"]*", line \d+')
_HEAD = re.compile(r"^(?P<cls>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$", re.DOTALL)
_PLAIN = frozenset({"Exception", "RuntimeError", "OSError", "SystemExit"})


def clean_message(text: str) -> str:
    """The message of the exception that a Python traceback ends with.

    Providers answer with `traceback.format_exc()`; the user gets only what its last exception says. The name of the
    exception's class is dropped where it says nothing (`Exception`, or a class of one's own, which is printed with its
    module); it stays for `KeyError: 'x'` and its like. Text that is no traceback is returned as it is.
    """
    lines = text.rstrip("\n").splitlines()
    frames = [i for i, line in enumerate(lines) if _FRAME.match(line)]
    if not frames:
        return text.strip()
    start = frames[-1] + 1
    while start < len(lines) and lines[start].startswith("    "):
        start += 1
    message = "\n".join(lines[start:]).strip()
    head = _HEAD.match(message)
    if head is None or not head["text"]:
        return message or text.strip()
    if head["cls"] in _PLAIN or "." in head["cls"]:
        return head["text"].strip()
    return message
