"""All guests answer: one resource that waits for all of them at once, after they were started without waiting.

It leaves nothing on the host. A guest answers when its own global address answers an echo request from the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import pulumi

from providers.guest_xml import render_domain
from providers.host.agent.answers import TIMEOUT
from providers.host.agent.domain_xml import running_as
from providers.host.agent.facets import State
from providers.host.provider import HostProvider
from providers.host.resource import HostResource
from settings import Guest


def render(guests: Iterable[Guest], kvm: bool) -> State:
    """Each address with the definition that its guest was started with: after a restart it is waited for again."""
    return {"answers": {str(guest.address): f"answers, as defined by {digest(guest, kvm)}" for guest in guests}}


def digest(guest: Guest, kvm: bool) -> str:
    """Tells two definitions apart that need a restart in between."""
    return hashlib.sha256(running_as(render_domain(guest, kvm)).encode()).hexdigest()[:8]


def params(guests: Iterable[Guest], timeout: int) -> dict[str, Any]:
    """Whose address each one is, and how long all of them together may take, in seconds."""
    return {"answers": {str(guest.address): guest.name for guest in guests}, "timeout": timeout}


class GuestsReadyProvider(HostProvider):
    """Where no guest answers, that is drift to mend."""

    can_be_gone = False


class GuestsReady(HostResource, module="sixstead", name="GuestsReady"):
    """The guests' addresses."""

    def __init__(
        self,
        name: str,
        guests: Iterable[Guest],
        *,
        kvm: bool,
        timeout: int | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        guests = list(guests)
        # guests that start together share the server's processors: each may cost the others some time
        timeout = timeout or TIMEOUT + 15 * len(guests)
        super().__init__(GuestsReadyProvider(), name, render(guests, kvm), params=params(guests, timeout), opts=opts)
