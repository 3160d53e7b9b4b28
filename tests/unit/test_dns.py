"""A `dns` stack, pure: what its config may say, which records belong where, and what an update must find and changes."""

from __future__ import annotations

import ast
import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dns.update
import pytest
import yaml

from components.outputs import outputs
from providers.dns.keys import key_named
from providers.dns.ownership import Seen, marker_name, marker_of, owned, plan
from providers.dns.primary import do, require
from providers.dns.records import Conflict, by_name, published, unpublished
from providers.dns.zone_files import today, typed
from providers.dns.zone_records import ZoneRecordsProvider
from providers.dns.zone_text import zone_text
from providers.host.errors import ServerError
from settings import SettingsError
from settings.dns import CREDENTIALS, parse_dns
from settings.dns_model import Dns
from settings.reader import Fields
from tests.unit.test_settings import ROOT, at, changed, load, parsed
from tests.unit.test_settings import plain as told

CASES = load("dns.yaml")
BASE: dict[str, Any] = CASES["base"]
REVERSE = "0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"


def settings_of(patch: Any) -> Dns:
    return parse_dns({"dns": changed(BASE, patch)}, "dns")


@pytest.mark.parametrize("case", CASES["good"], ids=lambda case: case["case"])
def test_good_configs_say_what_was_meant(case: Any) -> None:
    settings = settings_of(case["patch"])
    assert {path: told(at(settings, path)) for path in case["settings"]} == case["settings"]


@pytest.mark.parametrize("case", CASES["bad"], ids=lambda case: case["case"])
def test_bad_configs_are_refused_with_every_problem(case: Any) -> None:
    with pytest.raises(SettingsError) as error:
        parse_dns({"dns": changed(BASE, case.get("patch", {})), **case.get("beside", {})}, "dns")
    assert [str(problem) for problem in error.value.problems] == case["problems"]


def test_every_key_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    known = set(CREDENTIALS)
    begin = Fields.__init__

    def record(self: Fields, node: Any, names: tuple[str, ...], example: str) -> None:
        known.update(names)
        begin(self, node, names, example)

    monkeypatch.setattr(Fields, "__init__", record)
    settings_of({"ttl": {}, "servers": {"kvm1": {}}})
    described = (ROOT / "docs" / "config.md").read_text().partition("## `sixstead:dns`")[2]
    known -= set(CREDENTIALS) | {"host", "user", "host_key", "config", "identity_file"}
    assert [name for name in sorted(known) if not re.search(rf"[`{{ ]{name}[`,}}]", described)] == []


def test_the_example_is_a_stack_that_could_be_used() -> None:
    config = yaml.safe_load((ROOT / "stacks" / "Pulumi.example-dns.yaml").read_text())["config"]
    found = parse_dns({key.removeprefix("sixstead:"): value for key, value in config.items()}, "example-dns")
    assert list(found.servers) == ["kvm1", "kvm2"]


def records_of(patch: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = outputs(parsed(patch))["records"]
    return found


def test_a_server_tells_its_records_and_those_of_its_guests_and_of_its_rescue_system() -> None:
    found = [
        f"{r['name']} {r['type']} {r['value']}"
        for r in records_of({"rdns": {}, "guests": {"mail": {"ptr": "mx.x.org"}}})
    ]
    web = "2001:db8:1:0:5054:ff:febe:134a"
    tail = "ip6.arpa PTR"
    assert found[:6] == [
        "kvm1.example.net A 192.0.2.10",
        "kvm1.example.net AAAA 2001:db8:1::2",
        "kvm1-rescue.example.net A 192.0.2.10",
        "kvm1-rescue.example.net AAAA 2001:db8:1::2",
        f"web AAAA {web}",
        "mail AAAA 2001:db8:1::25",
    ]
    assert found[6:] == [
        f"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.{tail} kvm1.example.net",
        "10.2.0.192.in-addr.arpa PTR kvm1.example.net",
        f"a.4.3.1.e.b.e.f.f.f.0.0.4.5.0.5.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.{tail} web",
        f"5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.{tail} mx.x.org",
    ]


def test_the_rescue_systems_address_stays_where_the_hoster_has_it() -> None:
    moved = {"prefixes": {"main": {"address": "::1:1"}}, "guests": None}
    rescue = [r for r in records_of(moved) if "rescue" in r["name"] or "rescue" in r["value"]]
    assert [r["value"] for r in rescue] == ["192.0.2.10", "2001:db8:1::2", "kvm1-rescue.example.net"]
    assert not any("rescue" in r["name"] for r in records_of({**moved, "server": {"rescue": False}}))
    generic = {"hoster": "generic", "rescue": "::5"}
    prefix = {"main": {"gateway": "fe80::1", "delivery": "routed"}}
    found = records_of({"server": generic, "prefixes": prefix, "guests": None})
    assert "2001:db8:1::5" in [r["value"] for r in found if "rescue" in r["name"]]


def entry(name: str, kind: str, value: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "ttl": 300, "value": value}


KVM1 = [
    entry("kvm1", "A", "192.0.2.10"),
    entry("kvm1", "AAAA", "2001:db8:2::2"),
    entry("kvm1", "AAAA", "2001:DB8:1:0::2"),
    entry("web", "AAAA", "2001:db8:1::80"),
    entry("10.2.0.192.in-addr.arpa", "PTR", "kvm1"),
    entry("0.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", "PTR", "web"),
]
KVM2 = [entry("kvm2.example.org", "A", "192.0.2.11"), entry("db", "AAAA", "2001:db8:3::7")]


def test_records_are_put_into_the_nearest_zone_with_their_servers_ttl() -> None:
    settings = settings_of(
        {
            "servers": {"kvm1": {}, "kvm2": {"settled": True, "domain": "in.example.net"}},
            "zones": {"in.example.net": {}, "example.net": {"cname": {"www": "web", "docs": "pages.example.com"}}},
            "domain": "example.net",
        }
    )
    zones = published(settings, {"kvm1": KVM1, "kvm2": KVM2})
    assert zones["example.net"] == {
        "docs.example.net CNAME": "300 pages.example.com",
        "kvm1.example.net A": "300 192.0.2.10",
        "kvm1.example.net AAAA": "300 2001:db8:1::2, 2001:db8:2::2",
        "web.example.net AAAA": "300 2001:db8:1::80",
        "www.example.net CNAME": "300 web.example.net",
    }
    assert zones["in.example.net"] == {"db.in.example.net AAAA": "3600 2001:db8:3::7"}
    assert list(zones[REVERSE].values()) == ["300 web.example.net"]
    assert unpublished(settings, {"kvm1": KVM1, "kvm2": KVM2}) == ["kvm2.example.org"]


TTLS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "300", "300"),
    ({"settled": True}, "3600", "3600"),
    ({"servers": {"kvm1": {"settled": True}}}, "3600", "3600"),
    ({"servers": {"kvm1": {"settled": False}}, "settled": True}, "300", "300"),
    ({"ttl": {"young": 60, "settled": 86400}, "settled": True}, "86400", "86400"),
    ({"ttl": {"young": 60}}, "60", "60"),
]


@pytest.mark.parametrize(("patch", "address", "alias"), TTLS)
def test_a_ttl_follows_from_the_config_alone(patch: dict[str, Any], address: str, alias: str) -> None:
    zone = published(settings_of(patch), {"kvm1": KVM1})["example.net"]
    assert zone["web.example.net AAAA"].split()[0] == address
    assert zone["www.example.net CNAME"].split()[0] == alias


CLASHES: list[tuple[dict[str, Any], list[dict[str, Any]], str]] = [
    (
        {"servers": {"kvm2": {}}},
        [entry("web", "AAAA", "2001:db8:3::7")],
        "web.example.net is given by kvm1 and by kvm2: rename one of them",
    ),
    (
        {"zones": {"example.net": {"cname": {"kvm1": "web"}}}},
        [],
        "kvm1.example.net is given by kvm1 and by sixstead:dns: rename one of them",
    ),
    (
        {"zones": {"example.net": {"cname": {"www": "wed"}}}},
        [],
        "www.example.net is an alias of wed.example.net, which no server has: correct cname, or `up` the server",
    ),
    (
        {"servers": {"kvm2": {"domain": ".".join(["a" * 60] * 4)}}},
        [entry("b", "AAAA", "2001:db8:3::7")],
        f"b.{'.'.join(['a' * 60] * 4)}, of kvm2, has more than 243 characters",
    ),
]


@pytest.mark.parametrize(("patch", "second", "problem"), CLASHES)
def test_records_that_contradict_each_other_are_told(
    patch: dict[str, Any], second: list[dict[str, Any]], problem: str
) -> None:
    with pytest.raises(Conflict) as error:
        published(settings_of(patch), {"kvm1": KVM1, "kvm2": second})
    assert str(error.value) == problem


def test_zones_are_texts_in_master_file_format() -> None:
    zones = published(
        settings_of({"zones": {"192.0.2.0/24": {}}}), {"kvm1": [*KVM1, entry("example.net", "A", "192.0.2.1")]}
    )
    text = "".join(zone_text(name, records) for name, records in zones.items())
    golden = Path(__file__).parent / "dns_zones.txt"
    if os.environ.get("GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


OURS = "sixstead owner=dns"
WEB = {"web.example.net AAAA": "300 2001:db8:1::80"}
MARK = ("says", "_sixstead.web.example.net", "TXT", OURS)

PLANS: list[tuple[str, dict[str, str], dict[str, str], dict[str, Seen], Any]] = [
    (
        "a new name must be unused, and is marked",
        {},
        WEB,
        {},
        (
            [("unused", "web.example.net"), ("absent", "_sixstead.web.example.net", "TXT")],
            [
                ("add", "web.example.net", "300", "AAAA", "2001:db8:1::80"),
                ("add", "_sixstead.web.example.net", "300", "TXT", OURS),
            ],
        ),
    ),
    (
        "what is ours and says so is left alone",
        {},
        WEB,
        {"web.example.net": Seen({"AAAA": "300 2001:db8:1::80"}, OURS)},
        None,
    ),
    (
        "what is ours is changed, and what else lives there for us goes first",
        {},
        {"web.example.net CNAME": "60 www.example.net"},
        {"web.example.net": Seen({"A": "300 192.0.2.1", "AAAA": "300 2001:db8:1::80"}, OURS)},
        (
            [MARK],
            [
                ("delete", "web.example.net", "A"),
                ("delete", "web.example.net", "AAAA"),
                ("add", "web.example.net", "60", "CNAME", "www.example.net"),
            ],
        ),
    ),
    (
        "another TTL is a change",
        WEB,
        {"web.example.net AAAA": "3600 2001:db8:1::80"},
        {"web.example.net": Seen({"AAAA": "300 2001:db8:1::80"}, OURS)},
        (
            [MARK],
            [
                ("delete", "web.example.net", "AAAA"),
                ("add", "web.example.net", "3600", "AAAA", "2001:db8:1::80"),
            ],
        ),
    ),
    (
        "what is gone is removed by value, with its marker",
        WEB,
        {},
        {"web.example.net": Seen({"AAAA": "300 2001:db8:1::80"}, OURS)},
        (
            [MARK],
            [
                ("delete", "web.example.net", "AAAA", "2001:db8:1::80"),
                ("delete", "_sixstead.web.example.net", "TXT", OURS),
            ],
        ),
    ),
    ("what is gone already needs nothing", WEB, {}, {}, None),
    (
        "the zone's own name is always in use",
        {},
        {"example.net A": "300 192.0.2.1"},
        {},
        (
            [
                ("absent", "example.net", "A"),
                ("absent", "example.net", "AAAA"),
                ("absent", "example.net", "CNAME"),
                ("absent", "_sixstead.example.net", "TXT"),
            ],
            [
                ("add", "example.net", "300", "A", "192.0.2.1"),
                ("add", "_sixstead.example.net", "300", "TXT", OURS),
            ],
        ),
    ),
]


@pytest.mark.parametrize(("before", "after", "seen", "change"), [c[1:] for c in PLANS], ids=[c[0] for c in PLANS])
def test_an_update_touches_only_what_is_ours(
    before: dict[str, str], after: dict[str, str], seen: dict[str, Seen], change: Any
) -> None:
    found = plan("example.net", "dns", sorted({*by_name(before), *by_name(after)}), before, after, seen)
    assert (found.refused, found.kept) == ([], [])
    changes = [(list(c.prerequisites), list(c.updates)) for c in found.changes.values()]
    assert changes == ([change] if change else [])


def test_what_another_owner_marked_is_refused() -> None:
    seen = {"web.example.net": Seen({"AAAA": "300 2001:db8::1"}, "sixstead owner=other")}
    found = plan("example.net", "dns", ["web.example.net"], {}, WEB, seen)
    assert not found.changes
    assert found.refused == [
        "web.example.net belongs to somebody else: _sixstead.web.example.net says `sixstead owner=other`, not `sixstead owner=dns`"
    ]
    assert owned("dns", seen) == {}


def test_a_later_edit_is_kept_and_told_when_the_name_goes() -> None:
    edited = {"web.example.net": Seen({"AAAA": "300 2001:db8::7"}, OURS)}
    found = plan("example.net", "dns", ["web.example.net"], WEB, {}, edited)
    assert found.kept == ["web.example.net AAAA 2001:db8::7 was not written by this stack: it is left as it is"]
    taken = {"web.example.net": Seen({"AAAA": "300 2001:db8:1::80"}, None)}
    found = plan("example.net", "dns", ["web.example.net"], WEB, {}, taken)
    assert not found.changes
    assert found.kept == ["web.example.net is no longer marked as ours: it is left as it is (AAAA 2001:db8:1::80)"]


def test_only_what_begins_like_a_marker_is_one() -> None:
    assert marker_of([""]) is None
    assert marker_of(["v=spf1 -all", "x"]) is None
    assert marker_of([OURS]) == OURS
    assert marker_of([OURS, "beside it"]) == f"beside it, {OURS}"


def test_names_of_the_last_owner_are_marked_anew_and_nobody_elses() -> None:
    seen = {"web.example.net": Seen({"AAAA": "300 2001:db8:1::80"}, OURS)}
    found = plan("example.net", "new", ["web.example.net"], WEB, WEB, seen, "dns").changes["web.example.net"]
    assert found.prerequisites == (MARK,)
    assert found.updates == (
        ("delete", "_sixstead.web.example.net", "TXT", OURS),
        ("add", "_sixstead.web.example.net", "300", "TXT", "sixstead owner=new"),
    )
    gone = plan("example.net", "new", ["web.example.net"], WEB, {}, seen, "dns").changes["web.example.net"]
    assert ("delete", "_sixstead.web.example.net", "TXT", OURS) in gone.updates
    assert plan("example.net", "new", ["web.example.net"], WEB, WEB, seen, "third").refused


def test_a_resource_is_named_after_its_place() -> None:
    primaries = settings_of({}).primaries
    assert primaries["ns1"].at == "2001-db8--53:53"
    assert primaries["cloud"].at == "hcloud"
    assert primaries["files"].at == "192.0.2.1:22/etc/nsd/zones"


def test_the_login_to_a_server_with_zone_files_is_todays_where_it_is_still_the_same_server() -> None:
    primaries = list(settings_of({}).primaries.values())
    now = typed(next(place.ssh for place in primaries if place.ssh))
    old = {**now, "user": "admin", "host_key": ["another"]}
    assert today("files", old, primaries) == today("other", old, primaries) == now
    for moved in ({"host": "192.0.2.2"}, {"port": 2222}):
        assert today("files", {**old, **moved}, primaries) == {**old, **moved}
    assert today("files", old, []) == old


def test_a_wildcards_marker_is_beside_it() -> None:
    assert marker_name("*.example.net") == "_sixstead-any.example.net"
    assert marker_name("web.example.net") == "_sixstead.web.example.net"


def test_lines_become_the_messages_of_rfc_2136() -> None:
    update = dns.update.UpdateMessage("example.net.")
    for line in (
        ("unused", "a.example.net"),
        ("absent", "a.example.net", "A"),
        ("says", "_m.example.net", "TXT", "x y"),
    ):
        require(update, line)
    for line in (
        ("delete", "a.example.net", "A"),
        ("delete", "b.example.net", "PTR", "c.example.net"),
        ("add", "a.example.net", "60", "CNAME", "c.example.net"),
    ):
        do(update, line)
    text = update.to_text()
    assert text[text.index(";PREREQ") :].splitlines() == [
        ";PREREQ",
        "a.example.net. NONE ANY",
        "a.example.net. NONE A",
        '_m.example.net. 0 IN TXT "x y"',
        ";UPDATE",
        "a.example.net. ANY A",
        "b.example.net. 0 NONE PTR c.example.net.",
        "a.example.net. 60 IN CNAME c.example.net.",
        ";ADDITIONAL",
    ]


SECRET = base64.b64encode(b"planted secret").decode()


def test_keys_are_read_as_nsupdate_takes_them() -> None:
    text = f"hmac-sha512:One.:{SECRET}\n\n two:{SECRET}\n"
    assert (key_named(text, "one", "x").algorithm, key_named(text, "two", "x").algorithm) == (
        "hmac-sha512",
        "hmac-sha256",
    )
    assert key_named(text, "one", "x").secret == b"planted secret"
    assert SECRET not in repr(key_named(text, "one", "x"))
    assert "planted" not in repr(key_named(text, "one", "x"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "there is no sixstead:tsigKey, and updates are signed with the key one"),
        (SECRET, "line 1 of sixstead:tsigKey is no TSIG key"),
        (f"two:{SECRET}\nhmac-md5:one:{SECRET}", "line 2 of sixstead:tsigKey is no TSIG key"),
        (f"one:{SECRET}x", "line 1 of sixstead:tsigKey is no TSIG key"),
        (f"two:{SECRET}", "there is no key one in sixstead:tsigKey"),
    ],
)
def test_a_key_that_is_none_is_told_without_it(text: str | None, words: str) -> None:
    with pytest.raises(ServerError) as error:
        key_named(text, "one", "example.net")
    assert words in str(error.value)
    assert SECRET not in str(error.value)
    assert error.value.__cause__ is None


def test_another_key_or_primarys_name_is_kept_and_another_zone_is_another_resource() -> None:
    provider = ZoneRecordsProvider()
    old = {"zone": "a", "owner": "o", "server": "s", "port": 53, "key": "k", "primary": "p", "records": {"x A": "1 y"}}
    assert not provider.diff("", old, {**old, "port": 53.0}).changes
    for name in ("key", "primary", "owner"):
        found = provider.diff("", old, {**old, name: "other"})
        assert (found.changes, found.replaces) == (True, [])
    assert provider.diff("", old, {**old, "records": {}}).changes
    assert provider.diff("", old, {**old, "server": "t"}).replaces == []
    assert provider.diff("", old, {**old, "zone": "b"}).replaces == ["zone"]


CLOUD = """
import pulumi
seen = {}
class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        seen[args.name] = (args.typ, dict(args.inputs))
        if args.typ == "pulumi:pulumi:StackReference":
            records = [{"name": "web", "type": "AAAA", "ttl": 300, "value": "2001:db8:1::80"}]
            return args.name, {"name": args.inputs["name"], "outputs": {"records": records}, "secretOutputNames": []}
        return args.name, dict(args.inputs)
    def call(self, args):
        return {}
pulumi.runtime.set_mocks(Mocks(), project="sixstead", organization="organization")
from components.dns import Published
from settings.dns import parse_dns
zones = {"example.net": {"cname": {"www": "web"}}}
primaries = {"cloud": {"provider": "hcloud", "create_zones": True}}
Published("dns", parse_dns({"dns": {"servers": ["kvm1"], "zones": zones, "primaries": primaries}}, "dns"))
import asyncio
asyncio.get_event_loop().run_until_complete(pulumi.runtime.stack.wait_for_rpcs())
print(sorted((name, *what) for name, what in seen.items()))
"""


def test_hetzners_dns_is_pulumis_own() -> None:
    done = subprocess.run([sys.executable, "-c", CLOUD], cwd=ROOT, capture_output=True, text=True, timeout=60)
    found = ast.literal_eval(done.stdout or "[]")
    assert [row for row in found if row[1].startswith("hcloud")] == [
        (
            "example.net@hcloud",
            "hcloud:index/zone:Zone",
            {"mode": "primary", "name": "example.net", "ttl": 300.0},
        ),
        (
            "web.example.net AAAA@hcloud",
            "hcloud:index/zoneRrset:ZoneRrset",
            {
                "name": "web",
                "records": [{"value": "2001:db8:1::80"}],
                "ttl": 300.0,
                "type": "AAAA",
                "zone": "example.net",
            },
        ),
        (
            "www.example.net CNAME@hcloud",
            "hcloud:index/zoneRrset:ZoneRrset",
            {
                "name": "www",
                "records": [{"value": "web.example.net."}],
                "ttl": 300.0,
                "type": "CNAME",
                "zone": "example.net",
            },
        ),
    ], done.stderr
    assert next(row for row in found if "StackReference" in row[1])[2] == {"name": "organization/sixstead/kvm1"}
