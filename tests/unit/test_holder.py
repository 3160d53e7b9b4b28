"""One stack holds a server: who is refused, and what the record says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from providers.dns.zone_files import ZoneFilesProvider
from providers.host.agent import holder
from providers.host.agent.requests import arguments_of
from providers.host.agent.system import HostError
from providers.host.provider import HostProvider
from settings.dns_model import Primary

SERVER, ZONES = "host-network", "zone files of sixstead/dns in /etc/bind"


@pytest.fixture(autouse=True)
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(holder, "STATE_DIR", str(tmp_path))
    monkeypatch.setattr(holder, "PATH", str(tmp_path / "holder"))
    return tmp_path / "holder"


@pytest.mark.parametrize(
    ("held_by", "stack", "names", "refused"),
    [
        ("", "sixstead/lab", [], False),
        ("", "sixstead/lab", [SERVER], False),
        ("sixstead/kvm1", "sixstead/kvm1", [SERVER], False),
        ("sixstead/kvm1", "sixstead/lab", [SERVER], True),
        ("sixstead/kvm1", "other/kvm1", [SERVER, ZONES], True),
        ("sixstead/kvm1", "", [SERVER], False),
        ("sixstead/kvm1", "sixstead/lab", [], False),
        ("sixstead/kvm1", "sixstead/lab", [ZONES], False),
    ],
)
def test_only_another_server_s_stack_is_refused(held_by: str, stack: str, names: list[str], refused: bool) -> None:
    holder.hold(held_by)
    if not refused:
        holder.refuse_other(stack, names)
        return
    with pytest.raises(HostError) as caught:
        holder.refuse_other(stack, names)
    since = holder.recorded()[1]
    assert f"the stack {held_by} holds this server (since {since}), and this is {stack}" in caught.value.what
    assert "nothing was changed" in caught.value.what
    assert "`./sixstead destroy -s kvm1`" in caught.value.remedy
    assert f"remove {holder.PATH} on the server" in caught.value.remedy


def test_the_record_keeps_its_time_and_goes_with_the_last_of_the_server_s_resources(record: Path) -> None:
    record.write_text(json.dumps({"stack": "sixstead/kvm1", "since": "2026-01-01 00:00:00 UTC"}))
    holder.hold("sixstead/kvm1")
    assert holder.recorded() == ("sixstead/kvm1", "2026-01-01 00:00:00 UTC")
    holder.release([SERVER, ZONES])
    assert record.exists()
    holder.release([ZONES])
    holder.release([])
    assert not record.exists()


def test_whoever_names_no_stack_leaves_no_record(record: Path) -> None:
    holder.hold("")
    assert not record.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "garbage"])
def test_a_record_that_can_not_be_read_holds_nothing(record: Path, text: str) -> None:
    record.write_text(text)
    holder.refuse_other("sixstead/lab", [SERVER])
    holder.hold("sixstead/lab")
    assert holder.recorded()[0] == "sixstead/lab"


def test_a_stack_s_name_is_a_text() -> None:
    with pytest.raises(HostError, match="stack"):
        arguments_of({"op": "converge", "args": {"entries": {}, "stack": 1}})


def test_a_provider_knows_the_stack_that_its_program_runs_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi.get_project", lambda: "sixstead")
    monkeypatch.setattr("pulumi.get_stack", lambda: "kvm1")
    assert HostProvider().of_stack().stack == "sixstead/kvm1"
    zone_files = ZoneFilesProvider(Primary("ns", "file"))
    assert zone_files.of_stack().stack == ""
