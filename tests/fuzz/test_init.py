"""Whatever a bare server says of itself: a stack that says no more than that, or the reasons why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli.init_find import Finding, Refused, find, radvd_version
from cli.init_probe import pairs
from cli.init_stack import Login, check, scalar, stack_text
from tests.fuzz import odd, watch

PROBE = yaml.safe_load((Path(__file__).parents[1] / "unit" / "init_cases.yaml").read_text())["probe"]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKSU9QcHje/xHyVcwmei9v3Z+5WsONKOGuhu5jyyRb4"
LOGIN = Login("192.0.2.10", 22, "root", KEY)
NETPLAN = {
    **PROBE,
    "networkd": {"2": {"NETWORK_FILE": "/run/systemd/network/10-netplan-enp5s0.network"}},
    "netplan": {
        "/etc/netplan/01-netcfg.yaml": "network: {version: 2, renderer: networkd, ethernets: {enp5s0: {dhcp4: true}}}"
    },
}
NAMES = sorted({str(path[-1]) for path in odd.places(NETPLAN) if path})
TEXTS = st.one_of(
    odd.text,
    st.sampled_from(
        [
            "network: [",
            "network: {ethernets: {a: [1]}}",
            "a: *b",
            "network: {ethernets: {1: {}}}",
            "x\n  sixstead:server: y",
            '02:00:00:00:00:01"\n#',
            'fe80::1%x"\ny',
        ]
    ),
)
probes = st.sampled_from([PROBE, NETPLAN]).flatmap(
    lambda probe: odd.changed(
        probe, st.one_of(odd.json_values, TEXTS), st.one_of(st.sampled_from(NAMES), odd.text), most=2
    )
)


@given(probes)
def test_a_server_gives_a_stack_or_reasons(probe: Any) -> None:
    try:
        with watch.looking():
            found = find("kvm1", probe)
            text = stack_text(found, LOGIN)
    except Refused as refused:
        reasons = refused.reasons
    else:
        is_a_stack_and_no_more(found, text)
        return
    assert reasons
    assert all(reason.isprintable() and len(reason) < 3000 for reason in reasons)


def is_a_stack_and_no_more(found: Finding, text: str) -> None:
    """Every key and value of the stack's file is one that `init` writes on purpose."""
    assert text == stack_text(found, LOGIN)
    assert all(line.isprintable() for line in text.split("\n"))
    check(text, "kvm1")
    config = yaml.safe_load(text)["config"]
    assert set(config) == {f"sixstead:{name}" for name in ("server", "uplink", "prefixes", "networks")}
    assert config["sixstead:server"]["ssh"] == {"host": "192.0.2.10", "user": "root", "host_key": KEY}
    assert set(config["sixstead:server"]) <= {"ssh", "hoster", "os", "backend", "kvm"}
    assert config["sixstead:uplink"]["mac"] == found.mac
    assert config["sixstead:uplink"]["name"] == found.uplink
    for prefix in config["sixstead:prefixes"].values():
        assert set(prefix) <= {"prefix", "gateway", "delivery", "address"}


@given(odd.json_values)
def test_any_json_is_no_server(probe: Any) -> None:
    with pytest.raises(Refused), watch.looking():
        find("kvm1", probe)


@given(odd.text)
def test_any_text_reads_back_from_the_stack_as_itself(text: str) -> None:
    with watch.looking():
        pairs(text)
        radvd_version(text)
        if text.isprintable():
            assert yaml.safe_load(f"key: {scalar(text)}") == {"key": text}
