"""The cost of a first up, an up without a change, and a refresh, on a lab's server with so many guests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.scenario.harness import Stack

DOING_SECONDS = 900
"""Long enough for twenty emulated guests to boot on two cores."""


@dataclass(frozen=True)
class Cost:
    """What one run cost. Provider processes are those that spoke to the server."""

    guests: int
    run: str
    processes: int
    connections: int
    exchanges: int
    seconds: float


def guests(count: int) -> dict[str, Any]:
    """So many of the lab's tiny guests."""
    return {f"g{number:02}": {"image": "tiny", "memory": "96MiB", "disk": "64MiB"} for number in range(count)}


def measure(stack: Stack, count: int) -> Iterator[Cost]:
    """Bring the stack to so many guests, then look again in each way."""
    stack.write(guests=guests(count))
    runs = {
        "up": ("up", "--yes", "--skip-preview"),
        "up, no change": ("up", "--yes", "--skip-preview", "--expect-no-changes"),
        "refresh": ("refresh", "--yes"),
        "up --refresh, no change": ("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes"),
    }
    for name, arguments in runs.items():
        stack.cost_file.unlink(missing_ok=True)
        began = time.monotonic()
        stack.run(*arguments, timeout=DOING_SECONDS)
        seconds = time.monotonic() - began
        lines = stack.cost_file.read_text().splitlines() if stack.cost_file.exists() else []
        whats = [line.split()[1] for line in lines]
        processes = len({line.split()[0] for line in lines})
        yield Cost(count, name, processes, whats.count("connection"), whats.count("exchange"), seconds)
