"""A stack that reads another one's outputs, by the embedded engine and, where it is on PATH, pulumi."""

from __future__ import annotations

import json

from tests.engine.conftest import Toy

PLANTED = "planted-output-2f6a"


def test_outputs_of_another_stack_are_read_anew_and_secret_ones_stay_so(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has(stack="other", exports={"open": ["a", 1], "hidden": {"secret": PLANTED}})
        toy.run("up", "--yes", "--skip-preview", stack="other")
        read = {"open": {"stack": "organization/toy/other", "output": "open"}}
        read["hidden"] = {"stack": "organization/toy/other", "output": "hidden"}
        toy.has({"name": "organization/toy/other", "kind": "stack"}, exports=read)
        assert PLANTED not in toy.run("preview", "--diff").stdout
        assert PLANTED not in toy.up().stdout
        assert json.loads(toy.run("outputs").stdout) == {"open": ["a", 1], "hidden": "[secret]"}
        assert json.loads(toy.run("outputs", "hidden", "--show-secrets").stdout) == PLANTED
        # pulumi's history quotes the stack file, where the toy's secret stands in plain
        files = [path for path in toy.dir.rglob("*.json") if "history" not in path.parts]
        texts = [path.read_text(errors="replace") for path in files]
        assert not any(PLANTED in text for text in texts)

        toy.has(stack="other", exports={"open": "b", "hidden": {"secret": PLANTED}})
        toy.run("up", "--yes", "--skip-preview", stack="other")
        toy.has({"name": "organization/toy/other", "kind": "stack"}, exports=read)
        toy.up()
        assert json.loads(toy.run("outputs", "open").stdout) == "b"
        done = toy.run("preview", stack="other", status=None)
        assert done.returncode == 0


def test_a_stack_that_is_not_there_is_an_error_with_its_name(toys: list[Toy]) -> None:
    for toy in toys:
        toy.has({"name": "organization/toy/nowhere", "kind": "stack"})
        done = toy.run("preview", status=None)
        assert done.returncode != 0
        assert "nowhere" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
