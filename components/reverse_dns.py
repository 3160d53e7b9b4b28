"""One PTR record for each address of the server and its guests that is given a name."""

from __future__ import annotations

import pulumi

from providers.reverse_dns import ReverseDns, ReverseDnsProvider, records, resource_name
from settings import Settings


class ReverseDnsRecords(pulumi.ComponentResource):
    """Made last and removed first: a hoster's web service that is out of order stops nothing else of an `up`."""

    def __init__(self, name: str, settings: Settings, after: list[pulumi.Resource]) -> None:
        super().__init__("sixstead:ReverseDnsRecords", name)
        child = pulumi.ResourceOptions(parent=self, depends_on=after)
        rdns = settings.rdns
        if rdns and rdns.provider == "cloud":
            import pulumi_hcloud as hcloud  # here, as it takes longer to load than all of this program

            for ip, ptr in records(settings).items():
                hcloud.Rdns(resource_name(ip), server_id=rdns.server_id, ip_address=ip, dns_ptr=ptr, opts=child)
        elif rdns:
            provider = ReverseDnsProvider()
            for ip, ptr in records(settings).items():
                ReverseDns(provider, ip, ptr, rdns.endpoint, child)
        self.register_outputs({})
