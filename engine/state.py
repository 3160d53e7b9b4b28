"""A resource as the checkpoint keeps it, and its JSON. Source: pulumi sdk/go/common/apitype/core.go, ResourceV3."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol

from engine import urn as urns
from engine.errors import Damaged, EngineError, Unsupported
from engine.values import SECRET_SIG, SIG, UNKNOWN, Props, Secret, Unknown, Value, copy_props

_UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_FLOAT_SIG: Final = "8ad145fe-0d11-4827-bfd7-1abcbf086f5c"
_REFUSED_SIGS: Final = {
    "c44067f5952c0a294b673a41bacd8c17": "assets",
    "0def7320c3a5731c473e5ecbe6d01bc7": "archives",
    _FLOAT_SIG: "numbers that are infinite or not a number",
}
_REFUSED_FIELDS: Final = {
    "viewOf": "resource views",
    "resourceHooks": "resource hooks",
    "extensionRef": "package extensions",
    "snippetID": "snippets",
    "replacementTrigger": "replacementTrigger",
    "replaceWith": "replaceWith",
    "refreshBeforeUpdate": "refreshBeforeUpdate",
}


class Codec(Protocol):
    """What turns the text of a secret into ciphertext and back."""

    def encrypt(self, plaintext: str) -> str: ...

    def decrypt(self, ciphertext: str) -> str: ...


def now() -> str:
    """The time in UTC as Go writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(eq=False)
class State:
    """One resource. Compared by identity: a URN may stand twice while it is being replaced.

    Field names are the checkpoint's, in Python's spelling. Values are replaced, never changed in place, so that the
    JSON of an unchanged resource is made once.
    """

    urn: str
    type: str
    custom: bool
    id: str = ""
    inputs: Props = field(default_factory=dict)
    outputs: Props = field(default_factory=dict)
    parent: str = ""
    protect: bool = False
    external: bool = False
    delete: bool = False
    taint: bool = False
    dependencies: list[str] = field(default_factory=list)
    init_errors: list[str] = field(default_factory=list)
    provider: str = ""
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    pending_replacement: bool = False
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    import_id: str = ""
    retain_on_delete: bool = False
    deleted_with: str = ""
    created: str = ""
    modified: str = ""
    source_position: str = ""
    stack_trace: list[dict[str, str]] = field(default_factory=list)
    ignore_changes: list[str] = field(default_factory=list)
    hide_diff: list[Any] = field(default_factory=list)
    replace_on_changes: list[str] = field(default_factory=list)
    json_text: str | None = field(default=None, repr=False)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, "json_text", value if name == "json_text" else None)
        if name != "json_text":
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        return urns.name_of(self.urn)

    def copy(self) -> State:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values.update(inputs=copy_props(self.inputs), outputs=copy_props(self.outputs), json_text=None)
        return State(**values)

    def all_dependencies(self) -> Iterator[str]:
        """URNs it needs: dependencies, those of its properties, deletedWith, its provider. Not its parent."""
        yield from self.dependencies
        for needed in self.property_dependencies.values():
            yield from needed
        if self.deleted_with:
            yield self.deleted_with
        if self.provider:
            yield urns.split_reference(self.provider)[0]


_JSON_NAMES: Final = {
    f.name: f.name.split("_")[0] + "".join(p.title() for p in f.name.split("_")[1:])
    for f in fields(State)
    if f.name != "json_text"
} | {"import_id": "importID"}


def to_json(state: State, codec: Codec | None) -> dict[str, Any]:
    """The checkpoint's JSON of a resource; without a codec secrets are shown as plaintext (for an export)."""
    out: dict[str, Any] = {}
    for name, key in _JSON_NAMES.items():
        value = getattr(state, name)
        if name in ("inputs", "outputs"):
            value = {k: _encode(v, codec) for k, v in sorted(value.items())}
        if value or key in ("urn", "custom", "type"):
            out[key] = value
    return out


def to_text(state: State, codec: Codec) -> str:
    """`to_json` as text, made once for as long as the resource does not change."""
    if state.json_text is None:
        state.json_text = json.dumps(to_json(state, codec), ensure_ascii=False, separators=(",", ":"))
    return state.json_text


def _encode(value: Value, codec: Codec | None) -> Any:
    if isinstance(value, Unknown):
        return _UNKNOWN_TEXT
    if isinstance(value, Secret):
        text = json.dumps(_inside_secret(value.value), ensure_ascii=False, separators=(",", ":"))
        if codec is None:
            return {SIG: SECRET_SIG, "plaintext": text}
        if value.ciphertext is None:
            value.ciphertext = codec.encrypt(text)
        return {SIG: SECRET_SIG, "ciphertext": value.ciphertext}
    if isinstance(value, dict):
        return {k: _encode(v, codec) for k, v in value.items()}
    if isinstance(value, list):
        return [_encode(v, codec) for v in value]
    return value


def _inside_secret(value: Value) -> Any:
    """Within a secret, inner secrets are marked but not encrypted again."""
    if isinstance(value, Secret):
        inner = json.dumps(_inside_secret(value.value), ensure_ascii=False, separators=(",", ":"))
        return {SIG: SECRET_SIG, "ciphertext": inner}
    if isinstance(value, dict):
        return {k: _inside_secret(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_inside_secret(v) for v in value]
    return _UNKNOWN_TEXT if isinstance(value, Unknown) else value


class _Plain:
    """The codec inside a secret, where nothing is encrypted."""

    def encrypt(self, plaintext: str) -> str:
        return plaintext

    def decrypt(self, ciphertext: str) -> str:
        return ciphertext


def _text(secret: dict[str, Any], name: str) -> str:
    text = secret.get(name)
    if not isinstance(text, str):
        raise ValueError("a secret without its text")
    return text


_DEEPEST: Final = 100
"""What is nested deeper could be read, perhaps, and then not be written again."""


def _decode(value: Any, codec: Codec, left: int = _DEEPEST) -> Value:
    if not left:
        raise ValueError("it is nested too deep")
    if isinstance(value, list):
        return [_decode(v, codec, left - 1) for v in value]
    if not isinstance(value, dict):
        return UNKNOWN if value == _UNKNOWN_TEXT else value
    sig = value.get(SIG)
    if sig == SECRET_SIG:
        if "plaintext" in value:
            return Secret(_decode(json.loads(_text(value, "plaintext")), _Plain(), left - 1))
        ciphertext = _text(value, "ciphertext")
        text = codec.decrypt(ciphertext)
        return Secret(_decode(json.loads(text), _Plain(), left - 1), None if isinstance(codec, _Plain) else ciphertext)
    if isinstance(sig, str) and sig in _REFUSED_SIGS:
        raise Unsupported(_REFUSED_SIGS[sig])
    return {k: _decode(v, codec, left - 1) for k, v in value.items()}


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    "str": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "Props": lambda value: isinstance(value, dict),
    "list[Any]": lambda value: isinstance(value, list) and bool(json.dumps(value)),  # RecursionError
    "list[str]": _texts,
    "dict[str, list[str]]": lambda value: isinstance(value, dict) and all(v is None or _texts(v) for v in value.values()),
    "dict[str, float]": lambda value: isinstance(value, dict) and all(map(_number, value.values())),
    "list[dict[str, str]]": lambda value: isinstance(value, list) and all(isinstance(v, dict) and json.dumps(v) for v in value),
}  # fmt: skip
_TYPES: Final = {f.name: str(f.type) for f in fields(State)}


def from_json(raw: Any, codec: Codec) -> State:
    """A resource of a checkpoint.

    Raises Unsupported, naming the feature, for fields this engine does not keep, and Damaged for what no engine wrote.
    """
    if not isinstance(raw, dict):
        raise Damaged("a resource is no map")
    try:
        return _from_json(raw, codec)
    except (RecursionError, ValueError) as err:
        raise Damaged(f"{raw.get('urn')!r:.200} can't be decoded ({err})") from err


def _from_json(raw: dict[str, Any], codec: Codec) -> State:
    known = {key: name for name, key in _JSON_NAMES.items()}
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key in _REFUSED_FIELDS:
            raise Unsupported(f"{_REFUSED_FIELDS[key]} (of {raw.get('urn')})")
        if key not in known:
            raise EngineError(f"the checkpoint's field {key!r} (of {raw.get('urn')}) is newer than the embedded engine")
        if value is None:
            continue
        if not _FITS[_TYPES[known[key]]](value):
            raise Damaged(f"{key} (of {raw.get('urn')!r:.200}) is not of its type")
        values[known[key]] = value
    if not urns.is_urn(values.get("urn", "")) or "type" not in values or "custom" not in values:
        raise Damaged(f"{raw.get('urn')!r:.200} is no resource")
    # Go writes null for an empty list
    needs = values.get("property_dependencies", {})
    values["property_dependencies"] = {key: needed or [] for key, needed in needs.items()}
    for name in ("inputs", "outputs"):
        values[name] = {k: _decode(v, codec) for k, v in values.get(name, {}).items()}
    return State(**values)
