"""The facets that this agent knows, in the order in which they are applied."""

from __future__ import annotations

from .answers import Answers
from .configured import Configured
from .disks import Disks
from .domains import Domains
from .facets import Registry
from .files import Files
from .images import Images
from .network import Addresses, Links, Proxies, Routes
from .nft import Nft
from .only import Only
from .packages import Packages
from .reload import reload
from .seeds import Seeds
from .sysctls import Sysctls
from .units import Units


def make_registry() -> Registry:
    """Things are taken away in the reverse order; units go before the files that they read."""
    return Registry(
        {
            "packages": Packages(),
            "files": Files(),
            "only": Only(),
            "links": Links(),
            "sysctls": Sysctls(),
            "addresses": Addresses(),
            "routes": Routes(),
            "proxies": Proxies(),
            "nft": Nft(),
            "images": Images(),
            "disks": Disks(),
            "seeds": Seeds(),
            "domains": Domains(),
            "units": Units(),
            "configured": Configured(),
            "answers": Answers(),
        },
        first_to_go=("units",),
        last=("configured",),  # which file counts is known when those that are not wanted any more are gone
        afterwards=reload,
    )
