"""One comment a pull request, updated in place, on each forge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli import forge_verb
from cli.comment import marker
from cli.forges import of_environment, own_branch
from engine.errors import EngineError
from tests.unit.forge_server import NAMES, ForgeServer, forge_server

TOKEN = "planted-forge-token"  # noqa: S105 - planted to be looked for
FIRST = marker("review")
SHA, BASE = "a" * 40, "b" * 40


@pytest.fixture(params=["github", "forgejo", "gitlab"])
def forge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForgeServer]:
    with forge_server(request.param) as server:
        for name, value in {**server.variables(), "SIXSTEAD_REVIEW_TOKEN": TOKEN}.items():
            monkeypatch.setenv(name, value)
        yield server


def test_a_comment_is_posted_once_and_then_updated(forge: ForgeServer) -> None:
    forge.comments[5] = [{"id": n, "body": "talk", "author": "alice"} for n in range(120)]
    api = of_environment(forge.kind)
    said = [api.post(5, f"{FIRST}\n{text}\n") for text in ("one", "one", "two")]
    assert said == ["posted", "unchanged", "updated"]
    assert [c["body"] for c in forge.comments[5][120:]] == [f"{FIRST}\ntwo\n"]


def test_a_comment_that_somebody_else_marked_is_left_alone(forge: ForgeServer) -> None:
    forge.comments[5] = [{"id": 1, "body": f"{FIRST}\nmine", "author": "mallory"}]
    assert of_environment(forge.kind).post(5, f"{FIRST}\nours\n") == "posted"
    assert forge.comments[5][0]["body"] == f"{FIRST}\nmine"


def test_a_refusal_names_the_request_and_not_the_token(forge: ForgeServer) -> None:
    api = of_environment(forge.kind)
    with pytest.raises(EngineError, match="status 404") as raised:
        api.ask("GET", f"{api.api}/nothing")
    assert TOKEN not in str(raised.value)


def test_changes_are_listed_until_their_newest_commit_has_a_comment(
    forge: ForgeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    if forge.kind == "gitlab":
        forge.changes = [
            {"id": n, "iid": n, "sha": sha, "target_branch": to, "source_project_id": source, "target_project_id": 7}
            for n, sha, to, source in (
                (1, SHA, "main", 7),
                (2, SHA, "main", 8),
                (3, SHA, "other", 7),
                (4, "$(id)", "main", 7),
            )
        ]
    else:
        own = {"full_name": "owner/servers"}
        forge.changes = [
            {
                "id": n,
                "number": n,
                "head": {"sha": sha, "repo": repo, "label": "b", "ref": "b"},
                "base": {"ref": to, "repo": own},
            }
            for n, sha, to, repo in (
                (1, SHA, "main", own),
                (2, SHA, "main", None),
                (3, SHA, "other", own),
                (4, "$(id)", "main", own),
            )
        ]
    argv = ["--forge", forge.kind, "--list", "--target", "main", "--base", BASE]
    assert forge_verb.main(argv) == 0
    assert capsys.readouterr().out == f"1 {SHA} same\n2 {SHA} fork\n"
    forge.comments[1] = [{"id": 1, "body": f"{FIRST}\n<!-- {SHA} on {BASE} -->\n", "author": NAMES[forge.kind]}]
    assert forge_verb.main(argv) == 0
    assert capsys.readouterr().out == f"2 {SHA} fork\n"


OWN, THEIRS = {"full_name": "owner/servers"}, {"full_name": "mallory/servers"}


@pytest.mark.parametrize(
    ("kind", "head", "own"),
    [
        ("forgejo", {"repo": OWN, "label": "topic", "ref": "topic"}, True),
        ("forgejo", {"repo": THEIRS, "label": "topic", "ref": "topic"}, False),
        # pushed to refs/for/main by anybody who may read (AGit): the head's repository is the base's
        ("forgejo", {"repo": OWN, "label": "", "ref": "refs/pull/5/head"}, False),
        ("forgejo", {"repo": OWN, "label": "", "ref": "topic"}, False),
        ("forgejo", {"repo": OWN, "label": "topic", "ref": "refs/pull/5/head"}, False),
        ("forgejo", {"repo": OWN, "label": "topic"}, False),
        ("forgejo", {"repo": OWN, "ref": "topic"}, False),
        ("github", {"repo": OWN, "label": "owner:topic", "ref": "topic"}, True),
        ("github", {"repo": None}, False),
        ("github", {"repo": {}}, False),
    ],
)
def test_only_a_branch_of_the_repository_itself_is_the_owners(kind: str, head: dict[str, object], own: bool) -> None:
    assert own_branch(kind, {"head": head, "base": {"repo": OWN}}) is own


def test_what_says_nothing_of_its_repositories_is_a_strangers() -> None:
    assert not any(own_branch(kind, entry) for kind in ("github", "forgejo", "gitlab") for entry in ({}, {"head": {}}))
    assert not own_branch("gitlab", {"source_project_id": None, "target_project_id": None})
