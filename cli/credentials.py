"""Config keys that hold credentials: they are stored encrypted or not at all."""

from __future__ import annotations

from engine.errors import EngineError

KEYS = frozenset({"sshKey", "sshKeyPassphrase", "sudoPassword", "token", "robotUser", "robotPassword", "tsigKey"})


def refuse_plain(key: str, secret: bool) -> None:
    """Raise EngineError for a credential's key (`sixstead:sshKey`, `hcloud:token`, ...) that is set without --secret."""
    name = key.rsplit(":", 1)[-1]
    if name in KEYS and not secret:
        raise EngineError(f"{key} is a credential: set it with --secret, so that it is stored encrypted")
