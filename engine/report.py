"""What an operation comes to: the tree of steps, the summary, what would be lost, and all of it as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from engine import urn as urns
from engine.render import as_json, colour, difference, one_line, short_type, shown, step_block
from engine.state import State
from engine.steps import SIGNS, Step, summary_op
from engine.values import Props, plain

# The order of Pulumi's own summary.
_ORDER = ("create", "update", "replace", "delete", "read", "discard", "refresh")
_TO = {"create": "to create", "update": "to update", "replace": "to replace", "delete": "to delete", "read": "to read"}
_PAST = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "read": "read"}


def hidden(step: Step) -> bool:
    """Default providers come and go without being shown, as with Pulumi."""
    return urns.is_provider_type(step.state.type)


def final_steps(steps: Iterable[Step]) -> dict[str, Step]:
    """The step that stands for each resource: the last that counts; a refresh only where nothing follows it."""
    final: dict[str, Step] = {}
    for step in steps:
        if hidden(step) or not step.logical or step.skipped:
            continue
        before = final.get(step.urn)
        # In a destroy a resource is kept first and deleted then; a refresh gives way to what follows it.
        if before is None or step.op != "refresh":
            final[step.urn] = step
    return final


def counts(steps: Iterable[Step]) -> Counter[str]:
    """How many resources of each op, `same` included; `failed` are those whose step was tried in vain."""
    return Counter("failed" if step.failed else summary_op(step) for step in final_steps(steps).values())


def changes(steps: Iterable[Step]) -> int:
    return sum(number for op, number in counts(steps).items() if op not in ("same", "read"))


def summary(steps: Iterable[Step], preview: bool, coloured: bool) -> Iterator[str]:
    """The lines of the summary."""
    counted = counts(steps)
    words = _TO if preview else _PAST
    yield "Resources:"
    for op in _ORDER:
        if counted[op]:
            sign = SIGNS[op].strip()
            yield colour(f"    {sign} {counted[op]} {words.get(op, op)}", sign[:1], coloured)
    if counted["failed"]:
        yield f"    {counted['failed']} errored"
    done = sum(n for op, n in counted.items() if op not in ("same", "failed"))
    if counted["same"]:
        yield f"    {counted['same']} unchanged" if not done else f"    {done} changes. {counted['same']} unchanged"
    if not counted:
        yield "    none"


def tree(steps: Iterable[Step], preview: bool, coloured: bool) -> Iterator[str]:
    """The table of what changes, children below their parents, as Pulumi shows it."""
    final = final_steps(steps)
    rows = {urn: step for urn, step in final.items() if summary_op(step) != "same"}
    for urn in list(rows):
        parent = rows[urn].state.parent
        while parent and parent in final and parent not in rows:
            rows[parent] = final[parent]
            parent = final[parent].state.parent
    if not rows:
        return
    rows = {urn: step for urn, step in final.items() if urn in rows}
    children: dict[str, list[str]] = {}
    for urn, step in rows.items():
        parent = step.state.parent
        children.setdefault(parent if parent in rows else "", []).append(urn)
    lines: list[tuple[str, str, str, str]] = []

    def walk(urn: str, lead: str, branch: str) -> None:
        step = rows[urn]
        op = summary_op(step)
        what = "" if op == "same" else op
        info = f"[diff: {','.join(_signed(step))}]" if op in ("update", "replace") and _signed(step) else ""
        lines.append((SIGNS[op], f"{lead}{branch}{short_type(step.state.type)}", step.state.name, f"{what:<9} {info}"))
        below = children.get(urn, [])
        deeper = lead + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for index, child in enumerate(below):
            walk(child, deeper, "└─ " if index == len(below) - 1 else "├─ ")

    for urn in children.get("", []):
        walk(urn, "", "")
    type_width = max(len(row[1]) for row in lines)
    name_width = max(len(row[2]) for row in lines)
    yield f"     {'Type':<{type_width}}  {'Name':<{name_width}}  {'Plan' if preview else 'Status'}"
    for sign, type_, name, what in lines:
        text = f" {sign:<3} {type_:<{type_width}}  {name:<{name_width}}  {what}".rstrip()
        yield colour(text, sign.strip()[:1], coloured)


def _signed(step: Step) -> list[str]:
    old, new = step.old, step.new
    if old is None or new is None:
        return []
    lines = difference(shown(old.inputs), shown(new.inputs))
    if step.op == "refresh" or not (found := [(s, t) for s, t in lines if t.startswith(s)]):
        wanted = shown(new.outputs if step.op == "refresh" else new.inputs)
        found = [(s, t) for s, t in difference({k: v for k, v in old.outputs.items() if k in wanted}, wanted)]
    return [f"{sign}{text[2:].split(':')[0]}" for sign, text in found if text.startswith(f"{sign} ") and sign]


def blocks(steps: Iterable[Step], coloured: bool) -> Iterator[str]:
    """Every change as `--diff` shows it, in the order it happens."""
    for step in steps:
        if hidden(step) or step.op in ("replace", "remove-pending-replace") or step.skipped:
            continue
        op = step.op if step.op in ("create-replacement", "delete-replaced") else summary_op(step)
        if op == "same":
            continue
        if step.op == "refresh":
            yield from step_block(step, "refresh", coloured)
            if step.gone:
                yield "    it is not there any more"
        else:
            yield from step_block(step, op, coloured)


def _loss(state: State | None) -> str:
    value = plain(state.inputs.get("dataLoss")) if state is not None else None
    return value if isinstance(value, str) else ""


def data_loss(steps: Iterable[Step]) -> list[str]:
    """A line for each step that would lose data.

    A resource whose inputs carry a text `dataLoss` says by it what its deletion or replacement takes along; an update
    that brings such a text says what the update itself takes along.
    """
    lines = []
    for step in steps:
        text = ""
        if step.op in ("delete", "delete-replaced", "create-replacement", "replace"):
            kept = step.old is not None and (step.old.retain_on_delete or step.old.external)
            text = "" if kept else _loss(step.old)
        elif step.op == "update" and _loss(step.new) != _loss(step.old):
            text = _loss(step.new)
        line = loss_line(step.state.type, step.state.name, text)
        if text and line not in lines:
            lines.append(line)
    return lines


def interruptions(steps: Iterable[Step]) -> list[str]:
    """A line for each update that says in its input `interrupts` what it interrupts."""
    found = (plain(step.new.inputs.get("interrupts")) for step in steps if step.op == "update" and step.new is not None)
    return list(dict.fromkeys(interruption_line(text) for text in found if isinstance(text, str) and text))


def interruption_line(text: str) -> str:
    return f"INTERRUPTION: {text}"


def loss_line(type_: str, name: str, text: str) -> str:
    return f"DATA LOSS: {type_.rsplit(':', 1)[-1].lower()} {name}: {text}"


def outputs(old: Props, new: Props, preview: bool, coloured: bool) -> Iterator[str]:
    """The stack's outputs, marked where they change; a preview shows only those."""
    names = sorted(old.keys() | new.keys())
    unchanged = {k for k in names if k in old and k in new and as_json(old[k]) == as_json(new[k])}
    if not names or (preview and len(unchanged) == len(names)):
        return
    yield "Outputs:"
    for key in names:
        before, after = old.get(key), new.get(key)
        if key in unchanged:
            if not preview:
                yield f"    {key}: {one_line(after)}"
            continue
        for sign, line in difference({key: before} if key in old else {}, {key: after} if key in new else {}, "  "):
            yield colour(line, sign, coloured)


def as_document(steps: Iterable[Step], messages: Iterable[tuple[str, str, str]], seconds: float) -> dict[str, Any]:
    """What `--json` prints: Pulumi's `steps` and `changeSummary`, its diagnostics, and `dataLoss`."""
    listed = [s for s in steps if not s.skipped and s.logical]
    return {
        "steps": [
            {
                "op": s.op,
                **({"resultOp": summary_op(s)} if s.op == "refresh" else {}),
                "urn": s.urn,
                "oldState": _state(s.old),
                "newState": _state(s.new),
                "diffReasons": s.changed or None,
                "replaceReasons": s.keys or None,
            }
            for s in listed
            if not hidden(s)
        ],
        "diagnostics": [{"severity": sev, "urn": urn, "message": text} for sev, urn, text in messages],
        "dataLoss": data_loss(listed),
        "interruptions": interruptions(listed),
        "duration": int(seconds * 1e9),
        "changeSummary": dict(counts(listed)),
    }


def _state(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    return {
        "urn": state.urn,
        "type": state.type,
        "id": state.id,
        "inputs": as_json(shown(state.inputs)),
        "outputs": as_json(shown(state.outputs)),
    }
