"""The file backend: where checkpoints lie, as Pulumi's own file backend lays them out. Source: pulumi pkg/backend/diy."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from engine import yamlfile
from engine.durable import PRIVATE, write_durably
from engine.errors import EngineError, StackNotFound, Unsupported


def write_state(path: Path, text: str) -> None:
    """Write a file of the backend. Raises EngineError where it can't be written."""
    try:
        write_durably(path, text, PRIVATE)
    except OSError as err:
        raise EngineError(f"cannot write {path}: {err.strerror}; the state on disk is the last one written") from err
    # Pulumi's sidecar holds the old content's checksum.
    path.with_name(path.name + ".attrs").unlink(missing_ok=True)


class Backend:
    """One backend directory, `ROOT/.pulumi`."""

    def __init__(self, url: str, base: Path) -> None:
        """url: `file://PATH`, relative to `base`, `~` for the home directory. Raises Unsupported for any other."""
        if not url.startswith("file://"):
            raise Unsupported(f"backend {url}")
        path = os.path.expanduser(url.removeprefix("file://").split("?")[0])
        self.root = (base / path).resolve()
        self.dir = self.root / ".pulumi"

    def checkpoint_path(self, project: str, stack: str) -> Path:
        path = self.dir / "stacks" / project / f"{stack}.json"
        for ending in (".gz", ".zst"):
            if path.with_name(path.name + ending).exists():
                raise Unsupported(f"compressed checkpoints ({path.name}{ending})")
        return path

    def lock_dir(self, project: str, stack: str) -> Path:
        return self.dir / "locks" / "organization" / project / stack

    def prepare(self) -> None:
        """Make the directory, in Pulumi's layout version 1. Raises Unsupported for another layout."""
        meta = self.dir / "meta.yaml"
        raw = yamlfile.read(meta)
        if raw is None:
            if (self.dir / "stacks").is_dir() and any((self.dir / "stacks").glob("*.json")):
                raise Unsupported(f"the layout without projects in {self.dir}; run `pulumi state upgrade`")
            try:
                self.dir.mkdir(parents=True, exist_ok=True)
                meta.write_text("version: 1\n")
            except OSError as err:
                raise EngineError(f"cannot make the backend {self.dir}: {err.strerror}") from err
        elif raw.get("version") != 1:
            raise Unsupported(f"layout version {raw.get('version')} in {meta}")

    def exists(self, project: str, stack: str) -> bool:
        return self.checkpoint_path(project, stack).exists()

    def stacks(self, project: str) -> list[str]:
        return sorted(p.stem for p in (self.dir / "stacks" / project).glob("*.json") if not p.name.startswith("."))

    def load(self, project: str, stack: str) -> dict[str, Any]:
        """The checkpoint's file as JSON. Raises EngineError when there is no such stack or the file is damaged."""
        path = self.checkpoint_path(project, stack)
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StackNotFound(f"no stack named '{stack}' found; make it with `stack init {stack}`") from None
        except OSError as err:
            raise EngineError(f"cannot read {path}: {err.strerror}") from err
        except (ValueError, RecursionError) as err:
            raise EngineError(f"{path} is damaged ({err}); Pulumi's last copy is {path}.bak, if there is one") from err
        if not isinstance(raw, dict):
            raise EngineError(f"{path} is no checkpoint")
        return raw

    def save(self, project: str, stack: str, text: str) -> None:
        path = self.checkpoint_path(project, stack)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_state(path, text)

    def remove(self, project: str, stack: str) -> None:
        """Forget a stack; its checkpoint is kept beside it as `STACK.json.bak`, as Pulumi does."""
        path = self.checkpoint_path(project, stack)
        path.replace(path.with_name(path.name + ".bak"))
        path.with_name(path.name + ".attrs").unlink(missing_ok=True)

    def back_up(self, project: str, stack: str) -> None:
        """Keep the checkpoint as it is before an operation, in Pulumi's own backup directory."""
        path = self.checkpoint_path(project, stack)
        if path.exists():
            directory = self.dir / "backups" / project / stack
            directory.mkdir(parents=True, exist_ok=True)
            write_state(directory / f"{stack}.{time.time_ns()}.json", path.read_text())
