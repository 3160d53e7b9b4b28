"""What is shown: differences, trees, summaries, losses, and pulumi's output made readable."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from cli.credentials import refuse_plain
from cli.pulumi_output import readable
from engine import report
from engine.display import Display, LogFile, Show
from engine.errors import EngineError
from engine.journal import Journal
from engine.render import difference
from engine.state import State
from engine.steps import Step
from engine.values import UNKNOWN, Secret

STACK = "urn:pulumi:dev::toy::pulumi:pulumi:Stack::toy-dev"
TYPE = "pulumi-python:dynamic/toy:File"


def thing(name: str, **fields: Any) -> State:
    fields.setdefault("parent", STACK)
    return State(f"urn:pulumi:dev::toy::{TYPE}::{name}", TYPE, True, id=name, **fields)


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({}, {"a": 1}, ["+ a: 1"]),
        ({"a": "x"}, {}, ['- a: "x"']),
        ({"a": "x"}, {"a": "y"}, ['~ a: "x" => "y"']),
        ({"a": Secret("x")}, {"a": Secret("y")}, ["~ a: [secret] => [secret]"]),
        ({"a": "x"}, {"a": Secret("x")}, []),
        ({"a": "x"}, {"a": UNKNOWN}, ['~ a: "x" => [unknown]']),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["~ a:", "    ~ c: 2 => 3"]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, ["~ a:", "    ~ [1]: 2 => 3", "    + [2]: 4"]),
        ({"t": "one\ntwo\n"}, {"t": "one\n2\n"}, ["~ t:", "    @@ -1,2 +1,2 @@", "     one", "    -two", "    +2"]),
        ({"__provider": "x"}, {"__provider": "y"}, []),
    ],
)
def test_differences_line_by_line(old: Any, new: Any, lines: list[str]) -> None:
    assert [text for _, text in difference(old, new)] == lines


def test_the_tree_shows_what_changes_below_what_it_belongs_to() -> None:
    stack = State(STACK, "pulumi:pulumi:Stack", False)
    box = State("urn:pulumi:dev::toy::toy:Box::box", "toy:Box", False, parent=STACK)
    inside = thing("in", parent=box.urn)
    steps = [
        Step("same", stack, stack),
        Step("same", box, box),
        Step("create", None, inside),
        Step("update", thing("a", inputs={"x": 1}), thing("a", inputs={"x": 2})),
        Step("same", thing("b"), thing("b")),
        Step("create", None, State("u::v::pulumi:providers:x::default", "pulumi:providers:x", True)),
    ]
    assert list(report.tree(steps, True, False)) == [
        "     Type                 Name     Plan",
        "     pulumi:pulumi:Stack  toy-dev",
        "     ├─ toy:Box           box",
        " +   │  └─ toy:File       in       create",
        " ~   └─ toy:File          a        update    [diff: ~x]",
    ]
    assert list(report.summary(steps, True, False)) == [
        "Resources:",
        "    + 1 to create",
        "    ~ 1 to update",
        "    2 changes. 3 unchanged",
    ]


def test_a_refresh_gives_way_to_what_follows_it() -> None:
    old, drifted = thing("a", outputs={"x": 1}), thing("a", outputs={"x": 2})
    found = Step("refresh", old, drifted, changed=["x"])
    assert report.counts([found]) == {"update": 1}
    assert report.counts([found, Step("update", drifted, thing("a"))]) == {"update": 1}
    assert report.counts([Step("refresh", old, None, gone=True)]) == {"delete": 1}
    assert report.counts([Step("refresh", old, None, gone=True), Step("create", None, thing("a"))]) == {"create": 1}
    assert report.changes([Step("refresh", old, old.copy())]) == 0


LOSSY = {"dataLoss": "deletes a.qcow2"}


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("delete", thing("a", inputs=LOSSY)), True),
        (Step("replace", thing("a", inputs=LOSSY), thing("a")), True),
        (Step("delete-replaced", thing("a", inputs=LOSSY)), True),
        (Step("delete", thing("a", inputs=LOSSY, retain_on_delete=True)), False),
        (Step("delete", thing("a", inputs={"dataLoss": ""})), False),
        (Step("delete", thing("a")), False),
        (Step("update", thing("a"), thing("a", inputs=LOSSY)), True),
        (Step("update", thing("a", inputs=LOSSY), thing("a", inputs=LOSSY)), False),
        (Step("update", thing("a", inputs=LOSSY), thing("a", inputs={"dataLoss": ""})), False),
        (Step("create", None, thing("a", inputs=LOSSY)), False),
        (Step("same", thing("a", inputs=LOSSY), thing("a", inputs=LOSSY)), False),
    ],
)
def test_data_loss_is_said_of_what_loses_data(step: Step, said: bool) -> None:
    assert report.data_loss([step]) == (["DATA LOSS: file a: deletes a.qcow2"] if said else [])


def test_an_interruption_is_said_of_an_update_alone() -> None:
    telling = thing("a", inputs={"interrupts": "restarts a"})
    assert report.interruptions([Step("update", thing("a"), telling)]) == ["INTERRUPTION: restarts a"]
    assert report.interruptions([Step("update", telling, thing("a"))]) == []
    assert report.interruptions([Step("same", telling, telling), Step("delete", telling)]) == []


def shown(tmp_path: Path, *lines: str) -> tuple[str, str]:
    """What a display shows of lines that a provider prints, and what stands in the log."""
    out = io.StringIO()
    log = LogFile(tmp_path, "dev")
    display = Display("", True, Show(), log, out)
    for line in lines:
        display.provider_line("pulumi-python", line)
    return out.getvalue(), log.path.read_text() if log.used else ""


def test_a_traceback_that_a_provider_prints_goes_to_the_log(tmp_path: Path) -> None:
    told, logged = shown(
        tmp_path,
        "hello",
        "Traceback (most recent call last):",
        '  File "x", line 1, in y',
        "    boom()",
        "KeyError: 1",
        "bye",
    )
    assert "    hello\n" in told
    assert "    bye\n" in told
    assert 'File "x"' not in told
    assert "KeyError: 1" in told
    assert 'File "x"' in logged


def test_messages_name_their_resource(tmp_path: Path) -> None:
    out = io.StringIO()
    display = Display("Previewing", True, Show(), LogFile(tmp_path, "dev"), out)
    display.say("warning", thing("a").urn, "slow")
    display.say("info", STACK, "hello")
    display.say("debug", STACK, "never")
    display.say("error", thing("a").urn, "two\nlines")
    display.finish({}, {}, True)
    assert out.getvalue().startswith(
        "Previewing\n    warning: toy:File a: slow\n    hello\nDiagnostics:\n  toy:File a:\n    error: two\n    lines\n"
    )


OUTPUT = """\
    pulumi:pulumi:Stack toy-dev running Traceback (most recent call last):
    pulumi:pulumi:Stack toy-dev running   File "exec", line 232, in <module>
    pulumi:pulumi:Stack toy-dev running KeyboardInterrupt
 +  pulumi:pulumi:Stack toy-dev creating (0s) reads the outputs of kvm1
 +  pulumi:pulumi:Stack toy-dev creating (0s) Traceback (most recent call last):
 +  pulumi:pulumi:Stack toy-dev creating (1s)   File "exec", line 244, in <module>
 +  pulumi:pulumi:Stack toy-dev creating (1s) During handling of the above exception, another exception occurred:
 +  pulumi:pulumi:Stack toy-dev creating (1s) failed 1 error
 ~  pulumi-python:dynamic/toy:File b **refreshing failed** [diff: -rendered]; error: Traceback (most recent call last):
Diagnostics:
  pulumi-python:dynamic/toy:File (b):
    error: Traceback (most recent call last):
      File "x/dynamic/__main__.py", line 84, in wrapper
        return fn(self, request, context)
               ^^^^^^^^^^^^^^^^^^^^^^^^^^
      File "x/provider.py", line 90, in read
        raise HostError("no route")
    providers.host.HostError: no route to 192.0.2.10
      try again
    error: preview failed
  pulumi:pulumi:Stack (toy-dev):
    Traceback (most recent call last):
      File "exec", line 232, in <module>
        loop.run()
    KeyboardInterrupt

Resources:
    1 errored"""


def test_pulumi_s_tracebacks_are_told_by_their_last_words(tmp_path: Path) -> None:
    log = LogFile(tmp_path, "dev")
    assert list(readable(OUTPUT.splitlines(), log)) == [
        " +  pulumi:pulumi:Stack toy-dev creating (0s) reads the outputs of kvm1",
        " +  pulumi:pulumi:Stack toy-dev creating (1s) failed 1 error",
        " ~  pulumi-python:dynamic/toy:File b **refreshing failed** [diff: -rendered]; failed",
        "Diagnostics:",
        "  pulumi-python:dynamic/toy:File (b):",
        "    error: no route to 192.0.2.10",
        "      try again",
        "    error: preview failed",
        "  pulumi:pulumi:Stack (toy-dev):",
        "    the program was stopped",
        "",
        "Resources:",
        "    1 errored",
        f"the whole story: {log.path}",
    ]
    assert "line 90, in read" in log.path.read_text()


def test_output_without_a_traceback_is_left_alone(tmp_path: Path) -> None:
    lines = ["a", "", "  b"]
    assert list(readable(lines, LogFile(tmp_path, "dev"))) == lines


def test_many_changes_at_once_are_few_writes() -> None:
    """Each waits for a write that began after it asked; a hundred side by side share a handful."""
    seen: list[str] = []
    state = {"n": 0}

    async def change(journal: Journal) -> None:
        state["n"] += 1
        mine = state["n"]
        await journal.flush()
        assert int(seen[-1]) >= mine

    async def run() -> int:
        journal = Journal(lambda: str(state["n"]), seen.append)
        await asyncio.gather(*(change(journal) for _ in range(100)))
        return journal.writes

    assert asyncio.run(run()) < 5


def test_a_write_that_fails_is_told_to_all_who_wait_for_it() -> None:
    def fail(text: str) -> None:
        raise EngineError("disk full")

    async def run() -> list[Any]:
        journal = Journal(lambda: "", fail)
        return await asyncio.gather(journal.flush(), journal.flush(), return_exceptions=True)

    assert [str(e) for e in asyncio.run(run())] == ["disk full", "disk full"]


@pytest.mark.parametrize("key", ["sshKey", "sixstead:sshKey", "hcloud:token", "sixstead:robotPassword"])
def test_credentials_are_secrets(key: str) -> None:
    refuse_plain(key, True)
    with pytest.raises(EngineError, match="set it with --secret"):
        refuse_plain(key, False)
    refuse_plain("sixstead:server", False)
