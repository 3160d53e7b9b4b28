"""A stack is a server: its settings, its components, its outputs."""

from components.guest_network import GuestNetwork
from components.guests import Guests
from components.outputs import export
from components.reverse_dns import ReverseDnsRecords
from components.server import Server
from components.stack import read_settings

settings = read_settings()
server = Server("server", settings)
guest_network = GuestNetwork("guest-network", settings, after=server.network)
guests = Guests("guests", settings, after=[server.network, *guest_network.services])
if settings.rdns:
    ReverseDnsRecords("reverse-dns", settings, after=[server.network, *guests.ready])
export(settings)
