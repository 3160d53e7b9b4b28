"""Stack config files: what is no YAML, or none that a stack can have, is an EngineError; a change changes one value."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import configfile, yamlfile
from engine.config import StackConfig
from engine.errors import EngineError
from engine.secrets import Crypter, Passphrase
from tests.fuzz import odd, watch
from tests.unit.test_settings import ROOT

FILES = [path.read_text() for path in sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))]
SMALL = """\
# A comment
config:
  sixstead:server:   # another
    ssh: {host: 192.0.2.10, port: 22}
    name: "kvm1"
    keys:
      - a
      - b: 1
        c: |
          text
  sixstead:uplink: x

  other:new: [1, 2]
encryptionsalt: v1:x
"""
PIECES = [
    *(
        "a: ",
        "- ",
        "? ",
        ": ",
        "&a ",
        "*a",
        "<<: *a",
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!timestamp ",
        "!!binary ",
        "!!set ",
        "!x ",
    ),
    *(
        "!!python/object/apply:os.system [reboot]",
        "!!omap ",
        "!!pairs ",
        "!!null ",
        "|\n",
        ">\n",
        "%YAML 1.1\n---\n",
        "---\n",
        "...\n",
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        '"',
        "'",
        "#",
        "\n",
        "\n  ",
        "  ",
        "\t",
        "\x85",
        "\u2028",
        "config:\n",
        "sixstead:server:\n",
        "[[[[" * 500,
    ),
    *(
        "{a: " * 1500,
        "- " * 1500,
        "1" * 5000,
        "0x",
        "0o",
        "-0b",
        "1_",
        "_",
        ".inf",
        ".nan",
        "1e999",
        "+.inf",
        "0777",
        "é",
        "\U0001f600",
    ),
]
snippets = st.lists(st.one_of(st.sampled_from(PIECES), odd.text), max_size=12).map("".join)


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A stack's file, with something else in a place or two of it."""
    text = draw(st.sampled_from([SMALL, SMALL, *FILES]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(snippets) + text[at + draw(st.integers(0, 20)) :]
    return text


@given(st.one_of(snippets, spoilt()))
def test_a_text_is_plain_data_or_an_error(text: str) -> None:
    with watch.looking():
        try:
            data = yamlfile.parse(text, "Pulumi.x.yaml")
        except EngineError:
            return
        again = yamlfile.parse(text, "Pulumi.x.yaml")
    assert repr(data) == repr(again)
    assert {type(odd.at(data, path)) for path in odd.places(data)} <= {dict, list, str, int, float, bool, type(None)}


@given(st.one_of(st.one_of(snippets, spoilt()).map(lambda text: text.encode(errors="surrogatepass")), st.binary()))
def test_a_stacks_file_is_a_config_or_an_error(content: bytes) -> None:
    path = FOLDER / "sixstead-fuzz.yaml"
    path.write_bytes(content)
    with watch.looking():
        try:
            config = StackConfig(path, "dev", "sixstead")
            config.values()
        except EngineError:
            return
        values = config.values()
        assert values == StackConfig(path, "dev", "sixstead").values()
    assert all(isinstance(key, str) and isinstance(text, str) for key, text in values.items())


@given(
    st.one_of(
        odd.text,
        st.text("v1:A=/+é", max_size=40),
        st.binary(max_size=60).map(lambda b: f"v1:{b64encode(b[:12]).decode()}:{b64encode(b[12:]).decode()}"),
    )
)
def test_a_damaged_secret_is_told(text: str) -> None:
    with pytest.raises(EngineError), watch.looking():
        CRYPTER.decrypt(text)


@given(odd.text, st.booleans())
def test_a_key_on_the_command_line_is_one_or_is_refused(key: str, path: bool) -> None:
    with watch.looking():
        try:
            keys = configfile.keys_of(key, "sixstead", path)
        except EngineError:
            return
        assert ":" in str(keys[0])
        assert configfile.keys_of(str(keys[0]), "sixstead", False)[0] == keys[0]


@given(st.one_of(odd.text, st.from_regex(r"[-+]*[0-9²٣]+", fullmatch=True), st.just("9" * 5000)))
def test_a_value_on_the_command_line_is_a_text_a_number_or_a_boolean(text: str) -> None:
    with watch.looking():
        value = configfile.typed(text)
    assert value == text or str(value).lower() == text.removeprefix("+")


SALT = "v1:C0l7SKVRy/4=:v1:pr6KAkfx7+d+bKG2:45q8lzr/MzTT/KRMhQgRIQ/HFI/diA=="  # made by pulumi for the empty passphrase
_MADE = tempfile.TemporaryDirectory(prefix="sixstead-fuzz-")
FOLDER = Path(_MADE.name)
CRYPTER = Crypter(SALT, Passphrase("lab"))


@pytest.fixture(autouse=True, scope="module")
def _empty_passphrase() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
        yield


names = st.one_of(st.sampled_from(["server", "ssh", "host", "keys", "tcp", "a b", "uplink", "new", "x.y"]), odd.text)
paths = st.builds(
    lambda first, rest: [f"sixstead:{first}", *rest], names, st.lists(st.one_of(names, st.integers(0, 3)), max_size=3)
)
values = st.one_of(odd.text, st.integers(-(2**63), 2**63), st.booleans(), st.just({"secure": "v1:x:y"}))


@given(st.one_of(st.just(SMALL), st.just(SMALL), spoilt(), snippets), paths, values, st.booleans())
def test_a_change_of_a_file_changes_one_value(text: str, keys: Any, value: Any, remove: bool) -> None:
    path = FOLDER / "sixstead-fuzz-change.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    before = path.read_bytes()
    try:
        configfile.change(path, keys, value, remove=remove)
    except EngineError:
        assert path.read_bytes() == before
        return
    config = yamlfile.read(path).get("config") or {}
    if remove:
        with pytest.raises(KeyError):
            configfile.get(config, keys) if not isinstance(keys[-1], int) else configfile.get({}, keys)
    else:
        assert configfile.get(config, keys) == value
    others = yamlfile.stack(yamlfile.parse(before.decode(), ""), "")[1]
    for made in (config, others):
        made.pop(keys[0], None)
    assert repr(config) == repr(others)
