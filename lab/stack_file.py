"""Stack files as plain YAML: in the working tree, and as they were at a git revision."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError


def stack_path(project: Path, like: str) -> Path:
    """The file of a stack that is named as in `up --like`: a file, or a name under the project's stacks/."""
    path = Path(like)
    if path.suffix in (".yaml", ".yml") or "/" in like:
        return path.resolve()
    path = project / "stacks" / f"Pulumi.{like}.yaml"
    if not path.exists():
        raise LabError(f"there is no stack {like!r}: {path.relative_to(project)} doesn't exist")
    return path


def read_stack(path: Path) -> dict[str, Any]:
    """The whole stack file. Raises LabError when it can't be read as a map with a `config:` map in it."""
    try:
        return stack_of(path.read_text(), str(path))
    except OSError as error:
        raise LabError(f"the stack file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabError(f"the stack file {path} is no text in UTF-8") from error


def stack_of(text: str, where: str) -> dict[str, Any]:
    """The same, of a text; `where` says in errors what it is."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LabError(f"the stack file {where} is no YAML: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        raise LabError(f"the stack file {where} has no `config:` map")
    return document


def at_revision(path: Path, since: str) -> dict[str, Any]:
    """The `config:` map of the stack's file at a git revision. Raises LabError where it isn't there."""
    done = _git(path, "cat-file", "blob", f"{since}:./{path.name}")
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise LabError(
            f"there is no {path.name} in git at {since}, so nothing to change from; "
            f"`--from REV` names another revision ({said})"
        )
    found: dict[str, Any] = stack_of(done.stdout, f"{path.name} at {since}")["config"]
    return found


def revision(path: Path, since: str) -> str:
    """How a revision is told: `HEAD (1a2b3c4)`."""
    found = _git(path, "rev-parse", "--short", "--verify", f"{since}^{{commit}}").stdout.strip()
    return since if found in ("", since) else f"{since} ({found})"


def _git(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    if arguments[-1].startswith("-"):
        raise LabError(f"{arguments[-1].partition(':')[0]!r} is no git revision")
    command = ["git", "-C", str(path.parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise LabError("the config of before is read from git, which is not installed: apt-get install git") from error
