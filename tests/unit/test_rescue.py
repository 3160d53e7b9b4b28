"""The way back: what is told, units' links by hand, and that an older Python than the agent's is enough."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.restore import steps
from providers.host import bundle
from providers.host.agent import enablement, restore, script
from providers.host.agent.facets import Context

AGENT = Path(script.__file__).parent
FILE, ABSENT = {"kind": "file", "content": "eA==", "mode": "0644", "owner": "root:root"}, {"kind": "absent", "made": []}
OTHER = {**FILE, "content": "eQ=="}


@pytest.mark.parametrize(
    ("facet", "present", "captured", "at_boot", "told"),
    [
        ("files", {"/a": FILE}, {"/a": FILE}, True, []),
        ("files", {"/a": OTHER}, {"/a": FILE}, True, ["/a: put back"]),
        ("files", {"/a": ABSENT}, {"/a": FILE}, True, ["/a: put back"]),
        ("files", {"/a": FILE}, {"/a": ABSENT}, True, ["/a: removed"]),
        ("files", {"/a": ABSENT}, {"/a": {"kind": "absent", "made": ["/b"]}}, True, []),
        ("only", {"/*": {"/ours": FILE}}, {"/*": {"/theirs": FILE}}, True, ["/ours: removed", "/theirs: put back"]),
        ("only", {"/*": {}}, {"/*": None}, True, []),
        ("units", {"a.service": "enabled"}, {"a.service": None}, True, ["a.service: disabled"]),
        ("units", {"a.service": "enabled"}, {"a.service": "enabled, running"}, True, []),
        ("units", {"a.service": "enabled, stopped"}, {"a.service": "enabled, running"}, False,
         ["a.service: enabled, running"]),
        ("units", {"a.service": None}, {"a.service": None}, False, []),
        ("links", {"br0": "bridge, up"}, {"br0": None}, False, ["link br0: removed"]),
        ("addresses", {"br0": ""}, {"br0": ""}, False, []),
        ("routes", {"IPv6 default dev eth0": "via fe80::2"}, {"IPv6 default dev eth0": "via fe80::1"}, False,
         ["route IPv6 default dev eth0: put back"]),
    ],
)  # fmt: skip
def test_only_what_differs_is_told(
    facet: str, present: dict[str, Any], captured: dict[str, Any], at_boot: bool, told: list[str]
) -> None:
    assert restore.differences(facet, present, captured, at_boot) == told


def test_an_install_section_says_which_links_enable_a_unit() -> None:
    text = """\
[Unit]
WantedBy=not.target
[Install]
# WantedBy=not.target
WantedBy=reset.target
WantedBy=
WantedBy=a.target \\
  b.target
RequiredBy = c.target
Alias=other.service me.service
UpheldBy=%i.target
"""
    assert [path.removeprefix(enablement.SYSTEM + "/") for path in enablement.links_by("me.service", text)] == [
        "a.target.wants/me.service",
        "b.target.wants/me.service",
        "c.target.requires/me.service",
        "other.service",
    ]


def test_units_are_enabled_disabled_and_masked_by_their_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    etc.mkdir()
    lib.mkdir()
    (lib / "a.service").write_text("[Install]\nWantedBy=multi-user.target\nAlias=b.service\n")
    (lib / "fixed.service").write_text("[Service]\nExecStart=/bin/true\n")
    monkeypatch.setattr(enablement, "SYSTEM", str(etc))
    monkeypatch.setattr(enablement, "SEARCHED", (str(etc), str(lib)))
    facet, context = enablement.Enablement(), Context(lambda text: None)
    steps = {"enabled, running": "enabled", "masked": "masked", "disabled, stopped": "disabled", None: "disabled"}
    for was, value in [*steps.items(), *steps.items()]:
        facet.restore({"a.service": was, "fixed.service": "static, running"}, context)
        assert facet.capture(["a.service", "fixed.service", "none.service"]) == {
            "a.service": value,
            "fixed.service": "static",
            "none.service": None,
        }
    facet.restore({"a.service": "enabled, stopped"}, context)
    assert (etc / "multi-user.target.wants" / "a.service").readlink() == lib / "a.service"
    assert (etc / "b.service").readlink() == lib / "a.service"


def imported(module: str, found: set[str]) -> set[str]:
    """The agent's modules that one imports when it is imported itself."""
    if module not in found:
        found.add(module)
        for node in ast.parse((AGENT / f"{module}.py").read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                imported(node.module, found)
    return found


def test_what_runs_in_a_rescue_system_is_python_3_9() -> None:
    modules = imported("rescue", set())
    assert {"files", "transaction"} < modules
    assert "registry" not in modules
    for module in modules:
        tree = ast.parse((AGENT / f"{module}.py").read_text(), feature_version=(3, 9))
        newer = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in ("strict", "slots")]
        assert newer == [], module


@pytest.mark.parametrize("python", [sys.executable, "python3.9", "python3.10"])
def test_the_script_is_whole_in_itself(tmp_path: Path, python: str) -> None:
    if shutil.which(python) is None or subprocess.run([python, "-V"], capture_output=True, check=False).returncode:
        pytest.skip(f"no {python} here")
    path = tmp_path / "restore"
    path.write_text(script.text_of(bundle.bundle()))
    done = subprocess.run(
        [python, "-I", str(path), "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--before" in done.stdout


@pytest.mark.parametrize(
    ("hoster", "name"), [("hetzner", "Robot"), ("ovh", "OVHcloud"), ("else", "the hoster's panel")]
)
def test_the_steps_name_the_server_and_the_hoster_s_rescue_system(hoster: str, name: str) -> None:
    config = {
        "server": {"name": "kvm1", "hoster": hoster, "ssh": {"host": "a-nickname"}},
        "uplink": {"ipv4": {"address": "192.0.2.10/32"}},
    }
    text = steps("one", config)
    assert name in text
    assert "root@192.0.2.10" in text
    assert "python3 /mnt/var/lib/sixstead/restore --root /mnt\n" in text
    assert "./sixstead up -s one --refresh" in text


def test_the_steps_need_no_config_that_is_right() -> None:
    assert "root@192.0.2.1\n" in steps("one", {"server": {"ssh": {"host": "192.0.2.1"}}, "uplink": "nonsense"})
    assert "root@ADDRESS\n" in steps("one", {})
