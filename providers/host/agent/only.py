"""Directories whose files are read together by their owner: what is not ours there is put away, and comes back.

Item: a pattern of glob(7) for paths, `/etc/netplan/*.yaml`; value: a pattern for the names that may stay.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
from collections.abc import Iterable, Mapping
from typing import Any

from .facets import Context
from .files import Files, capture_file
from .reload import wrote
from .system import sync_directory


class Only:
    """Nothing else beside ours."""

    keeps_edits = False
    reads_files = False

    def observe(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """The pattern that may stay, or it and the names that are there besides."""
        found = {}
        for pattern, ours in wanted.items():
            others = [os.path.basename(path) for path in others_of(pattern, ours)]
            found[pattern] = ", ".join([ours, *others])
        return found

    def capture(self, items: Iterable[str]) -> dict[str, Any]:
        """All files that match, whole."""
        return {pattern: {path: capture_file(path) for path in sorted(glob.glob(pattern))} for pattern in items}

    def apply(self, wanted: Mapping[str, Any], observed: Mapping[str, Any], context: Context) -> None:
        """Remove the others: they are kept as the before-state."""
        for pattern, ours in wanted.items():
            for path in others_of(pattern, ours):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                wrote(path, context)
            with contextlib.suppress(FileNotFoundError):
                sync_directory(os.path.dirname(pattern))

    def restore(self, captured: Mapping[str, Any], context: Context) -> None:
        """Put back what is missing now; to undo a change, also what is another."""
        for pattern, files in captured.items():
            if context.undo:
                # what the change had brought back goes again
                for path in set(glob.glob(pattern)) - set(files or {}):
                    os.unlink(path)
                    wrote(path, context)
            other = {
                path: was
                for path, was in (files or {}).items()
                if not os.path.lexists(path) or (context.undo and capture_file(path) != was)
            }
            Files().restore(other, context)


def others_of(pattern: str, ours: str) -> list[str]:
    """The paths that match and may not stay."""
    return [path for path in sorted(glob.glob(pattern)) if not fnmatch.fnmatch(os.path.basename(path), ours)]
