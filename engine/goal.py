"""What a program asks for: one registration, as `monitor` makes it from the request."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.values import Props


@dataclass(frozen=True)
class Alias:
    """A name a resource had before: a whole URN, or the parts that were different."""

    urn: str = ""
    name: str = ""
    type: str = ""
    stack: str = ""
    project: str = ""
    parent: str = ""
    no_parent: bool = False


@dataclass
class Goal:
    """A resource as the program wants it. None stands for an option that was not given."""

    type: str
    name: str
    custom: bool
    props: Props
    parent: str = ""
    provider: str = ""
    protect: bool | None = None
    dependencies: list[str] = field(default_factory=list)
    property_dependencies: dict[str, list[str]] = field(default_factory=dict)
    delete_before_replace: bool | None = None
    ignore_changes: list[str] = field(default_factory=list)
    hide_diff: list[list[str | int]] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)
    custom_timeouts: dict[str, float] = field(default_factory=dict)
    replace_on_changes: list[str] = field(default_factory=list)
    retain_on_delete: bool | None = None
    deleted_with: str = ""
    source_position: str = ""


@dataclass
class ReadGoal:
    """A resource that exists already and is only read (`get`, or a StackReference)."""

    type: str
    name: str
    id: str
    props: Props
    parent: str = ""
    provider: str = ""
    dependencies: list[str] = field(default_factory=list)
    additional_secret_outputs: list[str] = field(default_factory=list)
    source_position: str = ""
