"""A checkpoint that is damaged, or newer than this engine, is told by name; one that is read is written as it was read."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import checkpoint as checkpoints
from engine.checkpoint import Checkpoint
from engine.errors import EngineError
from engine.secrets import Crypter, Passphrase
from engine.values import SECRET_SIG, SIG
from tests.fuzz import odd, watch

SALT = "v1:C0l7SKVRy/4=:v1:pr6KAkfx7+d+bKG2:45q8lzr/MzTT/KRMhQgRIQ/HFI/diA=="  # made by pulumi for the empty passphrase
SECRET = "v1:GaiXnD3f6CbTYJEX:XfkPwaWv9CQ4vL1tvpMy1jFaJyX5HuJ14g=="  # noqa: S105
STACK = "urn:pulumi:dev::toy::pulumi:pulumi:Stack::toy-dev"
PROVIDER = "urn:pulumi:dev::toy::pulumi:providers:pulumi-python::default"
THING = "urn:pulumi:dev::toy::toy:index:Thing::one"
GOOD: dict[str, Any] = {
    "version": 3,
    "checkpoint": {
        "stack": "organization/toy/dev",
        "latest": {
            "manifest": {"time": "2026-01-01T00:00:00Z", "magic": "x", "version": "v3.272.0"},
            "secrets_providers": {"type": "passphrase", "state": {"salt": SALT}},
            "resources": [
                {"urn": STACK, "custom": False, "type": "pulumi:pulumi:Stack", "outputs": {"a": [1, {"b": None}]}},
                {
                    "urn": PROVIDER,
                    "custom": True,
                    "id": "6f1c",
                    "type": "pulumi:providers:pulumi-python",
                    "inputs": {"x": {SIG: SECRET_SIG, "ciphertext": SECRET}},
                },
                {
                    "urn": THING,
                    "custom": True,
                    "id": "one",
                    "type": "toy:index:Thing",
                    "inputs": {"n": 1.5, "t": True},
                    "outputs": {"s": {SIG: SECRET_SIG, "plaintext": '"x"'}},
                    "parent": STACK,
                    "provider": f"{PROVIDER}::6f1c",
                    "dependencies": [STACK],
                    "propertyDependencies": {"n": [STACK], "t": None},
                    "customTimeouts": {"create": 30},
                    "protect": True,
                    "aliases": ["urn:pulumi:dev::toy::toy:index:Thing::zero"],
                    "stackTrace": [{"file": "x"}],
                    "created": "2026-01-01T00:00:00Z",
                },
            ],
            "pending_operations": [
                {"resource": {"urn": f"{THING}2", "custom": True, "type": "toy:index:Thing"}, "type": "creating"}
            ],
            "metadata": {},
        },
    },
}
FIELDS = sorted(
    {str(path[-1]) for path in odd.places(GOOD) if path}
    | {"initErrors", "deletedWith", "viewOf", "hideDiff", "features"}
)


@pytest.fixture(autouse=True, scope="module")
def _empty_passphrase() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
        yield


names = st.one_of(st.sampled_from(FIELDS), odd.text)
CRYPTER = Crypter(SALT, Passphrase("lab"))


def read(raw: Any) -> Checkpoint:
    try:
        raw = json.loads(json.dumps(raw))
    except RecursionError:  # engine/backend.py says so
        raise EngineError("nested too deep") from None
    if not isinstance(raw, dict):
        raise EngineError("no checkpoint")
    deployment = checkpoints.deployment_of(raw)
    return checkpoints.load(deployment, checkpoints.codec_of(deployment, Passphrase("lab"), CRYPTER))


@given(odd.changed(GOOD, odd.json_values, names))
def test_a_changed_checkpoint_is_read_or_told(raw: Any) -> None:
    with watch.looking():
        try:
            checkpoint = read(raw)
        except EngineError:
            return
        text = checkpoints.to_file(checkpoint, "toy", "dev", CRYPTER)
        again = read(json.loads(text))
        assert checkpoints.to_export(again, SALT, None)["deployment"].get("resources") == checkpoints.to_export(
            checkpoint, SALT, None
        )["deployment"].get("resources")
        assert checkpoints.stack_resource(checkpoint) is None or checkpoint.resources


@given(odd.json_values)
def test_any_json_is_a_checkpoint_or_told(raw: Any) -> None:
    with watch.looking():
        for wrapped in (raw, {"version": 3, "checkpoint": raw}, {"version": 3, "checkpoint": {"latest": raw}}):
            with contextlib.suppress(EngineError):
                assert read(wrapped).resources == []
