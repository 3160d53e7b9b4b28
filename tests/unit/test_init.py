"""`./sixstead init`: what a server says of itself, and the stack or the refusal that follows."""

from __future__ import annotations

import ast
import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import init
from cli.init_find import Refused, find
from cli.init_stack import Login, scalar, stack_text

TABLE = yaml.safe_load((Path(__file__).parent / "init_cases.yaml").read_text())
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKSU9QcHje/xHyVcwmei9v3Z+5WsONKOGuhu5jyyRb4"
LOGIN = Login("192.0.2.10", 22, "root", KEY)


def merged(base: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396), except that null is a value here."""
    if not isinstance(patch, dict) or not isinstance(base, dict):
        return patch
    return {**base, **{key: merged(base.get(key), value) for key, value in patch.items()}}


def text_of(case: Any) -> str:
    probe = merged(copy.deepcopy(TABLE["probe"]), case.get("patch", {}))
    loopback, uplink = probe["links"]
    probe["links"] = [loopback, merged(uplink, case.get("uplink", {})), *case.get("links", [])]
    return stack_text(find("kvm1", probe), LOGIN)


def test_a_server_of_hetzners_gives_this_stack() -> None:
    assert text_of({}) == TABLE["whole"]


@pytest.mark.parametrize("case", [case for case in TABLE["cases"] if "lines" in case], ids=lambda case: case["case"])
def test_servers_that_can_be_taken_give_these_lines(case: Any) -> None:
    lines = text_of(case).splitlines()
    assert [line for line in case["lines"] if line not in lines] == []


@pytest.mark.parametrize("case", [case for case in TABLE["cases"] if "refused" in case], ids=lambda case: case["case"])
def test_servers_that_cannot_be_taken_are_told_why(case: Any) -> None:
    with pytest.raises(Refused) as refused:
        text_of(case)
    assert refused.value.reasons == case["refused"]


@pytest.mark.parametrize(
    "value",
    [
        "...",
        "\U0001f600",
        "kvm1",
        "yes",
        "~",
        "~/.ssh/id",
        "2001:db8::2",
        "a: b",
        "1.2.3.4",
        "1e5",
        "#x",
        "a #b",
        "null",
    ],
)
def test_every_text_reads_back_from_yaml_as_itself(value: str) -> None:
    assert yaml.safe_load(f"key: {scalar(value)}") == {"key": value}


@pytest.mark.parametrize(
    ("patch", "parts"),
    [
        ({"os": None}, "os"),
        ({"virtualization": "kvm\n  sixstead:guests: {}"}, "virtualization"),
        ({"routes6": [{"dev": "enp5s0", "gateway": 'fe80::1%"x'}]}, "routes6"),
        ({"links": [{"ifname": "enp5s0", "ifindex": 2, "mtu": "1500", "addr_info": []}], "kvm": 1}, "links, kvm"),
    ],
)
def test_what_a_server_says_goes_into_the_stack_only_where_it_makes_sense(patch: Any, parts: str) -> None:
    with pytest.raises(Refused) as refused:
        find("kvm1", {**TABLE["probe"], **patch})
    assert refused.value.reasons == [
        f"what the server says of itself makes no sense: {parts}; run `ip address` there and see"
    ]


@pytest.mark.parametrize("probe", [None, [], "x"])
def test_an_answer_that_describes_no_server_is_told(probe: Any) -> None:
    with pytest.raises(Refused, match="its answer"):
        find("kvm1", probe)


def test_a_default_route_through_no_network_card_is_told() -> None:
    with pytest.raises(Refused, match="leaves through tun0, which is no network card"):
        find("kvm1", {**TABLE["probe"], "routes4": [], "routes6": [{"dev": "tun0"}]})


@pytest.mark.parametrize(
    "text", ["network: {ethernets: [1]}", "network: {ethernets: {a: 1}}", "{a: {b: " * 900, "a: 2026-13-45"]
)
def test_netplan_files_of_any_form_are_read_or_told(text: str) -> None:
    network = {"2": {"NETWORK_FILE": "/run/systemd/network/10-netplan-enp5s0.network"}}
    probe = {**TABLE["probe"], "networkd": network, "netplan": {"/etc/netplan/x.yaml": text}}
    try:
        find("kvm1", probe)
    except Refused as refused:
        assert "can't be read: it is not netplan's YAML" in str(refused)  # noqa: PT017


def test_the_login_stands_in_the_stack_as_it_was_typed() -> None:
    login = Login("kvm1-alias", 2222, "admin", KEY, "~/.ssh/other config", "keys/id")
    ssh = yaml.safe_load(stack_text(find("kvm1", TABLE["probe"]), login))["config"]["sixstead:server"]["ssh"]
    assert ssh == {
        "host": "kvm1-alias",
        "port": 2222,
        "user": "admin",
        "config": "~/.ssh/other config",
        "identity_file": "keys/id",
        "host_key": KEY,
    }


def test_paths_inside_the_project_are_written_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert init.within("keys/id", tmp_path) == "keys/id"
    assert init.within("~/.ssh/config", tmp_path) == "~/.ssh/config"
    assert init.within("../id", tmp_path) == str(tmp_path.parent / "id")
    assert init.within(None, tmp_path) == ""


def test_a_stack_is_never_overwritten_and_no_connection_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stacks").mkdir()
    path = tmp_path / "stacks" / "Pulumi.kvm1.yaml"
    path.write_text("mine\n")
    assert init.main(["kvm1", "--host", "192.0.2.10"], tmp_path) == 1
    assert path.read_text() == "mine\n"
    assert capsys.readouterr().err == (
        "stacks/Pulumi.kvm1.yaml exists and is never overwritten: choose another name, or move it away\n"
    )


def test_a_name_that_can_be_no_host_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init.main(["../kvm1", "--host", "192.0.2.10"], tmp_path) == 1
    assert "lower-case letters" in capsys.readouterr().err


def test_the_probe_needs_the_standard_library_only() -> None:
    tree = ast.parse((Path(init.__file__).with_name("init_probe.py")).read_text(), feature_version=(3, 11))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names)
