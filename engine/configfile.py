"""Editing a stack's config file by hand's measure: one value changes, comments and order stay.

A value is replaced where it stands; a new one is added after the last of its mapping. Where the text's own form does
not allow that (lists; new values in flow style), the top-level value is written anew and its inner comments are lost,
unless `in_place` forbids it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from engine import paths, yamlfile
from engine.durable import SHARED, write_durably
from engine.errors import EngineError

Keys: TypeAlias = "list[str | int]"


def keys_of(key: str, project: str, path: bool) -> Keys:
    """`server.ssh.host` with --path, else the key itself; the first part gets the project's namespace if it has none."""
    if path:
        try:
            parts = paths.parse(key)
        except ValueError as err:
            raise EngineError(str(err)) from err
    else:
        parts = [key]
    if not parts:
        raise EngineError("a key is missing: config set KEY VALUE")
    head = str(parts[0])
    return [head if ":" in head else f"{project}:{head}", *parts[1:]]


def typed(text: str) -> Any:
    """A value given with --path, as Pulumi types it: true, false and whole numbers, all else as text."""
    if text in ("true", "false"):
        return text == "true"
    number = int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,18}", text) else None
    return text if number is None or not -(2**63) <= number < 2**63 else number


def change(path: Path, keys: Keys, value: Any, *, remove: bool = False, in_place: bool = False) -> None:
    """Set the value at `keys` in the file's `config`, or remove it.

    Raises EngineError where the path leads nowhere, or with `in_place` where more than this value would be written anew.
    """
    text = yamlfile.text_of(path)
    _, config = yamlfile.stack(yamlfile.parse(text, str(path)), str(path))
    if remove and not _has(config, keys):
        raise EngineError(f"{_name(keys)} is not set in {path.name}")
    wanted = _changed(config, keys, value, remove)
    edited = _edit(text, keys, value, remove)
    if not in_place and (edited is None or _config_in(edited) != wanted):
        top: Keys = [keys[0]]
        gone = keys[0] not in wanted
        edited = _edit(text, top, wanted.get(keys[0]), gone)
    if edited is None or _config_in(edited) != wanted:
        raise EngineError(f"{path}: cannot change {_name(keys)} without rewriting the file; edit it by hand")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, edited, SHARED)


def _config_in(text: str) -> dict[Any, Any] | None:
    """The config in an edited text; None where the edit spoilt it."""
    try:
        return yamlfile.stack(yamlfile.parse(text, ""), "")[1]
    except EngineError:
        return None


def get(config: Any, keys: Keys) -> Any:
    """The value at `keys`. Raises KeyError when there is none."""
    for key in keys:
        try:
            config = config[key]
        except (KeyError, IndexError, TypeError):
            raise KeyError(_name(keys)) from None
    return config


def _name(keys: Keys) -> str:
    return ".".join(map(str, keys))


def _has(config: Any, keys: Keys) -> bool:
    try:
        get(config, keys)
    except KeyError:
        return False
    return True


def _changed(config: Any, keys: Keys, value: Any, remove: bool) -> Any:
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        items = list(config) if isinstance(config, list) else []
        if key > len(items):
            raise EngineError(f"index {key} is beyond the end of the list")
        new = _changed(items[key] if key < len(items) else None, rest, value, remove) if rest else value
        if remove and not rest:
            return items[:key] + items[key + 1 :]
        return [*items[:key], new, *items[key + 1 :]]
    mapping = dict(config) if isinstance(config, dict) else {}
    if rest:
        mapping[key] = _changed(mapping.get(key), rest, value, remove)
    elif remove:
        mapping.pop(key)
    else:
        mapping[key] = value
    return mapping


def _edit(text: str, keys: Keys, value: Any, remove: bool) -> str | None:
    """The text with the change made in place; None where its form does not allow that."""
    root = yaml.compose(text, Loader=yamlfile.Loader)
    if root is None:
        return None if remove else f"{text}config:\n{_block(_nested(keys, value), 2)}"
    node = _child(root, "config")
    if node is None or not isinstance(node, yaml.MappingNode) or not node.value:
        if remove or node is not None:
            return None
        lead = text if text.endswith("\n") else text + "\n"
        return f"{lead}config:\n{_block(_nested(keys, value), 2)}"
    for depth, key in enumerate(keys):
        if not isinstance(node, yaml.MappingNode) or not node.value:
            return None
        pair = next((p for p in node.value if p[0].value == key), None)
        if pair is None:
            return None if remove or node.flow_style else _append(text, node, _nested(keys[depth:], value))
        if depth == len(keys) - 1:
            return _replace(text, pair, value, remove, bool(node.flow_style))
        node = pair[1]
    return None


def _child(node: yaml.Node, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((v for k, v in node.value if k.value == key), None)


def _nested(keys: Keys, value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value} if isinstance(key, str) else [value]
    return value


def _block(value: Any, indent: int) -> str:
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=2**20, default_flow_style=False)
    return "".join(f"{' ' * indent}{line}\n" for line in text.splitlines())


def _last_line(node: yaml.Node) -> int:
    """The line after the last one that belongs to a node."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1])
    end: int = node.end_mark.line
    # A block text's end is at the start of the next line.
    return end if node.end_mark.column == 0 and end > node.start_mark.line else end + 1


def _append(text: str, node: yaml.MappingNode, addition: Any) -> str:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    at = _last_line(node)
    return "".join([*lines[:at], _block(addition, node.start_mark.column), *lines[at:]])


def _replace(text: str, pair: tuple[yaml.Node, yaml.Node], value: Any, remove: bool, inside: bool) -> str | None:
    """`inside`: the pair stands in a flow mapping, whose lines may hold other pairs: only a value can be changed there."""
    key, node = pair
    lines = text.splitlines(keepends=True)
    first, last = key.start_mark.line, _last_line(node)
    indent = key.start_mark.column
    if remove:
        return None if inside else "".join(lines[:first] + lines[last:])
    simple = isinstance(node, yaml.ScalarNode) and node.style not in ("|", ">") and first == last - 1
    simple |= isinstance(node, yaml.SequenceNode) and bool(node.flow_style)
    if simple and not isinstance(value, dict | list):
        start, end = node.start_mark.index, node.end_mark.index
        quoted = not isinstance(value, str) or (inside and set(value) & set(",[]{}"))
        scalar = json.dumps(value) if quoted else _scalar(value)
        space = "" if start == 0 or text[start - 1].isspace() else " "
        return f"{text[:start]}{space}{scalar}{text[end:]}"
    return None if inside else "".join([*lines[:first], _block({key.value: value}, indent), *lines[last:]])


def _scalar(text: str) -> str:
    """A text on one line, quoted where it must be."""
    dumped = yaml.safe_dump({"k": text}, width=2**20, allow_unicode=True).removeprefix("k: ").rstrip("\n")
    if "\n" not in dumped and yamlfile.parse(dumped, "") == text:
        return str(dumped)
    return json.dumps(text)
