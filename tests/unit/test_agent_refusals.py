"""What makes no sense - of a command, a file, a request, an answer - is told with what was seen."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from providers.host import errors
from providers.host.agent import ip_output, nft, packages, units
from providers.host.agent.backend import uplinks
from providers.host.agent.domain_xml import canonical, read
from providers.host.agent.frames import read_frame
from providers.host.agent.images import length_of
from providers.host.agent.main import Agent
from providers.host.agent.probes import is_reply
from providers.host.agent.qcow2 import parse_header
from providers.host.agent.requests import arguments_of
from providers.host.agent.system import HostError, Records


@pytest.mark.parametrize(
    ("parse", "words"),
    [
        (lambda: ip_output.parse_json("`ip`", "Cannot"), r"`ip` says is not understood \(JSONDecodeError\): Cannot"),
        (lambda: ip_output.parse_json("`ip`", "[1]"), r"not understood .*\[1\]"),
        (lambda: ip_output.parse_json("`ip`", "[" * 3000), "not understood"),
        (lambda: ip_output.parse_links([{"mtu": 1500}]), r"`ip link show`.*KeyError.*'mtu': 1500"),
        (lambda: ip_output.parse_links([{"ifname": "x", "mtu": 1, "linkinfo": None}]), "`ip link show`"),
        (lambda: ip_output.parse_links([{"ifname": "x\ny", "mtu": 1}]), "`ip link show`"),
        (lambda: ip_output.parse_addresses([{"ifname": "x", "addr_info": [{"local": "1.2.3", "prefixlen": 8}]}]), "1.2.3"),
        (lambda: ip_output.parse_addresses([{"ifname": "a", "addr_info": [{"local": "::1", "prefixlen": 8, "address": "x y"}]}]), "x y"),
        (lambda: ip_output.parse_routes("IPv6", [{"dev": "x"}]), "`ip route show`"),
        (lambda: units.parse_show(["a", "b"], "Id=a\n"), "`systemctl show` .*Id=a"),
        (lambda: nft.parse_counted({}), "`nft -j list table`"),
        (lambda: nft.parse_foreign({}, []), "`nft -j list ruleset`"),
        (lambda: read("<domain>"), "is no XML .*<domain>"),
        (lambda: read("\ud800"), "is no XML"),
        (lambda: canonical("<domain><memory>much</memory></domain>"), "a domain's definition .*much"),
        (lambda: canonical("<domain><memory unit='pages'>1</memory></domain>"), "a domain's definition"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_shown(parse: Callable[[], Any], words: str) -> None:
    with pytest.raises(HostError, match=words):
        parse()


def test_rows_that_are_cut_short_are_left_out(tmp_path: Path) -> None:
    assert packages.parse_installed("installed a\ninstalled \nconfig-files b\n") == {"a"}
    (tmp_path / "proc/net").mkdir(parents=True)
    (tmp_path / "proc/net/route").write_bytes(b"\xff\neth0 00000000\neth1 00000000 1 2 3 4 5 00000000 6\n")
    (tmp_path / "proc/net/ipv6_route").write_text(f"{'0' * 32} 00\n")
    assert uplinks(str(tmp_path)) == ["eth1"]


def test_a_raw_disk_that_begins_like_a_qcow2_one_can_name_no_place_beyond_any_file() -> None:
    start = b"QFI\xfb" + struct.pack(">IQI", 3, 2**64 - 9, 7) + bytes(60)
    header = parse_header(start, 0)
    assert header
    assert header.backing_file == ""


@pytest.mark.parametrize(
    ("header", "length"), [("17", 17), ("²", None), ("9" * 5000, None), ("-1", None), (None, None)]
)
def test_a_content_length_is_a_number_or_nothing(header: str | None, length: int | None) -> None:
    assert length_of(header) == length


def test_an_empty_packet_is_no_reply() -> None:
    assert not is_reply(2, b"", 7)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": 1}', b'{"name": "b"}', b"\xff", b"[" * 3000])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    records = Records(str(tmp_path))
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(HostError, match=r"a\.json is damaged"):
        list(records.names())
    with pytest.raises(HostError, match=r"a\.json is damaged"):
        records.get("a")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"op": "converge"}, "converge .*entries is missing"),
        ({"op": "converge", "args": []}, "its arguments are no map"),
        ({"op": "converge", "args": {"entries": {"a": {"files": []}}}}, "entries is missing or not as it must be"),
        ({"op": "network", "args": {"entries": {}, "gone": "all"}}, "gone is not as it must be"),
        ({"op": "remove", "args": {"previous": {}, "gone": []}}, "previous is missing or not"),
        ({"op": "confirm", "args": {"token": 1}}, "token is missing or not"),
        ({"op": "counted", "args": {"tables": ["-f /etc/passwd"]}}, "tables is missing or not"),
        ({"op": "observe", "args": {"wanted": 1}}, "wanted is not as it must be"),
    ],
)
def test_a_request_of_the_wrong_shape_is_refused_with_the_argument(frame: dict[str, Any], words: str) -> None:
    with pytest.raises(HostError, match=words):
        arguments_of(frame)


def test_a_frame_that_is_nested_too_deep_ends_the_session() -> None:
    content = b'{"id":' * 3000
    assert read_frame(io.BytesIO(struct.pack(">I", len(content)) + content)) is None


def test_half_characters_of_a_files_name_do_not_leave_the_host() -> None:
    sink = io.BytesIO()
    Agent(io.BytesIO(), sink, "").send({"id": 1, "progress": "\udcff \U0001f600"})
    assert json.loads(sink.getvalue()[4:]) == {"id": 1, "progress": "? \U0001f600"}


def test_a_servers_words_move_no_cursor() -> None:
    assert errors.printable("\x1b[2Jno\n\tspace\udcff") == "?[2Jno\n\tspace?"
