"""Which gateway counts."""

from __future__ import annotations

from typing import Any

import pytest

from providers.host.agent.gateways import first

CASES: list[tuple[list[dict[str, Any]], str]] = [
    ([], ""),
    ([{"dst": "default", "dev": "tun0"}], ""),
    ([{"dst": "default", "gateway": "192.0.2.1", "dev": "eth0", "flags": ["onlink"]}], "192.0.2.1%eth0"),
    (
        [
            {"dst": "default", "gateway": "fe80::2", "dev": "eth1", "metric": 1024},
            {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "metric": 256},
        ],
        "fe80::1%eth0",
    ),
]


@pytest.mark.parametrize(("routes", "gateway"), CASES)
def test_the_default_route_of_the_lowest_metric_counts(routes: list[dict[str, Any]], gateway: str) -> None:
    assert first(routes) == gateway
