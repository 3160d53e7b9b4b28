"""What cloud-init is told by a guest's seed. Pure.

https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html, and its network config version 2. The
owner's user-data goes in as it is: name and keys are meta-data, so that nothing has to be merged into it.
"""

from __future__ import annotations

import json

import yaml

from settings import Guest, eui64

NO_USER_DATA = "#cloud-config\n{}\n"


def render_seed(guest: Guest) -> dict[str, str]:
    """The files of the seed, by name."""
    return {
        "meta-data": meta_data(guest),
        "network-config": network_config(guest),
        "user-data": guest.user_data or NO_USER_DATA,
    }


def meta_data(guest: Guest) -> str:
    """Name and keys. The instance-id follows from the name alone: on whatever server, it is the same instance."""
    # YAML would take some names for something else than text: 123, null, no
    name = guest.name if yaml.safe_load(guest.name) == guest.name else json.dumps(guest.name)
    lines = [f"instance-id: sixstead-{guest.name}", f"local-hostname: {name}"]
    if guest.keys:
        # JSON's \ud83d\ude00 for one character beyond U+FFFF is two halves of none in YAML
        lines += ["public-keys:", *(f"  - {json.dumps(key.text, ensure_ascii=False)}" for key in guest.keys)]
    return "\n".join([*lines, ""])


def network_config(guest: Guest) -> str:
    """Address and route by router advertisement; an address of its own choice stands beside the one that SLAAC makes.

    It is static rather than a token, which only one of cloud-init's renderers knows; a /128, as no other address of the
    prefix is on the guest's link.
    """
    lines = [
        "version: 2",
        "ethernets:",
        "  uplink:",
        f'    match: {{macaddress: "{guest.mac}"}}',
        "    dhcp4: false",
        "    dhcp6: false",
        "    accept-ra: true",
    ]
    prefix = guest.network.prefix.prefix
    if guest.address != eui64(prefix, guest.mac):
        lines.append(f'    addresses: ["{guest.address}/128"]')
    if guest.network.mtu != 1500:
        lines.append(f"    mtu: {guest.network.mtu}")
    return "\n".join([*lines, ""])
