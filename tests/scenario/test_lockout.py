"""The owner's first fear: a wrong line in the server's network. Each is first shown to lock the owner out by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.scenario.harness import SERVER4, SERVER6, Stack, answers, armed, merged, wait_until

SECONDS = 60
"""The longest that a server may stay unreachable."""


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack], engine: str) -> Stack:
    made = make_stack(engine)
    made.write(guests={}, images={})
    made.up()
    return made


def test_a_wrong_gateway_by_hand_locks_out(stack: Stack) -> None:
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)
    stack.server("sh", "-c", "ip route replace default via 192.0.2.99 dev eth0 onlink")
    stack.server("sh", "-c", "ip -6 route del default; ip -6 route add default via fe80::99 dev eth0")
    assert not answers(stack, SERVER4)
    assert not answers(stack, SERVER6)
    stack.server("sh", "-c", "ip route replace default via 192.0.2.1 dev eth0 onlink")
    stack.server("sh", "-c", "ip -6 route del default; ip -6 route add default via fe80::1 dev eth0")
    wait_until(lambda: answers(stack, SERVER4) and answers(stack, SERVER6), 30, "the lab's server did not come back")
    stack.up("--refresh")


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_wrong_gateway_is_undone_and_the_error_says_so(stack: Stack, family: str) -> None:
    right = {name: stack.config[name] for name in ("uplink", "prefixes", "server")}
    told = stack.run("outputs").text
    stack.write(server=merged(right["server"], rescue="::7"))
    if family == "ipv4":
        stack.write(uplink=merged(right["uplink"], ipv4=merged(right["uplink"]["ipv4"], gateway="192.0.2.99")))
    else:
        stack.write(prefixes={"main": merged(right["prefixes"]["main"], gateway="fe80::99")})
    done = stack.up(check=False)
    ended = time.monotonic()
    stack.write(**right)
    assert done.code != 0
    assert "the network change was undone: after the change the gateway" in done.text, done.text
    assert "correct the config and run `up` again" in done.text
    assert "Traceback" not in done.text
    wait_until(lambda: answers(stack, SERVER4) and answers(stack, SERVER6), SECONDS, "the owner is locked out")
    assert time.monotonic() - ended < SECONDS
    assert stack.run("outputs").text == told, "others would publish what does not hold"
    wait_until(lambda: not armed(stack), SECONDS, "the change still waits for its confirmation")
    stack.up("--refresh")
    stack.preview("--refresh", "--expect-no-changes")


def test_an_operator_without_ipv6_causes_no_roll_back(stack: Stack) -> None:
    network = stack.config["networks"]["main"]
    stack.write(networks={"main": merged(network, nat64={"prefix": "2001:db8:66::/96"})})
    stack.lab.cut("ipv6")
    stack.up()
    stack.lab.restore("ipv6")
    assert "2001:db8:66::" in stack.server("nft", "list", "table", "inet", "sixstead")
    stack.preview("--refresh", "--expect-no-changes")
