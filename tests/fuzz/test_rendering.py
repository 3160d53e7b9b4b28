"""Settings that are accepted, whatever stands in them: each rendered line is one that they mean, and none is another one's."""

from __future__ import annotations

import re
import shutil
import subprocess
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.server import members
from providers import find_uplink, hypervisor
from providers.cloud_init import render_seed
from providers.guest_xml import disk_path, render_domain, seed_path
from providers.host.agent.domain_xml import canonical, read
from providers.host.agent.facets import State
from settings import Settings, SettingsError, parse
from settings.problems import child_key
from tests.fuzz import odd, watch
from tests.unit.test_rendering import everything
from tests.unit.test_settings import FULL, read_file

labels = st.one_of(
    st.sampled_from(
        ["web", "null", "123", "no", "1e5", "0x1f", "a" * 63, "up", "dev", "x-y", "0", "all", "-x", "x\n", "$(x)"]
    ),
    st.text("abz09-", min_size=1, max_size=20),
)
interfaces = st.sampled_from(
    [
        *("eth0", "br-main", "up", "dev", "123", "_", "a" * 15, "E-0_x", "br0"),
        *("-", "-4", "all", "default", "lo", "ndp-proxy", "nat64", "v-web", "*", "eth0:1", "x\ny", "$(x)", "a;b", ""),
    ]
)
shell = st.sampled_from([word for word in odd.WORDS if word.strip() == word and word.isprintable() and word])
lines = st.one_of(shell, st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30))
ports = st.lists(st.one_of(st.integers(1, 65535), st.sampled_from(["1-65535", "80-90", "443"])), max_size=2)
macs = st.sampled_from(["52:54:00:00:00:01", "02:ff:ff:ff:ff:ff", "ac:de:48:00:11:22", "90:1b:0e:00:00:01"])
addresses = st.one_of(
    st.integers(1, 2**64 - 1).map(lambda n: str(IPv6Address(n))),
    st.integers(0, 2**125 - 1).map(lambda n: str(IPv6Address(n + 2**125))),
    st.sampled_from(["fe80::1%x", "192.0.2.53"]),
)
networks4 = st.sampled_from(["192.168.9.0/24", "10.0.0.0/8", "100.64.0.0/29", "192.0.2.0/24"])


def maps(**entries: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Maps of which every entry may be missing."""
    return st.fixed_dictionaries({}, optional=entries)


KEY = FULL["keys"]["alice"].rpartition(" ")[0]
guests = st.fixed_dictionaries(
    {"image": st.sampled_from(["d13", "tiny"]), "memory": st.sampled_from(["64MiB", "1.5GiB", "1TiB"]), "network": st.just("main")},
    optional={
        "disk": st.sampled_from(["1GiB", {"on_delete": "delete"}, {"size": "2TiB", "on_delete": "delete"}]),
        "keys": st.just(["alice"]),
        "open": maps(tcp=ports, udp=ports),
        "mac": macs,
        "address": addresses,
        "cmdline": lines,
        "vcpus": st.integers(1, 512),
        "user_data": st.one_of(
            st.dictionaries(odd.text, odd.scalars, max_size=2), lines.map(lambda line: f"#cloud-config\n{line}\n")
        ),
    },
)  # fmt: skip
configs = st.fixed_dictionaries(
    {
        "server": st.fixed_dictionaries(
            {
                **{key: st.just(value) for key, value in FULL["server"].items() if key not in ("name", "hoster")},
                "backend": st.sampled_from(["ifupdown", "networkd", "netplan"]),
            },
            optional={"name": labels, "hoster": st.just("hetzner"), "open": maps(tcp=ports, udp=ports)},
        ),
        "uplink": st.fixed_dictionaries(
            {"name": interfaces, "mac": st.just("90:1b:0e:00:00:01")},
            optional={
                "ipv4": st.sampled_from(
                    [{"address": f"192.0.2.10/{n}", "gateway": g} for n in (26, 32) for g in ("192.0.2.1", "192.0.2.200")]
                ),
                "mtu": st.integers(1280, 9216),
            },
        ),
        "prefixes": st.fixed_dictionaries(
            {
                "main": st.fixed_dictionaries(
                    {
                        "prefix": st.just("2001:db8:1::/64"),
                        "gateway": st.one_of(st.sampled_from(["fe80::1", "2001:db8:1::1", "2001:db8:ff::1"]), addresses),
                        "delivery": st.sampled_from(["routed", "on-link"]),
                    },
                    optional={"address": addresses},
                )
            }
        ),
        "networks": st.fixed_dictionaries(
            {
                "main": maps(
                    bridge=interfaces,
                    mac=macs,
                    mtu=st.integers(1280, 9216),
                    nat64=st.one_of(st.booleans(), maps(prefix=st.just("2001:db8:64::/96"), pool=networks4, ipv6_addr=addresses)),
                    dns64=st.one_of(st.booleans(), maps(forward=st.lists(addresses, max_size=2))),
                    ra=maps(
                        max_interval=st.integers(4, 1800),
                        rdnss=st.lists(addresses, max_size=2),
                        dnssl=st.lists(st.sampled_from(["example.net", "a-b.c", "x y", "x;"]), max_size=2),
                    ),
                )
            }
        ),
        "keys": st.fixed_dictionaries({"alice": lines.map(lambda comment: f"{KEY} {comment}")}),
        "images": st.fixed_dictionaries(
            {
                "d13": st.just(FULL["images"]["d13"]),
                "tiny": lines.map(lambda words: {**FULL["images"]["tiny"], "cmdline": words}),
            }
        ),
        "guests": st.dictionaries(labels, guests, min_size=1, max_size=3),
    }
)  # fmt: skip


def accepted(config: Any) -> Settings | None:
    """The settings, with what spoils them taken out of the config, entry by entry; None where that leaves nothing."""
    for _ in range(20):
        try:
            return parse(config, "kvm1", read_file)
        except SettingsError as error:
            if not any(remove(config, problem.key) for problem in error.problems):
                return None
    return None


def remove(config: Any, key: str) -> bool:
    """Take the entry that a problem's key names out of the config, or the nearest one above it that may go."""
    if key.startswith("sixstead:uplink.name"):
        config["uplink"]["name"] = "eth0"
        return True
    found: tuple[Any, int | str] | None = None
    holder, at = config, "sixstead:"
    while isinstance(holder, dict | list):
        for name, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            inner = child_key(at, name)
            if key == inner or key.startswith((f"{inner}.", f"{inner}[")):
                found, holder, at = (holder, name), value, inner
                break
        else:
            break
    if found is None or at.count(".") == 0:
        return False
    del found[0][found[1]]
    return True


INTERFACE = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,14}"
V4, V6, MAC = r"[0-9.]+(?:/[0-9]+)?", r"[0-9a-f:.]+(?:/[0-9]+)?", r"[0-9a-f:]{17}"
FORMS = {
    r"/etc/network/interfaces(\.d/.*)?": [
        r"# Written by Sixstead[^\n]*", "source /etc/network/interfaces.d/\\*", "", "auto lo", "iface lo inet loopback",
        f"auto {INTERFACE}", f"iface {INTERFACE} inet static", f"iface {INTERFACE} inet6 (static|manual)",
        f"    (address|gateway|pointopoint) ({V4}|{V6})", "    mtu [0-9]+", "    accept_ra 0", "    dad-attempts 0",
        f"    up ip( -6)? route replace (default via )?({V4}|{V6}) dev {INTERFACE}( onlink)?",
        f"    pre-up ip link show dev ({INTERFACE}) >/dev/null 2>&1 \\|\\| ip link add name \\1 type bridge",
        f"    pre-up ip link set dev {INTERFACE} address {MAC} mtu [0-9]+",
        f"    post-down ip link delete dev {INTERFACE}",
        f"    up sysctl -q -w net/ipv6/conf/{INTERFACE}/proxy_ndp=1",
        f"    up ip -6 neighbour replace proxy {V6} dev {INTERFACE}",
    ],
    r"/etc/systemd/system/.*": [
        r"[^$`&|;<>%\\]*",
        r"ExecStartPre=-/bin/sh -c 'n=300; for bridge in " + f"{INTERFACE}( {INTERFACE})*" + re.escape(
            "; do until [ -e /sys/class/net/$$bridge ] || [ $$n -le 0 ]; do sleep 0.1; n=$$((n - 1)); done; done'"
        ),
    ],
    r"/etc/systemd/network/.*": [
        r"# Written by Sixstead[^\n]*", "", r"\[(Match|Network|Link|NetDev|Address|Route)\]",
        f"Name={INTERFACE}( {INTERFACE})*", "Unmanaged=yes", "RequiredForOnline=no",
        "(Kind|DHCP|LinkLocalAddressing|IPv6LinkLocalAddressGenerationMode|IPv6AcceptRA|KeepConfiguration|Scope"
        "|ConfigureWithoutCarrier|GatewayOnLink|DuplicateAddressDetection|IPv6ProxyNDP)=[a-z0-9]+",
        f"(Address|Gateway|Destination|IPv6ProxyNDPAddress)=({V4}|{V6})", "MTUBytes=[0-9]+", f"MACAddress={MAC}",
    ],
    r"/etc/(sixstead/.*\.nft|radvd.conf|unbound/.*|sixstead/.*\.conf|sysctl.d/.*|netplan/.*|cloud/.*)": [
        r"[-A-Za-z0-9_.,:;/!=@#{}\[\]\"'<>* \t`]*",
    ],
}  # fmt: skip
"""By path: what every line must be, from end to end. Nothing else is on a host's shell lines than names and addresses."""


SCRIPTS = {find_uplink.PATH: find_uplink.SCRIPT, hypervisor.PATH: hypervisor.SCRIPT}
"""The same on every host."""


def texts(state: State) -> dict[str, str]:
    return {path: value if isinstance(value, str) else value["text"] for path, value in state["files"].items()}


@given(configs)
def test_accepted_settings_render_to_lines_that_they_mean(config: Any) -> None:
    settings = accepted(config)
    hypothesis.assume(settings is not None)
    assert settings is not None
    with watch.looking():
        files = texts(everything(settings))
        states = [member.state for member in members(settings)]
    for path, text in files.items():
        assert re.fullmatch(r"(/[A-Za-z0-9_.@-]+)+", path)
        assert ".." not in path
        if path in SCRIPTS:
            assert text == SCRIPTS[path]
            continue
        forms = [form for pattern, forms in FORMS.items() if re.fullmatch(pattern, path) for form in forms]
        for line in text.split("\n"):
            assert any(re.fullmatch(form, line, re.ASCII) for form in forms), (path, line)
        if path.endswith((".yaml", ".cfg")):
            yaml.safe_load(text)
    written = [path for state in states for path in state.get("files", {})]
    assert len(written) == len(set(written)), "two members want one file"
    for state in states:
        for key in state.get("sysctls", {}):
            assert not re.match(r"net\.ipv[46]\.conf\.(all|default)\.", key) or key.endswith("forwarding")


@given(configs)
def test_accepted_guests_are_described_as_their_settings_say(config: Any) -> None:
    settings = accepted(config)
    hypothesis.assume(settings is not None and settings.guests)
    assert settings is not None
    for guest in settings.guests.values():
        with watch.looking():
            text, seed = render_domain(guest, settings.server.kvm), render_seed(guest)
            assert canonical(text) == text
        root = read(text)
        assert root.findtext("name") == guest.name
        assert [element.get("file") for element in root.iter("source") if element.get("file")] == [
            *([disk_path(guest)] if guest.disk else []),
            *([seed_path(guest)] if len(root.findall("devices/disk")) > bool(guest.disk) else []),
        ]
        if guest.image.boot:
            words = [guest.image.boot.cmdline, f"hostname={guest.name}", guest.cmdline]
            assert root.findtext("os/cmdline") == " ".join(word for word in words if word)
        meta = yaml.safe_load(seed["meta-data"])
        assert meta["local-hostname"] == guest.name
        assert meta["instance-id"] == f"sixstead-{guest.name}"
        assert meta.get("public-keys", []) == [key.text for key in guest.keys]
        assert set(yaml.safe_load(seed["network-config"])["ethernets"]["uplink"]) <= {
            *("match", "dhcp4", "dhcp6", "accept-ra", "addresses", "mtu")
        }
        for content in seed.values():
            content.encode()


@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not there")
@hypothesis.settings(max_examples=hypothesis.settings().max_examples // 10)
@given(config=configs)
def test_nft_takes_the_rules_of_accepted_settings(tmp_path_factory: pytest.TempPathFactory, config: Any) -> None:
    settings = accepted(config)
    hypothesis.assume(settings is not None)
    assert settings is not None
    folder = tmp_path_factory.getbasetemp()
    for path, text in texts(everything(settings)).items():
        if path.endswith(".nft"):
            file = folder / Path(path).name
            file.write_text(text)
            done = subprocess.run(["nft", "-c", "-f", str(file)], capture_output=True, text=True)
            assert "Operation not permitted" in done.stderr or done.returncode == 0, done.stderr
