"""Values and their differences as text."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator

from engine.state import State
from engine.steps import SIGNS, Step
from engine.values import SIG, Props, Secret, Unknown, Value, is_reference, plain, same

_HIDDEN = frozenset({"__provider", "__defaults", "__internal"})
_COLOURS = {"+": "\033[32m", "-": "\033[31m", "~": "\033[33m"}
_RESET = "\033[0m"


def as_json(value: Value, *, show_secrets: bool = False) -> Value:
    """A value as plain JSON, secrets hidden."""
    if isinstance(value, Secret):
        return as_json(value.value, show_secrets=show_secrets) if show_secrets else "[secret]"
    if isinstance(value, Unknown):
        return "[unknown]"
    if isinstance(value, dict):
        return {k: as_json(v, show_secrets=show_secrets) for k, v in value.items() if k != SIG}
    return [as_json(v, show_secrets=show_secrets) for v in value] if isinstance(value, list) else value


def short_type(type_: str) -> str:
    """A dynamic resource's type without the part that all of them have in common."""
    return type_.removeprefix("pulumi-python:dynamic/")


def one_line(value: Value) -> str:
    if isinstance(value, Secret):
        return "[secret]"
    if isinstance(value, Unknown):
        return "[unknown]"
    if is_reference(value) and isinstance(value, dict):
        return str(value.get("urn"))
    return json.dumps(as_json(value), ensure_ascii=False, sort_keys=True)


def shown(props: Props) -> Props:
    return {k: v for k, v in sorted(props.items()) if k not in _HIDDEN}


def colour(line: str, sign: str, on: bool) -> str:
    return f"{_COLOURS[sign]}{line}{_RESET}" if on and sign in _COLOURS else line


def _is_text(value: Value) -> bool:
    return isinstance(value, str) and "\n" in value.rstrip("\n")


def difference(old: Props, new: Props, indent: str = "") -> Iterator[tuple[str, str]]:
    """(sign, line) for all that differs; texts of several lines as a unified diff."""
    for key in sorted(old.keys() | new.keys()):
        if key in _HIDDEN:
            continue
        if key not in old:
            yield from _whole("+", key, new[key], indent)
        elif key not in new:
            yield from _whole("-", key, old[key], indent)
        elif not same(old[key], new[key]):
            yield from _changed(key, old[key], new[key], indent)


def _changed(key: str, old: Value, new: Value, indent: str) -> Iterator[tuple[str, str]]:
    if isinstance(old, Secret) or isinstance(new, Secret):
        if not same(plain(old), plain(new)):
            yield "~", f"{indent}~ {key}: [secret] => [secret]"
    elif isinstance(old, dict) and isinstance(new, dict):
        yield "~", f"{indent}~ {key}:"
        yield from difference(old, new, indent + "    ")
    elif isinstance(old, str) and isinstance(new, str) and (_is_text(old) or _is_text(new)):
        yield "~", f"{indent}~ {key}:"
        yield from unified(old, new, indent + "    ")
    elif isinstance(old, list) and isinstance(new, list):
        yield "~", f"{indent}~ {key}:"
        for index in range(max(len(old), len(new))):
            name = f"[{index}]"
            if index >= len(old):
                yield from _whole("+", name, new[index], indent + "    ")
            elif index >= len(new):
                yield from _whole("-", name, old[index], indent + "    ")
            elif not same(old[index], new[index]):
                yield from _changed(name, old[index], new[index], indent + "    ")
    else:
        yield "~", f"{indent}~ {key}: {one_line(old)} => {one_line(new)}"


def unified(old: str, new: str, indent: str) -> Iterator[tuple[str, str]]:
    """The lines of a unified diff, without file names; a missing newline at the end is said."""
    for line in difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=3):
        if line.startswith(("---", "+++")):
            continue
        sign = line[:1] if line[:1] in "+-" else ""
        yield sign, indent + line
    if old.endswith("\n") != new.endswith("\n") and old.rstrip("\n") == new.rstrip("\n"):
        yield "~", f"{indent}~ the newline at the end"


def _whole(sign: str, key: str, value: Value, indent: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and _is_text(value):
        yield sign, f"{indent}{sign} {key}:"
        for line in value.splitlines():
            yield sign, f"{indent}    {sign} {line}"
    elif isinstance(value, dict) and value and not is_reference(value):
        yield sign, f"{indent}{sign} {key}:"
        for name, inner in sorted(value.items()):
            yield from _whole(sign, name, inner, indent + "    ")
    else:
        yield sign, f"{indent}{sign} {key}: {one_line(value)}"


def step_difference(step: Step) -> Iterator[tuple[str, str]]:
    """What a step changes: inputs; where they are the same, what was read against what is wanted."""
    old, new = step.old, step.new
    if step.op == "refresh":
        if old is not None and new is not None:
            yield from difference(shown(old.outputs), shown(new.outputs), "    ")
    elif step.op in ("create", "create-replacement") and new is not None and (old is None or old.delete is None):
        for key, value in shown(new.inputs).items():
            yield from _whole("+", key, value, "    ")
    elif old is not None and new is not None:
        lines = list(difference(shown(old.inputs), shown(new.inputs), "    "))
        if not lines:
            wanted = {k: v for k, v in shown(new.inputs).items() if k in old.outputs}
            lines = list(difference({k: old.outputs[k] for k in wanted}, wanted, "    "))
        yield from lines
    elif old is not None and step.op in ("delete", "delete-replaced"):
        for key, value in shown(old.inputs).items():
            if not _is_text(value) and not isinstance(value, dict):
                yield from _whole("-", key, value, "    ")


def step_block(step: Step, op: str, coloured: bool) -> Iterator[str]:
    """A step as `--diff` shows it."""
    state: State = step.state
    sign = SIGNS[op]
    yield colour(f"  {sign} {short_type(state.type)} {state.name}: ({op})", sign[:1], coloured)
    known = step.old.id if step.old is not None else state.id
    if known:
        yield f"    [id={known}]"
    yield f"    [urn={state.urn}]"
    for mark, line in step_difference(step):
        yield colour(line, mark, coloured)
