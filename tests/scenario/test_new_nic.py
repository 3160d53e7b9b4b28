"""Another mainboard: the network card has another name and another MAC address, which the hoster knows and the config does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from lab.errors import LabError
from tests.scenario.harness import LAB_STACK, SERVER4, SERVER6, Stack, answers, merged
from tests.scenario.test_backends import CELLS, FILES

DELIVERY = dict(CELLS)
OLD_MAC, NEW_MAC, OWN_NAME = "52:54:00:aa:00:01", "52:54:00:aa:00:07", "enp7s0"
SECONDS = 60
"""From power on to a login over both families, at most."""
IN_VAIN = 20
"""Longer than a boot that finds its network card takes."""
PLACES = ("/etc/sixstead/find-uplink", "/etc/systemd/system/sixstead-uplink.service")
ALL_FILES = ["sh", "-c", "find /etc /var/lib/sixstead -type f -print0 | sort -z | xargs -0 sha256sum"]


@pytest.fixture(scope="module", params=DELIVERY)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stack(backend: str, make_stack: Callable[..., Stack], tmp_path_factory: pytest.TempPathFactory) -> Stack:
    document = yaml.safe_load(LAB_STACK.read_text())
    document["config"]["sixstead:server"]["backend"] = backend
    like = Path(tmp_path_factory.mktemp(backend)) / f"Pulumi.{backend}.yaml"
    like.write_text(yaml.safe_dump(document))
    made = make_stack("embedded", up={"like": str(like), "delivery": DELIVERY[backend]})
    prefixes = {"main": merged(made.config["prefixes"]["main"], delivery=DELIVERY[backend])}
    made.write(server=merged(made.config["server"], backend=backend), prefixes=prefixes, guests={}, images={})
    made.up()
    return made


def mac_address(stack: Stack, interface: str = "eth0") -> str:
    return stack.server("cat", f"/sys/class/net/{interface}/address").strip()


def test_systemd_finds_no_fault_with_the_unit(stack: Stack) -> None:
    done = stack.lab.exec("server", ["systemd-analyze", "verify", "sixstead-uplink.service"])
    said = (done.stdout + done.stderr).decode()
    assert "sixstead-uplink" not in said, said
    assert "cycle" not in said, said


def test_while_its_card_is_there_the_unit_does_nothing(stack: Stack) -> None:
    stack.lab.reboot()
    assert stack.server("systemctl", "is-active", "sixstead-uplink.service").strip() == "active"
    assert (
        stack.server("journalctl", "--boot", "--unit=sixstead-uplink", "--identifier=find-uplink", "--output=cat") == ""
    )
    stack.preview("--refresh", "--expect-no-changes")


def test_with_a_new_card_and_without_the_unit_the_server_is_away(stack: Stack) -> None:
    stack.server("systemctl", "disable", "sixstead-uplink.service")
    with pytest.raises(LabError, match="while the server is off"):
        stack.lab.swap_nic(OWN_NAME, NEW_MAC)
    stack.lab.cut_power()
    stack.lab.swap_nic(OWN_NAME, NEW_MAC)
    with pytest.raises(LabError, match="SSH on"):
        stack.lab.power_on(within=IN_VAIN)
    assert not answers(stack, SERVER4)
    assert not answers(stack, SERVER6)
    assert mac_address(stack, OWN_NAME) == NEW_MAC
    stack.server("systemctl", "enable", "sixstead-uplink.service")
    stack.lab.cut_power()


def test_with_a_new_card_it_comes_up_and_says_what_it_did(stack: Stack) -> None:
    started = time.monotonic()
    stack.lab.power_on()
    assert time.monotonic() - started < SECONDS
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)
    assert mac_address(stack) == NEW_MAC
    log = stack.server("journalctl", "--boot", "--unit=sixstead-uplink.service", "--output=cat")
    assert f"the network card {OWN_NAME} with MAC address {NEW_MAC} is called eth0 from now on: it has a carrier" in log


def test_a_preview_shows_the_new_mac_address_and_nothing_else(stack: Stack) -> None:
    seen = stack.preview("--refresh", "--diff")
    assert seen.shows("eth0:", f'"physical, {OLD_MAC}, mtu 1500, up" => "physical, {NEW_MAC}'), seen.text
    assert "2 to update" in seen.text, seen.text
    assert seen.shows("~ sixstead:HostNetwork"), seen.text


def test_an_up_with_the_old_mac_address_is_refused_before_the_first_write(stack: Stack) -> None:
    before = stack.server(*ALL_FILES)
    refused = stack.up("--refresh", check=False)
    assert refused.code != 0
    assert f"eth0 has the MAC address {NEW_MAC}, not {OLD_MAC}; nothing was changed" in refused.text
    assert f'set `sixstead:uplink.mac` to "{NEW_MAC}"' in refused.text
    assert "Traceback" not in refused.text
    assert stack.server(*ALL_FILES) == before


def test_with_the_mac_address_corrected_all_is_as_wanted(stack: Stack) -> None:
    stack.write(uplink=merged(stack.config["uplink"], mac=NEW_MAC))
    stack.up()
    stack.preview("--refresh", "--expect-no-changes")
    stack.lab.reboot()
    log = stack.server("journalctl", "--boot", "--unit=sixstead-uplink.service", "--output=cat")
    assert f"{OWN_NAME} with MAC address {NEW_MAC} is called eth0 from now on: it has the MAC address" in log
    stack.preview("--refresh", "--expect-no-changes")


def test_the_switch_tolerates_the_new_mac_address_alone(stack: Stack) -> None:
    assert stack.lab.counters()["foreign_mac_frames"] == 0
    stack.lab.inject_foreign_frame(OLD_MAC)
    assert stack.lab.counters()["foreign_mac_frames"] == 1


def test_destroy_removes_it_and_leaves_a_name_that_lasts(stack: Stack, backend: str) -> None:
    """The lab's server has no udev, which would give the card its name by this file at the next boot."""
    done = stack.destroy()
    assert "the network from before does not fit today's eth0: a plain configuration of it stays" in done.text, (
        done.text
    )
    link = stack.server("cat", "/etc/systemd/network/10-eth0.link")
    assert link == f"[Match]\nMACAddress={NEW_MAC}\nType=ether\n\n[Link]\nName=eth0\n"
    assert answers(stack, SERVER4)
    assert answers(stack, SERVER6)
    for place in (*PLACES, "/etc/sixstead", "/var/lib/sixstead"):
        assert stack.lab.exec("server", ["test", "-e", place]).returncode != 0, place
    wants = stack.server("find", "/etc/systemd/system", "-name", "sixstead*")
    assert wants == ""
    if backend == "ifupdown":
        assert "Sixstead" not in stack.server("cat", FILES[backend])
    assert stack.lab.counters()["foreign_macs"] == [OLD_MAC]
