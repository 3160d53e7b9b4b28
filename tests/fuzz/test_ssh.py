"""SSH: an ssh_config, a ProxyCommand, known hosts and keys, whatever stands in them.

`Match exec` is left out: it is the one line for which ssh_config(5) says that a command is run when the file is read.
"""

from __future__ import annotations

import base64
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.init import known_hosts_key
from providers.host import connection
from providers.host.connection import Target, fingerprint_of, load_key, target
from providers.host.errors import ServerError, Unreachable
from settings import fingerprint
from settings.reader import Node, Wrong
from settings.ssh_keys import host_key, public_key
from tests.fuzz import odd, watch
from tests.unit.test_settings import BASE, FULL

_MADE = tempfile.TemporaryDirectory(prefix="sixstead-fuzz-")
FOLDER = Path(_MADE.name)
WHERE = Target("192.0.2.10", 22, "root", ())
KEYS = [FULL["keys"]["alice"], BASE["server"]["ssh"]["host_key"]]
words = st.one_of(
    st.sampled_from(
        [
            *(
                "Host",
                "Match",
                "HostName",
                "Port",
                "User",
                "IdentityFile",
                "ProxyCommand",
                "ProxyJump",
                "Include",
                "*",
                "!*",
                "all",
            ),
            *(
                "192.0.2.10",
                "host",
                "user",
                "originalhost",
                "canonical",
                "final",
                "22",
                "-1",
                "99999",
                "%h",
                "%%",
                "%d/x",
                "%n",
                "=",
                '"',
                "~/x",
            ),
            *("CanonicalizeHostname", "yes", "CanonicalDomains", "none", "\n", "\n", "\n", "\n  "),
        ]
    ),
    odd.text,
)
configs = st.lists(words, max_size=14).map(" ".join).filter(lambda text: "exec" not in text.lower())


def written(content: bytes) -> Path:
    path = FOLDER / "file"
    path.write_bytes(content)
    return path


@given(
    st.one_of(
        configs.map(lambda text: text.encode(errors="surrogatepass")),
        st.binary().filter(lambda b: b"exec" not in b.lower()),
    )
)
def test_an_ssh_config_gives_a_target_or_an_error(content: bytes) -> None:
    path = written(content)
    with watch.looking():
        try:
            where = target({"host": "192.0.2.10", "config": str(path)}, {})
        except ServerError:
            return
    assert 0 < where.port < 65536
    assert where.host
    assert where == target({"host": "192.0.2.10", "config": str(path)}, {})


@given(odd.text, odd.text)
def test_any_path_of_a_config_gives_a_target_or_an_error(config: str, identity: str) -> None:
    if "\0" in config + identity:
        return  # settings let no control character through
    with watch.looking(), contextlib.suppress(ServerError):
        target({"host": "192.0.2.10", "config": config, "identity_file": identity}, {})


@given(odd.text, st.one_of(odd.text, st.sampled_from(["relay %h %p %r", "'%h", "sh -c 'x %h'"])))
def test_a_proxy_command_has_the_words_that_were_written(host: str, command: str) -> None:
    where = Target(host, 22, "root", (), proxy_command=command)
    try:
        with watch.looking():
            arguments = connection.proxy_arguments(where)
    except Unreachable:
        return
    plain = connection.proxy_arguments(Target("x", 22, "root", (), proxy_command=command))
    assert len(arguments) == len(plain) > 0


@given(
    st.one_of(
        st.binary(),
        odd.text.map(lambda text: f"192.0.2.10 {text}\n".encode(errors="surrogatepass")),
        st.integers(0, 60).map(lambda n: f"192.0.2.10 {KEYS[1][:n]}\n".encode()),
    )
)
def test_known_hosts_have_a_key_or_none(content: bytes) -> None:
    path = written(content)
    with watch.looking():
        key = known_hosts_key(WHERE, "ssh-ed25519", path)
    assert key is None or str(key.fingerprint).startswith("SHA256:")


@st.composite
def spoilt_key(draw: st.DrawFn) -> Any:
    kind, data = draw(st.sampled_from(KEYS)).split()[:2]
    blob = bytearray(base64.b64decode(data))
    for _ in range(draw(st.integers(0, 2))):
        blob[draw(st.integers(0, len(blob) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.sampled_from([None, None, -1, 8]))
    kind = draw(st.sampled_from([kind, kind, "ssh-rsa", "sk-ssh-ed25519@openssh.com"]))
    return f"{kind} {base64.b64encode(blob[:cut]).decode()}{draw(odd.text)}"


@given(st.one_of(odd.yaml_values, spoilt_key(), st.sampled_from(KEYS)))
def test_a_public_key_is_one_or_is_refused(raw: Any) -> None:
    node = Node(raw, "x", [])
    try:
        with watch.looking():
            key, pinned = public_key(node), host_key(node)
    except Wrong as wrong:
        refusal = wrong
    else:
        is_the_same_when_read_again(key, pinned)
        return
    assert str(refusal).isprintable()


def is_the_same_when_read_again(key: str, pinned: str) -> None:
    assert public_key(Node(key, "x", [])) == key
    assert len(pinned.split()) == 2
    with watch.looking():
        assert fingerprint_of(pinned) == fingerprint(pinned)


PEM = "-----BEGIN {0} PRIVATE KEY-----\n{1}\n-----END {0} PRIVATE KEY-----\n"


@given(
    st.one_of(
        odd.text,
        st.builds(
            PEM.format,
            st.sampled_from(["OPENSSH", "RSA", "EC", "DSA", ""]),
            st.one_of(
                odd.text,
                st.binary(max_size=90).map(lambda b: base64.b64encode(b"openssh-key-v1\0" + b).decode()),
                st.binary(max_size=90).map(lambda b: base64.b64encode(b).decode()),
            ),
        ),
    ),
    st.one_of(st.none(), odd.text),
)
def test_a_private_key_that_is_none_is_told_without_its_text(text: str, passphrase: str | None) -> None:
    where = Target("192.0.2.10", 22, "root", (), passphrase=passphrase)
    with pytest.raises(Unreachable), watch.looking():
        load_key(text, where)
