"""How a unit's state is waited for."""

from __future__ import annotations

import pytest

from providers.host.agent import units


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (["active"], "active"),
        (["reloading", "refreshing", "active"], "active"),
        (["reloading", "failed"], "failed"),
        (["activating"], "activating"),
        (["inactive"], "inactive"),
    ],
)
def test_a_unit_that_reloads_is_waited_for(monkeypatch: pytest.MonkeyPatch, states: list[str], last: str) -> None:
    told = iter(states)
    monkeypatch.setattr(units, "show", lambda names: {name: {"ActiveState": next(told)} for name in names})
    assert units.settled("unbound.service") == last
    assert list(told) == []


def test_one_that_reloads_for_ever_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "show", lambda names: {name: {"ActiveState": "reloading"} for name in names})
    monkeypatch.setattr(units, "PATIENCE", 0.2)
    assert units.settled("unbound.service") == "reloading"
