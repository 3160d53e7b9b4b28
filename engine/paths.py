"""Property paths, as ignoreChanges and replaceOnChanges take them: `a.b[0]["c.d"]`, with `*` for any one.

Source: pulumi sdk/go/common/resource/property_path.go.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from engine.values import Props, Secret, Value, copy_props

Path: TypeAlias = "list[str | int]"
_PART = re.compile(r'\.?(?P<name>[^.\[\]"]+)|\[(?P<index>\d+|\*)\]|\.?\["(?P<quoted>(?:[^"\\]|\\.)*)"\]')


def parse(text: str) -> Path:
    """The parts of a path. Raises ValueError for one that is not well formed."""
    parts: Path = []
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise ValueError(f"not a property path: {text!r}")
        if match["quoted"] is not None:
            parts.append(match["quoted"].replace('\\"', '"'))
        elif match["index"] is not None:
            parts.append("*" if match["index"] == "*" else int(match["index"]))
        else:
            parts.append(match["name"])
        at = match.end()
    return parts


def contains(outer: Path, inner: Path) -> bool:
    """Whether `inner` is `outer` or lies in it."""
    return len(outer) <= len(inner) and all(a == b or a == "*" for a, b in zip(outer, inner, strict=False))


def reset(path: Path, old: Props, new: Props) -> bool:
    """Put the old value at `path` into `new`; False where the path leads nowhere in one of them."""
    return _reset(path, old, new)


def _reset(path: Path, old: Value, new: Value) -> bool:
    if isinstance(old, Secret):
        old = old.value
    if isinstance(new, Secret):
        new = new.value
    head, rest = path[0], path[1:]
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(old.keys() | new.keys()) if head == "*" else [str(head)]
        return all([_reset_name(name, rest, old, new) for name in names])
    if isinstance(old, list) and isinstance(new, list):
        if head == "*":
            indices = list(range(max(len(old), len(new))))
        elif isinstance(head, int):
            indices = [head]
        else:
            return False
        done = True
        for index in indices:
            if index >= len(old) or index >= len(new):
                done = False
            elif rest:
                done = _reset(rest, old[index], new[index]) and done
            else:
                new[index] = old[index]
        return done
    return False


def _reset_name(name: str, rest: Path, old: dict[str, Value], new: dict[str, Value]) -> bool:
    if rest:
        if name in old and name in new:
            return _reset(rest, old[name], new[name])
        return name not in old and name not in new
    if name in old:
        new[name] = old[name]
    else:
        new.pop(name, None)
    return True


def ignoring(changes: list[str], old: Props, new: Props) -> tuple[Props, list[str]]:
    """`new` with the old values at the ignored paths, and the paths that could not be."""
    if not changes:
        return new, []
    result, old = copy_props(new), copy_props(old)
    return result, [text for text in changes if not reset(parse(text), old, result)]
