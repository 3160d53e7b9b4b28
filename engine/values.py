"""Property values: what a resource's inputs and outputs are made of, and their way over gRPC.

Source: pulumi sdk/go/common/resource/plugin/rpc.go (the signatures and sentinels of its wire format).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from google.protobuf import struct_pb2  # type: ignore[import-untyped]

from engine.errors import Unsupported

SIG: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIG: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105
RESOURCE_SIG: Final = "5cf8f73096256a8f31e491e813e4eb8e"
OUTPUT_SIG: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_REFUSED: Final = {
    "c44067f5952c0a294b673a41bacd8c17": "assets",
    "0def7320c3a5731c473e5ecbe6d01bc7": "archives",
}
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class Unknown:
    """A value that only the update will know. There is one, `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


class Secret:
    """A value that is stored encrypted and shown as [secret]."""

    __slots__ = ("ciphertext", "value")

    def __init__(self, value: Value, ciphertext: str | None = None) -> None:
        self.value = value
        self.ciphertext = ciphertext  # as last stored, so that an unchanged secret is not encrypted anew

    def __repr__(self) -> str:
        return "[secret]"


Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | Secret | Unknown | None"
Props: TypeAlias = "dict[str, Value]"


def same(a: Value, b: Value) -> bool:
    """Deep equality, in which True is not 1 and a secret differs from its plain value."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Secret) and isinstance(b, Secret):
        return same(a.value, b.value)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Unknown | Secret | dict | list) or isinstance(b, Unknown | Secret | dict | list):
        return a is b
    return a == b


def plain(value: Value) -> Value:
    """The value without its secret wrappers."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def _any(value: Value, kind: type[Secret] | type[Unknown]) -> bool:
    if isinstance(value, kind):
        return True
    if isinstance(value, Secret):
        return _any(value.value, kind)
    if isinstance(value, dict):
        return any(_any(v, kind) for v in value.values())
    return isinstance(value, list) and any(_any(v, kind) for v in value)


def has_secret(value: Value) -> bool:
    return _any(value, Secret)


def has_unknown(value: Value) -> bool:
    return _any(value, Unknown)


def is_reference(value: Value) -> bool:
    """Whether this is a reference to another resource (a mapping with Pulumi's signature)."""
    return isinstance(value, dict) and value.get(SIG) == RESOURCE_SIG


def annotate_secrets(outs: Props, ins: Mapping[str, Value]) -> None:
    """Make secret in `outs` what is secret in `ins` under the same name: for providers that get secrets in plain."""
    for key, given in ins.items():
        if key not in outs:
            continue
        got = outs[key]
        if isinstance(got, dict) and isinstance(given, dict):
            annotate_secrets(got, given)
        elif not isinstance(got, Secret) and has_secret(given):
            outs[key] = Secret(got)


def copy_props(props: Mapping[str, Value]) -> Props:
    return copy.deepcopy(dict(props))


def from_proto(struct: struct_pb2.Struct, dependencies: set[str] | None = None) -> Props:
    """Properties from the wire. URNs that output values name are added to `dependencies`."""
    return {key: value_from_proto(value, dependencies) for key, value in struct.fields.items()}


def value_from_proto(value: struct_pb2.Value, dependencies: set[str] | None = None) -> Value:
    """One value from the wire; see `from_proto`. Raises Unsupported for assets and archives."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text: str = value.string_value
        return UNKNOWN if text in _UNKNOWNS else text
    if kind == "number_value":
        number: float = value.number_value
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if kind == "bool_value":
        return bool(value.bool_value)
    if kind == "list_value":
        return [value_from_proto(v, dependencies) for v in value.list_value.values]
    if kind != "struct_value":
        return None
    fields = value.struct_value.fields
    sig = fields[SIG].string_value if SIG in fields else ""
    if sig in _REFUSED:
        raise Unsupported(_REFUSED[sig])
    if sig == SECRET_SIG:
        return Secret(value_from_proto(fields["value"], dependencies))
    if sig == OUTPUT_SIG:
        if dependencies is not None and "dependencies" in fields:
            dependencies.update(v.string_value for v in fields["dependencies"].list_value.values)
        inner = value_from_proto(fields["value"], dependencies) if "value" in fields else UNKNOWN
        return Secret(inner) if "secret" in fields and fields["secret"].bool_value else inner
    return from_proto(value.struct_value, dependencies)


def to_proto(
    props: Mapping[str, Value], *, secrets: bool = False, references: bool = False, unknowns: bool = True
) -> struct_pb2.Struct:
    """Properties for the wire.

    secrets: keep secret wrappers (else the plain value is sent); references: keep resource references (else the id or
    the URN is sent); unknowns: send the sentinel for unknown values (else properties that hold one are left out).
    """
    struct = struct_pb2.Struct()
    for key, value in props.items():
        if not unknowns and has_unknown(value):
            continue
        _fill(struct.fields[key], value, secrets, references)
    return struct


def _fill(target: struct_pb2.Value, value: Value, secrets: bool, references: bool) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, Unknown):
        target.string_value = UNKNOWN_STRING
    elif isinstance(value, Secret):
        if secrets:
            wrapper: Props = {SIG: SECRET_SIG, "value": value.value}
            for key, inner in wrapper.items():
                _fill(target.struct_value.fields[key], inner, secrets, references)
        else:
            _fill(target, value.value, secrets, references)
    elif isinstance(value, list):
        target.list_value.SetInParent()
        for item in value:
            _fill(target.list_value.values.add(), item, secrets, references)
    elif is_reference(value) and not references:
        _fill(target, value["id"] if "id" in value else value.get("urn"), secrets, references)
    else:
        target.struct_value.SetInParent()
        for key, item in value.items():
            _fill(target.struct_value.fields[key], item, secrets, references)


def changed_keys(old: Mapping[str, Value], new: Mapping[str, Value]) -> list[str]:
    """Top-level names whose values differ, secrets compared by what they hide; names that come or go are included."""
    names: Iterable[str] = sorted(old.keys() | new.keys())
    return [k for k in names if not (k in old and k in new and same(plain(old[k]), plain(new[k])))]
