"""URNs: urn:pulumi:STACK::PROJECT::PARENT_TYPE$TYPE::NAME, and provider references URN::ID.

Source: pulumi sdk/go/common/resource/urn.
"""

from __future__ import annotations

import re

STACK_TYPE = "pulumi:pulumi:Stack"


def make(stack: str, project: str, parent: str, type_: str, name: str) -> str:
    """The URN of a resource under `parent` (a URN, or "" for none)."""
    parent_type = qualified_type(parent) if parent else ""
    if parent_type and parent_type != STACK_TYPE:
        type_ = f"{parent_type}${type_}"
    return f"urn:pulumi:{stack}::{project}::{type_}::{name}"


def qualified_type(urn: str) -> str:
    return urn.split("::", 3)[2]


def type_of(urn: str) -> str:
    return qualified_type(urn).rsplit("$", 1)[-1]


def name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def is_urn(text: str) -> bool:
    return text.startswith("urn:pulumi:") and len(text.split("::", 3)) == 4


def is_provider_type(type_: str) -> bool:
    return type_.startswith("pulumi:providers:")


def provider_package(type_: str) -> str:
    """`hcloud` of `pulumi:providers:hcloud`."""
    return type_.split(":", 2)[2]


def package_of(type_: str) -> str:
    """`hcloud` of `hcloud:index/server:Server`."""
    return type_.split(":", 1)[0]


def split_reference(reference: str) -> tuple[str, str]:
    """A provider reference's URN and id."""
    urn, _, id_ = reference.rpartition("::")
    return urn, id_


def matches(pattern: str, urn: str) -> bool:
    """Whether a --target names the URN; `*` stands for anything but ':', `**` for anything."""
    expression = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^:]*")
    return re.fullmatch(expression, urn) is not None
