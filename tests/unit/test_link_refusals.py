"""A network card that is not the config's, and a name that is taken, are refused with the key to correct."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.host.agent import link_refusals
from providers.host.agent.link_refusals import refuse_another_card, refuse_another_kind, renamed
from providers.host.agent.system import HostError

MAC, OTHER = "52:54:00:aa:00:01", "52:54:00:aa:00:07"
WANTED = f"physical, {MAC}, mtu 1500, up"
PRESENT = {"lo": "physical, 00:00:00:00:00:00, mtu 65536, up", "br-main": f"bridge, {MAC}, mtu 1500, up"}


def card(mac: str) -> str:
    return f"physical, {mac}, mtu 9000, down"


@pytest.mark.parametrize(
    ("cards", "what", "remedy"),
    [
        ({"eth0": card(OTHER)}, f"eth0 has the MAC address {OTHER}, not {MAC}", f'`sixstead:uplink.mac` to "{OTHER}"'),
        ({"ens1": card(MAC)}, f"card with MAC address {MAC} is ens1, not eth0", "`sixstead:uplink.name` to ens1"),
        ({"ens1": card(OTHER)}, f"which has ens1 {OTHER};", "`sixstead:uplink.name` and `sixstead:uplink.mac`"),
        ({}, "which has none;", "`sixstead:uplink.name` and `sixstead:uplink.mac`"),
    ],
)
def test_another_card_is_refused_with_the_key_to_correct(cards: dict[str, str], what: str, remedy: str) -> None:
    with pytest.raises(HostError) as refused:
        refuse_another_card("eth0", WANTED, PRESENT | cards)
    assert what in refused.value.what
    assert refused.value.what.endswith("; nothing was changed")
    assert remedy in refused.value.remedy


def test_the_card_itself_is_taken_whatever_its_mtu_and_state() -> None:
    refuse_another_card("eth0", WANTED, PRESENT | {"eth0": card(MAC)})


def test_a_bridge_is_not_made_of_a_card() -> None:
    bridge = f"bridge, {MAC}, mtu 1500, up"
    refuse_another_kind("br-main", bridge, PRESENT)
    refuse_another_kind("br-new", bridge, PRESENT)
    with pytest.raises(HostError, match="eth0 exists and is not a bridge; nothing was changed"):
        refuse_another_kind("eth0", bridge, {"eth0": card(MAC)})


def test_a_card_is_renamed_where_its_own_name_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_refusals, "RENAMED", str(tmp_path / "renamed"))
    assert not renamed("eth0")
    (tmp_path / "renamed").write_text("enp7s0\n")
    assert renamed("eth0")
