"""Steps: what is done to one resource. Names are Pulumi's (pkg/resource/deploy/step.go)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from engine import paths
from engine.state import State

Op = Literal[
    "same",
    "create",
    "update",
    "delete",
    "replace",
    "create-replacement",
    "delete-replaced",
    "read",
    "read-replacement",
    "discard",
    "refresh",
    "remove-pending-replace",
]

SIGNS: Final[dict[str, str]] = {
    "same": " ",
    "create": "+",
    "update": "~",
    "delete": "-",
    "replace": "+-",
    "create-replacement": "++",
    "delete-replaced": "--",
    "read": ">",
    "read-replacement": ">>",
    "discard": "<",
    "refresh": "~",
    "remove-pending-replace": "~",
}
DOING: Final[dict[str, str]] = {
    "create": "creating",
    "update": "updating",
    "delete": "deleting",
    "replace": "replacing",
    "create-replacement": "creating replacement",
    "delete-replaced": "deleting original",
    "read": "reading",
    "read-replacement": "reading for replacement",
    "discard": "discarding",
    "refresh": "refreshing",
}
DONE: Final[dict[str, str]] = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "create-replacement": "created replacement",
    "delete-replaced": "deleted original",
    "read": "read",
    "read-replacement": "read for replacement",
    "discard": "discarded",
    "refresh": "refreshed",
}


@dataclass(frozen=True)
class Diff:
    """What a provider says of a change. keys: the names that changed; replaces: those that need a new resource."""

    changes: bool
    replaces: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    delete_before_replace: bool = False


@dataclass(eq=False)
class Step:
    """One step. `old` is what is in the checkpoint, `new` what will be; the missing one is None."""

    op: Op
    old: State | None = None
    new: State | None = None
    keys: list[str] = field(default_factory=list)  # the names that need a replacement
    changed: list[str] = field(default_factory=list)  # the names that changed
    pending_delete: bool = False  # create-replacement, read-replacement: `old` is to be deleted at the end
    pending_replace: bool = False  # delete-replaced: before the replacement is made
    skipped: bool = False  # same: a resource that is not made in this run and not recorded
    untargeted: bool = False  # same: kept as it is, since --target does not name it
    gone: bool = False  # refresh: it is not there any more
    persisted: bool = True  # refresh: its result takes the old one's place at once
    failed: bool = False  # it was tried

    @property
    def state(self) -> State:
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def urn(self) -> str:
        return self.state.urn

    @property
    def logical(self) -> bool:
        """Whether it counts in the summary (the two halves of a replacement do not)."""
        return self.op not in ("create-replacement", "delete-replaced", "read-replacement", "remove-pending-replace")


def summary_op(step: Step) -> str:
    """What a refresh found, else the step's own op."""
    if step.op != "refresh":
        return step.op
    if step.gone:
        return "delete"
    return "update" if step.changed else "same"


def with_replace_on_changes(diff: Diff, replace_on_changes: list[str], init_errors: bool) -> Diff:
    """The diff with the program's replaceOnChanges applied."""
    if not replace_on_changes or not (diff.changes or init_errors):
        return diff
    wanted = [paths.parse(p) for p in replace_on_changes]
    extra = [k for k in diff.keys if any(paths.contains(w, paths.parse(k)) for w in wanted)]
    changes = diff.changes
    if init_errors and any(paths.contains(w, ["#initerror"]) for w in wanted):
        extra.append("#initerror")
        changes = True
    return replace(diff, changes=changes, replaces=list(dict.fromkeys([*diff.replaces, *extra])))
