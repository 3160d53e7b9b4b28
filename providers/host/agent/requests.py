"""The arguments of each operation, and whether a request has them: nothing is begun for one that has not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .system import HostError

Check = Callable[[Any], bool]


def is_map(value: Any) -> bool:
    """A JSON object."""
    return isinstance(value, dict)


def is_state(value: Any) -> bool:
    """Facet -> item -> value."""
    return isinstance(value, dict) and all(map(is_map, value.values()))


def are_states(value: Any) -> bool:
    """Resource -> state."""
    return isinstance(value, dict) and all(map(is_state, value.values()))


def is_list_of_states(value: Any) -> bool:
    """What was wanted before."""
    return isinstance(value, list) and all(map(is_state, value))


def are_texts(value: Any) -> bool:
    """Names."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def are_tables(value: Any) -> bool:
    """Tables of nft(8), each with its family."""
    return are_texts(value) and all(re.fullmatch(r"[a-z0-9]+ [A-Za-z0-9_-]+", text) for text in value)


def is_text(value: Any) -> bool:
    """Any text."""
    return isinstance(value, str)


CHANGE: Mapping[str, Check] = {"previous": is_list_of_states, "gone": are_texts, "params": is_map, "stack": is_text}
REQUIRED: Mapping[str, Mapping[str, Check]] = {
    "converge": {"entries": are_states},
    "network": {"entries": are_states},
    "remove": {"previous": is_list_of_states, "gone": are_texts},
    "confirm": {"token": is_text},
    "counted": {"tables": are_tables},
}
OPTIONAL: Mapping[str, Mapping[str, Check]] = {
    "hello": {"operator": is_text},
    "observe": {"wanted": are_states},
    "converge": CHANGE,
    "network": {**CHANGE, "changed": are_texts},
    "remove": CHANGE,
}


def arguments_of(frame: Mapping[str, Any]) -> dict[str, Any]:
    """A request's arguments. Raises HostError, naming the one that is missing or not of its shape."""
    operation, arguments = str(frame.get("op")), frame.get("args", {})
    if not isinstance(arguments, dict):
        raise HostError(f"the request {operation} makes no sense: its arguments are no map", REMEDY)
    for name, fits in REQUIRED.get(operation, {}).items():
        if name not in arguments or not fits(arguments[name]):
            raise HostError(f"the request {operation} makes no sense: {name} is missing or not as it must be", REMEDY)
    for name, fits in OPTIONAL.get(operation, {}).items():
        if name in arguments and not fits(arguments[name]):
            raise HostError(f"the request {operation} makes no sense: {name} is not as it must be", REMEDY)
    return arguments


REMEDY = "please report it"
