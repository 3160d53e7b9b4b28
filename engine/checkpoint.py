"""The checkpoint: version 3, as Pulumi writes it. Source: pulumi sdk/go/common/apitype/core.go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from engine import urn as urns
from engine.errors import Damaged, Unsupported
from engine.secrets import Crypter, Passphrase
from engine.state import Codec, State, from_json, now, to_json, to_text

# The manifest's version is compared by nobody but must be one that Pulumi can parse.
ENGINE_VERSION: Final = "v3.272.0"
_MAGIC: Final = hashlib.sha256(ENGINE_VERSION.encode()).hexdigest()
_DEPLOYMENT_KEYS: Final = frozenset({"manifest", "secrets_providers", "resources", "pending_operations", "metadata"})
_REFUSED: Final = {"snippets": "snippets", "extensions": "package extensions"}


@dataclass
class Operation:
    """A step that had begun when the engine was stopped. type: creating, updating, deleting, reading."""

    resource: State
    type: str


@dataclass
class Checkpoint:
    """What the last operation left: the resources, in an order in which each follows what it depends on."""

    resources: list[State] = field(default_factory=list)
    pending: list[Operation] = field(default_factory=list)


def deployment_of(raw: dict[str, Any]) -> dict[str, Any]:
    """The deployment within a checkpoint's file, {} for a stack that was never deployed.

    Raises Unsupported, by name, for versions and features that this engine does not know, and Damaged.
    """
    version = raw.get("version", 0)
    if features := _list(raw, "features"):
        raise Unsupported(f"checkpoint feature {', '.join(map(str, features))}")
    if version not in (0, 3):
        raise Unsupported(f"checkpoint version {version!r}"[:80])
    return _map(_map(raw, "checkpoint"), "latest")


def _map(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The map of that name, {} where there is none. Raises Damaged where it is something else."""
    value = raw.get(name)
    if value is not None and not isinstance(value, dict):
        raise Damaged(f"{name} is no map")
    return value or {}


def _list(raw: dict[str, Any], name: str) -> list[Any]:
    """The list of that name, as `_map`."""
    value = raw.get(name)
    if value is not None and not isinstance(value, list):
        raise Damaged(f"{name} is no list")
    return value or []


def codec_of(deployment: dict[str, Any], passphrase: Passphrase, default: Crypter) -> Codec:
    """What decrypts a deployment's secrets: the stack config's own crypter where the salt is the same."""
    provider = _map(deployment, "secrets_providers")
    if not provider:
        return default
    if provider.get("type") != "passphrase":
        raise Unsupported(f"secrets provider {provider.get('type')!r}"[:80])
    salt = _map(provider, "state").get("salt")
    if not isinstance(salt, str):
        raise Damaged("secrets_providers has no salt")
    return default if salt == default.salt else Crypter(salt, passphrase)


def load(deployment: dict[str, Any], codec: Codec) -> Checkpoint:
    """Resources and pending operations. Raises EngineError for what is none, and when they don't fit together."""
    for key in deployment:
        if key in _REFUSED and deployment[key]:
            raise Unsupported(f"checkpoint feature {_REFUSED[key]}")
        if key not in _DEPLOYMENT_KEYS | _REFUSED.keys():
            raise Unsupported(f"checkpoint feature {key!r}")
    checkpoint = Checkpoint(
        resources=[from_json(r, codec) for r in _list(deployment, "resources")],
        pending=[_operation(o, codec) for o in _list(deployment, "pending_operations")],
    )
    verify(checkpoint.resources)
    return checkpoint


def _operation(raw: Any, codec: Codec) -> Operation:
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise Damaged("a pending operation is none")
    return Operation(from_json(raw.get("resource"), codec), raw["type"])


def verify(resources: Iterable[State]) -> None:
    """Raise Damaged unless each resource follows its parent, its provider and its dependencies."""
    seen: set[str] = set()
    for state in resources:
        for needed in (*state.all_dependencies(), *([state.parent] if state.parent else [])):
            if needed not in seen:
                raise Damaged(f"{state.urn} comes before {needed}, which it needs")
        seen.add(state.urn)


def _head() -> dict[str, str]:
    return {"time": now(), "magic": _MAGIC, "version": ENGINE_VERSION}


def _secrets(salt: str) -> dict[str, Any]:
    return {"type": "passphrase", "state": {"salt": salt}}


def to_file(checkpoint: Checkpoint, project: str, stack: str, crypter: Crypter) -> str:
    """The whole file as text. Unchanged resources are not serialized anew."""
    resources = ",".join(to_text(state, crypter) for state in checkpoint.resources)
    pending = ",".join(
        f'{{"resource":{to_text(o.resource, crypter)},"type":{json.dumps(o.type)}}}' for o in checkpoint.pending
    )
    parts = [
        f'"manifest":{json.dumps(_head(), separators=(",", ":"))}',
        f'"secrets_providers":{json.dumps(_secrets(crypter.salt), separators=(",", ":"))}',
        *([f'"resources":[{resources}]'] if resources else []),
        *([f'"pending_operations":[{pending}]'] if pending else []),
        '"metadata":{}',
    ]
    name = json.dumps(f"organization/{project}/{stack}")
    return f'{{"version":3,"checkpoint":{{"stack":{name},"latest":{{{",".join(parts)}}}}}}}'


def to_export(checkpoint: Checkpoint, salt: str, codec: Codec | None) -> dict[str, Any]:
    """What `stack export` prints; with no codec, secrets in plain."""
    deployment: dict[str, Any] = {"manifest": _head(), "secrets_providers": _secrets(salt)}
    if checkpoint.resources:
        deployment["resources"] = [to_json(r, codec) for r in checkpoint.resources]
    if checkpoint.pending:
        deployment["pending_operations"] = [
            {"resource": to_json(o.resource, codec), "type": o.type} for o in checkpoint.pending
        ]
    deployment["metadata"] = {}
    return {"version": 3, "deployment": deployment}


def stack_resource(checkpoint: Checkpoint) -> State | None:
    return next((r for r in checkpoint.resources if r.type == urns.STACK_TYPE), None)
