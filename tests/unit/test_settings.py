"""What a stack's config may say: tables of configs with the settings or the problems that they give."""

from __future__ import annotations

import copy
import datetime
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import CREDENTIALS, SECTIONS, Settings, SettingsError, guest_mac, parse
from settings.reader import Fields

CASES = Path(__file__).parent / "settings_cases"
SUMS = f"{'ab' * 64}  other.img\n{'cd' * 64} *d13.qcow2\n"


def load(name: str) -> Any:
    return yaml.safe_load((CASES / name).read_text())


BASE = load("base.yaml")
GOOD = load("good.yaml")
BAD = load("bad.yaml")


def changed(config: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396), applied to a copy."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(config) if isinstance(config, dict) else {}
    for key, value in patch.items():
        merged[key] = changed(merged.get(key), value)
    return {key: value for key, value in merged.items() if patch.get(key, value) is not None}


def read_file(path: str) -> str:
    if not path.startswith("sums/"):
        raise FileNotFoundError(2, "No such file or directory")
    return SUMS


def parsed(patch: Any) -> Settings:
    return parse(changed(BASE, patch), "kvm1", read_file)


def problems(config: Any) -> list[str]:
    with pytest.raises(SettingsError) as error:
        parse(config, "kvm1", read_file)
    return [str(problem) for problem in error.value.problems]


def plain(value: Any) -> Any:
    """A part of the settings as a table can write it."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str | dict) else str(value)


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[step] if isinstance(value, dict) else value[int(step)] if step.isdigit() else getattr(value, step)
    return value


@pytest.mark.parametrize("case", GOOD, ids=lambda case: case["case"])
def test_good_configs_say_what_was_meant(case: Any) -> None:
    settings = parsed(case["patch"])
    assert {path: plain(at(settings, path)) for path in case["settings"]} == case["settings"]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case["case"])
def test_bad_configs_are_refused_with_every_problem(case: Any) -> None:
    assert problems(changed(BASE, case["patch"])) == case["problems"]


def test_the_whole_error_can_be_shown_as_it_is() -> None:
    with pytest.raises(SettingsError) as error:
        parse(changed(BASE, {"guest": {}, "server": {"os": "debian-1"}}), "kvm1", read_file)
    assert str(error.value) == (
        "2 problems in the config of stack kvm1; nothing was touched:\n"
        "  sixstead:guest: there is no such key; did you mean `guests`?\n"
        "  sixstead:server.os: must be debian-12 or debian-13, not the text 'debian-1'; did you mean `debian-13`?"
    )


def test_a_number_of_thousands_of_digits_is_refused_like_any_other() -> None:
    config = changed(BASE, {"uplink": {"mtu": 10**5000}, "guests": {"web": {"user_data": {"x": 10**5000}}}})
    assert problems(config) == [
        "sixstead:uplink.mtu: must be a whole number from 1280 to 9216 bytes, not of thousands of digits",
        "sixstead:guests.web.user_data: must be a map of plain YAML values, or text",
    ]


def test_a_list_in_the_home_directory_of_nobody_is_told() -> None:
    config = changed(BASE, {"images": {"d13": {"sha256": None, "sha512sums": "~nobody-such/SUMS"}}})
    with pytest.raises(SettingsError, match=r"~nobody-such/SUMS can't be read: there is no such user"):
        parse(config, "kvm1")


def test_names_that_make_the_same_mac_are_told_with_the_remedy() -> None:
    seen: dict[str, str] = {}
    for number in range(100_000):
        name = f"g{number}"
        first = seen.setdefault(guest_mac(name), name)
        if first != name:
            break
    guests = {first: {"image": "d13", "memory": "1GiB"}, name: {"image": "d13", "memory": "1GiB"}}
    assert problems({**BASE, "guests": guests}) == [
        f"sixstead:guests.{name}.mac: the names of sixstead:guests.{first} and sixstead:guests.{name} make the same MAC, "
        f"{guest_mac(name)}: give one of them `mac:`"
    ]
    guests[name]["mac"] = "52:54:00:00:00:01"
    assert parse({**BASE, "guests": guests}, "kvm1").guests[first].mac == guest_mac(first)


def test_two_hundred_guests_fit_one_stack() -> None:
    guests = {
        f"g{number}": {"image": "d13", "memory": "1GiB", "mac": f"52:54:00:00:01:{number:02x}"} for number in range(200)
    }
    assert len(parse({**BASE, "guests": guests}, "kvm1").guests) == 200


def test_settings_compare_as_values_and_are_frozen() -> None:
    assert parsed({}) == parsed({})
    with pytest.raises(AttributeError):
        parsed({}).server.name = "other"  # type: ignore[misc]


def test_reading_settings_brings_neither_engine_nor_ssh() -> None:
    code = "import sys, settings; print(sorted({'pulumi', 'paramiko', 'grpc', 'socket'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "[]\n"


ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2.0, 1.5, 10**30, float("nan"), float("inf"), "", " ", "x", "on", "::", "fe80::1%x"),
    *(
        "1.2.3.4",
        "0.0.0.0/0",
        "::/0",
        "::/96",
        "2001:db8:1::/64",
        "64:ff9b::/96",
        "a" * 300,
        "\ud800",
        "\n",
        "main",
        "web",
    ),
    *(
        [],
        {},
        [[]],
        [None],
        {"": 1},
        {1: 2},
        {None: None},
        {True: {}},
        {"prefix": "x"},
        b"x",
        datetime.date(2025, 1, 1),
    ),
    *(("a", "b"), {"x": {"y": {"z": []}}}, "9" * 50, "2GiB", "-" * 64, "００", "192.168.255.0/24", "52:54:00:be:13:4a"),
]


def places(config: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(config, dict | list):
        for key, value in config.items() if isinstance(config, dict) else enumerate(config):
            yield from places(value, (*path, key))


def mutated(config: Any, rng: random.Random) -> Any:
    config = copy.deepcopy(config)
    for _ in range(rng.randint(1, 4)):
        path = rng.choice([path for path in places(config) if path])
        holder = config
        for step in path[:-1]:
            holder = holder[step]
        match rng.randrange(4):
            case 0:
                del holder[path[-1]]
            case 1 if isinstance(holder, dict):
                holder[rng.choice([*SECTIONS, *CREDENTIALS, "prefix", "mac", "disk", "x" * 40, 7])] = rng.choice(ODD)
            case 2 if isinstance(holder[path[-1]], str) and holder[path[-1]]:
                text = holder[path[-1]]
                where = rng.randrange(len(text))
                holder[path[-1]] = text[:where] + rng.choice("0:/.- \n%é" + text) + text[where + 1 :]
            case _:
                holder[path[-1]] = copy.deepcopy(rng.choice(ODD))
        if not config:
            break
    return config


FULL = changed(
    BASE,
    {
        "prefixes": {"b": {"prefix": "2001:db8:2::/64"}},
        "networks": {
            "main": {
                "ra": {"rdnss": ["2001:db8::53"], "dnssl": ["example.net"]},
                "nat64": {"pool": "192.168.9.0/24"},
                "dns64": {"forward": ["2001:db8::53"]},
            },
            "b": {"nat64": {"prefix": "2001:db8:64::/96"}, "dns64": False},
        },
        "guests": {
            "web": {
                "network": "main",
                "user_data": {"packages": ["nginx"]},
                "disk": {"size": "1GiB", "on_delete": "keep"},
            },
            "mail": {"network": "b", "mac": "52:54:00:00:00:01", "cmdline": "quiet", "image": "tiny"},
        },
        "firewall": [{"from": "web", "to": "mail", "tcp": [25, "30-40"]}],
        "rdns": {"provider": "robot", "domain": "example.net", "endpoint": "https://robot.example", "wait": 60},
    },
)


def outcome(config: Any) -> list[str] | None:
    """The problems of a config, or None."""
    try:
        parse(config, "kvm1", read_file)
    except SettingsError as error:
        return [str(problem) for problem in error.problems]
    return None


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_typed_gives_settings_or_problems(seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311
    accepted = 0
    for _ in range(250):
        told = outcome(mutated(FULL, rng))
        accepted += told is None
        assert told is None or told
        assert all("\n" not in line and line.encode() for line in told or [])
    assert accepted  # some changes are legal: else the base would be bad, and this would test nothing


ROOT = Path(__file__).parents[2]


def stack_config(name: str) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "stacks" / f"Pulumi.{name}.yaml").read_text())["config"]
    return {key.removeprefix("sixstead:"): value for key, value in config.items()}


def test_the_example_is_a_stack_that_could_be_used() -> None:
    settings = parse(stack_config("example"), "example")
    assert list(settings.guests) == ["web", "mail"]


def test_the_labs_stack_is_valid_with_the_checksums_that_the_lab_writes() -> None:
    names = ("tiny-vmlinuz", "tiny-initrd", "tiny-disk.qcow2")
    sums = "".join(f"{'ab' * 64}  {name}\n" for name in names)
    assert "web" in parse(stack_config("lab"), "lab", lambda path: sums).guests


def test_every_key_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {*SECTIONS, *CREDENTIALS}
    begin = Fields.__init__

    def record(self: Fields, node: Any, names: tuple[str, ...], example: str) -> None:
        known.update(names)
        begin(self, node, names, example)

    monkeypatch.setattr(Fields, "__init__", record)
    parse(FULL, "kvm1", read_file)
    described = (ROOT / "docs" / "config.md").read_text()
    assert {"ssh", "ipv4_addr", "dnssl", "on_delete", "format", "initrd", "udp"} <= known
    assert [name for name in sorted(known) if not re.search(rf"\b{name}\b", described)] == []
