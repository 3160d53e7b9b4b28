"""A preview as a comment: golden files for whole texts; what strangers write in it; secrets; its size.

After a change on purpose, `GOLDEN=write pytest tests/unit/test_comment.py` writes the golden files anew; the diff is the review.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import yaml

from cli.changes import from_events, from_steps
from cli.comment import LIMIT, Change, comment, marker
from components.server import members
from engine.state import State
from engine.steps import Step
from engine.values import SECRET_SIG, SIG, Secret, plain
from providers import guest as guests
from providers import router_advertisement
from settings import parse

GOLDEN = Path(__file__).parent / "comments"
CONFIG = yaml.safe_load((Path(__file__).parents[2] / "stacks" / "Pulumi.example.yaml").read_text())["config"]


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:kvm1::sixstead::sixstead:Server$pulumi-python:dynamic/sixstead:{kind}::{name}"


def resources(config: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and inputs of a config's resources, by name: the host network, its members, router advertisements, guests."""
    settings = parse({key.removeprefix("sixstead:"): value for key, value in config.items()}, stack="kvm1")
    wanted = members(settings)
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "host-network": (
            "HostNetwork",
            {"applies": {m.key: str(len(repr(m.state))) for m in wanted}, "desired": Secret("all of it")},
        ),
        "router-advertisement": ("RouterAdvertisement", {"state": router_advertisement.render(settings)}),
    }
    for member in wanted:
        found[member.key] = (member.kind.__name__, {"key": member.key, "state": member.state})
    for name, guest in settings.guests.items():
        state = guests.render(guest, True)
        inputs = {"key": f"guest {name}", "state": state, "secretState": Secret(guests.seeds(guest))}
        found[name] = ("Guest", {**inputs, **({"dataLoss": text} if (text := guests.data_loss(guest)) else {})})
    return found


def steps_between(before: dict[str, Any], after: dict[str, Any]) -> list[Step]:
    """The steps from one config to another."""
    old, new = resources(before), resources(after)
    steps = []
    for name in [*old, *(name for name in new if name not in old)]:
        kind = (old.get(name) or new[name])[0]
        one, two = (
            State(urn(kind, name), f"pulumi-python:dynamic/sixstead:{kind}", True, id=name, inputs=side[name][1])
            if name in side
            else None
            for side in (old, new)
        )
        if one is None or two is None:
            steps.append(Step("create" if one is None else "delete", one, two))
        else:
            steps.append(Step("same" if plain(one.inputs) == plain(two.inputs) else "update", one, two))
    return steps


def proposal() -> tuple[dict[str, Any], dict[str, Any]]:
    """A pull request that adds a guest and changes an RDNSS."""
    after = copy.deepcopy(CONFIG)
    after["sixstead:networks"]["main"]["ra"] = {"rdnss": ["2001:db8:ffff::53"]}
    after["sixstead:guests"]["db"] = {"image": "d13", "memory": "1GiB", "disk": "10GiB", "keys": ["alice"]}
    return CONFIG, after


def golden(name: str, text: str) -> None:
    """Compare a text with its file, whole."""
    path = GOLDEN / f"{name}.md"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def as_event_log(steps: list[Step], path: Path) -> Path:
    """The same steps as Pulumi logs them, secrets masked."""

    def side(state: State | None) -> dict[str, Any] | None:
        if state is None:
            return None
        secret = {SIG: SECRET_SIG, "ciphertext": "[secret]"}
        inputs = {k: secret if isinstance(v, Secret) else v for k, v in state.inputs.items()}
        return {"inputs": inputs, "outputs": {}, "custom": True}

    events: list[dict[str, Any]] = [
        {
            "resourcePreEvent": {
                "metadata": {"op": s.op, "urn": s.urn, "type": s.state.type, "old": side(s.old), "new": side(s.new)}
            }
        }
        for s in steps
    ]
    same = sum(s.op == "same" for s in steps)
    path.write_text(
        "".join(json.dumps(e) + "\n" for e in [*events, {"summaryEvent": {"resourceChanges": {"same": same}}}])
    )
    return path


def test_a_guest_is_added_and_an_rdnss_changed(tmp_path: Path) -> None:
    steps = steps_between(*proposal())
    mine = from_steps(steps, [])
    golden("guest-and-rdnss", comment("kvm1", "192.0.2.10", mine.changes, unchanged=mine.unchanged, refreshed=True))
    theirs = from_events(as_event_log(steps, tmp_path / "events"))
    assert comment("kvm1", "h", theirs.changes, unchanged=theirs.unchanged) == comment(
        "kvm1", "h", mine.changes, unchanged=mine.unchanged
    )


def test_what_is_lost_or_interrupted_is_said_first() -> None:
    before = copy.deepcopy(CONFIG)
    before["sixstead:guests"]["web"]["disk"] = {"size": "20GiB", "on_delete": "delete"}
    after = copy.deepcopy(before)
    del after["sixstead:guests"]["web"]
    after["sixstead:firewall"] = []
    after["sixstead:guests"]["mail"]["memory"] = "8GiB"
    steps = steps_between(before, after)
    for step in steps:
        if step.new is not None and step.state.name == "mail":
            step.new.inputs["interrupts"] = "restarts guest mail"
    found = from_steps(steps, [])
    text = comment("kvm1", "192.0.2.10", found.changes, unchanged=found.unchanged)
    golden("losses", text)
    first = text.split("<details>")[0]
    for words in (
        "**DATA LOSS**: `Guest` `web`",
        "`Guest` `web` is **deleted**",
        "**interrupts**: `restarts guest mail`",
    ):
        assert words in first


def test_a_replacement_says_why_and_what_it_takes_along() -> None:
    change = Change(urn("Guest", "web"), "replace", {"dataLoss": "deletes its disk"}, {"key": "x"}, ("key",))
    text = comment("kvm1", "h", [change])
    assert "- **DATA LOSS**: `Guest` `web`: `deletes its disk`\n- `Guest` `web` is **replaced** (`key` changed)" in text


def test_drift_is_shown_from_what_was_to_what_is() -> None:
    old = {"state": {"files": {"/etc/radvd.conf": "a\nb\n"}}}
    new = {"state": {"files": {"/etc/radvd.conf": "a\nc\n"}}}
    text = comment("kvm1", "h", [Change(urn("RouterAdvertisement", "ra"), "refresh", old, new)], refreshed=True)
    assert "**Drift**: 1." in text
    assert "- `RouterAdvertisement` `ra`: `/etc/radvd.conf`" in text
    assert "\n-              b\n+              c\n" in text
    gone = comment("kvm1", "h", [Change(urn("Guest", "web"), "refresh", old, None)], refreshed=True)
    assert "`Guest` `web` is not there any more" in gone


def test_the_first_line_is_the_same_whatever_changes() -> None:
    first = {
        comment("kvm1", "h", changes).split("\n")[0] for changes in ([], [Change(urn("Guest", "web"), "delete", {})])
    }
    assert first == {marker("kvm1")}


def test_what_strangers_write_stays_in_code() -> None:
    evil = "x`\n</code></details>\n```\n@everybody <img src=x> $(id) \u202egnp\n/close\n````\n"
    text = comment(
        "kvm1",
        evil,
        [
            Change(
                urn("Guest", evil),
                "update",
                {"state": {"files": {evil: evil}}},
                {"state": {"files": {evil: evil + "!"}}},
            ),
            Change(urn("Guest", "b"), "update", {}, {"interrupts": evil}),
        ],
        errors=[evil],
    )
    assert "\u202e" not in text
    fence = ""
    for line in text.split("\n"):
        run = line[: len(line) - len(line.lstrip("`"))]
        if fence:
            fence = "" if line == fence else fence
        elif len(run) >= 3:
            fence = run
        elif line.startswith("<details>"):
            assert line.count("<details>") == line.count("<summary>") == line.count("</summary>") == 1
            assert "<img" not in line
        elif line not in ("</details>", ""):
            assert not line.startswith(("/", "@"))
            assert outside_code(line).count("<") == line.startswith("<!--"), line
            assert "@" not in outside_code(line)
    assert fence == ""


def outside_code(line: str) -> str:
    """A line of Markdown without its code spans (CommonMark 0.31, 6.1)."""
    out, rest = "", line
    while "`" in rest:
        before, rest = rest.split("`", 1)
        run = 1 + len(rest) - len(rest.lstrip("`"))
        rest = rest[run - 1 :]
        ends = [
            i
            for i in range(len(rest))
            if rest[i : i + run] == "`" * run and rest[i - 1 : i] != "`" and rest[i + run : i + run + 1] != "`"
        ]
        out += before
        rest = rest[ends[0] + run :] if ends else rest
    return out + rest


def test_a_secret_stands_nowhere_in_it() -> None:
    secret = "planted-<secret>-`7f3a`\nand its second line"  # noqa: S105
    text = comment(
        "kvm1",
        f"host of {secret}",
        [
            Change(
                urn("Guest", secret), "create", None, {"a": secret, "state": {"files": {secret: f"key={secret}\n"}}}
            ),
            Change(urn("Guest", "web"), "delete", {"dataLoss": "x" * 290 + secret}),
        ],
        errors=[f"wrong: {secret!r} and {secret}"],
        notes=[secret],
        secrets=[secret],
    )
    assert "[secret]" in text
    for part in ("planted", "7f3a", "second line"):
        assert part not in text


def test_a_masked_value_that_changed_is_told_as_such() -> None:
    old, new = {"secretState": "[secret]"}, {"secretState": "[secret]"}
    text = comment("kvm1", "h", [Change(urn("Guest", "web"), "update", old, new)])
    assert "What differs is a secret" in text


def test_a_comment_is_never_longer_than_it_may_be() -> None:
    def big(number: int, size: int) -> Change:
        return Change(urn("Guest", f"g{number}"), "create", None, {"text": "é`\n" * size})

    few = comment("kvm1", "h", [big(0, 10), big(1, 40_000), big(2, 10)])
    assert len(few.encode()) <= LIMIT
    assert "**Cut:** 1 of 3 diffs are too long for a comment." in few
    assert "<code>g2</code>" in few
    many = comment("kvm1", "h", [Change(urn("Guest", f"g{n}"), "delete", {"dataLoss": "disk"}) for n in range(3000)])
    assert len(many.encode()) <= LIMIT
    assert "**Cut:**" in many
    small = comment("kvm1", "h", [big(0, 3000)], errors=["e\n" * 5000], limit=4000)
    assert len(small.encode()) <= 4000
    assert small.count("\n```") % 2 == 0
