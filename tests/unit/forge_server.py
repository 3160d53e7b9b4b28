"""A small stand-in for the web services of GitHub, Forgejo and GitLab: comments and open pull requests of one repository.

None of the three can be had here. It knows the few requests that `cli.forges` makes, as their documents have them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

LONGEST = 65_536
"""Characters of a comment; GitHub's limit."""
NAMES = {"github": "github-actions[bot]", "forgejo": "previewer", "gitlab": "project_7_bot"}


class ForgeServer:
    """Its comments by pull request, each `{"id", "body", "author"}`, and what it was asked."""

    def __init__(self, kind: str, address: str) -> None:
        self.kind, self.address = kind, address
        self.comments: dict[int, list[dict[str, Any]]] = {}
        self.locked: set[int] = set()
        """Pull requests that take no comments: a locked conversation."""
        self.changes: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []

    def variables(self) -> dict[str, str]:
        """What a job of this forge has in its environment."""
        if self.kind == "gitlab":
            return {"CI_API_V4_URL": f"{self.address}/api/v4", "CI_PROJECT_ID": "7"}
        return {"GITHUB_API_URL": f"{self.address}/api/v1", "GITHUB_REPOSITORY": "owner/servers"}

    def answer(self, method: str, target: str, body: dict[str, str]) -> tuple[int, Any]:
        """Status and content."""
        url = urlsplit(target)
        page = int(parse_qs(url.query).get("page", ["1"])[0])
        size = int(parse_qs(url.query).get("per_page", ["30"])[0])
        path = re.sub(r"^/api/v[14](/projects/7|/repos/owner/servers)?", "", url.path)
        if len(body.get("body", "")) > LONGEST:
            return 422, {"message": "body is too long (maximum is 65536 characters)"}
        if path == "/user":
            return 200, {"login": NAMES[self.kind], "username": NAMES[self.kind]}
        if path in ("/pulls", "/merge_requests"):
            return 200, self.changes[(page - 1) * size : page * size]
        if match := re.fullmatch(r"/(?:issues|merge_requests)/(\d+)/(?:comments|notes)", path):
            found = self.comments.setdefault(int(match[1]), [])
            if method == "POST" and int(match[1]) in self.locked:
                return 403, {"message": "the conversation is locked"}
            if method == "POST":
                found.append({"id": 1000 + len(found), "body": body["body"], "author": NAMES[self.kind]})
                return 201, {}
            pages = found if self.kind == "forgejo" else found[(page - 1) * size : page * size]
            who = "author" if self.kind == "gitlab" else "user"
            return 200, [
                {"id": c["id"], "body": c["body"], who: {"login": c["author"], "username": c["author"]}} for c in pages
            ]
        match = re.fullmatch(
            r"/merge_requests/\d+/notes/(\d+)" if self.kind == "gitlab" else r"/issues/comments/(\d+)", path
        )
        if match and method == ("PUT" if self.kind == "gitlab" else "PATCH"):
            for comment in (c for found in self.comments.values() for c in found if c["id"] == int(match[1])):
                comment["body"] = body["body"]
            return 200, {}
        return 404, {}


@contextmanager
def forge_server(kind: str) -> Iterator[ForgeServer]:
    """Serve on a port of this machine until the end."""

    class Handler(BaseHTTPRequestHandler):
        def serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(content) if content else {}
            server.requests.append((self.command, self.path, dict(self.headers)))
            status, answer = server.answer(self.command, self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PUT = do_PATCH = serve

        def log_message(self, *_: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = ForgeServer(kind, f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
