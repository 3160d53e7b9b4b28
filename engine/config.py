"""The project's and the stack's config: Pulumi.yaml and stacks/Pulumi.STACK.yaml.

A stack's values reach the program and the dynamic providers as strings, mappings and lists as JSON, byte for byte as
Pulumi makes it (else the provider resource would change whenever the other engine takes over).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import yamlfile
from engine.durable import SHARED, write_durably
from engine.errors import EngineError, Unsupported
from engine.secrets import Crypter, Passphrase, new_salt
from engine.values import Props, Secret

DYNAMIC = "pulumi-python"


@dataclass(frozen=True)
class Project:
    """Pulumi.yaml. `root` is the directory it lies in, absolute."""

    name: str
    root: Path
    main: Path
    config_dir: Path
    python: Path
    backend_url: str

    @classmethod
    def load(cls, root: Path) -> Project:
        """Read `root`/Pulumi.yaml. Raises EngineError for what this engine can't run."""
        root = root.resolve()
        raw = yamlfile.read(root / "Pulumi.yaml")
        if not isinstance(raw, dict) or "name" not in raw:
            raise EngineError(f"no Pulumi.yaml with a project's name in {root}")
        runtime = raw.get("runtime")
        settings: dict[str, Any] = runtime if isinstance(runtime, dict) else {"name": runtime}
        kind, options = settings.get("name"), settings.get("options") or {}
        if kind != "python":
            raise Unsupported(f"runtime {kind!r}")
        for key in ("config", "plugins", "packages"):
            if raw.get(key):
                raise Unsupported(f"{key!r} in Pulumi.yaml")
        venv = options.get("virtualenv")
        python = root / venv / "bin" / "python" if venv else Path("python3")
        if venv and not python.exists():
            raise EngineError(f"{root / venv} is not a virtual environment; run `make setup`")
        return cls(
            name=str(raw["name"]),
            root=root,
            main=root / raw.get("main", "."),
            config_dir=root / raw.get("stackConfigDir", "."),
            python=python,
            backend_url=os.environ.get("PULUMI_BACKEND_URL") or (raw.get("backend") or {}).get("url") or "file://~",
        )

    def config_file(self, stack: str, given: str | None) -> Path:
        """The stack's config file: `given` (--config-file, relative to where one is) or the project's own."""
        return Path(given).absolute() if given else self.config_dir / f"Pulumi.{stack}.yaml"


def decrypted(value: Any, crypter: Crypter) -> Any:
    """A config value with its secrets in plain."""
    if isinstance(value, dict):
        if set(value) == {"secure"}:
            return crypter.decrypt(str(value["secure"]))
        return {str(k): decrypted(v, crypter) for k, v in value.items()}
    return [decrypted(v, crypter) for v in value] if isinstance(value, list) else value


def is_secure(value: Any) -> bool:
    """Whether a config value is a secret or has one in it."""
    if isinstance(value, dict):
        return set(value) == {"secure"} or any(is_secure(v) for v in value.values())
    return isinstance(value, list) and any(is_secure(v) for v in value)


def as_text(value: Any) -> str:
    """A config value as the string that programs see; JSON as Go's encoder writes it."""
    if isinstance(value, str):
        return value
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


class StackConfig:
    """One stack's config file. Secrets are decrypted when values are asked for; the passphrase is needed only then."""

    def __init__(self, path: Path, stack: str, project: str) -> None:
        self.path = path
        raw, config = yamlfile.stack(yamlfile.read(path), str(path))
        for key in ("secretsprovider", "encryptedkey", "environment"):
            if raw.get(key) and raw[key] != "passphrase":
                raise Unsupported(f"{key!r} in {path.name}")
        self.raw: dict[str, Any] = {}
        for key, value in config.items():
            self.raw[str(key) if ":" in str(key) else f"{project}:{key}"] = value
        self.salt = str(raw.get("encryptionsalt") or "")
        self.passphrase = Passphrase(stack)
        self.crypter = Crypter(self.salt, self.passphrase)

    def values(self) -> dict[str, str]:
        """Every key with its text, secrets in plain."""
        return {k: as_text(decrypted(v, self.crypter)) for k, v in self.raw.items()}

    def secret_keys(self) -> list[str]:
        return [k for k, v in self.raw.items() if is_secure(v)]

    def package(self, package: str) -> Props:
        """The inputs of a package's default provider: the whole config for dynamic providers, else its namespace."""
        secret = set(self.secret_keys())
        out: Props = {}
        for key, text in sorted(self.values().items()):
            namespace, _, name = key.partition(":")
            if package == DYNAMIC:
                out[key] = Secret(text) if key in secret else text
            elif namespace == package:
                out[name] = Secret(text) if key in secret else text
        return out

    def ensure_salt(self) -> None:
        """Give the file an `encryptionsalt`, as Pulumi does, where it has none: what the checkpoint is encrypted with."""
        if self.salt:
            return
        self.salt = new_salt(self.passphrase.get(confirm=True))
        self.crypter = Crypter(self.salt, self.passphrase)
        text = self.path.read_text() if self.path.exists() else ""
        if text and not text.endswith("\n"):
            text += "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(self.path, f"{text}encryptionsalt: {self.salt}\n", SHARED)
