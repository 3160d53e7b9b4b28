"""The resources that the engine itself provides: StackReference. Source: pulumi pkg/resource/deploy/builtins.go."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import EngineError, Unsupported
from engine.state import State
from engine.steps import Diff
from engine.values import Props, Value, has_secret, plain

STACK_REFERENCE = "pulumi:pulumi:StackReference"


class Builtin:
    """outputs_of gives the outputs of another stack by its name; it raises EngineError when there is none."""

    def __init__(self, outputs_of: Callable[[str], Props]) -> None:
        self._outputs_of = outputs_of

    def _known(self, state: State) -> None:
        if state.type != STACK_REFERENCE:
            raise Unsupported(f"resource type {state.type}")

    def check(self, new: State, news: Props) -> tuple[Props, list[tuple[str, str]]]:
        self._known(new)
        return news, [(k, f'unknown property "{k}"') for k in news if k != "name"]

    def diff(self, old: State, news: Props) -> Diff:
        self._known(old)
        changed = old.inputs.get("name") != news.get("name")
        return Diff(changed, ["name"] if changed else [])

    def create(self, new: State) -> tuple[str, Props]:
        raise Unsupported(f"making a {new.type} (an old SDK's way to read another stack)")

    def read(self, state: State) -> tuple[str, Props, Props | None]:
        """A stack's outputs, each secret as a secret."""
        self._known(state)
        name = plain(state.inputs.get("name"))
        if not isinstance(name, str):
            raise EngineError("a stack reference needs the name of a stack that is known in preview")
        outputs = self._outputs_of(name)
        secret: list[Value] = [k for k in sorted(outputs) if has_secret(outputs[k])]
        values: Value = dict(outputs)
        return state.id, {"name": name, "outputs": values, "secretOutputNames": secret}, dict(state.inputs)


def stack_of(name: str) -> tuple[str, str]:
    """(project, stack) that a StackReference names: STACK, or ORGANIZATION/PROJECT/STACK."""
    parts = name.split("/")
    if len(parts) == 3:
        return parts[1], parts[2]
    if len(parts) == 1:
        return "", parts[0]
    raise EngineError(f"stack reference {name!r}: expected STACK or organization/PROJECT/STACK")
