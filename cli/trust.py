"""`./sixstead trust`: pin the host key that a stack's server shows now, in place of the old one.

The connection goes as far as the key exchange: nobody logs in, so nothing is sent to a server that is not known yet.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import paramiko

from cli.arguments import interactive
from engine import configfile
from engine.config import Project, StackConfig
from engine.errors import EngineError, GivenUp
from providers.host.connection import Target, fingerprint, fingerprint_of, is_pinned, shown_host_key, target
from providers.host.errors import ServerError
from settings import NAMESPACE, Problem, SettingsError
from settings.reader import Node, attempt
from settings.server import read_ssh

SERVER = f"{NAMESPACE}server"
CONSOLE = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"


def run(args: argparse.Namespace, root: Path, stack: str) -> int:
    """Show both keys, have the new one confirmed, write it. Its exit status: 0 when the shown key is pinned.

    Raises EngineError for a config that can't be read or written, and for a key that is not confirmed.
    """
    if args.yes and not args.fingerprint:
        raise EngineError("--yes needs --fingerprint SHA256:..., read on the hoster's console: " + CONSOLE)
    project = Project.load(root)
    path = project.config_file(stack, args.config_file)
    if not path.exists():
        raise EngineError(f"there is no stack {stack}: {path} is missing")
    try:
        where = server_of(StackConfig(path, stack, project.name), stack, root)
        key = shown_host_key(where)
    except (SettingsError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{where} shows the host key {fingerprint(key)} ({key.get_name()})")
    for pinned in where.host_keys:
        print(f"{path.name} pins {fingerprint_of(pinned)} ({pinned.split()[0]})")
    if args.fingerprint and fingerprint(key) != args.fingerprint:
        raise EngineError(f"that is not {args.fingerprint}: nothing was sent to this server, {path.name} is as it was")
    if is_pinned(key, where):
        print("it is the pinned one: there is nothing to do")
        return 0
    if not args.yes:
        confirm(args, where, key)
    line = f"{key.get_name()} {key.get_base64()}"
    configfile.change(path, [SERVER, "ssh", "host_key"], line, in_place=True)
    print(f"{path.name} pins it now, in place of the old one; next: ./sixstead preview -s {stack} --refresh")
    return 0


def server_of(config: StackConfig, stack: str, root: Path) -> Target:
    """Where the stack's server is; its other settings may be wrong. No secret is read.

    Raises SettingsError for `sixstead:server.ssh`, Unreachable where its ssh_config file is missing.
    """
    report: list[Problem] = []
    server = config.raw.get(SERVER)
    ssh = server.get("ssh") if isinstance(server, dict) else None
    attempt(Node(ssh, f"{SERVER}.ssh", report), read_ssh)
    if report or not isinstance(ssh, dict) or not isinstance(server, dict):
        raise SettingsError(report, stack)
    return target(ssh, {}, str(server.get("name") or stack), root)


def confirm(args: argparse.Namespace, where: Target, key: paramiko.PKey) -> None:
    """Ask whoever is at the terminal. Raises EngineError where nobody is there, GivenUp where the answer is not yes."""
    if not interactive(args):
        raise EngineError(
            f"nobody is there to confirm it: compare it with the hoster's console ({CONSOLE}), then add"
            f" --yes --fingerprint {fingerprint(key)}"
        )
    try:
        answer = input(f"is that {where}'s new key (compare it with the hoster's console: {CONSOLE})? yes/no: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise GivenUp("not confirmed: nothing was sent to this server, and the config is as it was")
