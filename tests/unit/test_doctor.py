"""Facts of a server in, findings with remedies out: a table of cases, both ways for each check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.doctor import CHECKS, plain, summary, text
from cli.doctor_checks import Result, clock_offset, examined, questions, units
from cli.doctor_system import release_number
from tests.unit.test_settings import changed, parsed

TABLE: Any = yaml.safe_load((Path(__file__).parent / "doctor_cases.yaml").read_text())
CASES = TABLE["cases"]
MAY_BE_NONE = ("armed", "mdstat", "reboot_required", "sshd")


def facts_of(patch: Any) -> dict[str, Any]:
    """The good server's facts with a patch, in the agent's own form."""
    facts = changed(TABLE["facts"], patch or {})
    links = [{"ifname": name, **link} for name, link in facts["links"].items()]
    return {**dict.fromkeys(MAY_BE_NONE), **facts, "links": links}


def results_of(case: Any) -> list[Result]:
    return examined(CHECKS, parsed(case.get("config") or {}), facts_of(case.get("facts")), "kvm1")


def told(results: list[Result]) -> dict[str, list[str]]:
    """By check, `FINDING: what -> remedy`."""
    return {
        result.name: [f"{'remark' if f.remark else 'FINDING'}: {f.what} -> {f.remedy}" for f in result.findings]
        for result in results
        if result.findings
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_what_is_found_and_what_mends_it(case: Any) -> None:
    assert told(results_of(case)) == case["found"]


def test_each_check_is_tried_both_ways() -> None:
    found = {check for case in CASES for check in case["found"]}
    assert found == {check.name for check in CHECKS}
    assert CASES[0]["found"] == {}


def test_each_finding_has_a_remedy() -> None:
    assert all(f.remedy for case in CASES for result in results_of(case) for f in result.findings)


def test_the_agent_is_asked_for_every_sysctl_that_is_looked_at() -> None:
    asked = questions(parsed({}))
    assert set(TABLE["facts"]["sysctls"]) <= set(asked["sysctls"])
    assert list(units(parsed({}))) == asked["units"]
    assert set(TABLE["facts"]["units"]) == set(asked["units"])
    assert asked["nft"] == TABLE["facts"]["nft"]


@pytest.mark.parametrize(
    ("before", "server", "after", "offset"),
    [(10.0, 10.1, 10.2, 0.0), (10.0, 10.0, 15.0, 0.0), (10.0, 20.0, 11.0, 9.0), (10.0, 4.0, 11.0, -6.0)],
)
def test_a_slow_answer_is_no_wrong_clock(before: float, server: float, after: float, offset: float) -> None:
    assert clock_offset(before, server, after) == offset


def test_kernels_are_told_apart_by_their_numbers() -> None:
    rising = ["6.1.0-9-amd64", "6.1.0-18-cloud-amd64", "6.12.9+deb13-amd64", "6.12.41+deb13-amd64"]
    assert sorted(reversed(rising), key=release_number) == rising


def test_a_line_for_each_check_and_the_remedies_below() -> None:
    results = results_of({"facts": {"offset": 3600.4, "sysctls": {"net.ipv6.conf.enp5s0.accept_ra": "1"}}})
    lines = text("kvm1", results, owned=True).splitlines()
    assert lines[0] == "kvm1: 1 finding, 1 remark"
    assert len(lines) == 1 + len(CHECKS) + 2
    assert "  forwarding             ok       on" in lines
    assert "  clock                  FINDING  the server's clock is 3600 s ahead of this machine's" in lines
    assert sum("what to do: " in line for line in lines) == 2
    assert summary(results_of({})) == "nothing found"


def test_what_mends_several_findings_is_said_once() -> None:
    results = results_of({"facts": {"nft": {"inet sixstead": None, "bridge sixstead": None}}})
    lines = text("kvm1", results, owned=True).splitlines()
    assert lines[0] == "kvm1: 2 findings"
    assert sum("is not loaded" in line for line in lines) == 2
    assert sum("what to do: " in line for line in lines) == 1


def test_a_server_without_an_up_is_said_to_be_one() -> None:
    results = results_of({"facts": {"owned": False}})
    assert "has changed nothing on this server yet" in text("kvm1", results, owned=False)


def test_json_says_the_same() -> None:
    said = json.loads(json.dumps(plain(results_of({"facts": {"armed": 5.2}}))))
    assert [one["check"] for one in said] == [check.name for check in CHECKS]
    (change,) = [one for one in said if one["grade"] == "finding"]
    assert set(change["findings"][0]) == {"what", "remedy", "remark"}
