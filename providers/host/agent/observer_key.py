"""A login key that may only observe: a line of authorized_keys(5) whose forced command is a copy of this agent.

`restrict` takes away forwarding, terminal and ~/.ssh/rc; `command` is run whatever the client asks for. The copy lies
below the state directory, for root only, and is made anew by each change of the server, so that it is never older.

Such lines are this module's, whoever has the rest of the file: in a file that names an observer they are no part of what
is observed (`observed`), and stay when it is written or given back (`kept`). What only resembles one is anybody's line.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import stat

from .system import STATE_DIR, HostError, make_dirs, owner_of, write_durably, write_if_other

AUTHORIZED_KEYS = "/.ssh/authorized_keys"
"""Where it is below a home."""
DIRECTORY = f"{STATE_DIR}/observer"
SCRIPT, FILES = f"{DIRECTORY}/observe.py", f"{DIRECTORY}/files.json"
COMMAND = f"/usr/bin/python3 -I {SCRIPT}"
MAIN = "\nfrom sixstead_agent.observing import main\nmain()\n"
KIND = r"(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+)"
BLOB = r"[A-Za-z0-9+/]{40,}={0,2}"
KEY = re.compile(f"({KIND}) ({BLOB})")
LINE = re.compile(
    f'^restrict,command="(?:sudo -n )?{re.escape(COMMAND)}" {KIND} {BLOB} sixstead-observer$\n?', re.MULTILINE
)
"""As `line_of` writes it, to the letter; a line ends with a line feed and nothing else, as for sshd(8)."""
BYTES = "surrogateescape"
"""How bytes that are no text go through a text and come out as they were."""


def line_of(user: str, kind: str, blob: str) -> str:
    """The line by which a key may observe, in this user's file."""
    return f'restrict,command="{"" if user == "root" else "sudo -n "}{COMMAND}" {kind} {blob} sixstead-observer'


def lines_in(text: str) -> list[str]:
    """The observers' lines of an authorized_keys text."""
    return [found[0].rstrip("\n") for found in LINE.finditer(text)]


def without_lines(text: str) -> str:
    """The text without them."""
    return LINE.sub("", text)


def with_lines(text: str, present: str) -> str:
    """A text with the observers' lines of the present one, and no others."""
    bare = without_lines(text)
    lines = lines_in(present)
    return bare + ("\n" if lines and bare and not bare.endswith("\n") else "") + "".join(f"{line}\n" for line in lines)


def others(path: str, content: bytes) -> bytes:
    """What a file holds beside observers' lines, which are never put back from a record: their keys may be withdrawn."""
    return without_lines(content.decode(errors=BYTES)).encode(errors=BYTES) if is_one(path) else content


def observed(path: str, content: bytes) -> bytes:
    """What counts of a file's content; a line that nobody withdraws, as no observer is known, counts as well."""
    return others(path, content) if is_one(path) and path in files() else content


def kept(path: str, content: bytes) -> bytes:
    """What to write where this content is wanted: the observers' lines that are there stay."""
    if not is_one(path) or path not in files():
        return content
    present = ""
    with contextlib.suppress(HostError):  # a link, or no file: nothing of ours is in it
        present = text_in(path)
    return with_lines(content.decode(errors=BYTES), present).encode(errors=BYTES)


def is_one(path: str) -> bool:
    """Whether a file is an authorized_keys."""
    return path.endswith(AUTHORIZED_KEYS)


def install(bundle: str, key: str) -> str:
    """Let a public key observe, as the user who is logged in; returns the file that was written.

    Raises HostError for what is no key, or a key that may do more already.
    """
    match = KEY.match(key.strip())
    if match is None:
        raise HostError("this is no public key of OpenSSH", "give the text of a file like id_ed25519.pub")
    user = os.environ.get("SUDO_USER") or "root"
    home = pwd.getpwnam(user).pw_dir
    path = home + AUTHORIZED_KEYS
    lines = read(path)
    line = line_of(user, match[1], match[2])
    if any(match[2] in other and SCRIPT not in other for other in lines):
        raise HostError(
            f"this key stands in {path} already and may do everything", "make a new one: ssh-keygen -t ed25519"
        )
    make_dirs(DIRECTORY, 0o700)
    write_script(bundle)
    write_durably(FILES, json.dumps(sorted({*files(), path})).encode(), 0o600)
    write(path, [*(other for other in lines if match[2] not in other), line], f"{user}:")
    return path


def refresh(bundle: str) -> None:
    """Make the copy that of this agent, where there is one."""
    if os.path.exists(SCRIPT):
        write_script(bundle)


def write_script(bundle: str) -> None:
    """The copy, for root only."""
    write_if_other(SCRIPT, (bundle + MAIN).encode(), 0o600)


def remove() -> list[str]:
    """No key may observe any more; the files that named one."""
    changed = []
    for path in files():
        lines = read(path)
        kept = [line for line in lines if SCRIPT not in line]
        if kept != lines:
            write(path, kept, "root:")
            changed.append(path)
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    return changed


def files() -> list[str]:
    """The authorized_keys files that have, or may have, such a line."""
    try:
        with open(FILES, encoding="utf-8") as file:
            return list(json.load(file))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []


def read(path: str) -> list[str]:
    """A file's lines. Raises HostError as `text_in` does."""
    text = text_in(path)
    return text.removesuffix("\n").split("\n") if text else []


def text_in(path: str) -> str:
    """A file's text; empty where there is none. Raises HostError where it is a link: a user could have it lead anywhere."""
    try:
        with open(
            os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8", errors=BYTES, newline=""
        ) as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise HostError(
            f"{path} can't be read: {error.strerror}", "put the key there by hand, see docs/review.md"
        ) from None


def write(path: str, lines: list[str], owner: str) -> None:
    """Replace a file; mode and owner stay where it is there already, else it is its owner's alone."""
    mode, owned = 0o600, owner
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        mode, owned = stat.S_IMODE(status.st_mode), owner_of(status)
    text = "".join(f"{line}\n" for line in lines)
    write_durably(path, text.encode(errors=BYTES), mode, owned)
