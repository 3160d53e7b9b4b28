"""Every option of a resource, planned and done: the same steps, calls, files and checkpoint with either engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.engine.conftest import Toy


def file(name: str, text: Any = "x", options: dict[str, Any] | None = None, **props: Any) -> dict[str, Any]:
    return {"name": name, "text": text, "options": options or {}, **props}


def of(name: str, output: str = "rendered") -> dict[str, str]:
    return {"of": name, "output": output}


@dataclass
class Case:
    """What is there first, what is wanted then, the steps that the preview names and the calls that the update makes."""

    first: list[dict[str, Any]]
    then: list[dict[str, Any]]
    steps: list[tuple[str, str]]
    calls: list[str]
    flags: list[str] = field(default_factory=list)


CASES = {
    "nothing_changes_nothing": Case([file("a")], [file("a")], [], []),
    "a_new_one_is_created": Case([file("a")], [file("a"), file("b")], [("create", "b")], ["create b"]),
    "a_changed_one_is_updated": Case([file("a")], [file("a", "y")], [("update", "a")], ["update a"]),
    "one_that_is_left_out_is_deleted": Case([file("a"), file("b")], [file("a")], [("delete", "b")], ["delete b"]),
    "dependents_are_deleted_first": Case(
        [file("a"), file("b", options={"depends_on": ["a"]}), file("c", of("b"))],
        [],
        [("delete", "a"), ("delete", "b"), ("delete", "c")],
        ["delete c", "delete b", "delete a"],
    ),
    "a_replacement_is_made_before_the_old_one_goes": Case(
        [file("a", path="a1")],
        [file("a", path="a2")],
        [("replace", "a")],
        ["create a2", "delete a1"],
    ),
    "delete_before_replace_by_the_provider": Case(
        [file("a", path="a1", dbr=True)],
        [file("a", path="a2", dbr=True)],
        [("replace", "a")],
        ["delete a1", "create a2"],
    ),
    "delete_before_replace_by_the_program": Case(
        [file("a", path="a1", options={"delete_before_replace": True})],
        [file("a", path="a2", options={"delete_before_replace": True})],
        [("replace", "a")],
        ["delete a1", "create a2"],
    ),
    "what_must_be_replaced_with_it_is_deleted_before_it": Case(
        [file("a", path="a1", dbr=True), file("b", path=of("a", "path"), dbr=True)],
        [file("a", path="a2", dbr=True), file("b", path=of("a", "path"), dbr=True)],
        [("replace", "a"), ("replace", "b")],
        ["delete a1", "delete a1", "create a2", "create a2"],
    ),
    "ignore_changes": Case([file("a")], [file("a", "y", options={"ignore_changes": ["text", "rendered"]})], [], []),
    "replace_on_changes": Case(
        [file("a", quiet=True)],
        [file("a", "y", quiet=True, options={"replace_on_changes": ["text"]})],
        [("replace", "a")],
        ["create a", "delete a"],
    ),
    "a_diff_that_does_not_know_compares_inputs": Case(
        [file("a", quiet=True)], [file("a", "y", quiet=True)], [("update", "a")], ["update a"]
    ),
    "retain_on_delete": Case(
        [file("a", options={"retain_on_delete": True}), file("b")], [file("b")], [("delete", "a")], []
    ),
    "deleted_with": Case(
        [file("a"), file("b", options={"deleted_with": "a"})], [], [("delete", "a"), ("delete", "b")], ["delete a"]
    ),
    "an_alias_renames_nothing_on_the_host": Case(
        [file("old", path="p")], [file("new", path="p", options={"aliases": [{"name": "old"}]})], [], []
    ),
    "children_follow_the_alias_of_their_parent": Case(
        [{"name": "box", "kind": "box"}, file("box-in", path="p", options={"parent": "box"})],
        [
            {"name": "crate", "kind": "box", "options": {"aliases": [{"name": "box"}]}},
            file("crate-in", path="p", options={"parent": "crate"}),
        ],
        [],
        [],
    ),
    "a_child_that_moves_to_another_parent": Case(
        [file("a", path="p")],
        [
            {"name": "box", "kind": "box"},
            file("a", path="p", options={"parent": "box", "aliases": [{"name": "a", "parent": None}]}),
        ],
        [("create", "box")],
        [],
    ),
    "components_are_created_and_deleted_with_what_is_in_them": Case(
        [],
        [{"name": "box", "kind": "box"}, file("a", options={"parent": "box"})],
        [("create", "a"), ("create", "box")],
        ["create a"],
    ),
    "an_output_that_changes_reaches_its_dependents": Case(
        [file("a"), file("b", of("a"))],
        [file("a", "y"), file("b", of("a"))],
        [("update", "a"), ("update", "b")],
        ["update a", "update b"],
    ),
    "a_secret_that_changes": Case(
        [file("a", {"secret": "one"})], [file("a", {"secret": "two"})], [("update", "a")], ["update a"]
    ),
    "additional_secret_outputs": Case(
        [file("a", options={"additional_secret_outputs": ["rendered"]})],
        [file("a", options={"additional_secret_outputs": ["rendered", "size"]})],
        [],
        [],
    ),
    "protect_is_inherited_and_taken_away": Case(
        [{"name": "box", "kind": "box", "options": {"protect": True}}, file("a", options={"parent": "box"})],
        [{"name": "box", "kind": "box"}, file("a", options={"parent": "box"})],
        [],
        [],
    ),
    "only_the_target_changes": Case(
        [file("a"), file("b"), file("c")],
        [file("a", "y"), file("b", "y"), file("d")],
        [("update", "a")],
        ["update a"],
        ["--target", "urn:pulumi:dev::toy::pulumi-python:dynamic/toy:File::a"],
    ),
    "a_target_with_a_star": Case(
        [file("a1"), file("a2"), file("b")],
        [file("a1", "y"), file("a2", "y"), file("b", "y")],
        [("update", "a1"), ("update", "a2")],
        ["update a1", "update a2"],
        ["--target", "**File::a*"],
    ),
    "time_limits_are_kept": Case(
        [file("a", options={"custom_timeouts": {"create": "1m30s"}})],
        [file("a", "y", options={"custom_timeouts": {"create": "1m30s", "delete": "2h"}})],
        [("update", "a")],
        ["update a"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_steps_calls_files_and_checkpoint(toys: list[Toy], name: str) -> None:
    """With each engine that is there; the other one then sees nothing to do."""
    case = CASES[name]
    found = []
    for toy, other in zip(toys, reversed(toys), strict=True):
        toy.has(*case.first)
        toy.up()
        toy.calls()
        before = toy.host()
        toy.has(*case.then)
        steps = toy.steps(*case.flags)
        assert toy.calls() == [], "a preview asks for no change"
        assert toy.host() == before
        toy.up(*case.flags)
        calls = toy.calls()
        assert sorted(calls) == sorted(case.calls), toy.engine
        assert steps == case.steps, toy.engine
        if calls[:1] and calls[0].startswith("delete"):
            assert calls == case.calls, toy.engine
        found.append((toy.resources(), toy.host(), toy.deployment().get("pending_operations", [])))
        if not case.flags:
            toy.engine = other.engine
            toy.run("preview", "--expect-no-changes")
    assert all(one == found[0] for one in found)


HANDED = [
    "an_output_that_changes_reaches_its_dependents",
    "a_secret_that_changes",
    "a_replacement_is_made_before_the_old_one_goes",
]


@pytest.mark.parametrize("name", HANDED)
def test_one_engine_carries_on_where_the_other_stopped(toys: list[Toy], name: str) -> None:
    """One makes the stack, the next changes it and hands it back; both ways. Alone, an engine follows itself."""
    case = CASES[name]
    for maker, taker in ((toys[0].engine, toys[-1].engine), (toys[-1].engine, toys[0].engine)):
        shared = Toy(toys[0].dir.with_name(f"{maker}-then-{taker}"), maker)
        shared.has(*case.first)
        shared.up()
        shared.engine = taker
        shared.has(*case.then)
        shared.calls()
        shared.up()
        assert sorted(shared.calls()) == sorted(case.calls)
        shared.engine = maker
        shared.run("preview", "--expect-no-changes")
        shared.run("stack", "export")
        shared.run("destroy", "--yes", "--skip-preview")
        assert shared.host() == {}
        assert shared.resources() == {}
