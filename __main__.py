"""A stack is a server: its settings, its components, its outputs."""

import pulumi

from components.guest_network import GuestNetwork
from components.outputs import export
from components.server import Server
from components.stack import read_settings

settings = read_settings()
server = Server("server", settings)
guest_network = GuestNetwork("guest-network", settings, after=server.network)
export(settings)
