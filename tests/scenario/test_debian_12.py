"""The same on Debian 12: older systemd, libvirt and radvd, and tayga's init script instead of a unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.scenario.harness import Stack, merged
from tests.scenario.snapshot import assert_brought_back, install_alone, look
from tests.scenario.test_life import answers_everything

pristine: dict[str, Any] = {}
packaged: dict[str, Any] = {}


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    made = make_stack("embedded", up={"suite": "bookworm"})
    guests = {"web": made.config["guests"]["web"]}
    made.write(server=merged(made.config["server"], os="debian-12"), guests=guests)
    packaged.update(install_alone(made))
    pristine.update(look(made))
    return made


def test_the_wrong_distribution_is_refused_before_the_first_write(stack: Stack) -> None:
    right = stack.config["server"]
    stack.write(server=merged(right, os="debian-13"))
    refused = stack.up(check=False)
    assert refused.code != 0
    assert "the stack's config says debian-13, the server runs debian-12; nothing was changed" in refused.text
    assert "Traceback" not in refused.text
    assert_brought_back(pristine, stack, packaged)
    stack.write(server=right)


def test_a_guest_answers_and_reaches_both_internets(stack: Stack) -> None:
    stack.up()
    answers_everything(stack)
    assert "nat64prefix" not in stack.server("cat", "/etc/radvd.conf")
    stack.preview("--refresh", "--expect-no-changes")


def test_after_a_reboot_all_answers_without_an_up(stack: Stack) -> None:
    stack.lab.reboot()
    answers_everything(stack)
    stack.preview("--refresh", "--expect-no-changes")


def test_destroy_brings_back_what_was_there(stack: Stack) -> None:
    stack.destroy()
    assert_brought_back(pristine, stack, packaged)
    stack.lab.reboot()
    assert_brought_back(pristine, stack, packaged)
    assert stack.lab.counters()["foreign_mac_frames"] == 0
