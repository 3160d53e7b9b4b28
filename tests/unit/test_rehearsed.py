"""What of a stack's change is rehearsed: two configs in, those for the lab and the lab's measure out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.errors import LabError
from lab.keys import public_key
from lab.rehearsed import for_lab, rehearsed, topology
from lab.stack_file import at_revision, read_stack
from settings import parse

EXAMPLE = read_stack(Path(__file__).parents[2] / "stacks" / "Pulumi.example.yaml")["config"]


def example(**changes: Any) -> dict[str, Any]:
    """The example stack with some values changed, by path: `server__open={...}`; None removes one."""
    config = copy.deepcopy(EXAMPLE)
    for path, value in changes.items():
        section, *keys = path.split("__")
        at, key = config, f"sixstead:{section}"
        for inner in keys:
            at, key = at[key], inner
        if value is None:
            at.pop(key, None)
        else:
            at[key] = value
    return config


def derived(config: dict[str, Any], other: dict[str, Any] | None = None, limit: int = 4) -> dict[str, Any]:
    """What is rehearsed of a config of after, without `sixstead:` before its sections."""
    change = rehearsed(EXAMPLE if other is None else other, config, "kvm1", limit)
    lab = topology(change.measure)
    found = for_lab(change.after, "try", Path("/nowhere"), lab)["config"]
    return {key.removeprefix("sixstead:"): value for key, value in found.items()}


def test_a_stack_is_rehearsed_without_its_ssh_secrets_records_and_images() -> None:
    secrets = {"sixstead:sshKey": {"secure": "v1:abc"}, "hcloud:token": {"secure": "v1:def"}}
    got = derived({**EXAMPLE, **secrets})
    assert set(got) == {"server", "uplink", "prefixes", "networks", "keys", "images", "guests", "firewall"}
    assert got["server"]["ssh"] == {
        "user": "root", "port": 22, "host": "192.0.2.10", "config": "/nowhere/ssh_config", "host_key": public_key("try", "host"),
    }  # fmt: skip
    assert got["server"]["kvm"] is False
    assert {part["url"] for part in got["images"]["d13"].values() if isinstance(part, dict)} == {
        "http://images.example/tiny-vmlinuz", "http://images.example/tiny-initrd", "http://images.example/tiny-disk.qcow2",
    }  # fmt: skip
    assert got["guests"]["web"] == {
        "image": "d13", "memory": "128MiB", "vcpus": 1, "disk": "20GiB", "keys": ["alice"], "open": {"tcp": [80, 443]},
    }  # fmt: skip


def test_what_is_rehearsed_is_a_valid_config() -> None:
    got = derived(EXAMPLE)
    sums = "".join(f"{'0' * 128}  tiny-{name}\n" for name in ("vmlinuz", "initrd", "disk.qcow2"))
    assert parse(got, "kvm1", lambda _: sums).guests["mail"].memory == 128 * 2**20


def test_the_rehearsals_login_is_among_the_operators_where_there_are_any() -> None:
    got = derived(EXAMPLE)
    assert got["server"]["operators"] == ["alice", "rehearsal-login"]
    assert got["keys"]["rehearsal-login"] == public_key("try", "login")
    assert "operators" not in derived(example(server__operators=None))["server"]


@pytest.mark.parametrize(
    ("changes", "want"),
    [
        ({}, {"memory": "128MiB", "vcpus": 1}),
        ({"guests__web__memory": "64GiB"}, {"memory": "136MiB", "vcpus": 1}),
        ({"guests__web__vcpus": 16}, {"memory": "128MiB", "vcpus": 2}),
        ({"guests__web__cmdline": "quiet"}, {"memory": "128MiB", "vcpus": 1, "cmdline": "rehearsed=1"}),
        # what the product refuses, it must be able to refuse here, too
        ({"guests__web__memory": "20G"}, {"memory": "20G", "vcpus": 1}),
    ],
)
def test_a_guest_is_small_and_changes_where_it_would(changes: dict[str, Any], want: dict[str, Any]) -> None:
    got = derived(example(**changes))["guests"]["web"]
    assert {key: got[key] for key in ("memory", "vcpus", "cmdline") if key in got} == want


def twenty(**changes: Any) -> dict[str, Any]:
    guests = {f"g{number}": {"image": "d13", "memory": "2GiB"} for number in range(20)}
    rules = [{"from": "g0", "to": "g1", "tcp": [1]}, {"from": "g5", "to": "g6", "tcp": [1]}]
    return {**example(guests=guests, firewall=rules), **{f"sixstead:{key}": value for key, value in changes.items()}}


def test_of_many_guests_those_that_change_first_are_rehearsed() -> None:
    after = twenty()
    after["sixstead:guests"]["g17"]["memory"] = "4GiB"
    after["sixstead:firewall"].append({"from": "g9", "to": "g17", "tcp": [1]})
    change = rehearsed(twenty(), after, "kvm1")
    assert change.guests == ("g0", "g1", "g9", "g17")
    assert change.after["sixstead:firewall"] == [after["sixstead:firewall"][0], after["sixstead:firewall"][2]]
    assert change.left_out[0].text == "16 of 20 guests"
    assert "g17" not in change.left_out[0].names


def test_guests_that_change_and_are_left_out_are_named() -> None:
    after = twenty()
    for name in ("g3", "g4"):
        after["sixstead:guests"][name]["memory"] = "4GiB"
    change = rehearsed(twenty(), after, "kvm1", 1)
    assert change.guests == ("g3",)
    assert change.left_out[1].names == ("g4",)


def test_a_guest_that_goes_is_rehearsed() -> None:
    after = twenty()
    del after["sixstead:guests"]["g19"]
    change = rehearsed(twenty(), after, "kvm1", 1)
    assert change.guests == ("g19",)
    assert "g19" in change.before["sixstead:guests"]
    assert "g19" not in change.after["sixstead:guests"]


def test_a_rule_of_a_guest_that_nobody_knows_stays_for_the_product_to_refuse() -> None:
    rule = {"from": "web", "to": "nobody", "tcp": [1]}
    assert derived(example(firewall=[rule]))["firewall"] == [rule]


def test_the_hoster_is_as_before_however_the_change_calls_it() -> None:
    after = example(
        uplink__ipv4={"address": "192.0.2.11/32", "gateway": "192.0.2.99"}, prefixes__main__gateway="fe80::9"
    )
    change = rehearsed(EXAMPLE, after, "kvm1")
    measure = topology(change.measure)
    assert (str(measure.ipv4), str(measure.ipv4_gateway)) == ("192.0.2.10/32", "192.0.2.1")
    assert str(measure.main.gateway) == "fe80::1"
    got = for_lab(change.after, "try", Path("/nowhere"), measure)["config"]
    assert got["sixstead:uplink"]["ipv4"] == after["sixstead:uplink"]["ipv4"]
    assert got["sixstead:prefixes"]["main"]["gateway"] == "fe80::9"
    assert got["sixstead:server"]["ssh"]["host"] == "192.0.2.10"


def test_another_delivery_is_rehearsed_as_the_change_says() -> None:
    after = example(prefixes__main__delivery="on-link")
    change = rehearsed(EXAMPLE, after, "kvm1")
    assert topology(change.measure).main.delivery == "routed"
    assert derived(after)["prefixes"]["main"]["delivery"] == "on-link"


def test_a_prefix_and_a_resolver_that_the_change_adds_are_taken_on_trust() -> None:
    after = example(prefixes__more={"prefix": "2001:db8:2::/64"}, networks__main__dns64={"forward": ["2001:db8:53::1"]})
    change = rehearsed(EXAMPLE, after, "kvm1")
    measure = topology(change.measure)
    assert [prefix.name for prefix in measure.prefixes] == ["main", "more"]
    assert "2001:db8:53::1" in map(str, measure.resolvers)
    assert change.left_out[-1].names == ("more",)


def test_a_change_of_what_is_left_out_leaves_nothing_to_rehearse() -> None:
    change = rehearsed(EXAMPLE, example(rdns=None, guests__mail__ptr=None, server__ssh__host="192.0.2.99"), "kvm1")
    assert change.before == change.after


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"guests": {"secure": "v1:abc"}}, "sixstead:guests"),
        ({"uplink__mac": {"secure": "v1:abc"}}, "sixstead:uplink.mac is encrypted"),
        ({"server__name": "a\nb"}, "sixstead:server.name"),
        ({"server__operators": "alice"}, "sixstead:server.operators"),
        ({"guests": ["web"]}, "sixstead:guests"),
        ({"server": None}, "sixstead:server"),
        ({"guests__web": "small"}, "preview"),
        ({"uplink__ipv4": "192.0.2.10"}, "sixstead:uplink.ipv4|preview"),
        ({"networks__main": 1}, "preview"),
    ],
)
def test_a_config_that_no_lab_can_be_made_to_is_refused_by_its_key(after: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        derived(example(**after))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: &a [0, 0]\n"
            + "".join(f"{x}: &{x} [{','.join([f'*{y}'] * 9)}]\n" for x, y in zip("bcdefghi", "abcdefgh", strict=True)),
            "more than",
        ),
        ("a: &a [*a]\n", "holds itself"),
    ],
    ids=["laughs", "loop"],
)
def test_an_endless_config_is_refused(text: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        rehearsed(EXAMPLE, {**EXAMPLE, **yaml.safe_load(text)}, "kvm1")


def test_a_secret_in_user_data_stands_in_nobodys_way() -> None:
    after = example(guests__web__user_data={"secure": "v1:abc"})
    assert "user_data" not in derived(after)["guests"]["web"]


def test_a_file_that_git_does_not_have_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text(yaml.safe_dump({"config": {}}))
    with pytest.raises(LabError, match=r"no Pulumi.x.yaml in git at HEAD.*--from REV"):
        at_revision(tmp_path / "Pulumi.x.yaml", "HEAD")
    with pytest.raises(LabError, match="no git revision"):
        at_revision(tmp_path / "Pulumi.x.yaml", "--output=/etc/passwd")


def test_a_stack_of_names_leaves_nothing_to_rehearse() -> None:
    dns = {"servers": ["kvm1"], "zones": {"example.net": {}}}
    change = rehearsed({"sixstead:dns": dns}, {"sixstead:dns": {**dns, "settled": True}}, "dns")
    assert change.before == change.after
    assert change.left_out[0].text == "names: a stack with sixstead:dns has no server of its own"
