"""A guest: a libvirt domain with its disk and its cloud-init seed.

Deleted, the guest is shut down and undefined and its seed removed; its disk stays, unless the config says
`disk: {on_delete: delete}`, which stands in `dataLoss` for every preview to show. An existing disk is adopted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import CheckFailure, CheckResult

from providers.cloud_init import render_seed
from providers.guest_xml import disk_path, has_seed, image_path, render_domain, seed_path
from providers.host.agent.disks import AS_IMAGE, deletion
from providers.host.agent.domain_xml import running_as
from providers.host.agent.facets import State
from providers.host.agent.qcow2 import size_of, size_text
from providers.host.provider import HostProvider, Props, plain
from providers.host.resource import HostResource
from settings import Guest


def render(guest: Guest, kvm: bool) -> State:
    """Disk and domain; the seed is in `seeds`."""
    state: State = {}
    if guest.disk:
        state["disks"] = {disk_path(guest): AS_IMAGE if guest.disk.size is None else size_text(guest.disk.size)}
    words = "running, autostart" if guest.autostart else "running"
    state["domains"] = {guest.name: {"xml": render_domain(guest, kvm), "state": words}}
    return state


def seeds(guest: Guest) -> State:
    """The seed: apart, as it is a secret where the guest's user-data is one."""
    return {"seeds": {seed_path(guest): render_seed(guest)}} if has_seed(guest) else {}


def params(guest: Guest) -> dict[str, Any]:
    """What a new disk is built on: an image that changes later is for other guests."""
    if guest.disk is None:
        return {}
    base = image_path(guest.image.disk) if guest.image.disk else ""
    return {"disks": {disk_path(guest): {"base": base, "format": guest.image.format if base else ""}}}


def data_loss(guest: Guest) -> str:
    """What is lost with the guest, in words; empty where nothing is."""
    return deletion(disk_path(guest)) if guest.disk and guest.disk.on_delete == "delete" else ""


def interruption(olds: Mapping[str, Any], news: Mapping[str, Any]) -> str:
    """Which guests a change restarts: those that run now with something that only a restart can change."""
    restarted = []
    for name, wanted in (news.get("domains") or {}).items():
        seen = (olds.get("domains") or {}).get(name)
        if seen is None:
            continue
        words = seen["state"].split(", ")
        if not {"running", "paused"} & set(words) or "definition edited" in words:
            continue
        if "restart needed" in words or running_as(seen["xml"]) != running_as(wanted["xml"]):
            restarted.append(f"restarts guest {name}")
    return ", ".join(restarted)


def shrinking(olds: Mapping[str, Any], news: Mapping[str, Any]) -> list[str]:
    """Which disks would have to shrink, in words: that would cut off data, and is refused."""
    found = []
    for path, wanted in (news.get("disks") or {}).items():
        seen = (olds.get("disks") or {}).get(path, "")
        if seen[:1].isdigit() and wanted != AS_IMAGE and size_of(wanted) < size_of(seen):
            found.append(f"{path} has {seen} and is never shrunk: set the guest's disk to at least {seen}")
    return found


class GuestProvider(HostProvider):
    """A guest's changes can interrupt it, and some are refused."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """As for every host resource; a disk that would shrink is refused in preview already."""
        result = super().check(_olds, news)
        texts = shrinking(plain(_olds).get("state") or {}, plain(news).get("state") or {})
        result.failures = [*(result.failures or []), *(CheckFailure("state", text) for text in texts)]
        return result

    def interruption(self, olds: Props, news: Props) -> str:
        """Says when the guest restarts."""
        return interruption(olds.get("state") or {}, news.get("state") or {})


class GuestMachine(HostResource, module="sixstead", name="Guest"):
    """One guest. `secret` says that its user-data must not be shown."""

    def __init__(
        self, guest: Guest, *, kvm: bool, secret: bool = False, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        state = render(guest, kvm)
        super().__init__(
            GuestProvider(),
            guest.name,
            state if secret else {**state, **seeds(guest)},
            key=f"guest {guest.name}",
            params=params(guest),
            secret_state=seeds(guest) if secret else None,
            data_loss=data_loss(guest),
            opts=opts,
        )
