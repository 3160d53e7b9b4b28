"""libvirt, images, guests, and one resource that waits for all guests at once."""

from __future__ import annotations

import pulumi

from components.stack import is_secret
from providers.guest import GuestMachine
from providers.guests_ready import GuestsReady
from providers.hypervisor import Hypervisor
from providers.image import GuestImage
from settings import Settings


class Guests(pulumi.ComponentResource):
    """Guests start side by side, without waiting for each other; then all of them are waited for."""

    def __init__(self, name: str, settings: Settings, after: list[pulumi.Resource]) -> None:
        super().__init__("sixstead:Guests", name)
        if settings.guests:
            after = [*after, Hypervisor("hypervisor", settings, pulumi.ResourceOptions(parent=self, depends_on=after))]
        child = pulumi.ResourceOptions(parent=self, depends_on=after)
        used = {guest.image.name for guest in settings.guests.values()}
        images = {n: GuestImage(image, child) for n, image in settings.images.items() if n in used}
        secret = is_secret("guests")  # then some guest's user-data is
        machines: list[pulumi.Resource] = [
            GuestMachine(
                guest,
                kvm=settings.server.kvm,
                secret=secret,
                opts=pulumi.ResourceOptions(parent=self, depends_on=[*after, images[guest.image.name]]),
            )
            for guest in settings.guests.values()
        ]
        self.ready: list[pulumi.Resource] = []
        if machines:
            ready = GuestsReady(
                "guests-ready",
                settings.guests.values(),
                kvm=settings.server.kvm,
                opts=pulumi.ResourceOptions(parent=self, depends_on=machines),
            )
            self.ready.append(ready)
        self.register_outputs({})
