"""A stack's server, for verbs that only look: its settings and a session with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.config import Project, StackConfig
from engine.errors import EngineError
from providers.host.errors import ServerError
from providers.host.sessions import Host, decoded, host_of
from settings import NAMESPACE, Settings, SettingsError, parse


def look(root: Path, stack: str, config_file: str | None, what: Callable[[Settings, Host], int]) -> int:
    """Read the stack's config, then do `what` with its server. Returns its exit status.

    Raises EngineError for a config that can't be read; what concerns the server is told on standard error.
    """
    values = read(root, stack, config_file)
    try:
        settings = parse({key: decoded(value) for key, value in values.items()}, stack=stack)
        return what(settings, host_of(values.get))
    except (SettingsError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1


def read(root: Path, stack: str, config_file: str | None) -> dict[str, Any]:
    """The values of a stack's config, by section, as Pulumi hands them over. Raises EngineError where there is none."""
    project = Project.load(root)
    config = StackConfig(project.config_file(stack, config_file), stack, project.name)
    if not config.path.exists():
        raise EngineError(f"there is no stack {stack}: {config.path} is missing")
    return {key.removeprefix(NAMESPACE): text for key, text in config.values().items() if key.startswith(NAMESPACE)}
