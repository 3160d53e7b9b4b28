"""`config`, `config set`, `config get`, `config rm` with the embedded engine."""

from __future__ import annotations

import argparse

from engine.errors import EngineError
from engine.operation import Stack


def run(args: argparse.Namespace, stack: Stack) -> int:
    raise EngineError("config: not yet")
