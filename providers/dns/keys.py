"""TSIG keys (RFC 8945) from the secret `sixstead:tsigKey`: as `nsupdate -y` takes them, `hmac-sha256:NAME:BASE64`, one a line."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from providers.host.errors import ServerError

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
"""RFC 8945, section 6; the first is the default."""

REMEDY = (
    "`./sixstead config set --secret tsigKey`, a line hmac-sha256:NAME:BASE64 for each key, as `nsupdate -y` takes it"
)


@dataclass(frozen=True)
class Key:
    """A key; its secret shows in no text of it."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)


def key_named(text: str | None, name: str, server: str) -> Key:
    """The key of this name. Raises ServerError, which says which line is wrong and nothing of what stands there."""
    if not text or not text.strip():
        raise ServerError(server, f"there is no sixstead:tsigKey, and updates are signed with the key {name}", REMEDY)
    found: dict[str, Key] = {}
    for number, line in enumerate(text.strip().splitlines(), start=1):
        if line.strip():
            key = read_key(line.strip(), number, server)
            found[key.name] = key
    if name not in found:
        raise ServerError(server, f"there is no key {name} in sixstead:tsigKey", REMEDY)
    return found[name]


def read_key(line: str, number: int, server: str) -> Key:
    """One line. Raises ServerError."""
    parts = line.split(":")
    algorithm = parts[0].lower() if len(parts) == 3 else ALGORITHMS[0]
    try:
        if len(parts) not in (2, 3) or algorithm not in ALGORITHMS:
            raise ValueError
        secret = base64.b64decode(parts[-1], validate=True)
        if not secret:
            raise ValueError
    except (ValueError, binascii.Error):
        raise ServerError(server, f"line {number} of sixstead:tsigKey is no TSIG key", REMEDY) from None
    return Key(parts[-2].lower().rstrip("."), algorithm, secret)
