"""A real Debian image in a guest: cloud-init reads its seed, the disk grows, keys and user-data arrive."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Network

import pytest

from lab.errors import LabError
from lab.keys import public_key
from providers.host.agent.domain_xml import NAMESPACE
from settings import eui64, guest_mac
from tests.scenario.harness import Stack, wait_until


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    made = make_stack("embedded")
    made.lab.make_cloud_image()
    sums = f".lab/{made.lab.name}/SHA512SUMS"
    made.write(
        keys={"operator": public_key(made.lab.name, "login")},
        images={"d13": {"url": "http://images.example/debian-13-cloud.qcow2", "sha512sums": sums}},
        guests={
            "debian": {
                "image": "d13",
                "memory": "512MiB",
                "disk": "3GiB",
                "keys": ["operator"],
                "user_data": {"write_files": [{"path": "/etc/from-user-data", "content": "arrived"}]},
            }
        },
    )
    return made


def lets_in(stack: Stack, address: str) -> bool:
    """Whether SSH into the guest works: it does some time after ping does."""
    try:
        return stack.lab.exec(address, ["true"]).returncode == 0
    except LabError:
        return False


def test_a_debian_guest_comes_up_as_its_config_says(stack: Stack) -> None:
    stack.up()
    network = next(iter(stack.config["prefixes"].values()))["prefix"]
    address = str(eui64(IPv6Network(network), guest_mac("debian")))
    assert stack.reachable(address, 30)
    wait_until(lambda: lets_in(stack, address), 120, "no SSH into the guest")
    assert stack.guest(address, "hostname").strip() == "debian"
    assert stack.guest(address, "cat", "/etc/from-user-data").strip() == "arrived"
    assert int(stack.guest(address, "df", "--output=size", "-BM", "/").split()[-1].rstrip("M")) > 2500
    page = stack.guest(address, "curl", "-sS", "--max-time", "10", "http://v4only.example/")
    assert page.strip() == "hello from v4only.example"
    assert NAMESPACE in stack.server("virsh", "dumpxml", "debian")
    stack.preview("--refresh", "--expect-no-changes")
