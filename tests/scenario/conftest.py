"""Labs for scenario tests: each module (or test) has one of its own, taken down whatever happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.lab import Lab
from tests.scenario.harness import LAB_STACK, Stack

ENGINES = ["embedded", *(["pulumi"] if shutil.which("pulumi") else [])]
"""`pulumi` is among them where it is on PATH: then every scenario runs with both."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport]:
    """A test that failed shows what its servers were like: what comes once in many runs is not seen again at will."""
    report = yield
    if report.failed and report.when == "call":
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Stack):
                report.sections.append((f"the server of the lab {value.lab.name}", value.looks()))
    return report


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Which engine a module's tests run with."""
    return str(request.param)


@pytest.fixture(scope="module")
def make_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Stack]]:
    """Make labs with stacks: `make_stack(engine, up={"delivery": "on-link"}, config={...})`."""
    labs: list[Lab] = []

    def make(engine: str, up: dict[str, Any] | None = None, config: dict[str, Any] | None = None) -> Stack:
        name = f"t{os.getpid()}-{len(labs)}"
        lab = Lab(name)
        labs.append(lab)
        lab.up(**{"like": str(LAB_STACK), **(up or {})})
        stack = Stack(lab, Path(tmp_path_factory.mktemp(name)), engine, config or {})
        stack.init()
        return stack

    yield make
    for lab in labs:
        lab.down()
