"""The planner as a table: what was there, what is asked for, what a provider says of it, and the steps that follow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from engine.aliases import Names
from engine.errors import CheckFailed, EngineError, Protected
from engine.goal import Alias, Goal
from engine.planner import Planner, Settings
from engine.state import State
from engine.steps import Diff, Step
from engine.values import UNKNOWN, Props, has_unknown

TYPE = "pulumi-python:dynamic/toy:File"
PROVIDER = "urn:pulumi:dev::toy::pulumi:providers:pulumi-python::default::1"
SAME, CHANGED = Diff(False), Diff(True, [], ["text"])


def urn(name: str) -> str:
    return f"urn:pulumi:dev::toy::{TYPE}::{name}"


def old(name: str, **fields: Any) -> State:
    values = {"inputs": {"text": "x"}, "outputs": {"text": "x"}, "id": name, "provider": PROVIDER, **fields}
    return State(urn(name), TYPE, True, **values)


def goal(name: str, **fields: Any) -> Goal:
    return Goal(TYPE, name, True, fields.pop("props", {"text": "x"}), provider=PROVIDER, **fields)


@dataclass
class Said:
    """What providers answer: by the resource's name; and what the planner asked for."""

    diffs: dict[str, Diff] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def check(self, new: State, olds: Props, news: Props, seed: bytes) -> tuple[Props, list[tuple[str, str]]]:
        self.asked.append(f"check {new.name} {'with' if olds else 'without'} olds")
        return news, self.failures

    async def diff(self, old: State, new: State, news: Props, ignore_changes: list[str]) -> Diff:
        unknown = " unknown" if any(has_unknown(v) for v in news.values()) else ""
        self.asked.append(f"diff {new.name}{unknown}")
        return self.diffs.get(new.name, SAME)

    async def load_old(self, reference: str) -> None:
        return None

    async def provider_needs_replacement(self, old: State, new: State) -> bool:
        return new.provider.endswith("::other")


def planned(
    goals: list[Goal], base: list[State], said: Said | None = None, settings: Settings | None = None
) -> tuple[list[Step], Planner]:
    """Plan registrations one after the other, as a program makes them."""
    names = Names("dev", "toy", {s.urn: s for s in base if not s.delete})
    planner = Planner(settings or Settings(), names, base, said or Said())
    steps: list[Step] = []
    for wanted in goals:
        found_urn = names.claim(wanted.type, wanted.name, wanted.parent)
        before, alias = names.find_old(found_urn, wanted.parent, wanted.aliases)
        new = planner.new_state(wanted, found_urn, before, alias)
        steps += asyncio.run(planner.plan(wanted, new, before))
    return steps, planner


def shown(steps: list[Step]) -> list[str]:
    return [f"{s.op} {s.state.name}" for s in steps]


REPLACE = Diff(True, ["text"], ["text"])
REPLACE_FIRST = replace(REPLACE, delete_before_replace=True)
AFTER = ["create-replacement a", "replace a"]
FIRST = ["delete-replaced a", "replace a", "create-replacement a"]

TABLE: dict[str, tuple[Goal, State | None, Diff, list[str]]] = {
    "new": (goal("a"), None, SAME, ["create a"]),
    "same": (goal("a"), old("a"), SAME, ["same a"]),
    "changed": (goal("a"), old("a"), CHANGED, ["update a"]),
    "replaced": (goal("a"), old("a"), REPLACE, AFTER),
    "replaced, deleted first by the provider": (goal("a"), old("a"), REPLACE_FIRST, FIRST),
    "replaced, deleted first by the program": (goal("a", delete_before_replace=True), old("a"), REPLACE, FIRST),
    "replaced, the program against the provider": (
        goal("a", delete_before_replace=False),
        old("a"),
        REPLACE_FIRST,
        AFTER,
    ),
    "no change, whatever is named for replacement": (goal("a"), old("a"), Diff(False, ["text"]), ["same a"]),
    "replaceOnChanges": (goal("a", replace_on_changes=["text"]), old("a"), CHANGED, AFTER),
    "replaceOnChanges of another property": (goal("a", replace_on_changes=["size"]), old("a"), CHANGED, ["update a"]),
    "replaceOnChanges of all": (goal("a", replace_on_changes=["*"]), old("a"), CHANGED, AFTER),
    "half replaced when the engine was killed": (
        goal("a"),
        old("a", pending_replacement=True),
        SAME,
        ["create-replacement a", "replace a"],
    ),
    "not come to life": (goal("a"), old("a", init_errors=["no answer"]), SAME, ["update a"]),
    "was only read before": (goal("a"), old("a", external=True), SAME, ["create-replacement a", "replace a"]),
    "another provider that needs it": (
        replace(goal("a"), provider=PROVIDER.removesuffix("1") + "other"),
        old("a"),
        SAME,
        AFTER,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_steps_of_one_registration(name: str) -> None:
    wanted, before, diff, steps = TABLE[name]
    found, _ = planned([wanted], [before] if before else [], Said({"a": diff}))
    assert shown(found) == steps


def test_a_component_is_compared_by_its_inputs() -> None:
    before = State("urn:pulumi:dev::toy::toy:Box::box", "toy:Box", False, inputs={"wide": True})
    same, _ = planned([Goal("toy:Box", "box", False, {"wide": True})], [before])
    changed, _ = planned([Goal("toy:Box", "box", False, {"wide": 1})], [before])
    assert shown(same) == ["same box"]
    assert shown(changed) == ["update box"], "1 is not True"


def test_ignored_properties_keep_their_old_value() -> None:
    found, _ = planned([goal("a", props={"text": "y", "size": 2}, ignore_changes=["text"])], [old("a")])
    assert found[0].new is not None
    assert found[0].new.inputs == {"text": "x", "size": 2}


def test_a_replacement_is_checked_anew_without_what_was_before() -> None:
    said = Said({"a": REPLACE})
    planned([goal("a")], [old("a")], said)
    assert said.asked == ["check a with olds", "diff a", "check a without olds"]


def test_refused_inputs_name_their_properties() -> None:
    with pytest.raises(CheckFailed, match="property text: too short\nnot today"):
        planned([goal("a")], [], Said(failures=[("text", "too short"), ("", "not today")]))


def test_a_protected_resource_is_not_replaced() -> None:
    base, said = [old("a", protect=True)], Said({"a": REPLACE})
    with pytest.raises(Protected):
        planned([goal("a", protect=True)], base, said)
    found, planner = planned([goal("a", protect=True)], base, said, Settings(preview=True))
    assert shown(found) == AFTER, "a preview shows it all the same"
    assert len(planner.errors) == 1
    assert shown(planned([goal("a")], base, said)[0]) == AFTER, "unprotected and replaced in one go"


def dependent(name: str, on: str, **fields: Any) -> State:
    return old(name, dependencies=[urn(on)], property_dependencies={"text": [urn(on)]}, **fields)


def test_what_would_be_replaced_with_it_is_deleted_before_it() -> None:
    base = [old("a"), dependent("b", "a"), dependent("c", "b"), old("d", dependencies=[urn("a")])]
    said = Said({"a": REPLACE_FIRST, "b": REPLACE, "c": CHANGED})
    found, planner = planned([goal("a"), goal("b"), goal("c")], base, said)
    assert shown(found) == [
        "delete-replaced b",
        *FIRST,
        # b has been deleted, so it is made anew whatever its diff says now.
        "replace b",
        "create-replacement b",
        "update c",
    ]
    assert "diff b unknown" in said.asked
    assert "diff d unknown" not in said.asked, "no property of d depends on a"
    assert planner.deletes == {urn("a")}


def test_what_is_deleted_with_it_is_replaced_with_it() -> None:
    base = [old("a"), old("b", deleted_with=urn("a"))]
    found, _ = planned([goal("a"), goal("b", deleted_with=urn("a"))], base, Said({"a": REPLACE_FIRST}))
    assert shown(found) == ["delete-replaced b", *FIRST, "replace b", "create-replacement b"]


def test_a_protected_dependent_stops_a_replacement() -> None:
    base = [old("a"), dependent("b", "a", protect=True)]
    with pytest.raises(Protected, match="b"):
        planned([goal("a")], base, Said({"a": REPLACE_FIRST, "b": REPLACE}))


def test_an_alias_finds_the_resource_under_its_old_name() -> None:
    found, _ = planned([goal("new", aliases=[Alias(name="old")])], [old("old")])
    assert shown(found) == ["same new"]
    assert found[0].old is not None
    assert found[0].old.name == "old"


def test_one_old_resource_is_not_claimed_twice() -> None:
    with pytest.raises(EngineError, match="alias"):
        planned([goal("one", aliases=[Alias(name="old")]), goal("two", aliases=[Alias(name="old")])], [old("old")])
    with pytest.raises(EngineError, match="Duplicate resource URN"):
        planned([goal("a"), goal("a")], [])


TARGET = Settings(targets=(urn("a"),))


def test_what_is_not_targeted_stays_as_it_is() -> None:
    base = [old("a"), old("b")]
    said = Said({"a": CHANGED, "b": CHANGED})
    found, planner = planned([goal("a"), goal("b"), goal("c")], base, said, TARGET)
    assert shown(found) == ["update a", "same b", "same c"]
    assert [s.untargeted for s in found] == [False, True, False]
    assert found[2].skipped, "a new resource that is not targeted is not recorded"
    assert said.asked == ["check a with olds", "diff a"]
    assert planner.skipped == {urn("c")}


def test_a_target_does_not_depend_on_what_is_not_made() -> None:
    goals = [goal("b"), goal("a", dependencies=[urn("b")])]
    with pytest.raises(EngineError, match="--target-dependents"):
        planned(goals, [], settings=TARGET)


def test_what_an_untargeted_resource_needs_is_kept_before_it() -> None:
    """Its dependency has left the program, but not the stack."""
    found, _ = planned([goal("b")], [old("gone"), dependent("b", "gone")], settings=TARGET)
    assert shown(found) == ["same gone", "same b"]


def test_destroy_keeps_what_is_there_until_the_end_and_makes_nothing() -> None:
    found, planner = planned([goal("a"), goal("b")], [old("a")], settings=Settings(mode="destroy"))
    assert shown(found) == ["same a", "same b"]
    assert found[1].skipped
    assert [s.name for s in planner.to_delete] == ["a"]


def test_destroy_makes_whole_what_a_kill_left_half_made() -> None:
    names = Names("dev", "toy", {})
    planner = Planner(Settings(mode="destroy"), names, [], Said())
    planner.cut_off = {urn("a")}
    new = planner.new_state(goal("a"), names.claim(TYPE, "a", ""), None, "")
    assert shown(asyncio.run(planner.plan(goal("a"), new, None))) == ["create a"]
    assert planner.to_delete == [new]


def test_an_unknown_is_not_equal_to_anything() -> None:
    before = State("urn:pulumi:dev::toy::toy:Box::box", "toy:Box", False, inputs={"wide": 1})
    found, _ = planned([Goal("toy:Box", "box", False, {"wide": UNKNOWN})], [before])
    assert shown(found) == ["update box"]
