"""Settings in, every rendered file and value out: golden files, one folder a case.

After a change on purpose, `GOLDEN=write pytest tests/unit/test_rendering.py` writes them anew; the diff is the review.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers import (
    bridge,
    dns64,
    firewall,
    forwarding,
    hypervisor,
    nat64,
    ndp_proxy,
    packages,
    router_advertisement,
    uplink,
)
from providers.host.agent.facets import State, union
from settings import Settings, parse

CASES = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


def everything(settings: Settings) -> State:
    """What all resources of a server but its images and guests want."""
    states = [forwarding.render(), uplink.render(settings), firewall.render(settings), ndp_proxy.render(settings)]
    states += [bridge.render(settings, network) for network in settings.networks.values()]
    states += [router_advertisement.render(settings)]
    states += [nat64.render(settings)] if settings.nat64_gateways else []
    states += [dns64.render(settings)] if dns64.networks(settings) else []
    states += [hypervisor.render(settings)] if settings.guests else []
    return union({"packages": dict.fromkeys(packages.names(settings), "installed")}, *states)


def rendered(state: State) -> dict[str, str]:
    """File texts by a flat name, and all other values in one file."""
    files = {path.strip("/").replace("/", "__"): text_of(value) for path, value in state["files"].items()}
    rest: dict[str, Any] = {name: items for name, items in state.items() if name != "files"}
    return {**files, "values.yaml": yaml.safe_dump(rest, sort_keys=True)}


def text_of(value: Any) -> str:
    """A file's text, headed by mode and owner where they are not the usual ones."""
    return value if isinstance(value, str) else f"({value['mode']} {value['owner']})\n{value['text']}"


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_settings_render_to_the_golden_files(case: Path) -> None:
    config = yaml.safe_load((case / "config.yaml").read_text())
    texts = rendered(everything(parse(config, stack="kvm1")))
    if os.environ.get("GOLDEN") == "write":
        for old in case.iterdir():
            if old.name != "config.yaml":
                old.unlink()
        for name, text in texts.items():
            (case / name).write_text(text)
    golden = {path.name: path.read_text() for path in case.iterdir() if path.name != "config.yaml"}
    assert texts == golden
