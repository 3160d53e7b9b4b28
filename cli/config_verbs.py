"""`config`, `config set`, `config get`, `config rm` with the embedded engine."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cli.credentials import refuse_plain
from engine import configfile
from engine.config import as_text, decrypted, is_secure
from engine.errors import EngineError
from engine.operation import Stack


def run(args: argparse.Namespace, stack: Stack) -> int:
    """Do it; 0."""
    if args.subverb == "set":
        _set(args, stack)
    elif args.subverb == "get":
        print(as_text(decrypted(_find(args, stack), stack.config.crypter)))
    elif args.subverb == "rm":
        configfile.change(
            stack.config.path, configfile.keys_of(args.key, stack.project.name, args.path), None, remove=True
        )
    else:
        width = max((len(key) for key in stack.config.raw), default=3)
        print(f"{'KEY':<{width}}  VALUE")
        for key, value in sorted(stack.config.raw.items()):
            print(f"{key:<{width}}  {'[secret]' if is_secure(value) else as_text(value)}")
    return 0


def _find(args: argparse.Namespace, stack: Stack) -> Any:
    try:
        return configfile.get(stack.config.raw, configfile.keys_of(args.key, stack.project.name, args.path))
    except KeyError as err:
        raise EngineError(f"configuration key '{args.key}' not found for stack '{stack.name}'") from err


def _set(args: argparse.Namespace, stack: Stack) -> None:
    refuse_plain(args.key, args.secret)
    text = args.value
    if text is None:
        if sys.stdin.isatty():
            raise EngineError("config set: say the value, or give it on standard input")
        text = sys.stdin.read().removesuffix("\n")
    value: Any
    if args.secret:
        stack.config.ensure_salt()
        value = {"secure": stack.config.crypter.encrypt(text)}
    else:
        value = configfile.typed(text) if args.path else text
    configfile.change(stack.config.path, configfile.keys_of(args.key, stack.project.name, args.path), value)
