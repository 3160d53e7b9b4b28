"""Which files are started first: the long ones, so that no worker is left alone with one of them in the end."""

from __future__ import annotations

import pytest

LONG = (
    "sequences", "backends", "faults_midway", "life", "cost", "cloud_init", "moves", "rehearse", "load", "firewall",
    "debian_12",
)  # fmt: skip
"""Of tests/scenario, the longest first. It takes `--no-loadscope-reorder`: pytest-xdist would go by the number of tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorted by file; within one they stay as they are."""
    places = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
