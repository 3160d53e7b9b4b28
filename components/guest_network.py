"""What the guests' networks need beside a bridge: router advertisements, NAT64, DNS64."""

from __future__ import annotations

import pulumi

from providers import dns64
from providers.dns64 import Dns64Resolver
from providers.nat64 import Nat64Gateway
from providers.router_advertisement import RouterAdvertisement
from settings import Settings


class GuestNetwork(pulumi.ComponentResource):
    """The services of all guest networks, each only where a network wants it."""

    def __init__(self, name: str, settings: Settings, after: pulumi.Resource) -> None:
        super().__init__("sixstead:GuestNetwork", name)
        opts = pulumi.ResourceOptions(parent=self, depends_on=[after])
        self.services: list[pulumi.Resource] = []
        if settings.networks:
            self.services.append(RouterAdvertisement("router-advertisement", settings, opts))
        if settings.nat64_gateways:
            self.services.append(Nat64Gateway("nat64", settings, opts))
        if dns64.networks(settings):
            self.services.append(Dns64Resolver("dns64", settings, opts))
        self.register_outputs({})
