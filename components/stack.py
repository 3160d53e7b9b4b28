"""The stack's config as settings: the one place where Pulumi's config is read."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi.runtime.config as runtime_config

from settings import SECTIONS, Settings, SettingsError, parse


def read_settings() -> Settings:
    """All of `sixstead:*`, checked at once. Raises pulumi.RunError listing every problem: nothing was touched then."""
    prefix = f"{pulumi.get_project()}:"
    config: dict[str, Any] = {}
    for key, value in runtime_config.CONFIG.get().items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            config[name] = decoded(value) if name in SECTIONS else value
    try:
        return parse(config, stack=pulumi.get_stack())
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None


def is_secret(section: str) -> bool:
    """Whether anything in a section of the stack's config was set with --secret: Pulumi marks the section as a whole."""
    return runtime_config.is_config_secret(f"{pulumi.get_project()}:{section}")


def decoded(value: Any) -> Any:
    """Pulumi hands over structured config as JSON text."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value
