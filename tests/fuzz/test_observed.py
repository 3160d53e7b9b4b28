"""Whatever the host's own commands, files and images say: a value of the right shape, or a HostError that shows it."""

from __future__ import annotations

import io
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.host.agent import backend, ip_output, nft, packages, units
from providers.host.agent.answers import last_lines
from providers.host.agent.domain_xml import canonical, disks_of, files_of, interfaces_of, read, redefinition, running_as
from providers.host.agent.images import length_of
from providers.host.agent.iso9660 import NotIso, read_files
from providers.host.agent.probes import is_reply
from providers.host.agent.qcow2 import parse_header
from providers.host.agent.system import HostError, Records
from tests.fuzz import odd, watch

DOMAINS = [path.read_text() for path in sorted((Path(__file__).parents[1] / "unit" / "domains").glob("*.xml"))]


def told(read: Callable[[], Any]) -> Any:
    """What it gives, or None where it raises HostError; the error is short and fit for a terminal."""
    try:
        with watch.looking():
            return read()
    except HostError as error:
        found = error
    assert found.what.replace("\n", "").isprintable()
    assert len(found.what) < 500
    return None


LINKS = [
    {"ifname": "eth0", "address": "52:54:00:aa:00:01", "mtu": 1500, "flags": ["UP"], "linkinfo": {"info_kind": "veth"}},
    {"ifname": "br0", "address": "02:00:00:00:00:01", "mtu": 1400, "flags": [], "linkinfo": {"info_kind": "bridge"}},
]
ADDRESSES = [
    {
        "ifname": "eth0",
        "addr_info": [
            {"local": "2001:db8::2", "prefixlen": 64, "scope": "global"},
            {"local": "192.0.2.10", "address": "192.0.2.1", "prefixlen": 32, "scope": "global"},
            {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
        ],
    }
]
ROUTES = [
    {"dst": "default", "gateway": "fe80::1", "dev": "eth0", "flags": ["onlink"]},
    {"dst": "192.0.2.1", "dev": "eth0", "scope": "link"},
    {"dst": "default", "nexthops": []},
]
COUNTED = {
    "nftables": [
        {"metainfo": {"version": "1.0.6"}},
        {
            "rule": {
                "chain": "input",
                "comment": "all -> server: SSH",
                "expr": [{"match": {}}, {"counter": {"packets": 1, "bytes": 60}}, {"accept": None}],
            }
        },
    ]
}
NAMES = [
    *("ifname", "address", "mtu", "flags", "linkinfo", "addr_info", "local", "prefixlen", "dst", "dev", "gateway"),
    "rule",
]
names = st.one_of(st.sampled_from(NAMES), odd.text)
PARSERS: list[tuple[Any, Callable[[Any], dict[str, str]]]] = [
    (LINKS, ip_output.parse_links),
    (ADDRESSES, ip_output.parse_addresses),
    (ROUTES, lambda entries: ip_output.parse_routes("IPv6", entries)),
]


@pytest.mark.parametrize(("good", "parse"), PARSERS, ids=["links", "addresses", "routes"])
@given(data=st.data())
def test_ips_output_gives_words_or_an_error(
    good: Any, parse: Callable[[Any], dict[str, str]], data: st.DataObject
) -> None:
    entries = data.draw(odd.changed(good, odd.json_values, names))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return  # parse_json lets nothing else through
    values = told(lambda: parse(entries))
    assert values is None or values == parse(entries)
    for item, value in (values or {}).items():
        assert item.isprintable()
        assert value.isprintable()
        if parse is ip_output.parse_links:
            assert len(value.split(", ")) == 4
        if parse is ip_output.parse_addresses:
            assert not set(value.replace(",peer=", "")) - set("0123456789abcdef:./ ")


@given(
    st.one_of(
        odd.text,
        st.just('[{"a":' * 2000),
        st.just("[" + "1" * 5000 + "]"),
        st.just("[{},[]]"),
        st.just('[{"x":NaN},{}]'),
    )
)
def test_what_is_no_json_of_ips_is_an_error(text: str) -> None:
    entries = told(lambda: ip_output.parse_json("`ip`", text))
    assert entries is None or all(isinstance(entry, dict) for entry in entries)


@given(odd.changed(COUNTED, odd.json_values, names))
def test_nfts_counters_are_counters_or_an_error(ruleset: Any) -> None:
    rules = told(lambda: nft.parse_counted(ruleset))
    for rule in rules or []:
        assert isinstance(rule["packets"], int)
        assert isinstance(rule["comment"], str)
        assert rule["verdict"] in ("accept", "drop")


lines = st.lists(
    st.one_of(
        odd.text,
        st.builds(
            "{}={}".format,
            st.sampled_from(["LoadState", "UnitFileState", "ActiveState", "Id"]),
            st.one_of(st.sampled_from(["active", "masked", "not-found", "enabled"]), odd.text),
        ),
        st.just(""),
    ),
    max_size=12,
).map("\n".join)


@given(lines)
def test_systemctls_output_gives_a_value_for_each_unit_or_an_error(text: str) -> None:
    shown = told(lambda: units.parse_show(["a.service", "b.service"], text))
    for properties in (shown or {}).values():
        assert set(shown) == {"a.service", "b.service"}
        with watch.looking():
            value = units.parse(properties, True)
        assert value is None or value


@given(
    st.lists(
        st.one_of(
            odd.text,
            st.sampled_from(
                ["installed a", "installed ", "installed", "config-files b", "a\tb (>= 1) | c, d:any", "\t, ,|"]
            ),
        ),
        max_size=8,
    ).map("\n".join)
)
def test_dpkgs_output_gives_names(text: str) -> None:
    with watch.looking():
        installed, depends = packages.parse_installed(text), packages.parse_dependencies(text)
        found = packages.closure(installed, depends)
    assert installed <= found
    assert all(name and not name.isspace() for name in installed)


@given(
    st.binary(max_size=300),
    st.lists(
        st.one_of(odd.text, st.sampled_from(["eth0", "lo", "eth0 00000000", f"{0:032} 00", "a b c d e", "00000000"])),
        max_size=8,
    ),
)
def test_the_kernels_routes_give_a_backend(content: bytes, words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for name, text in (
            ("route", " ".join(words).encode(errors="replace") + b"\n" + content),
            ("ipv6_route", content + b"\n" + " ".join(words).encode(errors="replace")),
        ):
            Path(root, "proc/net").mkdir(parents=True, exist_ok=True)
            Path(root, "proc/net", name).write_bytes(text)
        Path(root, "run/systemd/netif/links").mkdir(parents=True)
        Path(root, "sys/class/net/eth0").mkdir(parents=True)
        Path(root, "sys/class/net/eth0/ifindex").write_bytes(b"2\n")
        Path(root, "run/systemd/netif/links/2").write_bytes(content)
        with watch.looking():
            assert backend.backend(root) in ("ifupdown", "networkd", "netplan")


@st.composite
def xml(draw: st.DrawFn) -> str:
    """A domain's definition with something else in some places of it."""
    text = draw(st.sampled_from(DOMAINS))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        piece = draw(st.one_of(odd.text, st.sampled_from(PIECES)))
        end = draw(st.sampled_from([at, at, at + 1, at + 9, len(text)]))
        text = text[:at] + piece + text[end:]
    return draw(st.sampled_from([text, text, text.replace("'KiB'", draw(st.sampled_from(["'TiB'", "''", "'GB'"])))]))


PIECES = [
    "<memory>x</memory>",
    "<a>" * 2000,
    "<a/>",
    "<!-- x -->",
    "<?x y?>",
    "&#10;",
    "&x;",
    "<!DOCTYPE d [<!ENTITY x 'y'>]>",
    " xmlns:q='urn:q'",
    "<q:a xmlns:q='u'/>",
]


@given(xml())
def test_a_domains_definition_is_read_or_an_error(text: str) -> None:
    told(lambda: (files_of(read(text)), disks_of(read(text)), interfaces_of(read(text))))
    told(lambda: redefinition(DOMAINS[0], text))
    first = told(lambda: canonical(text))
    if first is not None:
        assert running_as(running_as(first)) == running_as(first)
        assert canonical(text) == first


@given(st.binary(max_size=200), st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
def test_a_disks_first_bytes_are_a_header_or_none(content: bytes, numbers: list[int], length: int) -> None:
    with tempfile.TemporaryFile() as file:
        start = (
            b"QFI\xfb" + (3).to_bytes(4, "big") + numbers[0].to_bytes(8, "big") + length.to_bytes(4, "big") + bytes(4)
        )
        start += numbers[1].to_bytes(8, "big") + bytes(40) + numbers[2].to_bytes(8, "big") + content
        file.write(start)
        file.flush()
        for text in (start, content, start[: 4 + len(content)]):
            with watch.looking():
                header = parse_header(text, file.fileno())
            assert header is None or header.size >= 0


@given(st.binary(max_size=400), st.integers(0, 300), st.booleans())
def test_an_image_is_a_seed_or_none(content: bytes, at: int, joliet: bool) -> None:
    descriptor = bytearray(b"\x02CD001\x01".ljust(2048, b"\0"))
    descriptor[88:90] = b"%/"
    descriptor[156:190] = (
        content[:34] if not joliet else b"\x22\0\x11\0\0\0" + bytes(4) + b"\0\x08\0\0" + bytes(20)
    ).ljust(34, b"\0")
    image = bytes(16 * 2048) + bytes(descriptor) + (bytes(at) + content).ljust(2048, b"\0")
    for whole in (image, content, image[: -1 - at]):
        try:
            with watch.looking():
                files = read_files(io.BytesIO(whole))
        except NotIso:
            continue
        assert all(isinstance(name, str) for name in files)


@given(
    st.binary(max_size=60),
    st.sampled_from([socket.AF_INET, socket.AF_INET6]),
    st.one_of(st.none(), odd.text, st.just("9" * 5000)),
)
def test_packets_consoles_and_headers_may_hold_anything(content: bytes, family: int, header: str | None) -> None:
    with watch.looking():
        assert is_reply(family, content, 7) in (True, False)
        text = last_lines(content)
        assert (length_of(header) or 0) >= 0
    assert text.replace("\n", "").isprintable()


@given(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"[]", b'{"name": 1}', b'{"name": "b", "value": 1}', b"[" * 3000, b'{"name": "a"}']),
    )
)
def test_a_damaged_record_is_told(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        records = Records(folder)
        Path(records.path("a")).write_bytes(content)
        assert told(lambda: list(records.names())) in (None, ["a"])
        told(lambda: records.get("a"))
