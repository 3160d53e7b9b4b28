"""`./sixstead observer-key`: a login key that may only observe the server, for machines that preview pull requests."""

from __future__ import annotations

import argparse
from pathlib import Path

from cli.live import look
from engine.errors import EngineError
from providers.host.sessions import Host
from settings import Settings


def run(args: argparse.Namespace, root: Path, stack: str) -> int:
    """Put a public key on a stack's server, or take all of them off with --remove. Raises EngineError for no key."""
    key = ""
    if args.remove == bool(args.file):
        raise EngineError("observer-key: give the file of a public key (id_ed25519.pub), or --remove")
    if args.file:
        try:
            key = Path(args.file).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise EngineError(f"{args.file} can't be read: {error}") from None
        if "PRIVATE KEY" in key:
            raise EngineError(f"{args.file} is a private key: it stays here; give the file that ends in .pub")

    def change(_settings: Settings, host: Host) -> int:
        files = host.change("observer_key", {"key": key})["files"]
        if key:
            print(f"{host.where}: this key may observe and nothing else ({', '.join(files)})")
        else:
            print(f"{host.where}: {'removed from ' + ', '.join(files) if files else 'there was no such key'}")
        return 0

    return look(root, stack, args.config_file, change)
