"""`./sixstead init`: read a bare server over SSH and write its stack."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey

from cli.init_find import Refused, find
from cli.init_stack import Login, stack_text
from providers.host.connection import Target, connect, dial, fingerprint, handshake, log_in, target
from providers.host.errors import ServerError
from settings.reader import Wrong
from settings.values import check_label

PROBE_TIMEOUT = 90
"""Seconds for the server to describe itself."""

ROOT = Path(__file__).resolve().parents[1]


class Stopped(Exception):
    """What the owner is told; the exit code is 1."""


def main(argv: list[str], root: Path = ROOT) -> int:
    """Run `init` and return its exit code: 0 written, 1 refused or unreachable, 2 wrong usage."""
    arguments = parser().parse_args(argv)
    try:
        path = stack_path(arguments.name, root)
        login, probe = read_server(arguments, root)
        found = find(arguments.name, probe)
        write(path, stack_text(found, login))
    except Refused as refused:
        print(f"{arguments.host} can't be taken as it is; nothing was written, nothing was changed:", file=sys.stderr)
        for reason in refused.reasons:
            print(f"  - {reason}", file=sys.stderr)
        return 1
    except (ServerError, Stopped) as error:
        print(error, file=sys.stderr)
        return 1
    for note in found.notes:
        print(f"note: {note}")
    print(
        f"wrote {path.relative_to(root)}; next: add keys, images and guests to it, then ./sixstead preview -s {found.name}"
    )
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="./sixstead init",
        description="Read a bare server over SSH and write its stack, stacks/Pulumi.NAME.yaml. Nothing is changed there.",
    )
    made.add_argument("name", metavar="NAME", help="the stack's name, and the server's host name")
    made.add_argument("--host", required=True, metavar="ADDR", help="address, host name, or an alias of the ssh_config")
    made.add_argument("--user", help="login name (default: the ssh_config's, else root)")
    made.add_argument("--port", type=int, help="SSH port (default: the ssh_config's, else 22)")
    made.add_argument("--ssh-config", metavar="FILE", help="ssh_config file (default: ~/.ssh/config)")
    made.add_argument(
        "--identity", metavar="FILE", help="private key to log in with (default: the ssh_config's, the agent's)"
    )
    made.add_argument(
        "--accept-host-key", metavar="SHA256:...", help="accept this host key, and no other, without a question"
    )
    made.add_argument(
        "--yes", action="store_true", help="accept whatever host key the server shows, unless known_hosts objects"
    )
    return made


def stack_path(name: str, root: Path) -> Path:
    """Where the stack goes. Raises Stopped where there is one already, or the name can't be one."""
    try:
        check_label(name, "stack's name")
    except Wrong as wrong:
        raise Stopped(f"{name}: {wrong}") from None
    path = root / "stacks" / f"Pulumi.{name}.yaml"
    if path.exists():
        raise Stopped(f"{path.relative_to(root)} exists and is never overwritten: choose another name, or move it away")
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Stopped(f"{path.name} was made by someone else meanwhile; it is left as it is") from None
    except OSError as error:
        raise Stopped(f"{path} can't be written: {error.strerror}") from None


def read_server(arguments: argparse.Namespace, root: Path) -> tuple[Login, Any]:
    """Log in once and ask the server what it is. Raises Unreachable or Stopped."""
    config, identity = within(arguments.ssh_config, root), within(arguments.identity, root)
    ssh = {
        "host": arguments.host,
        "user": arguments.user,
        "port": arguments.port,
        "config": config,
        "identity_file": str(root / Path(identity).expanduser()) if identity else None,
    }
    where = target(ssh, {}, arguments.name, root)
    transport, key = trusted_transport(where, arguments)
    try:
        probe = ask(transport, where)
    finally:
        transport.close()
    return Login(arguments.host, where.port, where.user, key, config, identity), probe


def within(path: str | None, root: Path) -> str:
    """A path as the stack may say it: relative to the project where it lies inside, else absolute or with its ~."""
    if not path or path.startswith("~"):
        return path or ""
    absolute = Path(os.path.abspath(path))
    return str(absolute.relative_to(root)) if absolute.is_relative_to(root) else str(absolute)


def trusted_transport(where: Target, arguments: argparse.Namespace) -> tuple[paramiko.Transport, str]:
    """A connection that is logged in, and the host key that was confirmed before the login."""
    transport = paramiko.Transport(dial(where))
    try:
        handshake(transport, where)
        key = transport.get_remote_server_key()
        confirm(key, where, arguments)
        line = f"{key.get_name()} {key.get_base64()}"
        if not transport.is_active():  # the server's patience ended before the owner's answer
            return connect(replace(where, host_keys=(line,))).transport, line
        log_in(transport, where)
    except BaseException:
        transport.close()
        raise
    return transport, line


def confirm(key: paramiko.PKey, where: Target, arguments: argparse.Namespace) -> None:
    """Show the host key and have it confirmed. Raises Stopped when it isn't."""
    shown = fingerprint(key)
    print(f"{where} shows the host key {shown} ({key.get_name()})")
    if arguments.accept_host_key:
        if shown != arguments.accept_host_key:
            raise Stopped(f"that is not the accepted {arguments.accept_host_key}: nothing was sent to this server")
        return
    remembered = known_hosts_key(where, key.get_name())
    if remembered is not None and remembered != key:
        raise Stopped(
            f"your known_hosts has another key for this server, {fingerprint(remembered)}: it was reinstalled, or somebody "
            "else answers. If the key that it shows now is right, say so with --accept-host-key"
        )
    if remembered is not None:
        print("your known_hosts has the same key")
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise Stopped(
            "nobody is there to confirm it: compare it with the hoster's console "
            f"(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then add --accept-host-key {shown}"
        )
    try:
        answer = input("is that this server's key (compare it with the hoster's console)? yes/no: ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise Stopped("not confirmed: nothing was sent to this server")


def known_hosts_key(where: Target, kind: str, path: Path | None = None) -> paramiko.PKey | None:
    """The key that the user's known_hosts holds for a server; a line that makes no sense hides no other."""
    path = path or Path(os.path.expanduser("~/.ssh/known_hosts"))
    name = where.host if where.port == 22 else f"[{where.host}]:{where.port}"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return None
    for line in lines:
        known = paramiko.HostKeys()
        try:
            entry = HostKeyEntry.from_line(line.strip())
            if entry is None:
                continue
            for hostname in entry.hostnames:
                known.add(hostname, entry.key.get_name(), entry.key)
            found = known.lookup(name)
        except (paramiko.SSHException, InvalidHostKey, ValueError, LookupError, TypeError, AttributeError):
            continue
        if found and kind in found:
            return found[kind]
    return None


def ask(transport: paramiko.Transport, where: Target) -> Any:
    """Run the probe on the server: one channel, its text in, one JSON object out."""
    try:
        channel = transport.open_session(timeout=PROBE_TIMEOUT)
        channel.settimeout(PROBE_TIMEOUT)
        channel.exec_command("python3 -I -")
        channel.sendall(Path(__file__).with_name("init_probe.py").read_bytes())
        channel.shutdown_write()
        answer = channel.makefile("rb").read()
        words = channel.makefile_stderr("rb").read().decode(errors="replace").strip()
    except (OSError, paramiko.SSHException) as error:
        raise ServerError(
            str(where), f"the connection broke before the server had answered: {error}", "try again"
        ) from None
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        last = words.splitlines()[-1] if words else "no answer"
        raise ServerError(
            str(where), f"its python3 could not describe the server: {last}", "install the package python3 there"
        ) from None
