"""What a change of the repository touches: stack files, and everything else. Git's plumbing reads it; nothing of it is run."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from engine.config import Project
from engine.errors import EngineError

_STACK = re.compile(r"Pulumi\.([A-Za-z0-9][A-Za-z0-9_.-]{0,99})\.yaml")
_SAID = re.compile(r".*\.md|docs/.*")
"""Files that change no server, whatever stands in them."""


@dataclass(frozen=True)
class Touched:
    """What merging a change would do to the repository.

    `stacks`: the stack files that would differ, by stack, with the text that merging gives them (None: removed).
    `code`: all other files that count. `every`: the stacks that are there afterwards.
    """

    since: str
    head: str
    stacks: dict[str, bytes | None] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)
    every: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The stacks that are touched: all of them by a change of code."""
        return sorted({*self.stacks, *self.every}) if self.code else sorted(self.stacks)


def touched(root: Path, since: str, head: str) -> Touched:
    """Compare `since` with what merging `head` into it gives. Raises EngineError where they can't be merged."""
    base, tip = commit(root, since), commit(root, head)
    merged = git(root, "merge-tree", "--write-tree", base, tip, fails="the two conflict, or have no common history")
    tree = merged.split(b"\n", 1)[0].decode()
    prefix = git(root, "rev-parse", "--show-prefix").decode().strip()
    folder = f"{prefix}{Project.load(root).config_dir.relative_to(root.resolve()).as_posix()}/".replace("./", "")
    found = Touched(base, tip, every=stacks_of(root, tree, folder))
    parts = iter(git(root, "diff-tree", "-r", "-z", "--no-renames", base, tree).split(b"\0"))
    for entry in parts:
        if not entry:
            continue
        _, mode, _, blob, _ = entry.decode().split()
        path = next(parts).decode(errors="backslashreplace")
        match = _STACK.fullmatch(path.removeprefix(folder)) if path.startswith(folder) else None
        if match and mode in ("100644", "100755"):
            found.stacks[match[1]] = git(root, "cat-file", "blob", blob)
        elif match and mode == "000000":
            found.stacks[match[1]] = None
        elif not _SAID.fullmatch(path.removeprefix(prefix)) or mode == "120000":
            found.code.append(path)
    return found


def stacks_of(root: Path, tree: str, folder: str) -> list[str]:
    """The stacks whose files are in a tree."""
    names = git(root, "ls-tree", "-z", "--name-only", "--full-tree", f"{tree}", "--", folder).decode(errors="replace")
    matches = (_STACK.fullmatch(name.removeprefix(folder)) for name in names.split("\0"))
    return sorted(match[1] for match in matches if match)


def commit(root: Path, revision: str) -> str:
    """A revision's commit. Raises EngineError where there is none."""
    fails = f"{revision!r} is no commit of this repository"
    return (
        git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}", fails=fails)
        .decode()
        .strip()
    )


def git(root: Path, *arguments: str, fails: str = "") -> bytes:
    """What git prints. Raises EngineError, with `fails` or git's own last words."""
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise EngineError("git is not installed") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise EngineError(f"git {arguments[0]}: {fails or (words or ['failed'])[-1]}")
    return done.stdout
