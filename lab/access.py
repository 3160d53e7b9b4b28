"""The operator's way in: an ssh_config whose ProxyCommand enters the operator's namespace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab.keys import private_key, public_key
from lab.topology import Topology

_RELAY = Path(__file__).with_name("relay.py")


def ssh_config(state: Path, namespace: str, topology: Topology, python: str, sudo: bool) -> str:
    """ssh_config(5) for every host in the lab. Pure."""
    enter = f"{'sudo -n ' if sudo else ''}nsenter --net=/run/netns/{namespace}"
    return f"""\
Host *
  User {topology.user}
  Port {topology.port}
  IdentityFile {state / "id_ed25519"}
  IdentitiesOnly yes
  UserKnownHostsFile {state / "known_hosts"}
  StrictHostKeyChecking yes
  ProxyCommand {enter} {python} -I -S {_RELAY} %h %p
"""


def known_hosts(lab: str, topology: Topology) -> str:
    """The server's host key under each of its addresses."""
    addresses = [str(topology.main.address)] + ([str(topology.ipv4.ip)] if topology.ipv4 else [])
    if topology.port != 22:
        addresses = [f"[{address}]:{topology.port}" for address in addresses]
    return "".join(f"{address} {public_key(lab, 'host')}\n" for address in addresses)


def write(state: Path, lab: str, namespace: str, topology: Topology) -> None:
    """Write ssh_config, known_hosts and the login key; readable by the user who called sudo."""
    user = os.environ.get("SUDO_UID")
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    files = {
        "id_ed25519": private_key(lab, "login"),
        "id_ed25519.pub": public_key(lab, "login") + " operator\n",
        "known_hosts": known_hosts(lab, topology),
        "ssh_config": ssh_config(state, namespace, topology, python, sudo=user is not None),
    }
    for name, text in files.items():
        path = state / name
        path.write_text(text)
        path.chmod(0o600 if name == "id_ed25519" else 0o644)
        if user:
            os.chown(path, int(user), int(os.environ.get("SUDO_GID", "-1")))
    if user:
        for folder in (state, state.parent):
            os.chown(folder, int(user), int(os.environ.get("SUDO_GID", "-1")))
