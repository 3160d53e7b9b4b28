"""authorized_keys as the server itself knows it: whose file it is, whether sshd reads it, whether the key in use stays.

sshd(8), AUTHORIZED_KEYS FILE FORMAT; sshd_config(5), AuthorizedKeysFile.
"""

from __future__ import annotations

import base64
import contextlib
import grp
import hashlib
import os
import pwd
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from .facets import Context, Plan, Registry, union
from .files import content_of
from .observer_key import AUTHORIZED_KEYS, is_one, without_lines
from .sshd import configuration
from .system import HostError, refuse_links

KINDS = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")


def refuse_lock_out(plan: Plan, registry: Registry, context: Context) -> None:
    """Raises HostError, before anything is written, where a change of authorized_keys would lock out who makes it.

    `params["login"]` says who that is: `user`, `key` (base64) and its `fingerprint`.
    """
    login = context.params.get("login") or {}
    ours = union(*registry.owned().values()).get("files", {})
    for path, wanted in plan.wanted.get("files", {}).items():
        if is_one(path) and (path not in ours or path in plan.differing.get("files", {})):
            refuse_unread(path, login, context)
            refuse_links(path)
            present = keys_in(text_of(plan.observed.get("files", {}).get(path)))
            left = keys_in(text_of(wanted))
            refuse_without(login, left, f"{path} would not have")
            gone = [told(key, line) for key, line in present.items() if key not in left]
            if gone:
                context.notes.append(f"taken out of {path}: {', '.join(gone)}")
    for path, written in plan.left.get("files", {}).items():
        if path == own_file(login) and not registry.edited("files", path, written, plan.observed):
            record = registry.before("files").get(path)
            if record is not None:
                refuse_without(
                    login, keys_in(text_before(record["captured"], path)), f"before Sixstead {path} did not have"
                )


def refuse_without(login: Mapping[str, str], keys: Mapping[str, str], where: str) -> None:
    """Raises HostError where the key in use is not among these."""
    if login.get("key") not in keys:
        raise HostError(
            f"{where} the key that logged in, {login.get('fingerprint')}, so it would be locked out;"
            " the network was not changed",
            "log in with a key that stays, or add this one to the file on the server: a file that somebody edited is kept",
        )


def refuse_unread(path: str, login: Mapping[str, str], context: Context) -> None:
    """Raises HostError where the file is not the one by which this login gets in."""
    user = login.get("user", "")
    own = own_file(login)
    if path != own:
        raise HostError(
            f"this connection logged in as {user}, whose keys are in {own}, not in {path}; the network was not changed",
            f"set `sixstead:server.ssh.user` to {user}; a home elsewhere than in /home is not supported: leave"
            " `operators` out there",
        )
    group = grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name
    if group != user:
        raise HostError(
            f"the login group of {user} is {group}; a group of the user's own name is needed; the network was not changed",
            f"make it (`groupadd {user} && usermod -g {user} {user}`), or leave `sixstead:server.operators` out",
        )
    home = pwd.getpwnam(user).pw_dir
    read = [expanded(name, user, home) for name in files_of_sshd(user)]
    if read and path not in read:
        raise HostError(
            f"sshd on this server does not read {path}, but {', '.join(read)} (sshd -T, AuthorizedKeysFile);"
            " the network was not changed",
            "put AuthorizedKeysFile back to its default, or leave `sixstead:server.operators` out",
        )
    for other in read:
        if other != path and keys_in(text_at(other)):
            context.notes.append(f"keys in {other} log in as {user}, too: sshd reads that file besides {path}")


def own_file(login: Mapping[str, str]) -> str:
    """The usual authorized_keys of the user who logged in; empty where the server knows no such user."""
    try:
        return pwd.getpwnam(login.get("user", "")).pw_dir + AUTHORIZED_KEYS
    except KeyError:
        return ""


def files_of_sshd(user: str) -> list[str]:
    """AuthorizedKeysFile as sshd understands its configuration; empty where it can't be asked."""
    said = (configuration(user) or {}).get("authorizedkeysfile", "")
    return [word for word in said.split() if word != "none"]


def expanded(name: str, user: str, home: str) -> str:
    """A file name of AuthorizedKeysFile with its tokens filled in; relative ones are below the home."""
    text = "%".join(part.replace("%h", home).replace("%u", user) for part in name.split("%%"))
    return text if text.startswith("/") else f"{home}/{text}"


def keys_in(text: str) -> dict[str, str]:
    """The keys of an authorized_keys text, by their base64 part, each with its whole line."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        for kind, key in pairwise(words):
            if kind.startswith(KINDS):
                found[key] = line.strip()
                break
    return found


def told(key: str, line: str) -> str:
    """A key as its fingerprint and comment."""
    try:
        digest = base64.b64encode(hashlib.sha256(base64.b64decode(key)).digest()).decode().rstrip("=")
    except ValueError:
        return line
    return f"SHA256:{digest} {line.partition(key)[2].strip()}".strip()


def text_of(value: Any) -> str:
    """The text of a file facet's value."""
    return str(value.get("text", "")) if isinstance(value, dict) else str(value or "")


def text_before(captured: Mapping[str, Any], path: str) -> str:
    """The text that giving a file back would bring: its own, or that of the file that the link led to."""
    if captured["kind"] == "file":
        return without_lines(content_of(captured).decode(errors="replace"))
    if captured["kind"] == "link":
        return text_at(os.path.join(os.path.dirname(path), captured["target"]))
    return ""


def text_at(path: str) -> str:
    """A file's text; empty where there is none."""
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
    return ""
