"""A `dns` stack from the outputs of server stacks to a BIND on loopback, by the embedded engine and, where it is there, pulumi."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import ENGINES, REPOSITORY, SALT, Toy
from tests.engine.named import SECRET, ZONES, Named

PROGRAM = """
from components.stack import is_dns, read_dns_settings, read_settings

if is_dns():
    from components.dns import Published
    Published("dns", read_dns_settings()).export()
else:  # a server stack's outputs, without its server
    from components.outputs import export
    export(read_settings())
"""
REVERSE = ZONES[1]
WEB, MAIL = "2001:db8:1::80", "2001:db8:1::25"


class Names(Toy):
    """A server stack `kvm1` that is nothing but its outputs, and a stack `dev` that publishes them."""

    def __init__(self, directory: Path, engine: str, named: Named) -> None:
        self.named = named
        self.secrets: dict[str, Any] = {}
        super().__init__(directory, engine)
        for old in directory.glob("*.py"):
            old.unlink()
        (directory / "__main__.py").write_text(PROGRAM)
        project = yaml.safe_load((directory / "Pulumi.yaml").read_text())
        (directory / "Pulumi.yaml").write_text(yaml.safe_dump({**project, "name": "sixstead"}))
        self.env = {"SIXSTEAD_COST": str(directory / "cost"), "SIXSTEAD_LOG": str(directory / "sixstead.log")}
        self.set_key(f"hmac-sha256:sixstead:{SECRET}")

    def has(self, *_: Any, stack: str = "dev", exports: Any = None, **changes: Any) -> None:
        """Sections of `sixstead:dns` replace the usual ones."""
        primary = {"provider": "rfc2136", "server": "127.0.0.1", "port": self.named.port, "key": "sixstead"}
        base = {
            "servers": ["kvm1"],
            "zones": {"example.net": {"cname": {"www": "web"}}, "2001:db8:1::/64": {}, "192.0.2.0/24": {}},
            "primaries": {"ns1": primary},
        }
        document = {"config": {"sixstead:dns": {**base, **changes}, **self.secrets}, "encryptionsalt": SALT}
        (self.dir / "stacks").mkdir(exist_ok=True)
        (self.dir / "stacks" / "Pulumi.dev.yaml").write_text(yaml.safe_dump(document))

    def server(self, stack: str = "kvm1", guests: Any = None, **sections: Any) -> None:
        """A server stack, and an `up` of it."""
        base = yaml.safe_load((REPOSITORY / "tests/unit/settings_cases/base.yaml").read_text())
        named = {"web": {"address": "::80"}, "mail": {"address": "::25"}} if guests is None else guests
        base["guests"] = {name: {"image": "d13", "memory": "1GiB", **more} for name, more in named.items()}
        base["server"]["name"] = stack
        values = {f"sixstead:{key}": value for key, value in {**base, **sections}.items() if value is not None}
        document = {"config": values, "encryptionsalt": SALT}
        (self.dir / "stacks" / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(document))
        self.run("up", "--yes", "--skip-preview", stack=stack)

    def set_key(self, value: str) -> None:
        """`config set --secret tsigKey`, the value by standard input."""
        self.has()
        command = self.command("config", "set", "--secret", "sixstead:tsigKey", "-s", "dev")
        done = subprocess.run(
            command, cwd=self.dir, env=self.environment(), input=value, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        config = yaml.safe_load((self.dir / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
        self.secrets = {"sixstead:tsigKey": config["sixstead:tsigKey"]}

    def updates(self) -> int:
        """Updates sent since the last call."""
        path = self.dir / "cost"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return sum(" update " in line for line in lines)


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Named]:
    server = Named(tmp_path / "named")
    yield server
    server.stop()


@pytest.fixture(params=ENGINES)
def names(request: pytest.FixtureRequest, tmp_path: Path, named: Named) -> Names:
    return Names(tmp_path / "stack", request.param, named)


WANTED = {
    "kvm1 A": "300 192.0.2.10",
    "kvm1 AAAA": "300 2001:db8:1::2",
    "kvm1-rescue A": "300 192.0.2.10",
    "kvm1-rescue AAAA": "300 2001:db8:1::2",
    "web AAAA": f"300 {WEB}",
    "mail AAAA": f"300 {MAIL}",
    "www CNAME": "300 web.example.net.",
}


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All of it, in one line as far as a terminal may have broken it."""
    return done.stdout + done.stderr


def test_a_stacks_life(names: Names, named: Named) -> None:
    names.server()
    shown = names.run("preview", "--diff").stdout
    assert "300 2001:db8:1::80" in shown
    assert named.records(markers=True) == {}
    assert names.updates() == 0
    names.up()
    assert named.records() == WANTED
    reverse = named.records(REVERSE)
    assert sorted(reverse.values()) == ["300 kvm1.example.net.", "300 mail.example.net.", "300 web.example.net."]
    assert named.records(ZONES[2]) == {"10 PTR": "300 kvm1.example.net."}
    assert named.records(markers=True)["_sixstead.www TXT"] == '300 "sixstead owner=dev"'
    assert names.updates() == 3

    before = named.serials()
    names.up("--expect-no-changes")
    names.run("preview", "--refresh", "--expect-no-changes")
    names.up("--refresh", "--expect-no-changes")
    assert (named.serials(), names.updates()) == (before, 0)

    names.server(guests={"web": {"address": "::80"}})
    names.up()
    assert "mail AAAA" not in named.records()
    assert not any("mail" in key for key in named.records(markers=True))
    assert len(named.records(REVERSE, markers=True)) == 4
    assert [new - old for old, new in zip(before, named.serials(), strict=True)] == [1, 1, 0]

    names.run("destroy", "--yes", "--skip-preview")
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_drift_is_shown_and_mended(names: Names, named: Named) -> None:
    names.server()
    names.up()
    named.edit(
        "example.net", "delete web AAAA", "add web 60 AAAA 2001:db8:bad::1", "delete mail", "delete _sixstead.mail"
    )
    shown = names.run("preview", "--refresh", "--diff").stdout
    assert "2001:db8:bad::1" in shown
    assert "mail.example.net AAAA" in shown
    names.up("--refresh")
    assert named.records() == WANTED
    names.run("preview", "--refresh", "--expect-no-changes")


def test_somebody_elses_name_is_refused_and_nothing_at_all_is_written(names: Names, named: Named) -> None:
    names.server()
    named.edit(
        "example.net",
        "add web 300 TXT theirs",
        "add other 300 AAAA 2001:db8::7",
        "add mail 300 MX 10 other.example.net.",
    )
    theirs = named.records(markers=True)
    done = names.up(status=None)
    assert done.returncode != 0
    text = said(done)
    assert "web.example.net (other records)" in text
    assert "mail.example.net (other records)" in text
    assert "is somebody else's on 127.0.0.1" in text
    assert "Traceback" not in text
    assert named.records(markers=True) == theirs
    # handed over by hand, its other records stay
    named.edit("example.net", "add _sixstead.web 300 TXT sixstead\\ owner=dev", "delete mail")
    names.up()
    assert named.records() == {**WANTED, "web TXT": '300 "theirs"', "other AAAA": "300 2001:db8::7"}
    names.run("destroy", "--yes", "--skip-preview")
    assert named.records(markers=True) == {"web TXT": '300 "theirs"', "other AAAA": "300 2001:db8::7"}


def test_a_lost_state_is_taken_over_without_an_update_and_another_stack_gets_nothing(
    names: Names, named: Named
) -> None:
    names.server()
    names.up()
    before = named.serials()
    names.updates()
    names.run("stack", "rm", "--yes", "--force", "--preserve-config")
    names.run("stack", "init")
    names.up()
    assert (named.serials(), names.updates()) == (before, 0)
    names.run("preview", "--refresh", "--expect-no-changes")
    names.run("stack", "rm", "--yes", "--force", "--preserve-config")
    names.run("stack", "init")
    names.has(owner="another")
    done = names.up(status=None)
    assert "web.example.net belongs to somebody else" in said(done)
    assert named.serials() == before


def test_a_name_whose_marker_was_removed_is_theirs_from_then_on(names: Names, named: Named) -> None:
    names.server()
    names.up()
    named.edit("example.net", "delete _sixstead.mail", "delete mail", "add mail 300 AAAA 2001:db8::7")
    names.server(guests={"web": {"address": "::80"}})
    done = names.up()
    assert "mail.example.net is no longer marked as ours" in said(done)
    assert named.records()["mail AAAA"] == "300 2001:db8::7"


def test_a_settled_servers_records_live_longer_and_only_they_change(names: Names, named: Named) -> None:
    names.server()
    names.up()
    names.has(servers={"kvm1": {"settled": True}}, ttl={"young": 300, "settled": 7200})
    assert "7200 2001:db8:1::80" in names.run("preview", "--diff").stdout
    names.up()
    assert set(named.records().values()) == {text.replace("300 ", "7200 ", 1) for text in WANTED.values()}


def test_a_name_may_change_from_address_to_alias(names: Names, named: Named) -> None:
    names.server()
    names.up()
    names.server(guests={"web": {"address": "::80"}})
    names.has(zones={"example.net": {"cname": {"mail": "web"}}})
    names.up()
    assert named.records()["mail CNAME"] == "300 web.example.net."
    assert [named.records(zone, markers=True) for zone in ZONES[1:]] == [{}, {}]


def test_a_wrong_key_is_one_error_for_all_zones_and_found_nowhere(names: Names, named: Named) -> None:
    names.server()
    wrong = SECRET[::-1].strip("=")[:40] + "AAA="
    for key, words in (
        (f"sixstead:{wrong}", "refuses the key sixstead"),
        (f"hmac-sha256:other:{wrong}", "there is no key sixstead in sixstead:tsigKey"),
        (f"sixstead:{wrong}!", "line 1 of sixstead:tsigKey is no TSIG key"),
    ):
        names.set_key(key)
        text = said(names.up(status=None))
        assert words in text
        assert "Traceback" not in text
        # before that stands the progress, in which pulumi says everything twice
        assert text.partition("Diagnostics:")[2].count("refuses the key sixstead") <= 3
        texts = [text, *(path.read_text(errors="replace") for path in names.dir.rglob("*") if path.is_file())]
        assert not any(wrong in text for text in texts)
    names.set_key(f"sixstead:{wrong}")
    assert said(names.up(status=None)).count("what to do") == 1
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_the_key_is_found_nowhere_but_encrypted(names: Names, named: Named) -> None:
    names.server()
    done = [
        names.run("preview", "--diff"),
        names.up(),
        names.run("preview", "--refresh", "--diff"),
        names.run("outputs"),
    ]
    named.stop()
    done += [names.run("refresh", "--yes", "--skip-preview", status=None), names.run("stack", "export")]
    assert "can't be reached" in said(done[-2])
    texts = [said(one) for one in done]
    texts += [path.read_text(errors="replace") for path in names.dir.rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in texts)
    assert SECRET in names.run("config", "get", "sixstead:tsigKey").stdout


def test_two_servers_that_give_a_name_are_told(names: Names, named: Named) -> None:
    names.server()
    names.server("kvm2", {"web": {"address": "::81"}})
    names.has(servers=["kvm1", "kvm2"])
    done = names.run("preview", status=None)
    assert done.returncode != 0
    assert "web.example.net is given by kvm1 and by kvm2" in said(done)
    assert "Traceback" not in said(done)


def test_a_stack_that_is_not_there_is_named(names: Names, named: Named) -> None:
    done = names.run("preview", status=None)
    assert done.returncode != 0
    assert "kvm1" in said(done)
    assert "Traceback" not in said(done)


def test_the_zones_texts_are_outputs(names: Names, named: Named) -> None:
    names.server(guests={})
    names.has(primaries={}, zones={"example.net": {}})
    names.up()
    zones = json.loads(names.run("outputs", "zones").stdout)
    assert zones["example.net"].startswith(
        "; Written by Sixstead.\n$ORIGIN example.net.\nkvm1\t300\tIN\tA\t192.0.2.10\n"
    )


def test_names_beyond_what_a_message_should_hold_are_written_in_several(names: Names, named: Named) -> None:
    names.has(zones={"example.net": {}, "2001:db8:1::/64": {}, "192.0.2.0/24": {}})
    names.server(guests={f"g{n}": {"address": f"::1:{n}"} for n in range(250)})
    named.edit("example.net", "add kvm1-rescue 300 TXT theirs")
    assert "kvm1-rescue.example.net (other records) is somebody else's" in said(names.up(status=None))
    assert named.records(markers=True) == {"kvm1-rescue TXT": '300 "theirs"'}
    named.edit("example.net", "delete kvm1-rescue")
    names.updates()
    names.up()
    assert len(named.records()) == 4 + 250
    assert len(named.records(REVERSE)) == 251
    assert names.updates() == 3
    names.run("preview", "--refresh", "--expect-no-changes")


def test_a_primary_that_leaves_the_config_loses_the_names_that_it_was_given(names: Names, named: Named) -> None:
    names.server()
    names.up()
    names.has(primaries={})
    names.up()
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def place(named: Named, **changes: Any) -> dict[str, Any]:
    return {"provider": "rfc2136", "server": "127.0.0.1", "port": named.port, "key": "sixstead", **changes}


def test_a_primary_that_is_called_otherwise_keeps_its_names(names: Names, named: Named) -> None:
    names.server()
    names.up()
    before = named.serials()
    names.updates()
    names.has(primaries={"hidden": place(named)})
    names.up()
    assert named.records() == WANTED
    assert (named.serials(), names.updates()) == (before, 0)
    names.up("--expect-no-changes")
    names.has(primaries={})
    names.up()
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_a_primary_by_another_address_keeps_its_names_where_they_were(names: Names, named: Named) -> None:
    names.server()
    names.up()
    before = named.serials()
    names.has(primaries={"ns1": place(named, server="localhost")})
    done = names.up()
    assert f"the primary ns1 is localhost port {named.port} now; what is here is left as it is" in said(done)
    assert named.serials() == before
    names.up("--expect-no-changes")
    # not a move, as nothing was written at the new address
    names.has(primaries={"ns1": place(named, port=1)})
    names.run("destroy", "--yes", "--skip-preview")
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_a_tsig_key_may_be_called_otherwise_at_any_time(names: Names, named: Named) -> None:
    names.server()
    names.up()
    before = named.serials()
    names.updates()
    for name in ("second", "third"):
        named.rename_key(name)
        names.set_key(f"hmac-sha256:{name}:{SECRET}")
        names.has(primaries={"ns1": place(named, key=name)})
        names.run("preview", "--refresh")
        if name == "second":
            names.up()
            assert (named.serials(), names.updates()) == (before, 0)
            names.up("--refresh", "--expect-no-changes")
    # with the state of the last key, and names to remove
    names.run("destroy", "--yes", "--skip-preview")
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_the_state_has_the_last_key_for_when_the_primary_leaves(names: Names, named: Named) -> None:
    names.server()
    names.up()
    named.rename_key("second")
    names.set_key(f"hmac-sha256:second:{SECRET}")
    names.has(primaries={"ns1": place(named, key="second")})
    names.up()
    # With another primary, without names, as a provider that nothing needs any more has the config of the last `up`.
    empty = {"domain": "example.net", "zones": {"2001:db8:9::/64": {}}}
    names.has(primaries={"ns2": place(named, server="localhost", key="second")}, **empty)
    names.up()
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_a_wildcard_makes_no_name_somebody_elses(names: Names, named: Named) -> None:
    wildcards = {"* TXT": '60 "v=spf1 -all"', "* A": "60 192.0.2.99", "* AAAA": "60 2001:db8:ffff::99"}
    named.edit(
        "example.net", *(f"add {name.split()[0]} 60 {name.split()[1]} {text[3:]}" for name, text in wildcards.items())
    )
    named.edit(REVERSE, "add * 60 PTR pool.example.net.", 'add * 60 TXT "pool"')
    names.server()
    names.up()
    assert named.records() == {**WANTED, **wildcards}
    assert len(named.records(REVERSE)) == 3 + 2
    names.up("--refresh", "--expect-no-changes")
    names.run("destroy", "--yes", "--skip-preview")
    assert named.records(markers=True) == wildcards
    # the names that are there are theirs, with and without records that a wildcard has too, and so is the wildcard itself
    named.edit(
        "example.net", "add mail 60 AAAA 2001:db8:ffff::25", "add web 60 TXT theirs", "add _sixstead.kvm1 60 TXT odd"
    )
    names.has(zones={"example.net": {"cname": {"*": "web"}}})
    theirs = named.records(markers=True)
    text = said(names.up(status=None))
    for refused in (
        "mail.example.net (AAAA 2001:db8:ffff::25)",
        "web.example.net (other records)",
        "kvm1.example.net (",
        "*.example.net (",
    ):
        assert refused in text
    assert named.records(markers=True) == theirs


def test_another_owner_takes_the_names_along_in_one_step(names: Names, named: Named) -> None:
    names.server()
    names.up()
    before = named.serials()
    names.server(guests={"web": {"address": "::80"}})
    names.has(owner="home")
    names.up()
    assert [new - old for old, new in zip(before, named.serials(), strict=True)] == [1, 1, 1]
    assert named.records() == {name: text for name, text in WANTED.items() if name != "mail AAAA"}
    marks = {text for zone in ZONES for name, text in named.records(zone, markers=True).items() if "_sixstead" in name}
    assert marks == {'300 "sixstead owner=home"'}
    names.run("destroy", "--yes", "--skip-preview")
    assert [named.records(zone, markers=True) for zone in ZONES] == [{}, {}, {}]


def test_a_zone_that_the_server_does_not_serve_or_lets_nobody_update_is_told(names: Names, named: Named) -> None:
    names.server()
    names.has(zones={"example.org": {}})
    assert "answers a question with REFUSED; nothing was changed" in said(names.up(status=None))
    config = named.folder / "named.conf"
    closed = config.read_text().replace("allow-update { key sixstead; }", "allow-update { none; }")
    config.write_text(closed)
    named.process.send_signal(signal.SIGHUP)
    names.has(zones={"example.net": {}})
    text = said(names.up(status=None))
    assert "example.net: 127.0.0.1 port" in text
    assert "answers an update with REFUSED; nothing was changed" in text
    assert "allow it there for the key sixstead" in text


def proposal(names: Names, **changes: Any) -> subprocess.CompletedProcess[str]:
    """A preview of a change as `review` makes one, with a look at the primaries."""
    file = names.dir / "proposed.yaml"
    document = yaml.safe_load((names.dir / "stacks" / "Pulumi.dev.yaml").read_text())
    document["config"]["sixstead:dns"].update(changes)
    file.write_text(yaml.safe_dump(document))
    return names.run("preview", "--markdown", "--refresh", "--proposed", str(file), status=None)


def test_a_proposed_change_is_previewed_at_the_bases_primary(names: Names, named: Named) -> None:
    names.server()
    other = yaml.safe_load((REPOSITORY / "tests/unit/settings_cases/base.yaml").read_text())
    other["uplink"]["ipv4"]["address"] = "192.0.2.11/32"
    other["prefixes"]["main"]["prefix"] = "2001:db8:2::/64"
    names.server("kvm2", {"db": {"address": "::db"}}, uplink=other["uplink"], prefixes=other["prefixes"])
    names.up()
    before = named.serials()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        evil = {"provider": "rfc2136", "server": "127.0.0.1", "port": elsewhere.getsockname()[1], "key": "sixstead"}
        done = proposal(
            names,
            servers=["kvm1", "kvm2"],
            zones={"2001:db8:1::/64": {}, "192.0.2.0/24": {}, "example.net": {"cname": {"mx": "mail"}}},
            primaries={"ns1": evil},
        )
        elsewhere.setblocking(False)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert done.returncode == 0, said(done)
    assert "### Preview of `dev` on `ns1`: " in done.stdout
    assert "**The change alters how a primary is reached**" in done.stdout
    assert "No drift" in done.stdout
    assert "mx.example.net CNAME" in done.stdout
    assert "2001:db8:2::db" in done.stdout
    assert SECRET not in said(done)
    assert named.serials() == before


def test_a_proposal_reads_no_stack_that_the_base_does_not_have(names: Names, named: Named) -> None:
    names.server()
    names.server("elsewhere", {"hidden": {"address": "::5ec"}})
    (names.dir / "stacks" / "Pulumi.elsewhere.yaml").unlink()
    names.up()
    done = proposal(names, servers=["kvm1", "elsewhere"])
    assert done.returncode == 1
    assert "the base branch has no stack 'elsewhere'" in done.stdout
    assert "5ec" not in done.stdout
    ns2 = {"provider": "rfc2136", "server": "127.0.0.1", "port": named.port, "key": "sixstead"}
    assert "primaries.ns2 is none of the base branch's" in proposal(names, primaries={"ns2": ns2}).stdout


def test_a_strangers_change_of_names_says_why_it_is_not_previewed(names: Names) -> None:
    names.has()
    file = names.dir / "stacks" / "Pulumi.dev.yaml"
    document = yaml.safe_load(file.read_text())
    del document["config"]["sixstead:tsigKey"]
    (names.dir / "proposed.yaml").write_text(yaml.safe_dump(document))
    done = names.run("preview", "--markdown", "--offline", "--proposed", str(names.dir / "proposed.yaml"), status=1)
    assert "what other stacks' states say, which are not read here: nothing is previewed" in done.stdout
