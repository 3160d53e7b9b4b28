"""Checkpoints that no engine wrote are told as such, never with a traceback."""

from __future__ import annotations

from typing import Any

import pytest

from engine import checkpoint as checkpoints
from engine.checkpoint import Checkpoint
from engine.errors import EngineError
from engine.secrets import Crypter, Passphrase
from engine.values import SECRET_SIG, SIG

CRYPTER = Crypter("", Passphrase("lab"))
URN = "urn:pulumi:dev::toy::toy:index:Thing::one"


def resource(**more: Any) -> dict[str, Any]:
    return {"resources": [{"urn": URN, "type": "toy:index:Thing", "custom": True, **more}]}


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def load(latest: Any) -> Checkpoint:
    deployment = checkpoints.deployment_of({"version": 3, "checkpoint": {"latest": latest}})
    return checkpoints.load(deployment, checkpoints.codec_of(deployment, Passphrase("lab"), CRYPTER))


@pytest.mark.parametrize(
    ("latest", "words"),
    [
        ([], "latest is no map"),
        ({"resources": {}}, "resources is no list"),
        ({"resources": [1]}, "a resource is no map"),
        ({"resources": [{"urn": URN}]}, "is no resource"),
        (resource(urn="x"), "'x' is no resource"),
        (resource(protect="yes"), "protect .* is not of its type"),
        (resource(inputs=[]), "inputs .* is not of its type"),
        (resource(dependencies=[1]), "dependencies .* is not of its type"),
        (resource(customTimeouts={"create": "30s"}), "customTimeouts .* is not of its type"),
        (resource(inputs={"x": {SIG: SECRET_SIG}}), "a secret without its text"),
        (resource(inputs={"x": {SIG: SECRET_SIG, "plaintext": "{"}}), "can't be decoded"),
        (resource(inputs={"x": nested(3000)}), "can't be decoded"),
        (resource(inputs={"x": nested(101)}), "nested too deep"),
        (resource(stackTrace=[{"x": nested(3000)}]), "can't be decoded"),
        ({"pending_operations": [{}]}, "a pending operation is none"),
        ({"secrets_providers": {"type": "passphrase", "state": {}}}, "has no salt"),
        ({"secrets_providers": 1}, "secrets_providers is no map"),
    ],
)
def test_what_no_engine_wrote_is_told(latest: Any, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        load(latest)


def test_gos_null_for_an_empty_list_of_dependencies_is_read() -> None:
    loaded = load(resource(propertyDependencies={"n": None}))
    assert loaded.resources[0].property_dependencies == {"n": []}
