"""Secrets, config, checkpoints, paths and their order: the pure parts of the embedded engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoint as checkpoints
from engine import configfile, graph, paths, yamlfile
from engine.checkpoint import Checkpoint, Operation
from engine.config import StackConfig, as_text
from engine.durable import PRIVATE, SHARED, write_durably
from engine.errors import EngineError, Unsupported, clean_message
from engine.secrets import Crypter, Passphrase, new_salt
from engine.snapshot import Snapshot
from engine.state import State, from_json, to_json
from engine.steps import Step
from engine.values import RESOURCE_SIG, SIG, UNKNOWN, Secret, annotate_secrets, from_proto, same, to_proto

# Made by pulumi 3.260 with the empty passphrase.
SALT = "v1:C0l7SKVRy/4=:v1:pr6KAkfx7+d+bKG2:45q8lzr/MzTT/KRMhQgRIQ/HFI/diA=="
IN_CONFIG = ("v1:bFw1dg3lHNc01jF7:bJg9SQIiN5ZuvujXYmu9Zc9AWKSOS8A=", "hunter2")
IN_STATE = ("v1:GaiXnD3f6CbTYJEX:XfkPwaWv9CQ4vL1tvpMy1jFaJyX5HuJ14g==", '"hunter2"')
URN = "urn:pulumi:dev::toy::toy:index:Thing::"


@pytest.fixture(autouse=True)
def _empty_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")


def crypter() -> Crypter:
    return Crypter(SALT, Passphrase("dev"))


@pytest.mark.parametrize(("ciphertext", "plaintext"), [IN_CONFIG, IN_STATE])
def test_pulumi_s_secrets_are_read(ciphertext: str, plaintext: str) -> None:
    assert crypter().decrypt(ciphertext) == plaintext


def test_a_secret_comes_back_and_never_looks_the_same() -> None:
    one, two = crypter().encrypt("pässword"), crypter().encrypt("pässword")
    assert one != two
    assert crypter().decrypt(one) == crypter().decrypt(two) == "pässword"
    salt = new_salt("")
    assert Crypter(salt, Passphrase("dev")).decrypt(Crypter(salt, Passphrase("dev")).encrypt("x")) == "x"


def test_a_wrong_passphrase_is_noticed_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    with pytest.raises(EngineError, match="incorrect passphrase"):
        crypter().encrypt("x")


def test_a_passphrase_comes_from_a_file_or_is_empty_for_the_lab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    assert Passphrase("lab").get() == ""
    (tmp_path / "phrase").write_text("words\n")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "phrase"))
    assert Passphrase("dev").get() == "words"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("52:54:00:12:34:56", "52:54:00:12:34:56"),
        ("190:20:30", "190:20:30"),
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("0x1f", 31),
        ("0o17", 15),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("~", None),
        ("2001:db8::1", "2001:db8::1"),
        ("192.0.2.10", "192.0.2.10"),
        ("2024-01-01", "2024-01-01"),
        ('"5"', "5"),
    ],
)
def test_yaml_is_read_as_pulumi_reads_it(text: str, value: object) -> None:
    assert yamlfile.parse(f"k: {text}", "f") == {"k": value}


def test_config_values_are_the_strings_that_pulumi_makes(tmp_path: Path) -> None:
    """Compared with what pulumi 3.260 gave its provider for this file."""
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(
        "config:\n  toy:num: 5\n  toy:flag: true\n  toy:obj:\n    b: 1\n"
        '    a: {z: [1, 2.5, true, null, "x<y>"], "y": text}\n'
        f"  toy:deep: {{inner: {{secure: '{IN_CONFIG[0]}'}}}}\n  bare: x\nencryptionsalt: {SALT}\n"
    )
    config = StackConfig(file, "dev", "toy")
    assert config.values() == {
        "toy:num": "5",
        "toy:flag": "true",
        "toy:obj": '{"a":{"y":"text","z":[1,2.5,true,null,"x\\u003cy\\u003e"]},"b":1}',
        "toy:deep": '{"inner":"hunter2"}',
        "toy:bare": "x",
    }
    assert config.secret_keys() == ["toy:deep"]
    assert isinstance(config.package("pulumi-python")["toy:deep"], Secret)
    assert config.package("toy")["num"] == "5"
    assert config.package("hcloud") == {}


def test_json_is_written_as_go_writes_it() -> None:
    assert as_text({"b": "a&b", "a": ["ü", 1.0]}) == '{"a":["ü",1.0],"b":"a\\u0026b"}'.replace("1.0", as_text(1.0))


FILE = """\
# who made it
config:
  toy:server:
    ssh: {host: 192.0.2.10}   # the address
    # the system
    os: debian-13
  toy:list:
    - one
  toy:flag: true # on purpose
encryptionsalt: x
"""


@pytest.mark.parametrize(
    ("keys", "value", "remove", "gone", "there"),
    [
        (["toy:flag"], "no", False, "true # on", "  toy:flag: 'no' # on purpose"),
        (["toy:server", "os"], "debian-12", False, "debian-13", "    os: debian-12"),
        (["toy:server", "backend"], "ifupdown", False, None, "    os: debian-13\n    backend: ifupdown\n"),
        (["toy:new"], {"secure": "v1:x"}, False, None, "on purpose\n  toy:new:\n    secure: v1:x\n"),
        (["toy:server", "os"], None, True, "debian-13", "ssh: {host: 192.0.2.10}   # the address"),
        (["toy:list", 1], "two", False, None, "- one\n  - two"),
        (["toy:server", "ssh", "port"], 22, False, "{host", "port: 22"),
        (["toy:server", "ssh", "host"], "a, b]", False, "192.0.2.10}", 'ssh: {host: "a, b]"}   # the address'),
        (["toy:server", "ssh", "host"], ["a"], False, "{host", "host:\n      - a\n"),
        (["toy:server", "ssh", "host"], None, True, "192.0.2.10}", "    ssh: {}\n"),
        (["toy:deep", "a", "b"], 1, False, None, "  toy:deep:\n    a:\n      b: 1\n"),
    ],
)
def test_a_config_file_changes_where_it_must_and_nowhere_else(
    tmp_path: Path, keys: Any, value: Any, remove: bool, gone: str | None, there: str
) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(FILE)
    configfile.change(file, keys, value, remove=remove)
    text = file.read_text()
    assert there in text
    assert gone is None or gone not in text
    assert text.startswith("# who made it\nconfig:\n")
    assert text.endswith("encryptionsalt: x\n")
    raw = yamlfile.parse(text, "f")["config"]
    if remove:
        with pytest.raises(KeyError):
            configfile.get(raw, keys)
    else:
        assert configfile.get(raw, keys) == value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("    key: old # seen\n    b: 1\n", "    key: new A+/= # seen\n    b: 1\n"),
        ("    {a: 1, key: old, b: [x]}   # all\n", "    {a: 1, key: new A+/=, b: [x]}   # all\n"),
        ("    {a: 1, # one\n     key: 'old',\n     b: 2}\n", "    {a: 1, # one\n     key: new A+/=,\n     b: 2}\n"),
        ("    key: [old, older] # both\n    # b\n    b: 1\n", "    key: new A+/= # both\n    # b\n    b: 1\n"),
        ("    {key: [old, older], b: 1} # b\n", "    {key: new A+/=, b: 1} # b\n"),
        (
            "    # a\n    key:\n    - old\n    - older\n    # b\n    b: 1\n",
            "    # a\n    key: new A+/=\n    # b\n    b: 1\n",
        ),
        ("    key: >-\n      old\n      er\n    b: 1 # b\n", "    key: new A+/=\n    b: 1 # b\n"),
        ("    key: old\r\n    b: 1\r\n", "    key: new A+/=\r\n    b: 1\r\n"),
    ],
)
def test_one_value_changes_in_place_and_every_other_byte_stays(tmp_path: Path, text: str, wanted: str) -> None:
    head, foot = "# head\nconfig:\n  toy:odd: {x: 1}  # y\n  toy:map: # m\n", "  toy:after: 'q' # last\n# end"
    file = tmp_path / "f.yaml"
    file.write_bytes(f"{head}{text}{foot}".encode())
    configfile.change(file, ["toy:map", "key"], "new A+/=", in_place=True)
    assert file.read_bytes().decode() == f"{head}{wanted}{foot}"


@pytest.mark.parametrize("text", ["config:\n  a: &k {key: old}\n  toy:map: *k\n", "config:\n  toy:map: {b: 1}\n"])
def test_a_change_in_place_that_would_change_more_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(text)
    with pytest.raises(EngineError, match="edit it by hand"):
        configfile.change(file, ["toy:map", "key"], "new", in_place=True)
    assert file.read_text() == text


def test_a_value_that_is_not_set_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="toy:x is not set"):
        configfile.change(tmp_path / "none.yaml", ["toy:x"], None, remove=True)
    configfile.change(tmp_path / "none.yaml", ["toy:x"], "1")
    assert yamlfile.read(tmp_path / "none.yaml") == {"config": {"toy:x": "1"}}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        ("a.b[0].c", ["a", "b", 0, "c"]),
        ('a["b.c"].d', ["a", "b.c", "d"]),
        ("a[*].b", ["a", "*", "b"]),
    ],
)
def test_property_paths(text: str, parts: list[str | int]) -> None:
    assert paths.parse(text) == parts


def test_a_path_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a property path"):
        paths.parse("a[b")


def test_ignored_paths_reach_into_lists_and_mappings() -> None:
    old: Any = {"a": {"b": 1, "c": 1}, "l": [{"x": 1}, {"x": 2}]}
    new: Any = {"a": {"b": 2, "c": 2}, "l": [{"x": 9}, {"x": 9}], "n": 1}
    found, lost = paths.ignoring(["a.b", "l[*].x", "n"], old, new)
    assert found == {"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2}]}
    assert lost == []
    assert paths.ignoring(["l[5].x"], old, new)[1] == ["l[5].x"]
    assert new["a"]["b"] == 2, "what was given is not changed"


def test_values_cross_the_wire_and_come_back() -> None:
    props: Any = {
        "null": None,
        "true": True,
        "int": 5,
        "float": 2.5,
        "list": [1, "a", [None]],
        "map": {"k": {"deep": ""}},
        "secret": Secret({"a": 1}),
        "unknown": UNKNOWN,
        "reference": {SIG: RESOURCE_SIG, "urn": URN + "a", "id": "1"},
        "empty": {},
        "none": [],
    }
    assert same(from_proto(to_proto(props, secrets=True, references=True)), props)
    told = from_proto(to_proto(props))
    assert told["secret"] == {"a": 1}, "a provider that takes no secrets gets them in plain"
    assert told["reference"] == "1"
    assert "unknown" not in from_proto(to_proto(props, unknowns=False))


def test_true_is_not_one_and_a_secret_is_not_its_value() -> None:
    assert not same(True, 1)
    assert same(1, 1.0)
    assert not same(Secret("a"), "a")
    assert same({"a": [Secret("b")]}, {"a": [Secret("b")]})


def test_what_went_in_as_a_secret_comes_out_as_one() -> None:
    outs: Any = {"a": "x", "deep": {"b": "y", "c": "z"}, "other": 1}
    annotate_secrets(outs, {"a": Secret("x"), "deep": {"b": Secret("y")}, "gone": Secret("")})
    assert isinstance(outs["a"], Secret)
    assert isinstance(outs["deep"]["b"], Secret)
    assert outs["deep"]["c"] == "z"


def thing(name: str, *needs: str, **fields: Any) -> State:
    parent = fields.pop("parent", "")
    return State(
        URN + name,
        "toy:index:Thing",
        fields.pop("custom", True),
        dependencies=[URN + n for n in needs],
        parent=URN + parent if parent else "",
        **fields,
    )


def test_a_resource_s_json_comes_back_whole() -> None:
    state = thing("a", "b", id="1", inputs={"s": Secret("x"), "u": UNKNOWN}, outputs={"o": [1]}, protect=True)
    state.custom_timeouts = {"create": 90.0}
    raw = to_json(state, crypter())
    assert "x" not in json.dumps(raw["inputs"]["s"]["ciphertext"]) or raw["inputs"]["s"]["ciphertext"].startswith("v1:")
    back = from_json(json.loads(json.dumps(raw)), crypter())
    assert same(dict(back.inputs), dict(state.inputs))
    assert {k: v for k, v in vars(back).items() if k not in ("inputs", "json_text")} == {
        k: v for k, v in vars(state).items() if k not in ("inputs", "json_text")
    }
    assert to_json(back, crypter())["inputs"]["s"] == raw["inputs"]["s"], "what is unchanged is not encrypted anew"


@pytest.mark.parametrize(
    ("field", "said"),
    [("viewOf", "resource views"), ("resourceHooks", "resource hooks"), ("replaceWith", "replaceWith")],
)
def test_fields_that_are_not_kept_are_refused_by_name(field: str, said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        from_json({"urn": URN + "a", "type": "t", "custom": True, field: "x"}, crypter())


def test_a_field_from_the_future_is_refused() -> None:
    with pytest.raises(EngineError, match=r"'tomorrow'.* is newer than the embedded engine"):
        from_json({"urn": URN + "a", "type": "t", "custom": True, "tomorrow": 1}, crypter())


def test_a_checkpoint_out_of_order_is_refused() -> None:
    with pytest.raises(EngineError, match=r"the checkpoint is damaged: .*a comes before .*b"):
        checkpoints.verify([thing("a", "b"), thing("b")])


def test_a_checkpoint_s_file_is_read_back() -> None:
    state = thing("a", inputs={"s": Secret("x")})
    text = checkpoints.to_file(Checkpoint([state], [Operation(thing("b"), "creating")]), "toy", "dev", crypter())
    back = checkpoints.load(checkpoints.deployment_of(json.loads(text)), crypter())
    assert [s.name for s in back.resources] == ["a"]
    assert [(o.resource.name, o.type) for o in back.pending] == [("b", "creating")]


def names(groups: list[list[State]]) -> list[list[str]]:
    return [sorted(s.name for s in group) for group in groups]


def test_dependents_and_children_are_deleted_first() -> None:
    base = [thing("a"), thing("b", "a"), thing("c", "a"), thing("d", "b", "c"), thing("child", parent="a")]
    assert names(graph.deletion_order(base)) == [["d"], ["b", "c", "child"], ["a"]]


def test_a_component_stands_for_what_is_in_it() -> None:
    base = [thing("box", custom=False), thing("in", parent="box"), thing("after", "box")]
    assert names(graph.deletion_order(base)) == [["after"], ["in"], ["box"]]


def test_dependents_are_found_through_any_number_of_others() -> None:
    base = [thing("a"), thing("b", "a"), thing("x"), thing("c", "b"), thing("in", parent="a")]
    assert [s.name for s in graph.dependents(base[0], base)] == ["b", "c"]
    assert [s.name for s in graph.dependents(base[0], base, children=True)] == ["b", "c", "in"]
    assert [s.name for s in graph.dependents(base[0], base, {URN + "b"})] == []


def test_what_has_begun_stands_in_the_checkpoint_until_it_is_done() -> None:
    snapshot = Snapshot(Checkpoint([thing("old")]))
    step = Step("create", None, thing("new"))
    assert snapshot.begin(step)
    assert [(o.resource.name, o.type) for o in snapshot.checkpoint().pending] == [("new", "creating")]
    assert snapshot.end(step, True)
    assert [s.name for s in snapshot.checkpoint().resources] == ["new", "old"]
    assert snapshot.checkpoint().pending == []


def test_a_create_that_was_cut_off_is_forgotten_when_it_has_succeeded() -> None:
    snapshot = Snapshot(Checkpoint([], [Operation(thing("a"), "creating"), Operation(thing("b"), "updating")]))
    assert [o.resource.name for o in snapshot.checkpoint().pending] == ["a"]
    step = Step("create", None, thing("a"))
    snapshot.begin(step)
    snapshot.end(step, True)
    assert snapshot.checkpoint().pending == []


def test_a_step_that_keeps_all_as_it_is_writes_nothing() -> None:
    old, new = thing("a", inputs={"x": 1}), thing("a", inputs={"x": 1}, source_position="project:///b.py#2")
    snapshot = Snapshot(Checkpoint([old]))
    assert not snapshot.end(Step("same", old, new), True)
    assert not snapshot.changed


TRACEBACK = """\
Traceback (most recent call last):
  File "/x/dynamic.py", line 3, in create
    boom()
    ~~~~^^
  File "/x/y.py", line 9, in boom
    raise HostError("x")
{last}
"""


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("Exception: the disk is full", "the disk is full"),
        ("providers.host.HostError: no route\n  to web", "no route\n  to web"),
        ("KeyError: 'x'", "KeyError: 'x'"),
        ("AssertionError", "AssertionError"),
    ],
)
def test_a_traceback_is_told_by_its_last_words(last: str, said: str) -> None:
    assert clean_message(TRACEBACK.format(last=last)) == said


def test_what_is_no_traceback_is_told_whole() -> None:
    assert clean_message("two\nlines") == "two\nlines"


def test_state_is_for_its_owner_alone_and_a_config_file_keeps_its_mode(tmp_path: Path) -> None:
    for name, mode, before, after in (
        ("state.json", PRIVATE, None, 0o600),
        ("old.json", PRIVATE, 0o644, 0o600),
        ("Pulumi.kvm1.yaml", SHARED, None, 0o644),
        ("Pulumi.own.yaml", SHARED, 0o640, 0o640),
    ):
        path = tmp_path / name
        if before is not None:
            path.write_text("old")
            path.chmod(before)
        write_durably(path, "new", mode)
        assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", after)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "Pulumi.kvm1.yaml",
        "Pulumi.own.yaml",
        "old.json",
        "state.json",
    ]
