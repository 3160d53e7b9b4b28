"""1,000 cases a test, the same ones each time; with TEST_ALL=yes (`make test-all`) 10,000, other ones each time.

A case that fails is printed in its smallest form, with the decorator that brings it back.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.fuzz import watch

settings.register_profile(
    "short",
    max_examples=1000,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("long", settings.get_profile("short"), max_examples=10_000, derandomize=False)
settings.load_profile("long" if os.environ.get("TEST_ALL") else "short")
watch.begin()
