"""Files: the whole text is the value; `{"text", "mode", "owner"}` where mode and owner are not 0644 root:root."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from . import observer_key
from .facets import Context
from .reload import wrote
from .system import HostError, make_dirs, owner_of, refuse_links, sync_directory, write_durably

DEFAULT_MODE, DEFAULT_OWNER = "0644", "root:root"
LARGEST = 4 * 1024 * 1024


def value_of(text: str, mode: str = DEFAULT_MODE, owner: str = DEFAULT_OWNER) -> Any:
    """A file's value: just the text where mode and owner are the usual ones."""
    if (mode, owner) == (DEFAULT_MODE, DEFAULT_OWNER):
        return text
    return {"text": text, "mode": mode, "owner": owner}


def in_full(value: Any) -> dict[str, str]:
    """A file's value with its mode and owner, whichever they are."""
    return value if isinstance(value, dict) else {"text": value, "mode": DEFAULT_MODE, "owner": DEFAULT_OWNER}


def captured_of(content: bytes, mode: str, owner: str) -> dict[str, str]:
    """A regular file as `capture` gives it."""
    return {"kind": "file", "content": base64.b64encode(content).decode(), "mode": mode, "owner": owner}


def content_of(captured: Mapping[str, Any]) -> bytes:
    """What is in a captured regular file."""
    return base64.b64decode(captured["content"])


class Files:
    """Configuration files, read and written whole."""

    keeps_edits = True
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Text, mode and owner of regular files; anything else is described in brackets."""
        return {path: value for path in wanted if (value := observe_file(path)) is not None}

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """Content, mode and owner; a link's target; which parent directories do not exist yet."""
        return {path: capture_file(path) for path in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Write the files, atomically each."""
        for path, value in wanted.items():
            full = in_full(value)
            if os.path.isdir(path) and not os.path.islink(path):
                raise HostError(f"{path} is a directory where a file must be", f"move {path} away")
            content = observer_key.kept(path, full["text"].encode())
            write_durably(path, content, int(full["mode"], 8), full["owner"])
            wrote(path, context)

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Write the old content back, or remove the file and the directories that were made for it."""
        for path, was in captured.items():
            refuse_links(path)
            wrote(path, context)
            if was is not None and same(path, was):
                continue
            staying = observer_key.kept(path, b"")
            if was is None or was["kind"] == "absent":
                if staying:
                    status = os.lstat(path)
                    write_durably(path, staying, stat.S_IMODE(status.st_mode), owner_of(status))
                    continue
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                    sync_directory(os.path.dirname(path))
                for directory in reversed((was or {}).get("made", [])):
                    with contextlib.suppress(OSError):
                        os.rmdir(directory)
            elif was["kind"] == "link":
                if staying:
                    context.notes.append(f"{path} is a link again, so no key may observe by it any more")
                make_dirs(os.path.dirname(path))
                temporary = path + ".sixstead-link"
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
                os.symlink(was["target"], temporary)
                os.rename(temporary, path)
                sync_directory(os.path.dirname(path))
            else:
                content = observer_key.kept(path, observer_key.others(path, content_of(was)))
                write_durably(path, content, int(was["mode"], 8), was["owner"])


def same(path: str, was: Any) -> bool:
    """Whether a file is as it was captured: then nothing is written, as there may be no space to write."""
    try:
        return bool(capture_file(path) == was) and was["kind"] != "absent"
    except HostError:
        return False


def observe_file(path: str) -> Any | None:
    """The value of one file, None where there is none."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(status.st_mode):
        return f"(symbolic link to {os.readlink(path)})"
    if not stat.S_ISREG(status.st_mode):
        return "(not a regular file)"
    if status.st_size > LARGEST:
        return f"({status.st_size} bytes)"
    with open(path, "rb") as file:
        content = observer_key.observed(path, file.read())
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = f"(binary, sha256 {hashlib.sha256(content).hexdigest()})"
    return value_of(text, f"{stat.S_IMODE(status.st_mode):04o}", owner_of(status))


def capture_file(path: str) -> Any:
    """What is needed to put one file back."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        missing: list[str] = []
        parent = os.path.dirname(path)
        while not os.path.isdir(parent):
            missing.insert(0, parent)
            parent = os.path.dirname(parent)
        return {"kind": "absent", "made": missing}
    if stat.S_ISLNK(status.st_mode):
        return {"kind": "link", "target": os.readlink(path)}
    if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
        raise HostError(f"{path} is not a regular file of moderate size, so it is not taken over", f"move {path} away")
    with open(path, "rb") as file:
        content = observer_key.others(path, file.read())
    return captured_of(content, f"{stat.S_IMODE(status.st_mode):04o}", owner_of(status))
