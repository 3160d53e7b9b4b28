"""The lab: a rented server, its hoster and an internet, simulated on one machine to the measure of a stack's config.

Nothing here is imported by the product, and nothing of the product is imported here.
"""

from lab.errors import LabError
from lab.lab import Lab
from lab.topology import Guest, Prefix, Topology

__all__ = ["Guest", "Lab", "LabError", "Prefix", "Topology"]
