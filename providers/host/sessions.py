"""The process's sessions: opened once, shared by all providers, and what was observed on them until something is applied."""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .connection import Target, connect, fingerprint, target
from .errors import ServerError, Unreachable, log
from .session import Session

CREDENTIALS = ("sshKey", "sshKeyPassphrase", "sudoPassword")
OBSERVER_KEY = "SIXSTEAD_OBSERVER_KEY"
"""Variable with a private key, or the path of one, that may only observe (agent/observing.py): it is used instead of all
others, and such a run changes nothing."""
State = dict[str, dict[str, Any]]


class Host:
    """One server, for all providers of this process; thread-safe."""

    def __init__(self, where: Target, expected: Mapping[str, str], operators: Collection[str] = ()) -> None:
        self.where, self.expected, self.operators = where, expected, operators
        self.lock = threading.RLock()
        self.session: Session | None = None
        self.observed: dict[str, tuple[State, State]] | None = None
        self.failed: ServerError | None = None

    def connected(self) -> Session:
        """The session; the first caller opens it. A failure is remembered: one login attempt a process, not one a resource."""
        with self.lock:
            if self.failed:
                raise self.failed
            if self.session is None or self.session.broken:
                try:
                    self.session = Session(self.where, tell)
                except ServerError as error:
                    self.failed = error
                    raise
            return self.session

    def observe(self, key: str, wanted: State) -> State:
        """The present state of a resource; the first call observes everything that the host's manifest names."""
        return self.observe_many({key: wanted})[key]

    def observe_many(self, wanted: Mapping[str, State]) -> dict[str, State]:
        """The present states of several resources, from one exchange or none."""
        with self.lock:
            known = self.observed or {}
            if not all(key in known and covers(known[key][0], state) for key, state in wanted.items()):
                answer = self.connected().request("observe", {"all": self.observed is None, "wanted": dict(wanted)})
                fresh = {key: (answer["wanted"][key], answer["observed"].get(key, {})) for key in answer["wanted"]}
                self.observed = {**known, **fresh}
            assert self.observed is not None
            return {key: only(self.observed[key][1], state) for key, state in wanted.items()}

    def change(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A request that writes: the server is checked to be the declared one first; what was observed is forgotten."""
        session = self.connected()
        if session.facts.get("observer"):
            raise ServerError(
                str(self.where),
                "this SSH key may only observe; nothing was changed",
                f"run it with a key that may change the server (without {OBSERVER_KEY})",
            )
        self.check_expected(session)
        if arguments.get("entries"):
            self.check_operators(session)
        with self.lock:
            self.observed = None
        answer: dict[str, Any] = session.request(operation, arguments)
        with self.lock:
            self.observed = None
        for note in answer.get("notes") or []:
            warn(f"{self.where}: {note}")
        return answer

    def check_expected(self, session: Session) -> None:
        """Raises ServerError where the stack's config was written for another system.

        Whose network is ours already may move to another backend.
        """
        for name, verb in (("os", "runs"), ("backend", "uses")):
            wanted, found = self.expected.get(name), session.facts.get(name)
            moves = name == "backend" and session.facts.get("network")
            if wanted and wanted != found and not moves:
                raise ServerError(
                    str(self.where),
                    f"the stack's config says {wanted}, the server {verb} {found}; nothing was changed",
                    f"correct `sixstead:server.{name}`",
                )

    def check_operators(self, session: Session) -> None:
        """Raises ServerError where the key that logged in is not one of those that the stack's config lets in."""
        line = f"{session.key.get_name()} {session.key.get_base64()}"
        if self.operators and line not in self.operators:
            raise ServerError(
                str(self.where),
                f"the key that logged in, {fingerprint(session.key)}, is not in `sixstead:server.operators`, so it would be"
                " locked out; nothing was changed",
                f"add it to `sixstead:keys` and `operators` (`{line}`), or log in with a key that is there: name it in"
                " `ssh.identity_file`, or `config set --secret sshKey`",
            )

    def login(self) -> dict[str, str]:
        """Who logged in, by which key: what the agent must not lock out."""
        key = self.connected().key
        return {"user": self.where.user, "key": key.get_base64(), "fingerprint": fingerprint(key)}

    def answers_at(self, address: str) -> bool:
        """Whether a new SSH connection to this address gets through the host key check and the login."""
        try:
            connect(self.where.at(address)).transport.close()
        except Unreachable as error:
            log(f"{self.where} at {address}: {error}")
            return False
        return True

    def confirm(self, address: str, token: str) -> None:
        """Confirm a network change over a new connection. Raises ServerError if it does not get through."""
        session = Session(self.where.at(address))
        try:
            session.request("confirm", {"token": token}, 30)
        finally:
            session.close()


HOSTS: dict[tuple[Target, str, frozenset[str]], Host] = {}
HOSTS_LOCK = threading.Lock()


def host_of(config: Callable[[str], Any]) -> Host:
    """The host of the stack whose config is given: `config("server")` is `sixstead:server`."""
    server = decoded(config("server"))
    if not isinstance(server, dict) or not isinstance(server.get("ssh"), dict):
        raise ServerError("the stack", "its config has no `sixstead:server.ssh`", "see docs/config.md")
    observer = os.environ.get(OBSERVER_KEY, "")
    credentials = {name: str(value) for name in CREDENTIALS if (value := config(name)) is not None}
    if observer:
        # The key for reading, and no other secret: it may be a machine's that previews for strangers.
        credentials = {"sshKey": key_text(observer)}
    where = target(server["ssh"], credentials, str(server.get("name") or ""), pathlib.Path.cwd())
    expected = {name: str(server[name]) for name in ("os", "backend") if server.get(name)}
    keys = decoded(config("keys")) or {}
    operators = frozenset(" ".join(str(keys.get(name, "")).split()[:2]) for name in server.get("operators") or ())
    with HOSTS_LOCK:
        known = where, json.dumps(expected, sort_keys=True), operators
        return HOSTS.setdefault(known, Host(where, expected, operators))


def key_text(given: str) -> str:
    """The private key that stands in OBSERVER_KEY, or in the file that it names. Raises ServerError."""
    if "PRIVATE KEY" in given:
        return given
    try:
        return pathlib.Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise ServerError(
            "the stack", f"the file that {OBSERVER_KEY} names can't be read", "see docs/review.md"
        ) from None


def decoded(value: Any) -> Any:
    """Pulumi hands structured config over as JSON text."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):  # a text that only begins like one
        return value


def covers(known: State, wanted: State) -> bool:
    """Whether all wanted items, with these values, were looked at."""
    return all(item in known.get(name, {}) for name, items in wanted.items() for item in items)


def only(observed: State, wanted: State) -> State:
    """The observed values of the wanted items."""
    found = {n: {i: observed[n][i] for i in items if i in observed.get(n, {})} for n, items in wanted.items()}
    return {name: items for name, items in found.items() if items}


def tell(text: str, severity: int = 1, ephemeral: bool = True) -> None:
    """Show a line of progress through the engine, whose address is the provider process's first argument."""
    if len(sys.argv) < 2 or ":" not in sys.argv[-1] or os.environ.get("SIXSTEAD_QUIET"):
        return
    import grpc  # type: ignore[import-untyped]
    from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

    try:
        with grpc.insecure_channel(sys.argv[-1]) as channel:
            request = engine_pb2.LogRequest(
                severity=engine_pb2.LogSeverity.ValueType(severity), message=text, ephemeral=ephemeral
            )
            engine_pb2_grpc.EngineStub(channel).Log(request, timeout=5)
    except grpc.RpcError as error:
        log(f"progress could not be shown ({error.code()}): {text}")


def warn(text: str) -> None:
    """Show a warning that stays on the screen."""
    tell(text, severity=2, ephemeral=False)
