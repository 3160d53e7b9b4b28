"""What a preview comes to, as `cli.comment` takes it: from the embedded engine's steps, or from Pulumi's event log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.comment import Change
from engine import report
from engine.errors import clean_message
from engine.render import as_json
from engine.state import State
from engine.steps import Step
from engine.values import SECRET_SIG, SIG, same

_MARKUP = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*m")
_HIDDEN = ("pulumi:providers:", "pulumi:pulumi:Stack")
_SHOWN = ("create", "update", "delete", "replace", "read")


@dataclass
class Preview:
    """How a preview went."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    errors: list[str] = field(default_factory=list)


def from_steps(steps: Iterable[Step], messages: Iterable[tuple[str, str, str]]) -> Preview:
    """Of the embedded engine: its display's steps and messages."""
    steps = list(steps)
    found = Preview(unchanged=report.counts(steps)["same"])
    for step in steps:
        if report.hidden(step) or step.skipped or not step.state.custom:
            continue
        old, new = step.old, step.new
        if step.op == "refresh" and old is not None:
            gone = step.gone or new is None
            if gone or (new is not None and not same(old.outputs, new.outputs)):
                after = None if gone or new is None else _json(new.outputs)
                found.changes.append(Change(step.urn, "refresh", _json(old.outputs), after))
        elif step.op in _SHOWN:
            kept = old is not None and (old.retain_on_delete or old.external)
            before, after = _inputs(old), _inputs(new)
            if step.op == "update" and before == after and old is not None:
                before = _read(_json(old.outputs), after)
            found.changes.append(Change(step.urn, step.op, before, after, tuple(step.keys), kept))
    found.errors = [f"{_name(urn)}{text}" for severity, urn, text in messages if severity == "error"]
    return found


def from_events(log: Path) -> Preview:
    """Of Pulumi's event log, one JSON document a line; a missing one is an empty preview."""
    found = Preview()
    for event in _events(log):
        before_step = (event.get("resourcePreEvent") or {}).get("metadata")
        after_step = (event.get("resOutputsEvent") or {}).get("metadata")
        told = event.get("diagnosticEvent")
        if before_step and before_step.get("op") in _SHOWN:
            if (change := _change(before_step)) is not None:
                found.changes.append(change)
        elif after_step and after_step.get("op") == "refresh":
            if (change := _drift(after_step)) is not None:
                found.changes.append(change)
        elif told and told.get("severity") == "error":
            text = clean_message(_MARKUP.sub("", told.get("message", "")))
            if text and text != "KeyboardInterrupt":
                found.errors.append(f"{_name(told.get('urn', ''))}{text}")
        elif event.get("summaryEvent"):
            found.unchanged = int((event["summaryEvent"].get("resourceChanges") or {}).get("same", 0))
    found.errors = list(dict.fromkeys(found.errors))
    return found


def _change(step: Mapping[str, Any]) -> Change | None:
    if str(step.get("type", "")).startswith(_HIDDEN) or not _custom(step):
        return None
    old, new = step.get("old") or {}, step.get("new") or {}
    before, after = old.get("inputs"), new.get("inputs")
    if step["op"] == "update" and before == after:
        before = _read(old.get("outputs") or {}, after)
    kept = bool(old.get("retainOnDelete") or old.get("external"))
    return Change(step["urn"], step["op"], before, after, tuple(step.get("keys") or ()), kept)


def _drift(step: Mapping[str, Any]) -> Change | None:
    if str(step.get("type", "")).startswith(_HIDDEN) or not _custom(step):
        return None
    old, new = step.get("old") or {}, step.get("new")
    if new is not None and old.get("outputs") == new.get("outputs"):
        return None
    return Change(step["urn"], "refresh", old.get("outputs"), None if new is None else new.get("outputs"))


def _custom(step: Mapping[str, Any]) -> bool:
    return any((step.get(side) or {}).get("custom") for side in ("old", "new"))


def _read(outputs: Mapping[str, Any], wanted: Mapping[str, Any] | None) -> dict[str, Any]:
    """What was read of that which is wanted: it is what differs where the inputs are the same."""
    return {key: value for key, value in outputs.items() if key in (wanted or {})}


def _events(log: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = log.read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        yield json.loads(line, object_hook=_hidden)


def _hidden(value: dict[str, Any]) -> Any:
    """Pulumi writes a secret as a map with its signature; here it is the same text as in the other engine."""
    return "[secret]" if value.get(SIG) == SECRET_SIG else value


def _json(props: Mapping[str, Any]) -> dict[str, Any]:
    return {key: as_json(value) for key, value in props.items()}


def _inputs(state: State | None) -> dict[str, Any] | None:
    return _json(state.inputs) if state is not None else None


def _name(urn: str) -> str:
    return f"{urn.rsplit('::', 1)[-1]}: " if "::" in urn and "pulumi:pulumi:Stack" not in urn else ""
