"""Strangers' texts in Markdown: as code that they can't leave, without what can't be seen, and without secrets."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def size(text: str) -> int:
    return len(text.encode())


def code(text: str) -> str:
    """A stranger's text as a code span: nothing of it is Markdown, HTML, a mention or a command."""
    flat = short(text)
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    quotes, space = "`" * (longest + 1), " " if longest else ""
    return f"{quotes}{space}{flat}{space}{quotes}"


def tag(text: str) -> str:
    """The same within HTML, where Markdown is not read."""
    return f"<code>{html.escape(short(text), quote=False)}</code>"


def short(text: str) -> str:
    """On one line, and not longer than a reader reads."""
    flat = " ".join(visible(text).split()) or "?"
    return flat if len(flat) <= 300 else flat[:300] + "..."


def plain_name(text: str) -> str:
    return re.sub(r"[^\w.-]", "", text)


def fenced(text: str, language: str = "") -> list[str]:
    """A code block that its content can't leave."""
    text = "\n".join(visible(line) for line in text.split("\n"))
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + language, *text.split("\n"), fence]


def visible(text: str) -> str:
    """Without characters that are not seen, or turn what is seen around: they are shown by number."""
    return "".join(
        c if c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp") else f"\\u{ord(c):04x}"
        for c in text
    )


def cleaned(value: Any, secrets: Sequence[str]) -> Any:
    """A value whose texts are masked: before anything is cut or escaped, so that no half of a secret stays."""
    if isinstance(value, str):
        return masked(value, secrets)
    if isinstance(value, Mapping):
        return {masked(str(name), secrets): cleaned(item, secrets) for name, item in value.items()}
    return [cleaned(item, secrets) for item in value] if isinstance(value, list) else value


def longest_first(secrets: Iterable[str]) -> list[str]:
    """The texts to mask: each secret, its lines, and its lines as JSON and HTML have them; short ones say nothing."""
    found = set()
    for secret in secrets:
        for part in (secret, *secret.splitlines()):
            part = part.strip()
            if len(part) >= 6:
                found |= {part, html.escape(part, quote=False), part.replace("\n", "\\n")}
    return sorted(found, key=len, reverse=True)


def masked(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[secret]")
    return text
