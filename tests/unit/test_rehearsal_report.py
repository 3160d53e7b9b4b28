"""What a rehearsal says: golden texts, as a section of a comment and for a terminal.

SIXSTEAD_GOLDEN=write writes them anew."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from lab.rehearsal_report import Note, Reached, Report, headline, rehearsal_markdown, rehearsal_text
from lab.rehearsal_runs import outcome, reason
from lab.topology import Topology
from lab.watch import answered, longest_gap, targets

GOLDEN = Path(__file__).parent / "rehearsals"
SERVER4 = Reached("server, IPv4", "192.0.2.10", 44, True)
SERVER6 = Reached("server, IPv6", "2001:db8:1::2", 61, True)
WEB = Reached("guest web", "2001:db8:1:0:5054:ff:febe:134a", 134, True)
STEPS = {"Firewall firewall": "update", "HostNetwork host-network": "update"}
GOOD = Report(
    "kvm1", "HEAD (1a2b3c4)", (SERVER4, SERVER6, WEB), announced=STEPS, made=STEPS, interruptions=("restarts guest web",),
    left_out=(Note("16 of 20 guests", tuple(f"g{n}" for n in range(16))), Note("PTR records")),
)  # fmt: skip
WHY = "kvm1 (192.0.2.10): the network change was undone: after the change the gateway 192.0.2.99%eth0 does not answer"
REPORTS = {
    "good": GOOD,
    "locks-out": replace(
        GOOD, reached=(replace(SERVER4, gap=8517), SERVER6, WEB), undone=WHY, made={}, interruptions=()
    ),
    "lost": replace(GOOD, reached=(SERVER4, replace(SERVER6, gap=75123, after=False), WEB)),
    "refused": Report("kvm1", "HEAD", failed="sixstead:uplink.mtu: must be a number from 1280 to 9216 bytes"),
    "does-not-hold": replace(
        GOOD,
        reached=(SERVER4, SERVER6, replace(WEB, gap=90000, after=False), replace(WEB, name="guest old", after=None)),
        foreign=3,
        foreign_macs=("52:54:00:be:13:4a",),
        made={"Firewall firewall": "update"},
        again={"HostNetwork host-network": "update"},
    ),
    "nothing": Report("kvm1", "HEAD (1a2b3c4)", same=True, left_out=(Note("PTR records"),)),
    "hostile": replace(
        GOOD,
        failed="no `</details>` <img src=x> @everyone \x1b[2J\u202e| https://example.net",
        reached=(replace(WEB, name="guest a|b", address="x`|`"),),
        left_out=(Note("2 of 3 guests", ("</details>", "`@all`")),),
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_reads_as_its_golden_texts(name: str) -> None:
    report = REPORTS[name]
    for path, text in (
        (GOLDEN / f"{name}.md", rehearsal_markdown(report)),
        (GOLDEN / f"{name}.txt", rehearsal_text(report)),
    ):
        if os.environ.get("SIXSTEAD_GOLDEN") == "write":
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), path


@pytest.mark.parametrize(
    ("name", "good", "locks_out"),
    [
        ("good", True, False), ("locks-out", False, True), ("lost", False, True), ("refused", False, False),
        ("does-not-hold", False, False),
    ],
)  # fmt: skip
def test_a_verdict_follows_from_what_was_seen(name: str, good: bool, locks_out: bool) -> None:
    assert (REPORTS[name].good, REPORTS[name].locks_out) == (good, locks_out)


def test_a_lock_out_is_marked_at_the_top_with_its_reason() -> None:
    lines = rehearsal_markdown(REPORTS["locks-out"]).splitlines()
    assert "WOULD LOCK THE OWNER OUT" in lines[0]
    assert WHY in lines[2]


def test_a_good_rehearsal_shows_its_longest_gap_at_the_top() -> None:
    assert headline(GOOD) == "nobody is locked out, longest gap 134 ms (guest web)"


def test_a_difference_between_preview_and_change_is_told() -> None:
    report = replace(GOOD, made={"Firewall firewall": "update", "Guest web": "replace"})
    assert report.differing == (
        "Guest web: announced nothing, made replace",
        "HostNetwork host-network: announced update, made nothing",
    )


@pytest.mark.parametrize(
    ("times", "want"),
    [
        ([1.0, 1.02, 1.04], 960),
        ([1.5, 2.0], 500),
        ([], 1000),
        ([1.2], 800),
        ([1.9, 1.1, 1.5], 400),
        ([0.5, 1.25, 1.5, 1.75, 5.0], 250),
    ],
)
def test_a_gap_lasts_from_the_beginning_to_the_end(times: list[float], want: int) -> None:
    assert longest_gap(times, 1.0, 2.0) == want


def test_only_answers_count() -> None:
    text = (
        "PING 192.0.2.10 (192.0.2.10) 56(84) bytes of data.\n"
        "[1763700000.1] 64 bytes from 192.0.2.10: icmp_seq=1 ttl=63 time=0.1 ms\n"
        "[1763700000.2] From 192.0.2.1 icmp_seq=2 Destination Host Unreachable\n"
        "[1763700000.3] 64 bytes from 192.0.2.10: icmp_seq=3 ttl=63 time=0.1 ms\n"
    )
    assert answered(text) == [1763700000.1, 1763700000.3]


def measure(address: str, guests: dict[str, dict[str, str]]) -> Topology:
    ipv4 = {"ipv4": {"address": "192.0.2.10/32", "gateway": "192.0.2.1"}} if address == "::2" else {}
    return Topology.from_config(
        {
            "sixstead:server": {"os": "debian-13"},
            "sixstead:uplink": {"mac": "52:54:00:aa:00:01", **ipv4},
            "sixstead:prefixes": {"main": {"prefix": "2001:db8:1::/64", "address": address}},
            "sixstead:guests": guests,
        }
    )


def test_what_was_there_before_is_watched_at_its_old_and_new_address() -> None:
    before = measure("::2", {"web": {"address": "::a"}, "old": {"address": "::b"}})
    after = measure("::3", {"web": {"address": "::c"}, "new": {"address": "::d"}})
    found = {t.name: (t.place, t.before, t.after) for t in targets(before, after, ["web", "old", "new"])}
    assert found == {
        "server, IPv4": ("operator", "192.0.2.10", ""),
        "server, IPv6": ("operator", "2001:db8:1::2", "2001:db8:1::3"),
        "guest web": ("internet", "2001:db8:1::a", "2001:db8:1::c"),
        "guest old": ("internet", "2001:db8:1::b", ""),
    }


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:kvm1::sixstead::sixstead:Host$pulumi-python:dynamic/sixstead:{kind}::{name}"


def test_a_runs_json_is_read_as_steps_by_resource() -> None:
    document = {
        "steps": [
            {"op": "same", "urn": urn("Packages", "packages")},
            {"op": "update", "urn": urn("Firewall", "firewall")},
            {"op": "create-replacement", "urn": urn("Guest", "web")},
            {"op": "delete-replaced", "urn": urn("Guest", "web")},
            {"op": "refresh", "resultOp": "same", "urn": urn("Uplink", "uplink")},
            {"op": "refresh", "resultOp": "update", "urn": urn("Nat64", "nat64")},
        ],
        "diagnostics": [],
        "interruptions": ["INTERRUPTION: restarts guest web"],
    }
    done = outcome(0, json.dumps(document), "")
    assert done.steps == {"Firewall firewall": "update", "Guest web": "replace", "Nat64 nat64": "update"}
    assert (done.error, done.interruptions) == ("", ("restarts guest web",))


def test_a_failed_runs_reason_is_its_error() -> None:
    said = [{"severity": "error", "urn": "", "message": f"{WHY}\n  what to do: run `up` again"}]
    assert outcome(1, json.dumps({"diagnostics": said}), "").error == WHY
    assert outcome(1, "", "error: no stack\n").error == "no stack"
    assert outcome(1, "", "").error == "it ended with 1"
    assert reason(["a\nb", "a\nb"]) == "a b"
