"""A hoster whose router asks for every address by neighbour solicitation: the prefix is on-link, and the server answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scenario.harness import WEB, Stack, lab_config, merged
from tests.scenario.test_life import answers_everything


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine, up={"delivery": "on-link"})
    guests = {"web": made.config["guests"]["web"]}
    made.write(prefixes={"main": merged(made.config["prefixes"]["main"], delivery="routed")}, guests=guests)
    return made


def test_without_the_proxy_entry_the_guest_runs_but_nobody_reaches_it(stack: Stack) -> None:
    stack.up()
    assert "ndp-proxy" not in stack.preview().text
    assert stack.server("ping", "-c1", "-W2", WEB)
    assert not stack.reachable(WEB, 5)


def test_with_it_the_internet_reaches_the_guest(stack: Stack) -> None:
    prefix = lab_config(stack.lab.name)["prefixes"]["main"]
    stack.write(prefixes={"main": merged(prefix, delivery="on-link")})
    steps = stack.preview().steps()
    assert steps == {"NdpProxy ndp-proxy": "create", "HostNetwork host-network": "update"}
    assert stack.up().steps() == steps
    answers_everything(stack)
    assert f"{WEB} dev eth0" in stack.server("ip", "-6", "neighbour", "show", "proxy")


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    stack.up("--expect-no-changes")
    stack.preview("--refresh", "--expect-no-changes")


def test_a_lost_proxy_entry_is_shown_and_mended(stack: Stack) -> None:
    stack.server("ip", "-6", "neighbour", "del", "proxy", WEB, "dev", "eth0")
    shown = stack.preview("--refresh", "--diff").text
    assert "NdpProxy" in shown
    assert f"{WEB} dev eth0" in shown
    stack.up("--refresh")
    answers_everything(stack)


def test_after_a_reboot_all_answers_without_an_up(stack: Stack) -> None:
    stack.lab.reboot()
    answers_everything(stack)


def test_without_the_proxy_again_it_is_unreachable_again(stack: Stack) -> None:
    prefix = lab_config(stack.lab.name)["prefixes"]["main"]
    stack.write(prefixes={"main": merged(prefix, delivery="routed")})
    assert stack.up().steps() == {"NdpProxy ndp-proxy": "delete", "HostNetwork host-network": "update"}
    stack.lab.exec("router", ["ip", "-6", "neighbour", "flush", "dev", "sw0"])
    assert stack.server("ip", "-6", "neighbour", "show", "proxy").strip() == ""
    assert not stack.reachable(WEB, 5)
    stack.destroy()


def test_no_foreign_mac_was_seen(stack: Stack) -> None:
    counted = stack.lab.counters()
    assert counted["foreign_mac_frames"] == 0
    assert counted["own_mac_frames"] > 100
