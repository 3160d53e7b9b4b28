"""Names of a server and its guests: published at the internet's primary server, and answered by the internet's resolver.

The tests run in this order, each on what the last one left.
"""

from __future__ import annotations

import ipaddress
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring
import dns.update
import pytest
import yaml

from lab import primary
from lab.system import in_netns
from tests.scenario.harness import PROJECT, SERVER4, SERVER6, WEB, Stack

ZONE = primary.FORWARD


@dataclass
class Names(Stack):
    """A `dns` stack on the same lab and state as a server stack, run where the operator is: it speaks to the primary itself."""

    secrets: dict[str, Any] = field(default_factory=dict)

    def command(self, *arguments: str, stack_options: bool = True) -> list[str]:
        return [*self.lab.entering("operator"), *super().command(*arguments, stack_options=stack_options)]

    def write(self, **changes: Any) -> None:
        super().write(**changes)
        document = yaml.safe_load(self.file.read_text())
        document["config"] |= self.secrets
        self.file.write_text(yaml.safe_dump(document, sort_keys=False))

    def set_key(self, value: str) -> None:
        """`config set --secret tsigKey`."""
        command = [str(PROJECT / "sixstead"), "config", "set", "--secret", "sixstead:tsigKey"]
        command += ["-s", self.name, "--config-file", str(self.file)]
        subprocess.run(command, cwd=PROJECT, env=self.environ(), input=value, text=True, check=True)
        self.secrets["sixstead:tsigKey"] = yaml.safe_load(self.file.read_text())["config"]["sixstead:tsigKey"]

    def updates(self) -> int:
        """Updates sent since the last call."""
        return sum(line.startswith("update") for line in self.cost())

    def asked(self, server: str, name: str, kind: str) -> list[str]:
        """TTL and value of each record that a DNS server of the internet answers with; its status where it has none."""
        question = dns.message.make_query(name, kind)
        namespace = self.lab._names.internet
        answer = in_netns(namespace, lambda: dns.query.udp(question, server, timeout=5))
        found = [f"{rrset.ttl} {value}" for rrset in answer.answer for value in rrset]
        return found or [dns.rcode.to_text(answer.rcode())]

    def resolved(self, name: str, kind: str) -> list[str]:
        """What the internet's resolver says."""
        return self.asked(str(self.lab.topology.internet.dns.ipv6), name, kind)

    def pointed(self, address: str) -> list[str]:
        return self.resolved(ipaddress.ip_address(address).reverse_pointer, "PTR")

    def serials(self) -> list[str]:
        server = str(self.lab.topology.internet.primary.ipv6)
        return [self.asked(server, zone, "SOA")[0].split()[3] for zone in primary.zones(self.lab.topology)]

    def edit(self, *lines: tuple[str, ...]) -> None:
        """What somebody else does in the forward zone."""
        keyring = dns.tsigkeyring.from_text({primary.KEY: primary.secret(self.lab.name)})
        update = dns.update.UpdateMessage(ZONE, keyring=keyring)
        for verb, *words in lines:
            update.add(*words) if verb == "add" else update.delete(*words)
        server = str(self.lab.topology.internet.primary.ipv6)
        answer = in_netns(self.lab._names.internet, lambda: dns.query.tcp(update, server, timeout=5))
        assert answer.rcode() == dns.rcode.NOERROR


@pytest.fixture(scope="module")
def server(make_stack: Callable[..., Stack], engine: str) -> Stack:
    """A server with one guest, `web`."""
    made = make_stack(engine)
    made.config["server"]["rescue"] = "::2"
    made.write(guests={"web": made.config["guests"]["web"]})
    made.up()
    return made


@pytest.fixture(scope="module")
def names(server: Stack) -> Names:
    place = server.lab.topology.internet.primary
    dns = {
        "servers": [server.name],
        "domain": ZONE,
        "zones": {ZONE: {"cname": {"www": "web"}}, "2001:db8:1::/64": {}, "192.0.2.0/24": {}},
        "primaries": {"ns1": {"provider": "rfc2136", "server": str(place.ipv6), "key": primary.KEY}},
    }
    made = Names(server.lab, server.folder, server.engine, {"dns": dns}, f"{server.name}-dns")
    made.init()
    made.set_key(f"hmac-sha256:{primary.KEY}:{primary.secret(server.lab.name)}")
    return made


def test_a_wrong_key_is_one_error_and_found_nowhere(names: Names) -> None:
    right, wrong = names.secrets["sixstead:tsigKey"], primary.secret("planted-wrong-key")
    names.set_key(f"{primary.KEY}:{wrong}")
    done = names.up(check=False)
    assert done.code != 0
    assert f"refuses the key {primary.KEY}" in done.text
    assert done.text.count("what to do") == 1
    assert "Traceback" not in done.text
    texts = [done.text, *(path.read_text(errors="replace") for path in names.folder.rglob("*") if path.is_file())]
    assert not any(wrong in text for text in texts)
    names.secrets["sixstead:tsigKey"] = right
    names.write()
    assert names.resolved(f"web.{ZONE}", "AAAA") == ["NXDOMAIN"]


def test_a_name_of_somebody_else_is_refused_and_nothing_is_written(names: Names) -> None:
    names.edit(("add", "web", "300", "AAAA", "2001:db8:ffff::77"))
    done = names.up(check=False)
    assert done.code != 0
    assert f"web.{ZONE} (AAAA 2001:db8:ffff::77) is somebody else's" in done.text
    assert names.resolved(f"web.{ZONE}", "AAAA") == ["300 2001:db8:ffff::77"]
    assert names.resolved(f"{names.lab.name}.{ZONE}", "AAAA") == ["NXDOMAIN"]
    names.edit(("delete", "web"), ("add", "theirs", "300", "AAAA", "2001:db8:ffff::77"))


def test_the_internets_resolver_answers_for_server_and_guest_forward_and_reverse(names: Names) -> None:
    names.up()
    host = f"{names.lab.name}.{ZONE}"
    assert names.resolved(host, "A") == [f"300 {SERVER4}"]
    assert names.resolved(host, "AAAA") == [f"300 {SERVER6}"]
    assert names.resolved(f"{names.lab.name}-rescue.{ZONE}", "AAAA") == [f"300 {SERVER6}"]
    assert names.resolved(f"www.{ZONE}", "AAAA") == [f"300 web.{ZONE}.", f"300 {WEB}"]
    assert names.pointed(WEB) == [f"300 web.{ZONE}."]
    assert names.pointed(SERVER4) == names.pointed(SERVER6) == [f"300 {host}."]
    page = names.guest("web", "wget", "-q", "-T", "10", "-O", "-", f"http://www.{ZONE}/")
    assert page.strip() == "hello from web"


def test_a_second_up_sends_nothing(names: Names) -> None:
    before = names.serials()
    names.updates()
    names.up("--expect-no-changes")
    names.up("--refresh", "--expect-no-changes")
    assert (names.serials(), names.updates()) == (before, 0)


def test_drift_is_shown_and_mended(names: Names) -> None:
    names.edit(("delete", "web", "AAAA"), ("add", "web", "60", "AAAA", "2001:db8:ffff::66"))
    assert "2001:db8:ffff::66" in names.preview("--refresh", "--diff").text
    names.up("--refresh")
    assert names.resolved(f"web.{ZONE}", "AAAA") == [f"300 {WEB}"]


def test_a_removed_guests_names_are_gone_within_their_ttl(server: Stack, names: Names) -> None:
    server.write(guests={}, images={})
    server.up()
    names.config["dns"]["zones"][ZONE] = {}
    names.write()
    names.up()
    gone = [f"web.{ZONE}", f"www.{ZONE}", f"_sixstead.web.{ZONE}"]
    deadline = time.monotonic() + 300
    while any(names.resolved(name, "AAAA") != ["NXDOMAIN"] for name in gone) or names.pointed(WEB) != ["NXDOMAIN"]:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert names.resolved(f"theirs.{ZONE}", "AAAA") == ["300 2001:db8:ffff::77"]


def test_a_zone_file_is_written_to_a_server_and_removed_again(server: Stack, names: Names) -> None:
    place = {"provider": "file", "directory": "/etc/zones", "ssh": server.config["server"]["ssh"]}
    names.config["dns"]["primaries"]["files"] = place
    names.write()
    names.up()
    text = names.server("cat", f"/etc/zones/{ZONE}.sixstead")
    assert f"{names.lab.name}\t300\tIN\tA\t{SERVER4}\n" in text
    names.server("sh", "-c", f"echo '; by hand' >> /etc/zones/{ZONE}.sixstead")
    assert "by hand" in names.preview("--refresh", "--diff").text
    names.up("--refresh")
    assert names.server("cat", f"/etc/zones/{ZONE}.sixstead") == text
    del names.config["dns"]["primaries"]["files"]
    names.write()
    names.up()
    assert names.server("ls", "-d", "/etc/zones", check=False) == ""
    names.config["dns"]["primaries"]["files"] = place
    names.write()
    names.up()


def test_zone_files_stay_when_their_primary_or_their_owner_is_called_otherwise(names: Names) -> None:
    primaries = names.config["dns"]["primaries"]
    place = primaries.pop("files")
    file = f"/etc/zones/{ZONE}.sixstead"
    before = names.server("stat", "-c", "%i %Y", file)
    primaries["renamed"] = place
    names.write()
    names.up()
    assert names.server("stat", "-c", "%i %Y", file) == before
    names.config["dns"]["owner"] = "somebody"
    names.write()
    names.up()
    assert names.server("stat", "-c", "%i %Y", file) == before
    names.up("--refresh", "--expect-no-changes")


def test_two_directories_of_a_server_go_one_by_one(names: Names) -> None:
    primaries = names.config["dns"]["primaries"]
    primaries["more"] = {**primaries["renamed"], "directory": "/etc/more-zones"}
    names.write()
    names.up()
    assert names.server("ls", "/etc/zones") == names.server("ls", "/etc/more-zones") != ""
    del primaries["renamed"]
    names.write()
    names.up()
    assert names.server("ls", "-d", "/etc/zones", check=False) == ""
    assert f"{ZONE}.sixstead" in names.server("ls", "/etc/more-zones")


def test_zone_files_stay_when_their_server_is_given_by_another_address(names: Names) -> None:
    place = names.config["dns"]["primaries"]["more"]
    place["ssh"] = {**place["ssh"], "host": SERVER6}
    names.write()
    done = names.up()
    assert f"the primary more is at {SERVER6} port 22 now; the zone files here are left as they are" in done.text
    assert f"{ZONE}.sixstead" in names.server("ls", "/etc/more-zones")
    names.up("--expect-no-changes")


def test_destroy_removes_all_of_it_and_nothing_of_others(names: Names) -> None:
    names.destroy()
    assert names.resolved(f"{names.lab.name}.{ZONE}", "A") == ["NXDOMAIN"]
    assert names.pointed(SERVER4) == ["NXDOMAIN"]
    assert names.resolved(f"theirs.{ZONE}", "AAAA") == ["300 2001:db8:ffff::77"]
    assert names.server("ls", "-d", "/etc/zones", "/etc/more-zones", check=False) == ""


def test_the_key_is_found_nowhere(names: Names) -> None:
    secret = primary.secret(names.lab.name)
    files = [path for path in names.folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not any(secret in path.read_text(errors="replace") for path in files)
