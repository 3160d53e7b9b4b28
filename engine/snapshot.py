"""What the checkpoint says at each moment of an operation. Source: pulumi pkg/backend/snapshot.go.

There are two lists: the base (what the last operation left) and the news (what this one has registered so far). A
checkpoint is the news, then what is left of the base: both are in dependency order, and so is their sum.
"""

from __future__ import annotations

from engine import urn as urns
from engine.checkpoint import Checkpoint, Operation
from engine.state import State
from engine.steps import Step
from engine.values import same

_COMPARED = (
    *("urn", "type", "custom", "id", "parent", "protect", "provider", "retain_on_delete", "deleted_with"),
    *("custom_timeouts", "additional_secret_outputs", "ignore_changes", "replace_on_changes", "import_id", "aliases"),
)


class Snapshot:
    """Both lists and the operations under way. `begin` and `end` say whether the file must be written."""

    def __init__(self, base: Checkpoint) -> None:
        self.base = list(base.resources)
        self.base_pending = [o for o in base.pending if o.type == "creating"]
        self.news: list[State] = []
        self.done: set[State] = set()
        self.under_way: dict[State, str] = {}
        self.changed = len(base.pending) != len(self.base_pending)

    def begin(self, step: Step) -> bool:
        kind = {
            "create": "creating",
            "create-replacement": "creating",
            "update": "updating",
            "delete": "deleting",
            "delete-replaced": "deleting",
            "discard": "deleting",
            "read": "reading",
            "read-replacement": "reading",
        }.get(step.op)
        if kind is None:
            return False
        self.under_way[step.state] = kind
        return self._dirty()

    def end(self, step: Step, successful: bool) -> bool:
        self.under_way.pop(step.state, None)
        old, new = step.old, step.new
        if not successful:
            return self._dirty()
        if step.op == "same":
            assert new is not None
            self.done.update([old] if old else [])
            if step.skipped:
                return False
            self.news.append(new)
            must = old is None or differs(old, new)
            return must and self._dirty()
        if step.op in ("create", "create-replacement"):
            assert new is not None
            self.news.append(new)
            if old is not None and old.pending_replacement:
                self.done.add(old)
            self.base_pending = [o for o in self.base_pending if o.resource.urn != new.urn]
        elif step.op in ("update", "read"):
            assert new is not None
            self.done.update([old] if old else [])
            self.news.append(new)
        elif step.op == "read-replacement":
            assert new is not None
            self.news.append(new)
        elif step.op in ("delete", "delete-replaced", "discard"):
            assert old is not None
            if not old.pending_replacement:
                self.done.add(old)
        elif step.op == "refresh":
            assert old is not None
            self.done.add(old)
            if not step.gone and new is not None:
                self.news.append(new)
            return (step.gone or (new is not None and differs(old, new))) and self._dirty()
        elif step.op == "remove-pending-replace":
            assert old is not None
            self.done.add(old)
        else:
            return False
        return self._dirty()

    def _dirty(self) -> bool:
        self.changed = True
        return True

    def checkpoint(self) -> Checkpoint:
        """The checkpoint as of now."""
        resources = [r for r in self.news if r not in self.done]
        resources += [r for r in self.base if r not in self.done]
        pending = [Operation(state, kind) for state, kind in self.under_way.items()]
        resources = normalize(resources)
        return Checkpoint(without_dangling(resources), pending + self.base_pending)


def differs(old: State, new: State) -> bool:
    """Whether a step that changes nothing on the host still changes what the checkpoint says."""
    if any(getattr(old, name) != getattr(new, name) for name in _COMPARED):
        return True
    if sorted(old.dependencies) != sorted(new.dependencies):
        return True
    if {k: sorted(v) for k, v in old.property_dependencies.items()} != {
        k: sorted(v) for k, v in new.property_dependencies.items()
    }:
        return True
    return not (same(dict(old.inputs), dict(new.inputs)) and same(dict(old.outputs), dict(new.outputs)))


def normalize(resources: list[State]) -> list[State]:
    """Follow aliases: what still names a resource by its old URN names it by its new one; aliases are not stored."""
    renamed = {alias: r.urn for r in resources for alias in r.aliases}
    if not renamed:
        return resources

    def fix(urn: str) -> str:
        return renamed.get(urn, urn)

    out = []
    for r in resources:
        if r.parent in renamed and urns.qualified_type(fix(r.parent)) != urns.STACK_TYPE:
            head, project, _, name = r.urn.split("::", 3)
            renamed.setdefault(r.urn, f"{head}::{project}::{urns.qualified_type(fix(r.parent))}${r.type}::{name}")
        provider = r.provider
        if provider:
            urn, id_ = urns.split_reference(provider)
            provider = f"{fix(urn)}::{id_}"
        fixed = State(**{**vars(r), "aliases": []})
        fixed.urn, fixed.parent, fixed.provider = fix(r.urn), fix(r.parent), provider
        fixed.deleted_with = fix(r.deleted_with)
        fixed.dependencies = [fix(d) for d in r.dependencies]
        fixed.property_dependencies = {k: [fix(d) for d in v] for k, v in r.property_dependencies.items()}
        out.append(fixed)
    return out


def without_dangling(resources: list[State]) -> list[State]:
    """Drop references to resources that are gone (a refresh found them deleted), so that the file stays readable."""
    there = {r.urn for r in resources}
    out = []
    for r in resources:
        if all(d in there for d in r.all_dependencies()) and (not r.parent or r.parent in there):
            out.append(r)
            continue
        fixed = State(**vars(r))
        fixed.dependencies = [d for d in r.dependencies if d in there]
        left = {k: [d for d in v if d in there] for k, v in r.property_dependencies.items()}
        fixed.property_dependencies = {k: v for k, v in left.items() if v}
        fixed.deleted_with = r.deleted_with if r.deleted_with in there else ""
        fixed.parent = r.parent if r.parent in there else ""
        out.append(fixed)
    return out
