"""The comment on a whole change: what stands at its top, and how long it may be."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from cli import review
from cli.comment import LIMIT, Change, comment, cut, marker
from cli.forges import of_environment
from cli.touched import Touched
from tests.unit.forge_server import forge_server

NOWHERE = Path("/nonexistent")


def options(**changes: bool) -> argparse.Namespace:
    return argparse.Namespace(**{"without_secrets": False, "refresh": False, "rehearse": True, "engine": ""} | changes)


def touching(count: int) -> Touched:
    return Touched("a" * 40, "b" * 40, {f"kvm{n:02}": b"config: {}\n" for n in range(count)})


def test_only_what_went_wrong_is_said_at_the_top() -> None:
    assert review.verdict("kvm1", 0) == []
    assert review.verdict("kvm1", 1)[0].startswith("**`kvm1`: the rehearsal went wrong")
    assert "could not be rehearsed" in review.verdict("kvm1", 2)[0]


def long_winded(verb: list[str], _root: Path, _without_secrets: bool) -> tuple[str, int | None]:
    """Previews that fill whatever they are given, and rehearsals that know no limit."""
    stack = verb[verb.index("-s") + 1]
    if verb[0] == "rehearse":
        notes = "".join(f"- `note {n}`\n" for n in range(2000))
        said = f"### Rehearsal of `{stack}`: THIS CHANGE WOULD LOCK THE OWNER OUT\n\n**Why:** `it does`  \n\n"
        return f"{said}{notes}\n<details><summary>What is not rehearsed</summary>\n\n{notes}\n</details>\n\nEnd.\n", 1
    urn = f"urn:pulumi:{stack}::sixstead::sixstead:Server$x:y:Guest::web"
    changes = [Change(f"{urn}{n}", "create", None, {"text": "x" * 900}) for n in range(100)]
    limit = next(int(word.removeprefix("--limit=")) for word in verb if word.startswith("--limit="))
    return comment(stack, "192.0.2.10", changes, limit=limit), 0


@pytest.mark.parametrize("stacks", [1, 3, 20, 25])
def test_a_comment_on_many_rehearsed_stacks_can_be_posted(stacks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text, failed = review.review(touching(stacks), options(), NOWHERE, long_winded)
    assert failed
    assert len(text.encode()) <= LIMIT
    shown = [f"kvm{n:02}" for n in range(min(stacks, review.MOST))]
    for stack in shown:
        assert f"**`{stack}`: the rehearsal went wrong." in text
        assert f"### Rehearsal of `{stack}`: THIS CHANGE WOULD LOCK THE OWNER OUT\n\n**Why:** `it does`" in text
        assert f"### Preview of `{stack}` on `192.0.2.10`: 100 to create" in text
    assert text.count("<details>") == text.count("</details>")
    assert text.count("**Cut:** the rest of this rehearsal.") == len(shown)
    assert ("**Cut:** 5 more stacks are touched." in text) == (stacks == 25)
    with forge_server("github") as forge:
        for name, value in {**forge.variables(), "GITHUB_TOKEN": "t"}.items():
            monkeypatch.setenv(name, value)
        assert of_environment("github").post(5, text) == "posted"


def test_a_comment_on_one_stack_uses_the_room_that_there_is() -> None:
    text, _ = review.review(touching(1), options(rehearse=False), NOWHERE, long_winded)
    assert LIMIT - 3000 < len(text.encode()) <= LIMIT


def test_a_change_of_code_of_countless_stacks_is_cut() -> None:
    found = Touched("a" * 40, "b" * 40, code=["x.py"], every=[f"stack-{n}" for n in range(9000)])
    text, _ = review.review(found, options(), NOWHERE, long_winded)
    assert len(text.encode()) <= LIMIT
    assert text.startswith(marker("review"))
    assert "**Cut:**" in text


@pytest.mark.parametrize("limit", [100, 130, 160, 200, 1000])
def test_what_is_cut_leaves_nothing_open(limit: int) -> None:
    text = "head\n<details><summary>x</summary>\n\n````diff\n```\n<details>\n````\n\n</details>\n" + "more\n" * 40
    kept = cut(text, limit)
    assert len(kept.encode()) <= limit
    assert kept.startswith("head\n")
    if limit < 1000:
        assert kept.endswith("\n**Cut:** this comment is longer than a comment may be.\n")
        assert ("</details>" in kept) == ("````diff" in kept)
