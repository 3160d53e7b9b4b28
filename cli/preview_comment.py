"""`./sixstead preview --markdown`: the comment, with what the stack's config says of the server and of its secrets."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cli.changes import Preview
from cli.comment import comment
from engine.config import Project, StackConfig, decrypted
from engine.errors import EngineError
from engine.secrets import Crypter

ENVIRONMENT = ("PULUMI_CONFIG_PASSPHRASE", "SIXSTEAD_OBSERVER_KEY", "PULUMI_ACCESS_TOKEN", "SIXSTEAD_REVIEW_TOKEN")
"""Variables whose values never stand in a comment."""
FILES = ("PULUMI_CONFIG_PASSPHRASE_FILE", "SIXSTEAD_OBSERVER_KEY")
"""Variables that may name a file, whose text does not either."""
LARGEST = 1 << 20


def text_of(args: argparse.Namespace, root: Path, stack: str, preview: Preview, *, refreshed: bool) -> str:
    """The comment on a stack's preview."""
    host, secrets = about(root, stack, args.config_file)
    return comment(
        stack,
        host,
        preview.changes,
        unchanged=preview.unchanged,
        refreshed=refreshed,
        errors=preview.errors,
        notes=args.notes,
        secrets=secrets,
        limit=args.limit,
    )


def about(root: Path, stack: str, config_file: str | None) -> tuple[str, list[str]]:
    """Where the server is, as the config has it, and every secret that this process can know of."""
    secrets = [*(os.environ[name] for name in ENVIRONMENT if os.environ.get(name)), *in_files()]
    try:
        project = Project.load(root)
        config = StackConfig(project.config_file(stack, config_file), stack, project.name)
    except EngineError:
        return "?", secrets
    for key, value in config.raw.items():
        plain = list(in_plain(value, config.crypter))
        secrets += plain
        if key == f"{project.name}:tsigKey":
            # hmac-sha256:NAME:BASE64, a line each; the key alone is as secret as the line.
            secrets += [line.rsplit(":", 1)[-1] for text in plain for line in text.splitlines()]
    return place(config.raw.get(f"{project.name}:server"), config.raw.get(f"{project.name}:dns")), secrets


def in_files() -> Iterator[str]:
    """The texts of the files that FILES name. What can't be read can't be shown either."""
    for name in FILES:
        path = os.environ.get(name, "")
        if path and "\n" not in path:
            try:
                with Path(path).expanduser().open(encoding="utf-8") as file:
                    yield file.read(LARGEST)
            except (OSError, ValueError, RuntimeError):
                continue


def place(server: Any, dns: Any) -> str:
    """Where a stack's changes would be made: its server's address, or the names of its primaries."""
    if isinstance(dns, Mapping):
        primaries = dns.get("primaries")
        return ", ".join(map(str, primaries)) if isinstance(primaries, Mapping) and primaries else "no primary"
    ssh = server.get("ssh") if isinstance(server, Mapping) else None
    return str(ssh.get("host", "?")) if isinstance(ssh, Mapping) else "?"


def in_plain(value: Any, crypter: Crypter) -> Iterator[str]:
    """The secrets in a config value. One that can't be decrypted can't be shown either."""
    if isinstance(value, Mapping) and set(value) == {"secure"}:
        try:
            yield str(decrypted(value, crypter))
        except EngineError:
            return
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from in_plain(inner, crypter)
