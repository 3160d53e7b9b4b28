"""What Robot's answers mean. Errors are `{"error": {"status", "code", "message", ...}}`; a delete answers with nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Meaning = Literal["done", "refused", "login", "limit", "maintenance", "failed"]


class Garbled(Exception):
    """No answer of Robot's: the message says what came instead, and nothing of its text."""


@dataclass(frozen=True)
class Answer:
    """An answer; `code` and what follows is of errors only. `interval`: seconds in which `max_request` are allowed."""

    status: int
    value: Any = None
    code: str = ""
    message: str = ""
    max_request: int | None = None
    interval: float | None = None
    retry_after: float | None = None

    @property
    def meaning(self) -> Meaning:
        """`limit`, `maintenance`: worth waiting for. `failed`: worth another try. `refused`: the caller knows why."""
        if 200 <= self.status < 300:
            return "done"
        if self.status == 401:
            return "login"
        if self.code == "RATE_LIMIT_EXCEEDED" or self.status == 429:
            return "limit"
        if self.status == 503:
            return "maintenance"
        if self.status >= 500 or self.code == "CONFLICT":
            return "failed"
        return "refused"


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer in an HTTP response. Raises Garbled where that isn't one of Robot's."""
    retry_after = number(headers.get("Retry-After"))
    length = number(headers.get("Content-Length"))
    if length is not None and len(body) < length:
        raise Garbled(f"the answer was cut off after {len(body)} of {length:.0f} bytes")
    if status in (401, 429, 503):  # these may come from what stands before Robot, in whatever form
        return failure(status, parsed(body), retry_after)
    if 300 <= status < 400:
        raise Garbled(f"it redirects elsewhere ({status}), and the login is not sent there")
    if not body and 200 <= status < 300:
        return Answer(status)
    value = parsed(body)
    if value is None:
        kind = headers.get("Content-Type") or "no content type"
        raise Garbled(f"the answer ({status}) is not JSON but {kind.split(';')[0]}, {len(body)} bytes")
    if 200 <= status < 300:
        return Answer(status, value)
    if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
        raise Garbled(f"the answer ({status}) is JSON, but no error of Robot's")
    return failure(status, value, retry_after)


def failure(status: int, value: Any, retry_after: float | None) -> Answer:
    """The answer that an error's JSON value is; unknown parts stay empty."""
    error = value.get("error") if isinstance(value, dict) else None
    error = error if isinstance(error, dict) else {}
    said = one_line(error.get("message"))
    for key in ("missing", "invalid"):
        names = error.get(key)
        if isinstance(names, list | tuple | dict) and names:
            said += f"; {key}: {one_line(', '.join(map(str, names)))}"
    limit = number(error.get("max_request"))
    return Answer(
        status,
        code=one_line(error.get("code")),
        message=said,
        max_request=None if limit is None else int(limit),
        interval=number(error.get("interval")),
        retry_after=retry_after,
    )


def parsed(body: bytes) -> Any:
    """The JSON value, or None where there is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def number(raw: object) -> float | None:
    """A number that is not negative, or None: a Retry-After may be a date, and then isn't needed that much."""
    try:
        value = float(raw)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if 0 <= value < 1e9 else None


def one_line(raw: object) -> str:
    """A foreign text as a message may show it: printable and short."""
    text = "" if raw is None else str(raw)
    return "".join(c if c.isprintable() else " " for c in text)[:200].strip()
