"""A stack's config file that can't be one, and words of `config set` that can't be keys: told, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import configfile, yamlfile
from engine.config import StackConfig
from engine.errors import EngineError
from engine.secrets import Crypter, Passphrase


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("web: 1\nmail: 2\nweb: 3\n", "found the key 'web' twice"),
        ("a: &a [*a]\n", "recursive"),
        ("a: !!binary aGk=\n", "binary"),
        ("a: !!timestamp soon\n", "timestamp"),
        ("a: !!bool perhaps\n", "is no boolean"),
        ("a: !!int many\n", "invalid literal"),
        ("a: !!python/object/apply:os.system [reboot]\n", "could not determine a constructor"),
        (f"a: {'9' * 5000}\n", "digits"),
        ("a: 0x10000000000000000\n", "64 bits"),
        ("[" * 5000, "nested too deep"),
        ("a: \ud800\n", "special characters are not allowed"),
    ],
)
def test_what_no_stack_can_say_is_told_with_the_file(text: str, words: str) -> None:
    with pytest.raises(EngineError, match=words) as error:
        yamlfile.parse(text, "Pulumi.x.yaml")
    assert str(error.value).startswith("Pulumi.x.yaml: not valid YAML: ")


def test_a_merged_map_may_say_a_key_anew() -> None:
    assert yamlfile.parse("a: &a {x: 1}\nb: {<<: *a, x: 2}\n", "") == {"a": {"x": 1}, "b": {"x": 2}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "not a text in UTF-8"),
        (b"- a\n", "not a mapping"),
        (b"config: [a]\n", "`config` is not a mapping"),
        (b"config: 7\n", "`config` is not a mapping"),
    ],
)
def test_a_file_that_is_no_stacks_is_neither_read_nor_changed(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=words):
        StackConfig(path, "x", "sixstead")
    with pytest.raises(EngineError, match=words):
        configfile.change(path, ["sixstead:server"], "x")
    assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["--5", "²", "٣", "9" * 5000, "9223372036854775808", "-0", "007", "+5", "1_0"])
def test_what_is_no_whole_number_of_64_bits_stays_text(text: str) -> None:
    assert configfile.typed(text) == text


def test_an_empty_path_is_no_key() -> None:
    with pytest.raises(EngineError, match="a key is missing"):
        configfile.keys_of("", "sixstead", path=True)


@pytest.mark.parametrize("text", ["v1:x:y", "v1:AAAA:é", "v1:AAAA:AAAA"])
def test_a_damaged_secret_is_told(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    salt = "v1:C0l7SKVRy/4=:v1:pr6KAkfx7+d+bKG2:45q8lzr/MzTT/KRMhQgRIQ/HFI/diA=="
    with pytest.raises(EngineError, match="secret is damaged"):
        Crypter(salt, Passphrase("x")).decrypt(text)
    with pytest.raises(EngineError, match="encryptionsalt is damaged"):
        Crypter("v1:é:v1:x:y", Passphrase("x")).encrypt("x")
