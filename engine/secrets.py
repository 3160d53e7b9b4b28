"""Pulumi's passphrase secrets: PBKDF2-HMAC-SHA256 with 1,000,000 rounds, then AES-256-GCM; `v1:NONCE:TEXT` in base64.

The stack's config file holds `encryptionsalt: v1:SALT:v1:NONCE:TEXT`, whose text is the word "pulumi": so a wrong
passphrase is noticed before anything is written with it. Source: pulumi pkg/secrets/passphrase and
sdk/go/common/resource/config/crypt.go.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import os
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.errors import EngineError

_ROUNDS = 1_000_000
_KEYS: dict[tuple[str, str], AESGCM] = {}


def _cipher(passphrase: str, salt: str) -> AESGCM:
    key = (passphrase, salt)
    if key not in _KEYS:
        derived = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), base64.b64decode(salt), _ROUNDS, 32)
        _KEYS[key] = AESGCM(derived)
    return _KEYS[key]


def _seal(cipher: AESGCM, text: str) -> str:
    nonce = os.urandom(12)
    sealed = cipher.encrypt(nonce, text.encode(), None)
    return f"v1:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"


def _open(cipher: AESGCM, text: str) -> str:
    version, _, rest = text.partition(":")
    nonce, _, sealed = rest.partition(":")
    if version != "v1" or not sealed:
        raise EngineError("a secret is not in the form v1:NONCE:TEXT; its file is damaged, or made by something newer")
    try:
        return cipher.decrypt(base64.b64decode(nonce), base64.b64decode(sealed), None).decode()
    except ValueError as err:
        raise EngineError(f"a secret is damaged ({err}); set it anew, or take its file from a backup") from err


def new_salt(passphrase: str) -> str:
    """A fresh `encryptionsalt` for the passphrase."""
    salt = base64.b64encode(os.urandom(8)).decode()
    return f"v1:{salt}:{_seal(_cipher(passphrase, salt), 'pulumi')}"


class Passphrase:
    """Where a stack's passphrase comes from.

    `PULUMI_CONFIG_PASSPHRASE`, else the file named by `PULUMI_CONFIG_PASSPHRASE_FILE`, else empty for the stack `lab`
    (a simulation has no secrets), else asked for on a terminal. Raises EngineError where there is none to ask.
    """

    def __init__(self, stack: str) -> None:
        self._stack = stack
        self._value: str | None = None

    def get(self, *, confirm: bool = False) -> str:
        if self._value is None:
            self._value = self._find(confirm)
        return self._value

    def _find(self, confirm: bool) -> str:
        if "PULUMI_CONFIG_PASSPHRASE" in os.environ:
            return os.environ["PULUMI_CONFIG_PASSPHRASE"]
        file = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
        if file:
            try:
                return Path(file).read_text().strip()
            except OSError as err:
                raise EngineError(f"cannot read PULUMI_CONFIG_PASSPHRASE_FILE: {err}") from err
        if self._stack == "lab":
            return ""
        if not sys.stdin.isatty():
            raise EngineError(
                "passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE "
                "environment variables (or typed, on a terminal)"
            )
        first = getpass.getpass(f"Enter the passphrase of stack {self._stack}: ")
        if confirm and getpass.getpass("Again: ") != first:
            raise EngineError("the two passphrases differ; nothing was written")
        return first


class Crypter:
    """Encrypts and decrypts under one salt. The key is derived at first use, once a process.

    Raises EngineError when the passphrase is not the one the salt was made with.
    """

    def __init__(self, salt: str, passphrase: Passphrase) -> None:
        self.salt = salt
        self._passphrase = passphrase
        self._checked: AESGCM | None = None

    def _key(self) -> AESGCM:
        if self._checked is None:
            version, _, rest = self.salt.partition(":")
            salt, _, proof = rest.partition(":")
            if version != "v1" or not proof:
                raise EngineError("encryptionsalt is not in the form v1:SALT:v1:NONCE:TEXT")
            try:
                cipher = _cipher(self._passphrase.get(), salt)
            except ValueError as err:
                raise EngineError(f"encryptionsalt is damaged ({err}); take its file from a backup") from err
            try:
                _open(cipher, proof)
            except InvalidTag:
                raise EngineError("incorrect passphrase for this stack's secrets; nothing was changed") from None
            self._checked = cipher
        return self._checked

    def check(self) -> None:
        """Ask for the passphrase now, before anything is touched, and see whether it is the right one."""
        self._key()

    def encrypt(self, plaintext: str) -> str:
        return _seal(self._key(), plaintext)

    def decrypt(self, ciphertext: str) -> str:
        cipher = self._key()
        try:
            return _open(cipher, ciphertext)
        except InvalidTag:
            raise EngineError("a secret was not encrypted with this stack's passphrase and salt") from None
