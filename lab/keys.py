"""The lab's SSH keys, derived from its name, so that a stack file in git can pin the server's host key.

They are no secrets and guard nothing: whoever knows a lab's name can make them."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def _key(lab: str, role: str) -> Ed25519PrivateKey:
    seed = hashlib.sha256(f"sixstead lab {lab} {role}".encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed)


def private_key(lab: str, role: str) -> str:
    """The private key as OpenSSH's PEM. `role` is `host` (the server's host key) or `login` (the operator's key)."""
    return _key(lab, role).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def public_key(lab: str, role: str) -> str:
    """The public key as one line, without a comment: `ssh-ed25519 AAAA...`."""
    return _key(lab, role).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
