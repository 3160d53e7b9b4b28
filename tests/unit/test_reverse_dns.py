"""PTR records: which address gets which name, what Robot's answers mean, and how long it is waited for."""

from __future__ import annotations

import ast
import datetime
import json
import subprocess
import sys
from typing import Any

import pytest

from providers.reverse_dns import ReverseDnsProvider, records, resource_name
from providers.robot.answers import Answer, Garbled, read_answer
from providers.robot.limits import clock, limit_told, pause_after_failure, pause_for
from providers.robot.ptr_records import read_list
from tests.unit.test_settings import ROOT, parsed

WEB = "2001:db8:1:0:5054:ff:febe:134a"

NAMES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("nothing without the section", {}, {}),
    (
        "a domain names the guests, a whole name the server",
        {"rdns": {"domain": "example.net"}},
        {
            "192.0.2.10": "kvm1.example.net",
            "2001:db8:1::2": "kvm1.example.net",
            WEB: "web.example.net",
            "2001:db8:1::25": "mail.example.net",
        },
    ),
    (
        "a server's label is in the domain",
        {"server": {"name": "kvm9"}, "uplink": {"ipv4": None}, "guests": None, "rdns": {"domain": "example.org"}},
        {"2001:db8:1::2": "kvm9.example.org"},
    ),
    (
        "without a domain, what has a name of its own",
        {"server": {"name": "kvm9"}, "guests": {"mail": {"ptr": "mx.example.com"}}, "rdns": {}},
        {"2001:db8:1::25": "mx.example.com"},
    ),
    (
        "false leaves a record alone",
        {"server": {"ptr": False}, "guests": {"mail": {"ptr": False}}, "rdns": {"domain": "example.net"}},
        {WEB: "web.example.net"},
    ),
]


@pytest.mark.parametrize(("patch", "found"), [case[1:] for case in NAMES], ids=[case[0] for case in NAMES])
def test_addresses_get_names(patch: dict[str, Any], found: dict[str, str]) -> None:
    assert records(parsed(patch)) == found


def test_a_records_resource_is_named_after_its_address_and_parts_no_urn() -> None:
    assert resource_name("192.0.2.10") == "ptr-192.0.2.10"
    assert resource_name("2001:db8:1::25") == "ptr-2001-db8-1--25"


CLOUD = """
import pulumi
seen = {}
class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        seen[args.name] = (args.typ, dict(args.inputs))
        return args.name, dict(args.inputs)
    def call(self, args):
        return {}
pulumi.runtime.set_mocks(Mocks())
from components.reverse_dns import ReverseDnsRecords
from tests.unit.test_settings import parsed
ReverseDnsRecords("x", parsed({"guests": None, "rdns": {"provider": "cloud", "server_id": 4711}}), after=[])
import asyncio
asyncio.get_event_loop().run_until_complete(pulumi.runtime.stack.wait_for_rpcs())
print(sorted((name, *what) for name, what in seen.items() if name.startswith("ptr-")))
"""


def test_a_cloud_servers_records_are_pulumis_own() -> None:
    done = subprocess.run([sys.executable, "-c", CLOUD], cwd=ROOT, capture_output=True, text=True, timeout=60)
    kind = "hcloud:index/rdns:Rdns"
    expected = [
        (name, kind, {"dnsPtr": "kvm1.example.net", "ipAddress": ip, "serverId": 4711.0})
        for name, ip in (("ptr-192.0.2.10", "192.0.2.10"), ("ptr-2001-db8-1--2", "2001:db8:1::2"))
    ]
    assert ast.literal_eval(done.stdout or "0") == expected, done.stderr


def error(status: int, code: str, **more: object) -> bytes:
    return json.dumps({"error": {"status": status, "code": code, "message": "Said", **more}}).encode()


ANSWERS: list[tuple[int, dict[str, str], bytes, str, str]] = [
    (200, {}, b"[]", "done", ""),
    (200, {}, b"", "done", ""),
    (401, {}, error(401, "UNAUTHORIZED"), "login", "Said"),
    (401, {}, b"<html>", "login", ""),
    (400, {}, error(400, "INVALID_INPUT", missing=["ptr"], invalid=None), "refused", "Said; missing: ptr"),
    (400, {}, error(400, "INVALID_INPUT", invalid={"ptr": "x"}), "refused", "Said; invalid: ptr"),
    (403, {}, error(403, "RATE_LIMIT_EXCEEDED", max_request=500, interval=3600), "limit", "Said"),
    (429, {"Retry-After": "7"}, b"", "limit", ""),
    (403, {}, error(403, "FORBIDDEN"), "refused", "Said"),
    (404, {}, error(404, "IP_NOT_FOUND"), "refused", "Said"),
    (409, {}, error(409, "CONFLICT"), "failed", "Said"),
    (500, {}, error(500, "RDNS_CREATE_FAILED"), "failed", "Said"),
    (503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}, b"<html>", "maintenance", ""),
    (404, {}, error(404, "X", message="a\nb\x1b" + "c" * 300), "refused", "a b " + "c" * 196),
]


@pytest.mark.parametrize(("status", "headers", "body", "meaning", "message"), ANSWERS)
def test_answers_mean_something(status: int, headers: dict[str, str], body: bytes, meaning: str, message: str) -> None:
    answer = read_answer(status, headers, body)
    assert (answer.meaning, answer.message) == (meaning, message)


@pytest.mark.parametrize(
    ("status", "headers", "body", "told"),
    [
        (200, {"Content-Length": "9"}, b"[]", "cut off after 2 of 9 bytes"),
        (200, {"Content-Type": "text/html; charset=x"}, b"<p>", "not JSON but text/html, 3 bytes"),
        (302, {"Location": "https://elsewhere.example"}, b"", "redirects elsewhere"),
        (404, {}, b"[]", "no error of Robot's"),
        (500, {}, b"", "not JSON but no content type, 0 bytes"),
        (200, {}, b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_answer_of_robots_is_told_without_its_text(
    status: int, headers: dict[str, str], body: bytes, told: str
) -> None:
    with pytest.raises(Garbled, match=told):
        read_answer(status, headers, body)


@pytest.mark.parametrize("value", [{}, [1], [{"rdns": {"ip": "x", "ptr": "y"}}], [{"rdns": {"ip": "::1"}}], None])
def test_a_list_of_another_shape_is_none(value: object) -> None:
    with pytest.raises(Garbled):
        read_list(Answer(200, value))


def test_a_list_is_read_by_address_whatever_its_spelling() -> None:
    entries = [
        {"rdns": {"ip": "2001:0DB8:0:0:0:0:0:1", "ptr": "A.Example."}},
        {"rdns": {"ip": "192.0.2.1", "ptr": "b"}},
    ]
    assert read_list(Answer(200, entries)) == {"2001:db8::1": "a.example", "192.0.2.1": "b"}


def waits(answer: Answer, budget: float) -> list[float]:
    """All pauses until it is given up, where the answer stays the same."""
    pauses: list[float] = []
    while len(pauses) < 1000:
        pause = pause_for(answer, len(pauses) + 1, sum(pauses), budget - sum(pauses))
        if pause is None:
            break
        pauses.append(pause)
    return pauses


LIMIT = Answer(403, code="RATE_LIMIT_EXCEEDED", max_request=500, interval=3600)


def test_maintenance_is_waited_for_to_the_last_second_of_the_budget() -> None:
    assert waits(Answer(503), 100) == [1, 2, 4, 8, 16, 30, 30, 9]
    assert waits(Answer(503), 0) == []
    assert waits(Answer(503, retry_after=40), 100) == [40, 40]
    assert waits(Answer(503, retry_after=900), 100) == []


def test_a_limit_is_waited_for_only_where_that_is_sure_to_be_long_enough() -> None:
    assert waits(LIMIT, 3599) == []
    assert sum(waits(LIMIT, 3600)) == 3600
    assert waits(Answer(429), 300) == []
    assert sum(waits(Answer(403, code="RATE_LIMIT_EXCEEDED", interval=200), 300)) >= 200


def test_a_failure_is_tried_three_times() -> None:
    assert [pause_after_failure(tries) for tries in (1, 2, 3)] == [1, 2, None]


def test_a_used_up_limit_is_told_with_the_time() -> None:
    now = datetime.datetime(2030, 1, 1, 13, 4, 30, tzinfo=datetime.UTC)
    assert limit_told(LIMIT, "PUT /rdns/{ip}", now) == (
        "Robot's limit of 500 requests in 3600 s to PUT /rdns/{ip} is used up",
        "run it again at 14:05: by then at the latest it is open again",
    )
    assert clock(now, 11 * 3600) == "00:05 on 2030-01-02"


def test_a_change_of_the_url_is_no_change_and_one_of_the_address_makes_another_record() -> None:
    provider = ReverseDnsProvider()
    old = {"ip": "192.0.2.1", "ptr": "a.example", "__provider": "x"}
    assert not provider.diff("", old, {**old, "endpoint": "https://robot.example"}).changes
    assert provider.diff("", old, {**old, "ptr": "b.example"}).changes
    assert provider.diff("", old, {**old, "ip": "192.0.2.2"}).replaces == ["ip"]


def test_what_is_no_address_or_name_is_refused_before_anything_is_asked() -> None:
    result = ReverseDnsProvider().check({}, {"ip": "192.0.2.300", "ptr": ""})
    assert [failure.property for failure in result.failures or []] == ["ip", "ptr"]
