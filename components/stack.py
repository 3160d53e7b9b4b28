"""The stack's config as settings: the one place where Pulumi's config is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pulumi
import pulumi.runtime.config as runtime_config

from settings import SECTIONS, Settings, SettingsError, parse
from settings.dns import parse_dns
from settings.dns_model import Dns

T = TypeVar("T")


def is_dns() -> bool:
    """Whether this stack publishes the records of others, instead of being a server: it has `sixstead:dns`."""
    return f"{pulumi.get_project()}:dns" in runtime_config.CONFIG.get()


def read_settings() -> Settings:
    """All of `sixstead:*`, checked at once. Raises pulumi.RunError listing every problem: nothing was touched then."""
    return read(parse)


def read_dns_settings() -> Dns:
    """The same for a stack with `sixstead:dns`."""
    return read(parse_dns)


def read(parser: Callable[[dict[str, Any], str], T]) -> T:
    """The config as `parser` has it. Raises pulumi.RunError."""
    prefix = f"{pulumi.get_project()}:"
    config: dict[str, Any] = {}
    for key, value in runtime_config.CONFIG.get().items():
        if key.startswith(prefix):
            name = key.removeprefix(prefix)
            config[name] = decoded(value) if name in (*SECTIONS, "dns") else value
    try:
        return parser(config, pulumi.get_stack())
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
