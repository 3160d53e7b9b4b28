"""Opening an SSH connection: ssh_config honoured, the host key pinned, the login by key or agent (RFC 4252, 4253)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pathlib
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import paramiko

import settings

from . import errors
from .errors import Unreachable

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # its words reach the owner as our errors
logging.getLogger("paramiko").propagate = False

CONNECT_TIMEOUT = 12
"""Seconds for the TCP connection, and again for the server's SSH banner."""


@dataclass(frozen=True)
class Target:
    """Where a server is and who logs in; built from the stack's config and its ssh_config file."""

    host: str
    port: int
    user: str
    host_keys: tuple[str, ...]
    """Pinned OpenSSH public keys (`ssh-ed25519 AAAA...`); any one of them may answer. Empty: whatever answers is taken and returned."""
    identity_files: tuple[str, ...] = ()
    proxy_command: str | None = None
    private_key: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    sudo_password: str | None = field(default=None, repr=False)
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.host})" if self.name and self.name != self.host else self.host

    def at(self, host: str) -> Target:
        """The same server by another address."""
        return Target(**{**self.__dict__, "host": host})


def target(
    ssh: Mapping[str, Any], credentials: Mapping[str, str], name: str = "", directory: pathlib.Path | None = None
) -> Target:
    """A Target from the `ssh` map of the stack's config and its credentials (sshKey, sshKeyPassphrase, sudoPassword).

    Options that the map leaves out come from ssh_config(5): the file named by `config`, else the user's own.
    """
    file = ssh.get("config")
    path = pathlib.Path(os.path.expanduser(ssh.get("config") or "~/.ssh/config"))
    if directory and not path.is_absolute():
        path = directory / path
    server = name or str(ssh["host"])
    found: Mapping[str, Any] = {}
    if os.path.isfile(path):
        found = looked_up(path, str(ssh["host"]), server)
    elif ssh.get("config"):
        raise Unreachable(server, f"the ssh_config file {path} does not exist", "correct `ssh.config`")
    port = str(ssh.get("port") or found.get("port", 22)).removesuffix(".0")
    if not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        raise Unreachable(server, f"the port is no number from 1 to 65535: {port}", f"correct it in {path}")
    keys = ssh.get("host_key") or ()
    identity = [ssh["identity_file"]] if ssh.get("identity_file") else list(found.get("identityfile", []))
    command = found.get("proxycommand")
    if not command and found.get("proxyjump"):
        with_file = f"-F {shlex.quote(str(path))} " if file else ""
        command = f"ssh {with_file}-W [%h]:%p -- {found['proxyjump']}"
    return Target(
        host=str(found.get("hostname", ssh["host"])),
        port=int(port),
        user=str(ssh.get("user") or found.get("user") or "root"),
        host_keys=(keys,) if isinstance(keys, str) else tuple(keys),
        identity_files=tuple(os.path.expanduser(p) for p in identity),
        proxy_command=give_tokens(command) if command and command != "none" else None,
        private_key=credentials.get("sshKey"),
        passphrase=credentials.get("sshKeyPassphrase"),
        sudo_password=credentials.get("sudoPassword"),
        name=name,
    )


def looked_up(path: pathlib.Path, host: str, server: str) -> Mapping[str, Any]:
    """What an ssh_config file says of a host. Raises Unreachable where it can't be read."""
    try:
        config = paramiko.SSHConfig.from_text(keep_tokens(path.read_text(encoding="utf-8")))
        found: Mapping[str, Any] = config.lookup(host)
    except OSError as error:
        why = error.strerror or "it is no file"
    except UnicodeDecodeError:
        why = "it is no text in UTF-8"
    except (paramiko.SSHException, ValueError, LookupError, TypeError, AttributeError) as error:
        why = errors.printable(str(error))
    else:
        return found
    raise Unreachable(
        server, f"the ssh_config file {path} can't be read: {why}", "correct it; `ssh -G HOST` reads it, too"
    )


TOKENS = {"%h": "\ue000", "%p": "\ue001", "%r": "\ue002"}
"""Private-use characters that stand for ssh_config(5)'s tokens while paramiko reads the file: it would fill in the
host that was looked up, where `dial` must fill in the address that it is asked to reach."""


def keep_tokens(text: str) -> str:
    """An ssh_config text whose ProxyCommand lines keep their tokens."""

    def kept(line: re.Match[str]) -> str:
        value = line[0]
        for token, stand_in in TOKENS.items():
            value = value.replace(token, stand_in)
        return value

    return re.sub(r"(?im)^[ \t]*ProxyCommand.*$", kept, text)


def give_tokens(command: str) -> str:
    """The command with ssh_config(5)'s tokens again."""
    for token, stand_in in TOKENS.items():
        command = command.replace(stand_in, token)
    return command


class Connection(NamedTuple):
    """A connection that is logged in, and the key that the server let in."""

    transport: paramiko.Transport
    key: paramiko.PKey


def connect(where: Target) -> Connection:
    """Connect, check the host key, log in.

    Raises Unreachable, saying which of the three failed and what to do.
    """
    errors.count("connection", where.host)
    line = dial(where)
    try:
        transport = paramiko.Transport(line)
    except (OSError, paramiko.SSHException) as error:
        line.close()
        raise Unreachable(str(where), f"no SSH connection: {error}") from None
    try:
        handshake(transport, where)
        key = log_in(transport, where)
    except BaseException:
        transport.close()
        raise
    transport.set_keepalive(15)
    return Connection(transport, key)


def dial(where: Target) -> socket.socket:
    """A connected stream: TCP, or a ProxyCommand's standard input and output."""
    if where.proxy_command:
        arguments = proxy_arguments(where)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                subprocess.Popen(arguments, stdin=theirs.fileno(), stdout=theirs.fileno(), stderr=subprocess.DEVNULL)
            except (OSError, ValueError) as error:
                ours.close()
                raise Unreachable(str(where), f"the ProxyCommand cannot be started: {error}") from None
        return ours
    try:
        return socket.create_connection((where.host, where.port), timeout=CONNECT_TIMEOUT)
    except OSError as error:
        raise unreachable(where, str(error)) from None


def proxy_arguments(where: Target) -> list[str]:
    """The words of the ProxyCommand; what is filled in is never more than a part of one. Raises Unreachable for none."""
    try:
        words = shlex.split(where.proxy_command or "")
    except ValueError as error:
        words, why = [], str(error)
    else:
        why = "it is empty"
    if not words:
        raise Unreachable(str(where), f"the ProxyCommand cannot be started: {why}", "correct it in your ssh_config")
    tokens = {"%h": where.host, "%p": str(where.port), "%r": where.user}
    return [re.sub("%[hpr]", lambda token: tokens[token[0]], word) for word in words]


def unreachable(where: Target, why: str) -> Unreachable:
    """The server does not answer; its state is as it was."""
    return Unreachable(
        str(where),
        f"cannot be reached by SSH on port {where.port}: {why}",
        "check that the server is up and `sixstead:server.ssh` is right; the hoster's console or rescue system helps if not."
        " Nothing was changed, and the stack's state is as it was.",
    )


def handshake(transport: paramiko.Transport, where: Target) -> None:
    """Exchange keys, accept only a pinned host key. Raises WrongHostKey for another, Unreachable for what else fails."""
    offered = exchange_keys(transport, where)
    if not is_pinned(offered, where):
        raise WrongHostKey(
            str(where),
            f"the host key is not the pinned one: the server shows {fingerprint(offered)},"
            f" the stack's config pins {', '.join(fingerprint_of(key) for key in where.host_keys)}",
            HOST_KEY_REMEDY,
        )


class WrongHostKey(Unreachable):
    """Something answers, with another host key than the pinned one; nothing was sent to it."""


def is_pinned(offered: paramiko.PKey, where: Target) -> bool:
    """Whether a host key may answer for this server."""
    return not where.host_keys or offered.get_base64() in [key.split()[1] for key in where.host_keys]


def shown_host_key(where: Target) -> paramiko.PKey:
    """The host key that a server shows now, pinned or not: of a pinned kind where it has one. There is no login.

    Raises Unreachable.
    """
    try:
        return host_key_of(where)
    except WrongHostKey:
        return host_key_of(replace(where, host_keys=()))


def host_key_of(where: Target) -> paramiko.PKey:
    """Connect as far as the key exchange. Raises WrongHostKey where the server has no key of a pinned kind."""
    line = dial(where)
    try:
        transport = paramiko.Transport(line)
    except (OSError, paramiko.SSHException) as error:
        line.close()
        raise unreachable(where, str(error)) from None
    try:
        return exchange_keys(transport, where)
    finally:
        transport.close()


def exchange_keys(transport: paramiko.Transport, where: Target) -> paramiko.PKey:
    """The host key by which the server proved itself; only the kinds that are pinned are asked for.

    Raises WrongHostKey where it has none of these kinds, Unreachable for what else fails.
    """
    transport.banner_timeout = CONNECT_TIMEOUT
    transport.handshake_timeout = CONNECT_TIMEOUT
    if where.host_keys:
        kinds = [key.split()[0] for key in where.host_keys]
        options = transport.get_security_options()
        fitting = [t for t in options.key_types if t in kinds or ("ssh-rsa" in kinds and t.startswith("rsa-"))]
        if fitting:
            options.key_types = tuple(fitting)
    try:
        transport.start_client(timeout=CONNECT_TIMEOUT)
    except paramiko.SSHException as error:
        if "host key" in str(error).lower() or "no acceptable" in str(error).lower():
            raise WrongHostKey(
                str(where),
                "the server has no host key of the kind that is pinned in the stack's config:"
                f" {', '.join(fingerprint_of(key) for key in where.host_keys)}",
                HOST_KEY_REMEDY,
            ) from None
        raise unreachable(where, str(error) or "the connection was closed before SSH began") from None
    except (OSError, EOFError) as error:
        raise unreachable(where, str(error) or "the connection was closed") from None
    try:
        return transport.get_remote_server_key()
    except paramiko.SSHException:
        raise unreachable(where, f"SSH did not begin within {CONNECT_TIMEOUT} s") from None


HOST_KEY_REMEDY = (
    "if you reinstalled the server or gave it a new key, run `./sixstead trust -s STACK`, which shows the new key for you to"
    " compare and puts it into `sixstead:server.ssh.host_key`; if not, somebody else answers at this address. Nothing was"
    " sent to it."
)


def log_in(transport: paramiko.Transport, where: Target) -> paramiko.PKey:
    """Try the stack's own key, then identity files, then the agent's keys; the one that the server took.

    Raises Unreachable naming what was tried.
    """
    tried: list[str] = []
    for description, key in identities(where, tried):
        try:
            transport.auth_publickey(where.user, key)
            return key
        except paramiko.AuthenticationException:
            tried.append(description)
        except (paramiko.SSHException, EOFError, OSError) as error:
            tried.append(f"{description} (then the server hung up: {error})")
            break
    raise Unreachable(
        str(where),
        f"the login as {where.user} was refused; tried: {', '.join(tried) or 'nothing, as there is no key'}",
        "put the public key into the server's authorized_keys, or name the right one"
        " (`config set --secret sixstead:sshKey`, or `ssh.identity_file`). Nothing was changed.",
    )


def identities(where: Target, tried: list[str]) -> Iterator[tuple[str, paramiko.PKey]]:
    """Keys to try, most explicit first; one that cannot be read is told in `tried`."""
    if where.private_key:
        yield "the stack's sshKey", load_key(where.private_key, where)
        return
    for path in where.identity_files or DEFAULT_IDENTITIES:
        full = os.path.expanduser(path)
        if not os.path.exists(full):
            continue
        try:
            with open(full, encoding="utf-8") as file:
                text = file.read()
            yield path, load_key(text, where)
        except (Unreachable, OSError) as error:
            tried.append(f"{path} ({error.what if isinstance(error, Unreachable) else error.strerror})")
    with contextlib.suppress(paramiko.SSHException):
        for key in paramiko.Agent().get_keys():
            yield f"the agent's key {fingerprint(key)}", key


DEFAULT_IDENTITIES: Sequence[str] = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")


def load_key(text: str, where: Target) -> paramiko.PKey:
    """A private key in OpenSSH or PEM form. Raises Unreachable; its text never stands in the error."""
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(text.strip() + "\n"), password=where.passphrase)
        except paramiko.PasswordRequiredException:
            raise Unreachable(
                str(where), "the key has a passphrase and none is given", "set sshKeyPassphrase"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, TypeError):
            continue
    raise Unreachable(str(where), "the private key cannot be read: wrong passphrase, or not an OpenSSH or PEM key")


def fingerprint(key: paramiko.PKey) -> str:
    """`SHA256:...` as ssh-keygen -l prints it."""
    return str(key.fingerprint)


def fingerprint_of(line: str) -> str:
    """The fingerprint of a public key line."""
    # not with paramiko: it does not know all the kinds that may be pinned
    return settings.fingerprint(line)
