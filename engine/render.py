"""Values, diffs and steps as text."""

from __future__ import annotations

from engine.values import SIG, Secret, Unknown, Value


def as_json(value: Value, *, show_secrets: bool = False) -> Value:
    """A value as plain JSON, secrets hidden."""
    if isinstance(value, Secret):
        return as_json(value.value, show_secrets=show_secrets) if show_secrets else "[secret]"
    if isinstance(value, Unknown):
        return "[unknown]"
    if isinstance(value, dict):
        return {k: as_json(v, show_secrets=show_secrets) for k, v in value.items() if k != SIG}
    return [as_json(v, show_secrets=show_secrets) for v in value] if isinstance(value, list) else value
