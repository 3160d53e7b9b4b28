"""What a network change leaves alone: tables of cases for the pure part."""

from __future__ import annotations

from typing import Any

import pytest

from providers.host.agent.by_hand import kept
from providers.host.agent.facets import Plan, union

UPLINK = {"files": {"/etc/network/interfaces": "a", "/etc/shared": "s"}, "addresses": {"eth0": "192.0.2.10/32"}}
FIREWALL = {"files": {"/etc/firewall.nft": "f", "/etc/shared": "s"}}


@pytest.mark.parametrize(
    ("differing", "untouched", "still", "told"),
    [
        ({}, ["uplink"], {}, []),
        ({"files": {"/etc/firewall.nft": "f"}}, ["uplink"], {"files": {"/etc/firewall.nft": "f"}}, []),
        ({"addresses": UPLINK["addresses"]}, ["uplink"], {}, ["addresses eth0"]),
        ({"addresses": UPLINK["addresses"]}, [], {"addresses": UPLINK["addresses"]}, []),
        (
            {"files": {"/etc/network/interfaces": "a", "/etc/firewall.nft": "f"}},
            ["uplink"],
            {"files": {"/etc/firewall.nft": "f"}},
            ["files /etc/network/interfaces"],
        ),
        # what the changed section wants as well is its
        ({"files": {"/etc/shared": "s"}}, ["uplink"], {"files": {"/etc/shared": "s"}}, []),
        ({"files": {"/etc/shared": "s"}}, ["uplink", "firewall"], {}, ["files /etc/shared"]),
    ],
)
def test_differences_of_untouched_sections_alone_stay(differing: Any, untouched: Any, still: Any, told: Any) -> None:
    entries: Any = {"uplink": UPLINK, "firewall": FIREWALL}
    wanted = union(*entries.values())
    plan, words = kept(Plan(wanted, differing, {}, {}), entries, untouched)
    assert (plan.differing, words) == (still, told)
    # what is left alone is not verified either, and all else is
    assert len(union(plan.wanted, differing)["files"]) == len(wanted["files"])
    assert all(item not in plan.wanted.get(name, {}) for name, item in (word.split(" ", 1) for word in words))
