"""What every resource on a host passes to the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi.dynamic import Resource

from .provider import HostProvider


class HostResource(Resource):
    """A thing on a host; see provider.py for what the inputs mean, `more` are the kind's own. Outputs have the same names."""

    key: pulumi.Output[str]
    state: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        provider: HostProvider,
        name: str,
        state: Mapping[str, Any],
        *,
        key: str | None = None,
        params: Mapping[str, Any] | None = None,
        secret_state: Mapping[str, Any] | None = None,
        data_loss: str = "",
        more: Mapping[str, Any] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        inputs: dict[str, Any] = {
            "key": key or name,
            "state": dict(state),
            **(more or {}),
        }
        if params:
            inputs["params"] = dict(params)
        if data_loss:
            inputs["dataLoss"] = data_loss
        if secret_state:
            inputs["secretState"] = pulumi.Output.secret(dict(secret_state))
        super().__init__(provider.of_stack(), name, inputs, opts)
