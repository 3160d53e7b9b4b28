"""What a person sees and types: verbs, flags, messages, exit codes."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.engine.conftest import ENGINES, Toy
from tests.engine.test_planning import file, of

PLANTED = "a-planted-secret-c0ffee"


def everywhere(toy: Toy, text: str) -> list[str]:
    """Files of the project in which a text stands, its own config and what the host was to get apart."""
    return [
        str(p.relative_to(toy.dir))
        for p in toy.dir.rglob("*")
        if p.is_file() and text in p.read_text(errors="replace") and p.parts[-2] != "host" and p.name != "plain.yaml"
    ]


def test_a_second_up_changes_nothing_and_writes_nothing(toy: Toy) -> None:
    toy.has(file("a", {"secret": "s"}), {"name": "box", "kind": "box"}, exports={"out": of("a")})
    toy.up()
    before = toy.checkpoint.read_text()
    toy.calls()
    done = toy.up("--expect-no-changes")
    assert toy.calls() == []
    assert toy.checkpoint.read_text() == before
    assert "3 unchanged" in done.stdout


def test_expect_no_changes_fails_with_one_sentence(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"))
        done = toy.run("preview", "--expect-no-changes", status=7)
        assert "error: no changes were expected" in done.stderr + done.stdout


def test_every_refused_input_is_shown_at_once(toy: Toy) -> None:
    toy.has(file("a", bad=True), file("b"), file("c", bad=True), file("d", of("a")))
    done = toy.run("up", "--yes", status=1)
    assert done.stdout.count("property bad: must not be bad") == 2
    assert "toy:File a:" in done.stdout
    assert "toy:File c:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert toy.host() == {}


def test_a_provider_s_failure_is_clean_and_its_traceback_is_in_the_log(toy: Toy) -> None:
    toy.has(file("a", fail="create"))
    done = toy.up(status=1)
    assert "toy:File a:\n    error: could not create a: the disk is full" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    (log,) = (toy.dir / ".pulumi" / "logs").iterdir()
    assert str(log) in done.stdout
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("how", "said"), [("run", "the program says no"), ("crash", "KeyError: 'crash'")])
def test_a_failing_program_is_told_in_one_line(toy: Toy, how: str, said: str) -> None:
    toy.has(file("a"), fail=how)
    done = toy.run("preview", status=1)
    assert f"error: {said}" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_failing_program_deletes_nothing(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"))
        toy.up()
        toy.has(fail="run")
        toy.up(status=1)
        assert set(toy.host()) == {"a"}
        assert "a" in toy.resources()


@pytest.mark.parametrize(("feature", "said"), [("transform", "stack transforms"), ("hook", "resource hooks")])
def test_what_is_not_supported_is_refused_by_name(toy: Toy, feature: str, said: str) -> None:
    toy.has(file("a"), feature=feature)
    done = toy.run("preview", status=1)
    assert f"error: {said}: not supported by the embedded engine; use pulumi for this stack" in done.stdout
    assert done.stdout.count("not supported") == 1


@pytest.mark.parametrize(
    ("options", "said"), [({"import_": "a"}, "import"), ({"replace_with": []}, ""), ({"hide_diffs": ["text"]}, "")]
)
def test_an_option_is_refused_by_name_or_supported(toy: Toy, options: dict[str, object], said: str) -> None:
    toy.has(file("a", options=options))
    done = toy.run("preview", status=1 if said else 0)
    if said:
        assert f"{said} (of pulumi-python:dynamic/toy:File a): not supported" in done.stdout


def test_a_newer_checkpoint_is_refused_by_name(toy: Toy) -> None:
    toy.has(file("a"))
    toy.up()
    for change, said in (
        ({"version": 4, "features": ["views"]}, "checkpoint feature views"),
        ({"version": 5}, "checkpoint version 5"),
    ):
        raw = json.loads(toy.checkpoint.read_text())
        toy.checkpoint.write_text(json.dumps({**raw, **change}))
        assert said in toy.up(status=1).stderr
        toy.checkpoint.write_text(json.dumps(raw))


def test_secrets_stand_nowhere_in_plain(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(greeting="hello")
        toy.run("config", "set", "--secret", "password", PLANTED)
        toy.run("config", "set", "--secret", "--path", "deep.password", PLANTED)
        config = (toy.dir / "stacks" / "Pulumi.dev.yaml").read_text()
        assert PLANTED not in config
        assert config.count("secure:") == 2
        toy.run("up", "--yes", "--diff")
        toy.run("preview", "--json")
        assert everywhere(toy, PLANTED) == []
        assert PLANTED not in toy.run("config").stdout
        assert toy.run("config", "get", "password").stdout.strip() == PLANTED


def test_secret_inputs_and_outputs_are_encrypted_and_hidden(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(
            file("a", {"secret": PLANTED}, options={"additional_secret_outputs": ["rendered"]}),
            file("b", of("a", "text"), options={"additional_secret_outputs": ["rendered"]}),
            exports={"text": of("a", "text")},
        )
        shown = toy.run("preview", "--diff").stdout + toy.up("--diff").stdout
        for name in ("a", "b"):
            assert toy.resources()[name]["inputs"]["text"]["ciphertext"] == "[secret]"
        assert "text: [secret]" in shown.replace("text      : [secret]", "text: [secret]")
        assert json.loads(toy.run("outputs").stdout) == {"text": "[secret]"}
        assert json.loads(toy.run("outputs", "--show-secrets").stdout) == {"text": PLANTED}
        found.append(toy.resources())
    assert all(one == found[0] for one in found)


def test_a_wrong_passphrase_changes_nothing(toy: Toy) -> None:
    toy.has(file("a", {"secret": "s"}))
    toy.up()
    before = toy.checkpoint.read_text()
    toy.env["PULUMI_CONFIG_PASSPHRASE"] = "wrong"  # noqa: S105
    assert "incorrect passphrase" in toy.up(status=1).stderr
    assert toy.checkpoint.read_text() == before
    del toy.env["PULUMI_CONFIG_PASSPHRASE"]
    toy.run("preview", "--expect-no-changes")


def test_a_wrong_passphrase_is_noticed_before_the_first_step(toys: list[Toy]) -> None:
    for toy in toys:
        toy.run("config", "set", "--secret", "planted", PLANTED)
        toy.run("config", "rm", "planted")
        toy.has(file("a"), file("b", {"secret": "s"}, options={"depends_on": ["a"]}))
        toy.env["PULUMI_CONFIG_PASSPHRASE"] = "wrong"  # noqa: S105
        refused = toy.up(status=None)
        assert refused.returncode != 0
        assert "incorrect passphrase" in refused.stdout + refused.stderr
        assert toy.host() == {}
        del toy.env["PULUMI_CONFIG_PASSPHRASE"]
        toy.up()
        assert set(toy.host()) == {"a", "b"}


@pytest.mark.parametrize("key", ["sshKey", "toy:sshKeyPassphrase", "sudoPassword", "hcloud:token", "robotPassword"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_credential_is_not_set_without_secret(make_toy: object, engine: str, key: str) -> None:
    toy = make_toy(engine)  # type: ignore[operator]
    before = (toy.dir / "stacks" / "Pulumi.dev.yaml").read_text()
    refused = toy.run("config", "set", key, PLANTED, status=1)
    assert f"{key} is a credential: set it with --secret" in refused.stderr
    assert (toy.dir / "stacks" / "Pulumi.dev.yaml").read_text() == before


def test_config_set_get_rm(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has()
        toy.run("config", "set", "plain", "5")
        toy.run("config", "set", "--path", "server.ssh.port", "22")
        toy.run("config", "set", "--path", "server.names[0]", "one")
        assert toy.run("config", "get", "plain").stdout.strip() == "5"
        assert toy.run("config", "get", "--path", "server.ssh.port").stdout.strip() == "22"
        toy.run("config", "rm", "plain")
        assert toy.run("config", "get", "plain", status=1).stdout == ""
        text = (toy.dir / "stacks" / "Pulumi.dev.yaml").read_text()
        assert "port: 22" in text
        assert "- one" in text


def test_another_config_file(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"))
        toy.up()
        default = toy.dir / "stacks" / "Pulumi.dev.yaml"
        shutil.copy(default, toy.dir / "variant.yaml")
        toy.has(file("a"), file("b"))
        default.rename(toy.dir / "two.yaml")
        shutil.copy(toy.dir / "variant.yaml", default)
        assert toy.steps("--config-file", "two.yaml") == [("create", "b")]
        toy.up("--config-file", "two.yaml")
        assert set(toy.host()) == {"a", "b"}


def test_one_stack_reads_another_s_outputs(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(file("a", {"secret": "s"}), stack="base", exports={"plain": "seen", "hidden": of("a", "text")})
        toy.run("up", "--yes", "--skip-preview", stack="base")
        toy.has(
            {"name": "base", "kind": "stack"},
            exports={"plain": {"stack": "base", "output": "plain"}, "hidden": {"stack": "base", "output": "hidden"}},
        )
        toy.up()
        toy.run("preview", "--expect-no-changes")
        assert json.loads(toy.run("outputs").stdout) == {"hidden": "[secret]", "plain": "seen"}
        found.append(toy.resources())
        toy.run("destroy", "--yes", "--skip-preview")
        assert toy.resources() == {}
    assert all(one == found[0] for one in found)


LOST = "deletes /var/lib/images/a.qcow2"


def test_data_loss_is_said_wherever_it_would_happen(toys: list[Toy]) -> None:
    line = f"DATA LOSS: file a: {LOST}"
    for toy in toys:
        toy.has(file("a", dataLoss=""))
        toy.up()
        assert "DATA LOSS" not in toy.run("destroy", "--preview-only").stdout
        # An update that is to lose something says so.
        toy.has(file("a", "y", dataLoss=LOST))
        assert line in toy.run("preview").stdout
        toy.up()
        assert "DATA LOSS" not in toy.run("preview").stdout
        # So do a deletion, a replacement and the end.
        toy.has(file("a", "y", path="b", dataLoss=LOST))
        assert line in toy.run("preview").stdout
        toy.has()
        assert line in toy.run("preview").stdout
        assert line in toy.run("destroy", "--yes").stdout


def test_an_interruption_is_said_before_it_happens(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"))
        toy.up()
        toy.has(file("a", "y", interrupts="restarts a"))
        assert "INTERRUPTION: restarts a" in toy.run("preview").stdout
        toy.up()
        assert "INTERRUPTION" not in toy.run("preview").stdout


def test_stacks_are_made_listed_exported_imported_and_removed(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"))
        toy.run("stack", "init", "dev")
        assert toy.run("stack", "init", "dev", status=1).returncode == 1
        toy.up()
        assert "dev" in toy.run("stack", "ls").stdout
        export = toy.run("stack", "export").stdout
        toy.run("stack", "export", "--file", "state.json")
        before = toy.resources()
        toy.run("stack", "rm", "--yes", status=1)
        toy.has()
        toy.up()
        toy.run("stack", "import", "--file", "state.json")
        assert toy.resources() == before
        assert json.loads(export)["deployment"]["resources"]
        toy.run("stack", "rm", "--yes", "--force", "--preserve-config")
        assert not toy.checkpoint.exists()


def test_up_without_a_terminal_and_without_yes_is_refused(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(file("a"))
        done = toy.run("up", status=1)
        assert "--yes or --skip-preview must be passed in" in done.stderr
        assert toy.host() == {}


def test_a_preview_of_ten_resources_is_quick_and_starts_two_processes(toy: Toy) -> None:
    """The program and one provider. Three seconds are the promise; it takes about one."""
    import time

    toy.has(*(file(f"f{i}") for i in range(10)))
    toy.up()
    began = time.monotonic()
    toy.run("preview", "--expect-no-changes")
    assert time.monotonic() - began < 3


def test_the_json_of_a_preview_names_steps_and_counts(toys: list[Toy]) -> None:
    found = []
    for toy in toys:
        toy.has(file("a"), file("b"))
        toy.up()
        toy.has(file("a", "y"), file("c"))
        document = toy.document()
        found.append(document["changeSummary"])
        (step,) = (s for s in document["steps"] if s["op"] == "update")
        assert step["oldState"]["inputs"]["text"] == "x"
        assert step["newState"]["inputs"]["text"] == "y"
    assert found[0] == {"create": 1, "update": 1, "delete": 1, "same": 1}
    assert all(one == found[0] for one in found)
