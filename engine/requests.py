"""A program's requests as goals; what this engine does not support in them is refused by name.

Source: pulumi proto/pulumi/resource.proto and pkg/resource/deploy/source_eval.go.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlparse

from pulumi.runtime.proto import alias_pb2, resource_pb2, source_pb2

from engine import paths
from engine.errors import EngineError, Unsupported
from engine.goal import Alias, Goal, ReadGoal
from engine.values import from_proto, value_from_proto

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def refuse_options(request: resource_pb2.RegisterResourceRequest) -> None:
    """Raise Unsupported, by name, for options of a registration that this engine does not have."""
    what = f"(of {request.type} {request.name})"
    hooks = request.hooks
    named = {
        "transforms": bool(request.transforms),
        "import": bool(request.importId),
        "remote components": request.remote,
        "replaceWith": bool(request.replace_with),
        "replacementTrigger": request.HasField("replacement_trigger")
        and request.replacement_trigger.WhichOneof("kind") not in (None, "null_value"),
        "resource hooks": any(getattr(hooks, f.name) for f in hooks.DESCRIPTOR.fields),
        "envVarMappings": bool(request.envVarMappings),
        "state migrations": bool(request.state_migrations),
        "parameterized packages": bool(request.packageRef),
    }
    for name, used in named.items():
        if used:
            raise Unsupported(f"{name} {what}")


def goal_of(request: resource_pb2.RegisterResourceRequest, root: Path) -> Goal:
    """A registration's request as a goal."""
    needs: dict[str, set[str]] = {k: set(v.urns) for k, v in request.propertyDependencies.items()}
    props = {}
    for key, value in request.object.fields.items():
        found: set[str] = set()
        props[key] = value_from_proto(value, found)
        if not request.propertyDependencies:
            found |= set(request.dependencies)
        needs.setdefault(key, set()).update(found)
    timeouts = request.customTimeouts
    return Goal(
        type=request.type,
        name=request.name,
        custom=request.custom,
        props=props,
        parent=request.parent,
        protect=request.protect if request.HasField("protect") else None,
        dependencies=list(request.dependencies),
        property_dependencies={k: sorted(v) for k, v in sorted(needs.items())},
        delete_before_replace=request.deleteBeforeReplace
        if request.deleteBeforeReplaceDefined or request.deleteBeforeReplace
        else None,
        ignore_changes=list(request.ignoreChanges),
        hide_diff=[paths.parse(p) for p in request.hideDiffs],
        additional_secret_outputs=list(request.additionalSecretOutputs),
        aliases=[Alias(urn=u) for u in request.aliasURNs] + [alias_of(a) for a in request.aliases],
        custom_timeouts={
            name: seconds(getattr(timeouts, name))
            for name in ("create", "update", "delete", "read")
            if getattr(timeouts, name, "")
        },
        replace_on_changes=list(request.replaceOnChanges),
        retain_on_delete=request.retainOnDelete if request.HasField("retainOnDelete") else None,
        deleted_with=request.deletedWith,
        source_position=position_of(request.sourcePosition, root),
    )


def alias_of(alias: alias_pb2.Alias) -> Alias:
    if alias.WhichOneof("alias") == "urn":
        return Alias(urn=alias.urn)
    spec = alias.spec
    return Alias(
        name=spec.name,
        type=spec.type,
        stack=spec.stack,
        project=spec.project,
        parent=spec.parentUrn,
        no_parent=spec.noParent,
    )


def seconds(duration: str) -> float:
    """Go's spelling of a duration (`1h30m`, `300s`) in seconds. Raises EngineError for anything else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|us|µs|ns|m|s)", duration)
    if not parts or "".join(a + b for a, b in parts) != duration:
        raise EngineError(f"customTimeouts: {duration!r} is no duration; write 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def position_of(position: source_pb2.SourcePosition, root: Path) -> str:
    """Where in the project a resource is registered, as Pulumi writes it; "" for code outside of it."""
    if not position.uri:
        return ""
    relative = os.path.relpath(urlparse(position.uri).path, root)
    if relative.startswith(".."):
        return ""
    column = f",{position.column}" if position.column else ""
    return f"project:///{relative}#{position.line}{column}"


def read_goal_of(request: resource_pb2.ReadResourceRequest, root: Path) -> ReadGoal:
    """A read's request as a goal, its provider not yet found."""
    return ReadGoal(
        type=request.type,
        name=request.name,
        id=request.id,
        props=from_proto(request.properties),
        parent=request.parent,
        dependencies=list(request.dependencies),
        additional_secret_outputs=list(request.additionalSecretOutputs),
        source_position=position_of(request.sourcePosition, root),
    )
