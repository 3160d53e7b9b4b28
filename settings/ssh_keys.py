"""OpenSSH public keys, checked as far as their text goes."""

from __future__ import annotations

import base64
import binascii
import hashlib

from settings.problems import shown
from settings.reader import Node, Wrong, text

# Key types of OpenSSH (sshd(8), AUTHORIZED_KEYS FILE FORMAT) and how many fields follow the type in the blob.
_KEY_FIELDS = {
    "ssh-ed25519": 1,
    "ssh-rsa": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ssh-ed25519@openssh.com": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
}


def public_key(node: Node) -> str:
    """An OpenSSH public key: `type base64` and, if there is one, its comment."""
    if isinstance(node.raw, str) and "PRIVATE KEY" in node.raw:
        raise Wrong(
            "this is a private key: put the public one here (the file that ends in .pub), and keep that one out"
        )
    value = text(node)
    words = value.split()
    if words[0] not in _KEY_FIELDS:
        if any(word in _KEY_FIELDS for word in words[1:]):
            raise Wrong("must begin with the key's type: leave out what stands before it (host names or options)")
        raise Wrong(f"must be an OpenSSH public key, like `ssh-ed25519 AAAA...`, not {shown(value)}")
    if len(words) < 2 or not _is_key(words[0], words[1]):
        raise Wrong(f"is not a whole {words[0]} key: copy it again, all of it, on one line")
    if words[0] == "ssh-rsa" and _rsa_bits(words[1]) < 2048:
        raise Wrong("is an RSA key of less than 2048 bits, which today's OpenSSH refuses: use an ed25519 key")
    return " ".join(words)


def host_key(node: Node) -> str:
    """An OpenSSH host key as `type base64`, without comment."""
    return " ".join(public_key(node).split()[:2])


def fingerprint(key: str) -> str:
    """The SHA256 fingerprint of an OpenSSH public key, as ssh-keygen -l shows it."""
    blob = base64.b64decode(key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _blob_fields(data: str) -> list[bytes]:
    """The length-prefixed fields of a key's blob (RFC 4253, section 6.6)."""
    blob = base64.b64decode(data, validate=True)
    fields = []
    while blob:
        length = int.from_bytes(blob[:4], "big")
        if len(blob) < 4 + length:
            raise ValueError("cut short")
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


def _is_key(kind_of_key: str, data: str) -> bool:
    try:
        fields = _blob_fields(data)
    except (ValueError, binascii.Error):
        return False
    if len(fields) != 1 + _KEY_FIELDS[kind_of_key] or fields[0] != kind_of_key.encode() or not all(fields):
        return False
    return "ed25519" not in kind_of_key or len(fields[1]) == 32


def _rsa_bits(data: str) -> int:
    return int.from_bytes(_blob_fields(data)[2], "big").bit_length()
