"""A login key that may only observe: a line of authorized_keys(5) whose forced command is a copy of this agent.

`restrict` takes away forwarding, terminal and ~/.ssh/rc; `command` is run whatever the client asks for. The copy lies
below the state directory, for root only, and is made anew by each change of the server, so that it is never older.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import shutil
import stat

from .system import STATE_DIR, HostError, make_dirs, owner_of, write_durably

DIRECTORY = f"{STATE_DIR}/observer"
SCRIPT, FILES = f"{DIRECTORY}/observe.py", f"{DIRECTORY}/files.json"
COMMAND = f"/usr/bin/python3 -I {SCRIPT}"
MAIN = "\nfrom sixstead_agent.observing import main\nmain()\n"
KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9@.-]+) ([A-Za-z0-9+/]{40,}={0,2})")


def install(bundle: str, key: str) -> str:
    """Let a public key observe, as the user who is logged in; returns the file that was written.

    Raises HostError for what is no key, or a key that may do more already.
    """
    match = KEY.match(key.strip())
    if match is None:
        raise HostError("this is no public key of OpenSSH", "give the text of a file like id_ed25519.pub")
    user = os.environ.get("SUDO_USER") or "root"
    home = pwd.getpwnam(user).pw_dir
    path = f"{home}/.ssh/authorized_keys"
    lines = read(path)
    line = f'restrict,command="{"" if user == "root" else "sudo -n "}{COMMAND}" {match[1]} {match[2]} sixstead-observer'
    if any(match[2] in other and SCRIPT not in other for other in lines):
        raise HostError(
            f"this key stands in {path} already and may do everything", "make a new one: ssh-keygen -t ed25519"
        )
    make_dirs(DIRECTORY, 0o700)
    write_durably(SCRIPT, (bundle + MAIN).encode(), 0o600)
    write_durably(FILES, json.dumps(sorted({*files(), path})).encode(), 0o600)
    write(path, [*(other for other in lines if match[2] not in other), line], f"{user}:")
    return path


def refresh(bundle: str) -> None:
    """Make the copy that of this agent, where there is one."""
    content = (bundle + MAIN).encode()
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        with open(SCRIPT, "rb") as file:
            same = file.read() == content
        if not same:
            write_durably(SCRIPT, content, 0o600)


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
    """A file's lines. Raises HostError where it is a link: a user could have it lead anywhere."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []
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
    write_durably(path, text.encode(errors="surrogateescape"), mode, owned)
