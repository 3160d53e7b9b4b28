"""The comment on a pull request, by the web services of GitHub, Forgejo and GitLab: posted once, then updated in place.

Documents: docs.github.com/rest/issues/comments, forgejo's /api/swagger, docs.gitlab.com/api/notes. Where they run a job,
all three tell it their own address and the repository by variables.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError

SECONDS, PAGE, MOST_PAGES = 30, 50, 40


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token is sent to the address that was given and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Open:
    """An open pull request: its number, its newest commit, the branch it goes to, whether it may be a stranger's."""

    number: int
    head: str
    target: str
    fork: bool


@dataclass(frozen=True)
class Forge:
    """One repository on a forge."""

    kind: str
    api: str
    token: str

    def comments(self, number: int) -> Iterator[tuple[int, str, str]]:
        """id, author and text of each comment."""
        path = f"/merge_requests/{number}/notes" if self.kind == "gitlab" else f"/issues/{number}/comments"
        for entry in self.pages(path):
            author = entry.get("author") or entry.get("user") or {}
            yield int(entry["id"]), str(author.get("username") or author.get("login")), str(entry.get("body") or "")

    def own_name(self) -> str:
        """Whom this token belongs to. GitHub does not tell a job's own token that."""
        if self.kind == "github":
            return os.environ.get("SIXSTEAD_REVIEW_LOGIN") or "github-actions[bot]"
        user = self.ask("GET", self.api.split("/projects/")[0].split("/repos/")[0] + "/user")
        return str(user.get("username") or user.get("login"))

    def mine(self, number: int, first_line: str) -> tuple[int, str] | None:
        """The comment that begins with this line and is our own: anybody can write such a line."""
        me = self.own_name()
        for id_, author, text in self.comments(number):
            if author == me and text.split("\n", 1)[0].strip() == first_line:
                return id_, text
        return None

    def post(self, number: int, text: str) -> str:
        """Post the comment, or update the one with the same first line; `posted`, `updated` or `unchanged`."""
        found = self.mine(number, text.split("\n", 1)[0].strip())
        if found is None:
            path = f"/merge_requests/{number}/notes" if self.kind == "gitlab" else f"/issues/{number}/comments"
            self.ask("POST", self.api + path, {"body": text})
            return "posted"
        if found[1].replace("\r\n", "\n").strip() == text.strip():
            return "unchanged"
        if self.kind == "gitlab":
            self.ask("PUT", f"{self.api}/merge_requests/{number}/notes/{found[0]}", {"body": text})
        else:
            self.ask("PATCH", f"{self.api}/issues/comments/{found[0]}", {"body": text})
        return "updated"

    def open(self) -> Iterator[Open]:
        """The open pull requests. What is no number or no commit in the answer is left out."""
        gitlab = self.kind == "gitlab"
        for entry in self.pages("/merge_requests?state=opened" if gitlab else "/pulls?state=open"):
            if gitlab:
                number, sha, target = entry["iid"], entry["sha"], entry["target_branch"]
            else:
                number, sha, target = entry["number"], entry["head"]["sha"], entry["base"]["ref"]
            if isinstance(number, int) and re.fullmatch(r"[0-9a-f]{40,64}", str(sha)):
                yield Open(number, str(sha), str(target), not own_branch(self.kind, entry))

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """Every entry of a list. Forgejo gives some lists whole, whatever the page."""
        seen: set[int] = set()
        for page in range(1, MOST_PAGES + 1):
            sep = "&" if "?" in path else "?"
            entries = self.ask("GET", f"{self.api}{path}{sep}per_page={PAGE}&limit={PAGE}&page={page}")
            new = [entry for entry in entries if entry["id"] not in seen]
            yield from new
            seen |= {entry["id"] for entry in new}
            if not new or len(entries) < PAGE:
                return

    def ask(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request. Raises EngineError with the status, and never with the token."""
        header = {"PRIVATE-TOKEN": self.token} if self.kind == "gitlab" else {"Authorization": f"token {self.token}"}
        headers = {**header, "Content-Type": "application/json", "Accept": "application/json", "User-Agent": "sixstead"}
        content = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310 - the job's own address
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            remedy = "; may this token write comments?" if error.code in (401, 403, 404) else ""
            raise EngineError(f"{self.kind}: {method} {url.split('?')[0]}: status {error.code}{remedy}") from None
        except (OSError, ValueError) as error:
            raise EngineError(f"{self.kind}: {method} {url.split('?')[0]}: {error}") from None


def own_branch(kind: str, entry: Mapping[str, Any]) -> bool:
    """Whether a pull request comes from a branch of the repository itself, which only those make who may push to it.

    What is not clear does not. On Forgejo and Gitea anybody who may read can push to `refs/for/BRANCH` (AGit): that has
    the repository itself for its head's, but no branch: an empty `label`, and `refs/pull/N/head` for a `ref`. So has a
    branch that is deleted by now (services/convert/pull.go of both).
    """
    if kind == "gitlab":
        source = entry.get("source_project_id")
        return isinstance(source, int) and source == entry.get("target_project_id")
    head, base = entry.get("head") or {}, entry.get("base") or {}
    name = (head.get("repo") or {}).get("full_name")
    if not name or name != (base.get("repo") or {}).get("full_name"):
        return False
    if kind == "github":
        return True
    label, ref = head.get("label"), head.get("ref")
    return bool(label) and isinstance(ref, str) and bool(ref) and not ref.startswith("refs/pull/")


def of_environment(kind: str) -> Forge:
    """The forge that runs this job. Raises EngineError naming the variable that is missing."""
    api_name, repository_name = (
        ("CI_API_V4_URL", "CI_PROJECT_ID") if kind == "gitlab" else ("GITHUB_API_URL", "GITHUB_REPOSITORY")
    )
    repository = os.environ.get("SIXSTEAD_REVIEW_REPOSITORY") or os.environ.get(repository_name, "")
    token = os.environ.get("SIXSTEAD_REVIEW_TOKEN") or os.environ.get("GITHUB_TOKEN", "")
    api = os.environ.get(api_name, "")
    for name, value in ((api_name, api), (repository_name, repository), ("SIXSTEAD_REVIEW_TOKEN", token)):
        if not value:
            raise EngineError(f"comment: the variable {name} is not set")
    folder = "projects" if kind == "gitlab" else "repos"
    return Forge(kind, f"{api.rstrip('/')}/{folder}/{repository}", token)
