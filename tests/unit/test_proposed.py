"""A proposed stack file decides what is wanted, never who is spoken to or which secret is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from cli.proposed import document, proposed, without_credentials
from engine.errors import EngineError

CIPHER = {"secure": "v1:aaaa:bbbb"}
BASE: dict[str, Any] = {
    "encryptionsalt": "v1:salt",
    "config": {
        "sixstead:server": {"ssh": {"host": "192.0.2.10", "host_key": "ssh-ed25519 AAAA"}, "os": "debian-13"},
        "sixstead:robotPassword": CIPHER,
        "hcloud:token": {"secure": "v1:cccc:dddd"},
        "sixstead:images": {"tiny": {"url": "http://x/y", "sha512sums": "sums"}},
        "sixstead:guests": {"web": {"image": "tiny", "user_data": CIPHER}},
        "sixstead:rdns": {"domain": "example.net"},
    },
}


def changed(**sections: Any) -> dict[str, Any]:
    """The base with whole sections changed; None removes one. `__` stands for `:`."""
    result = copy.deepcopy(BASE)
    for name, value in sections.items():
        key = name.replace("__", ":") if "__" in name else f"sixstead:{name}"
        if value is None:
            result["config"].pop(key)
        else:
            result["config"][key] = value
    return result


def test_what_is_wanted_is_the_proposals() -> None:
    guests = {"web": {"image": "tiny", "user_data": CIPHER, "memory": "2GiB"}, "db": {"image": "tiny"}}
    merged, notes = proposed(BASE, changed(guests=guests))
    assert merged == changed(guests=guests)
    assert notes == []


@pytest.mark.parametrize(
    "ssh",
    [
        {"host": "203.0.113.66", "host_key": "ssh-ed25519 BBBB"},
        {"host": "192.0.2.10", "host_key": "ssh-ed25519 BBBB"},
        {"host": "192.0.2.10", "host_key": "ssh-ed25519 AAAA", "config": "stacks/evil"},
        {"host": "192.0.2.10", "host_key": "ssh-ed25519 AAAA", "identity_file": "/root/.ssh/id"},
        None,
    ],
)
def test_the_connection_is_the_bases_and_the_change_is_told(ssh: Any) -> None:
    merged, notes = proposed(BASE, changed(server={"ssh": ssh, "os": "debian-12"}))
    assert merged["config"]["sixstead:server"] == {"ssh": BASE["config"]["sixstead:server"]["ssh"], "os": "debian-12"}
    assert len(notes) == 1
    assert "server.ssh" in notes[0]


@pytest.mark.parametrize(
    "change",
    [
        changed(hcloud__endpoint="https://evil.example"),
        changed(hcloud__token=None),
        changed(sshKey="x"),
        changed(robotPassword={"secure": "v1:cccc:dddd"}),
        {**BASE, "encryptionsalt": "v1:other"},
        {**BASE, "secretsprovider": "awskms://evil"},
    ],
)
def test_credentials_and_encryption_are_the_bases(change: dict[str, Any]) -> None:
    merged, notes = proposed(BASE, change)
    assert merged == BASE
    assert len(notes) == 1


def test_the_hosters_web_service_is_the_bases() -> None:
    merged, notes = proposed(BASE, changed(rdns={"domain": "other.example", "endpoint": "https://evil.example"}))
    assert merged["config"]["sixstead:rdns"] == {"domain": "other.example"}
    assert "rdns.endpoint" in notes[0]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (changed(guests={"web": {"user_data": {"secure": "v1:cccc:dddd"}}}), "guests.web.user_data"),
        (changed(guests={"db": {"user_data": CIPHER}}), "guests.db.user_data"),
        (changed(keys={"alice": CIPHER}), "keys.alice"),
        (changed(guests=CIPHER), "guests"),
        (changed(guests={"web": {"user_data": CIPHER, "memory": CIPHER}}), "guests.web.memory"),
        (changed(firewall=[{"from": CIPHER}]), "firewall.0.from"),
        (changed(images={"tiny": {"url": "http://x/y", "sha512sums": "/proc/self/environ"}}), "images.tiny"),
    ],
)
def test_a_secret_or_a_local_file_at_another_place_is_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(EngineError, match=where.replace(".", r"\.")):
        proposed(BASE, change)


def test_without_credentials_there_is_none_left() -> None:
    change = changed(guests={"web": {"image": "tiny"}}, images={})
    merged, _ = without_credentials(change)
    assert "v1:" not in str(merged)
    with pytest.raises(EngineError, match="secret"):
        without_credentials(BASE)


@pytest.mark.parametrize(
    "text",
    [
        "config: {a: &x [1], b: *x}",
        "config: [1]",
        "- 1",
        "config:\n  sixstead:guests: '{\"web\": {}}'",
        "config:\n  sixstead:dns: '{\"primaries\": {}}'",
        "config: {",
        "a: " + "[" * 5000,
        "x" * (2 << 20),
    ],
)
def test_what_is_more_than_it_seems_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(EngineError):
        document(tmp_path / "f.yaml")


def test_a_key_without_a_namespace_is_the_programs_own(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("config: {server: {ssh: {host: evil}}, 'sixstead:server': {}}")
    assert document(tmp_path / "f.yaml")["config"] == {"sixstead:server": {}}


FILES = {
    "provider": "file",
    "directory": "/etc/nsd/zones",
    "ssh": {"host": "192.0.2.53", "host_key": "ssh-ed25519 AAAA"},
}
NS1 = {"provider": "rfc2136", "server": "192.0.2.54", "key": "sixstead"}
NAMES: dict[str, Any] = {
    "encryptionsalt": "v1:salt",
    "config": {
        "sixstead:dns": {
            "servers": ["kvm1", "other/project/kvm9"],
            "zones": {"example.net": {"cname": {"www": "web"}}},
            "primaries": {"ns1": NS1, "files": FILES, "cloud": {"provider": "hcloud"}},
        },
        "sixstead:tsigKey": CIPHER,
    },
}
STACKS = {"kvm1", "kvm2", "dns"}


def names(**changes: Any) -> dict[str, Any]:
    """The names' stack with some of its section changed."""
    result = copy.deepcopy(NAMES)
    result["config"]["sixstead:dns"].update(copy.deepcopy(changes))
    return result


def test_which_names_are_published_is_the_proposals() -> None:
    change = names(
        servers={"kvm1": {"settled": True}, "kvm2": {}, "other/project/kvm9": {}},
        zones={"example.net": {}, "example.org": {}},
        primaries={"files": {**FILES, "directory": "/srv/zones", "reload": "nsd.service"}},
    )
    assert proposed(NAMES, change, STACKS) == (change, [])


@pytest.mark.parametrize(
    "primary",
    [
        {"ns1": {**NS1, "server": "203.0.113.66"}},
        {"ns1": {**NS1, "port": 5353}},
        {"ns1": {**NS1, "key": "another"}},
        {"ns1": {"provider": "rfc2136"}},
        {"ns1": {**NS1, "ssh": FILES["ssh"]}},
        {"files": {**FILES, "ssh": {"host": "203.0.113.66", "host_key": "ssh-ed25519 BBBB"}}},
        {"files": {**FILES, "ssh": {**FILES["ssh"], "config": "stacks/evil"}}},  # type: ignore[dict-item]
        {"cloud": {"provider": "hcloud", "server": "203.0.113.66"}},
    ],
)
def test_how_a_primary_is_reached_is_the_bases_and_the_change_is_told(primary: dict[str, Any]) -> None:
    primaries = NAMES["config"]["sixstead:dns"]["primaries"]
    merged, notes = proposed(NAMES, names(primaries={**primaries, **primary}), STACKS)
    assert merged == NAMES
    assert len(notes) == 1
    assert "how a primary is reached" in notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (names(primaries={"ns2": NS1}), "primaries.ns2"),
        (names(primaries={"cloud": {**FILES}}), "primaries.cloud"),
        (names(primaries={"ns1": "x"}), "primaries.ns1"),
        (names(primaries=[NS1]), "primaries"),
        (names(servers=["kvm1", "kvm7"]), "no stack 'kvm7'"),
        (names(servers={"other/project/kvm8": {}}), "no stack 'other/project/kvm8'"),
        (names(servers=["../../x"]), "no stack"),
        (names(servers=5), "servers"),
        (names(owner=CIPHER), "dns.owner is a secret"),
        ({"config": {**NAMES["config"], "sixstead:dns": [1]}}, "no map"),
        ({"config": {**NAMES["config"], **BASE["config"]}}, "can't stand beside"),
        (BASE, "another kind of stack"),
    ],
)
def test_a_names_stack_that_would_speak_to_others_or_read_others_is_refused(change: Any, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        proposed(NAMES, change, STACKS)


def test_a_server_does_not_become_a_stack_of_names() -> None:
    with pytest.raises(EngineError, match="another kind of stack"):
        proposed(BASE, {"config": {**BASE["config"], **NAMES["config"]}}, STACKS)
