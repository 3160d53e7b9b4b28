"""Every secret that the process can know of is masked, wherever it has it from."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import yaml

from cli.changes import Preview
from cli.comment import Change
from cli.preview_comment import about, place, text_of
from engine.secrets import Crypter, Passphrase, new_salt

PASSPHRASE, TSIG = "planted-passphrase-51c7", "cGxhbnRlZC10c2lnLWtleQ=="
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\nplanted/second/line\n-----END OPENSSH PRIVATE KEY-----\n"
HIDDEN = [PASSPHRASE, "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU", "planted/second/line", TSIG]


@pytest.fixture(params=["texts", "files"])
def stack(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a stack `dns` and its secrets, given to the process as texts, and by the files that have them."""
    (tmp_path / "passphrase").write_text(f"{PASSPHRASE}\n")
    (tmp_path / "observer").write_text(KEY)
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE", "SIXSTEAD_OBSERVER_KEY"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "texts":
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PASSPHRASE)
        monkeypatch.setenv("SIXSTEAD_OBSERVER_KEY", KEY)
    else:
        monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
        monkeypatch.setenv("SIXSTEAD_OBSERVER_KEY", str(tmp_path / "observer"))
    (tmp_path / "Pulumi.yaml").write_text("name: sixstead\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    passphrase = Passphrase("dns")
    salt = new_salt(passphrase.get())
    secure = Crypter(salt, passphrase).encrypt(f"hmac-sha256:sixstead:{TSIG}\n")
    config = {"sixstead:tsigKey": {"secure": secure}, "sixstead:dns": {"primaries": {"ns1": {}}}}
    document = {"encryptionsalt": salt, "config": config}
    (tmp_path / "stacks" / "Pulumi.dns.yaml").write_text(yaml.safe_dump(document))
    return tmp_path


def test_secrets_in_variables_files_and_config_stand_nowhere(stack: Path) -> None:
    urn = "urn:pulumi:dns::sixstead::sixstead:Server$x:y:Guest::web"
    shown = {"text": "\n".join(f"is it {guess}?" for guess in HIDDEN)}
    preview = Preview(changes=[Change(urn, "create", None, shown)], errors=HIDDEN)
    args = argparse.Namespace(config_file=None, notes=list(HIDDEN), limit=60_000)
    text = text_of(args, stack, "dns", preview, refreshed=False)
    assert text.count("is it [secret]?") == len(HIDDEN)
    assert not [secret for secret in HIDDEN if secret in text]


def test_a_file_that_is_not_there_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SIXSTEAD_OBSERVER_KEY", str(tmp_path))
    assert os.environ.get("PULUMI_CONFIG_PASSPHRASE") or about(tmp_path, "dns", None)[1] == [str(tmp_path)]


def test_a_stack_of_names_is_at_its_primaries() -> None:
    assert place({"ssh": {"host": "192.0.2.10"}}, None) == "192.0.2.10"
    assert place(None, {"primaries": {"ns1": {}, "files": {}}}) == "ns1, files"
    assert place(None, {}) == "no primary"
    assert place(None, None) == "?"
