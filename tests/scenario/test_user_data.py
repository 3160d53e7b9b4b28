"""A guest's user-data that was set as a secret is in no preview and in no state. Nothing here needs a server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPKSU9QcHje/xHyVcwmei9v3Z+5WsONKOGuhu5jyyRb4"
CONFIG = {
    "sixstead:server": {"ssh": {"host": "192.0.2.10", "host_key": KEY}, "hoster": "generic", "os": "debian-13"},
    "sixstead:uplink": {"name": "eth0", "mac": "52:54:00:aa:00:01"},
    "sixstead:prefixes": {"main": {"prefix": "2001:db8:1::/64", "gateway": "fe80::1", "delivery": "routed"}},
    "sixstead:images": {"d13": {"url": "http://images.example/d13.qcow2", "sha512": "ab" * 64}},
    "sixstead:guests": {"web": {"image": "d13", "memory": "128MiB"}},
}
USER_DATA = "#cloud-config\npassword: planted-in-user-data\n"


def sixstead(directory: Path, *arguments: str) -> str:
    command = ["./sixstead", *arguments, "-s", "userdata", "--config-file", str(directory / "stack.yaml")]
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{directory / 'state'}",
        "PULUMI_CONFIG_PASSPHRASE": "not a secret",
        "SIXSTEAD_ENGINE": "embedded",
    }
    done = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("secret", [True, False])
def test_user_data_is_shown_unless_it_was_set_as_a_secret(tmp_path: Path, secret: bool) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "stack.yaml").write_text(yaml.safe_dump({"config": CONFIG}))
    flags = ["--secret"] if secret else []
    sixstead(tmp_path, "config", "set", *flags, "--path", "sixstead:guests.web.user_data", USER_DATA)
    shown = sixstead(tmp_path, "preview", "--diff")
    assert ("planted-in-user-data" in shown) is not secret
    assert ("secretState: [secret]" in shown) is secret
    assert ("planted-in-user-data" in (tmp_path / "stack.yaml").read_text()) is not secret
