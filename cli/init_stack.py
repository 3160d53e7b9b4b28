"""The text of a stack file for a server that was found. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import yaml

from cli.init_find import Finding, Refused
from settings import Settings, SettingsError, parse


@dataclass(frozen=True)
class Login:
    """How the server was reached: `config` and `identity_file` only where the command line named them."""

    host: str
    port: int
    user: str
    host_key: str
    config: str = ""
    identity_file: str = ""


def stack_text(found: Finding, login: Login) -> str:
    """The stack file of a server, commented; raises Refused where it would not be a valid one."""
    ssh = {
        "host": login.host,
        "port": login.port if login.port != 22 else None,
        "user": login.user,
        "config": login.config,
        "identity_file": login.identity_file,
        "host_key": login.host_key,
    }
    lines = [
        f"# {found.name}, as `./sixstead init` found it. Every key is described in docs/config.md.",
        *(f"# Note: {note}" for note in found.notes),
        "config:",
        "  sixstead:server:",
        "    ssh:",
        *(f"      {key}: {value if isinstance(value, int) else scalar(value)}" for key, value in ssh.items() if value),
        f"    hoster: {found.hoster:<26} # a guess by the gateways; hetzner, ovh or generic",
        f"    os: {found.os:<30} # checked before the first write",
        f"    backend: {found.backend:<25} # what configures the network there",
        *([] if found.kvm else ["    kvm: false                         # there is no /dev/kvm: guests are emulated"]),
        "  sixstead:uplink:",
        f"    name: {scalar(found.uplink)}",
        f'    mac: "{found.mac}"           # the only MAC address that the hoster\'s switch may see',
    ]
    if found.mtu != 1500:
        lines.append(f"    mtu: {found.mtu}")
    if found.ipv4:
        lines.append(f"    ipv4: {{address: {found.ipv4[0]}, gateway: {found.ipv4[1]}}}")
    lines.append("  sixstead:prefixes:")
    for prefix in found.prefixes:
        own = "" if int(prefix.address.ip) & (2**64 - 1) == 2 else f', address: "{prefix.address.ip}"'
        if prefix.address.network.prefixlen not in (64, 128):
            lines.append(f"    # of {prefix.address.network}, the /64 that the server's own address is in")
        if not prefix.sure:
            lines.append(
                "    # delivery is a guess: routed where the hoster routes the prefix to this server, on-link where"
            )
            lines.append("    # its router asks for each address (guests are unreachable with the wrong one)")
        lines.append(
            f'    {prefix.name}: {{prefix: "{prefix.prefix}", gateway: "{prefix.gateway}", delivery: {prefix.delivery}{own}}}'
        )
    lines.append(
        "  sixstead:networks:                   # a guest network for each prefix: bridge, RA, NAT64 and DNS64 by default"
    )
    lines.extend(f"    {prefix.name}: {{prefix: {prefix.name}}}" for prefix in found.prefixes)
    lines.extend(EXAMPLE.splitlines())
    text = "\n".join(lines) + "\n"
    check(text, found.name)
    return text


EXAMPLE = """\
  # sixstead:keys:                     # public keys that log in to guests
  #   alice: ssh-ed25519 AAAA...
  # sixstead:images:                   # what guests boot, named by checksum
  #   d13: {url: https://.../debian-13-genericcloud-amd64.qcow2, sha512: ...}
  # sixstead:guests:
  #   web: {image: d13, memory: 2GiB, disk: 20GiB, keys: [alice], open: {tcp: [80, 443]}}
"""


def scalar(value: str) -> str:
    """A text as YAML that reads back as the same text."""
    try:
        plain = (
            re.fullmatch(r"[A-Za-z~/.][A-Za-z0-9~/._ +=@-]*|[0-9]+(\.[0-9]+){3}", value)
            and yaml.safe_load(value) == value
        )
    except yaml.YAMLError:  # `...` ends a document
        plain = False
    return value if plain else json.dumps(value, ensure_ascii=False)


def check(text: str, name: str) -> Settings:
    """Read the stack as every verb will. Raises Refused with its problems."""
    config = yaml.safe_load(text)["config"]
    try:
        return parse({key.removeprefix("sixstead:"): value for key, value in config.items()}, name)
    except SettingsError as error:
        raise Refused([f"what was found makes no valid stack: {problem}" for problem in error.problems]) from None
