"""Where zones are published: as today's config says, for resources of an earlier one, and by their former names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from providers.host.sessions import decoded
from settings.dns import parse_dns
from settings.dns_model import Dns
from settings.problems import SettingsError


def dns_of(config: Callable[[str], Any]) -> Dns | None:
    """Today's `sixstead:dns`; None without one, or with one that is refused, which the program tells."""
    try:
        return parse_dns({"dns": decoded(config("dns"))})
    except SettingsError:
        return None


def formerly(name: str, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Options of a resource that stands in older states under another name, which its primary's owner could change."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(aliases=[pulumi.Alias(name=name)]))
