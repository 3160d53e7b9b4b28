"""What is refused when a network is taken over for the first time."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.host.agent import takeover

OURS = "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n"


def test_other_stanzas_of_the_owners_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "interfaces"
    monkeypatch.setattr(takeover, "INTERFACES", str(path))
    taken = {"files": {str(path): OURS}}
    assert takeover.other_stanzas(taken, {}) == []
    path.write_text(OURS + "auto wg0\niface wg0 inet manual\n")
    assert "also configures wg0" in takeover.other_stanzas(taken, {})[0]
    assert takeover.other_stanzas(taken, taken) == []
    path.write_text(OURS + "iface eth0 inet6 \\\n  static\n")
    assert takeover.other_stanzas(taken, {}) == []


@pytest.mark.parametrize(
    ("info", "refused"),
    [
        ({"local": "192.0.2.10", "prefixlen": 24, "dynamic": True}, True),
        ({"local": "192.0.2.10", "prefixlen": 24}, False),
        ({"local": "192.0.2.11", "prefixlen": 24, "dynamic": True}, False),
    ],
)
def test_an_address_that_would_run_out_is_refused(info: dict[str, object], refused: bool) -> None:
    taken = {"addresses": {"eth0": "192.0.2.10/32 2001:db8::2/128"}}
    found = takeover.passing_addresses(taken, [{"ifname": "eth0", "addr_info": [info]}])
    assert bool(found) is refused
