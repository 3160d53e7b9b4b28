"""A stack is a server, with its settings, its components, its outputs; or, with `sixstead:dns`, the records of servers."""

from components.stack import is_dns, read_dns_settings, read_settings

if is_dns():
    from components.dns import Published

    Published("dns", read_dns_settings()).export()
else:
    from components.guest_network import GuestNetwork
    from components.guests import Guests
    from components.outputs import export
    from components.reverse_dns import ReverseDnsRecords
    from components.server import Server

    settings = read_settings()
    server = Server("server", settings)
    guest_network = GuestNetwork("guest-network", settings, after=server.network)
    guests = Guests("guests", settings, after=[server.network, *guest_network.services])
    if settings.rdns:
        ReverseDnsRecords("reverse-dns", settings, after=[server.network, *guests.ready])
    export(settings, after=server.network)
